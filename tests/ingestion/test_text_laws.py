"""What a text means is one law for all formats: codes, gaps, precision, times, names, marks."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tests.ingestion.tables import read, values

from tidemill.casting import cast_column
from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError, PrecisionLost
from tidemill.ingestion.checks.scan_plan import compile_plan
from tidemill.ingestion.checks.suite import read_suite
from tidemill.ingestion.first_look.look import look_result
from tidemill.ingestion.scan import ScanJob, scan_split
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.numbers import SHORTEST, numbers_of, strays, style_of
from tidemill.schema import ColumnType, SourceColumn, TableSchema
from tidemill.spelling import fits_float32
from tidemill.storage import StoreFolder

N = 300


def write(root: Path, form: str, columns: dict[str, list[Any]]) -> None:
    """A file of texts, but for a target of 0 and 1."""
    rows = len(next(iter(columns.values())))
    whole = {**columns, "y": [i % 2 for i in range(rows)]} if "y" not in columns else columns
    if form == "parquet":
        pq.write_table(pa.table(whole), root / "t.parquet")
        return
    records = [dict(zip(whole, row, strict=True)) for row in zip(*whole.values(), strict=True)]
    if form == "jsonl":
        (root / "t.jsonl").write_text("\n".join(json.dumps(r) for r in records))
        return
    lines = [",".join(whole)]
    lines += [",".join('"' + str(v).replace('"', '""') + '"' for v in r.values()) for r in records]
    (root / "t.csv").write_text("\n".join(lines) + "\n")


def cycled(*texts: str, rows: int = N) -> list[str]:
    return [texts[i % len(texts)] for i in range(rows)]


def shown(found: list[Any], wanted: list[Any]) -> bool:
    """Whether all are what they should be; of float32 the shortest text counts."""
    return all(
        f == w or (isinstance(w, float) and f is not None and float(str(np.float32(f))) == w)
        for f, w in zip(found, wanted, strict=True)
    )


CODES = {
    "zero": ("02134", "2134", "00501"),
    "zero without its like": ("02134", "94107", "10001"),
    "plus": ("+5", "5", "7"),
    "version": ("1.10", "1.1", "1.2"),
    "version without its like": ("1.9", "1.10", "1.11"),
    "exponent": ("1e5", "100000", "7"),
    "exponent without its like": ("12e3", "345", "678"),
    "exponent in capitals": ("1E5", "2"),
    "long": ("9007199254740993", "9007199254740992"),
    "point": (".5", "0.5"),
}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("texts", CODES.values(), ids=CODES)
def test_codes_are_texts_in_every_format(tmp_path: Path, form: str, texts: tuple[str, ...]) -> None:
    """As feature and as target, with a note that says why."""
    write(tmp_path, form, {"x": cycled(*texts)})
    found, batches = read(tmp_path, f"t.{form}")
    assert found.schema["x"].type is ColumnType.CATEGORICAL
    assert "codes" in found.notes["x"]
    assert set(values(batches, "x")) == set(texts)
    (tmp_path / f"t.{form}").unlink()
    write(tmp_path, form, {"y": cycled(*texts), "z": cycled("a", "b")})
    _, batches = read(tmp_path, f"t.{form}")
    assert set(values(batches, "y")) == set(texts)


NUMBERS = {
    "prices": ("1.10", "2.50", "13.00", "3"),
    "shortest": ("0.5", "12.25", "-3", "1e-07", "1e+20"),
    "frames with gaps": ("3", "3.0", "4", "5.0"),
    "three digits": ("0.100", "1.00", "12.5", "125"),
    "zeros": ("0", "-0.0", "0.0", "1.5"),
    "scientific": ("1.50e+00", "2.00e-03", "-1.25e+10"),
    "exact": ("9007199254740992", "18014398509481984"),
}


@pytest.mark.parametrize("texts", NUMBERS.values(), ids=NUMBERS)
def test_ordinary_numbers_are_no_codes(tmp_path: Path, texts: tuple[str, ...]) -> None:
    """Fixed decimals, shortest texts and whole numbers with a point are numbers."""
    write(tmp_path, "csv", {"x": cycled(*texts)})
    found, batches = read(tmp_path, "t.csv")
    assert found.schema["x"].type is ColumnType.NUMERIC
    assert shown(values(batches, "x"), [float(t) for t in cycled(*texts)])


LATE = ["007", "+7", "7e2", "00", "9007199254740993", "1e-400"]


@pytest.mark.parametrize(
    ("form", "late"),
    [(form, late) for form in ("csv", "jsonl") for late in LATE] + [("csv", "1.10")],
)
def test_a_later_code_is_refused_by_place(tmp_path: Path, form: str, late: str) -> None:
    """A cell behind the look's rows that would lose its text is a fault, never a number."""
    texts = [*map(str, range(N)), "5", late, "6"]
    write(tmp_path, form, {"x": texts if form == "csv" else [*map(int, texts[:-2]), late, 6]})
    found, batches = read(tmp_path, f"t.{form}", look_rows=100)
    assert found.schema["x"].type is ColumnType.NUMERIC
    faults = [
        (int(b.rows[i]), text)
        for b in batches
        if b.faults
        for i, text in zip(b.faults["x"].indices, b.faults["x"].texts, strict=True)
    ]
    assert faults == [(N + 1, late)]
    _, batches = read(tmp_path, f"t.{form}", look_rows=100, types={"x": "numeric"})
    assert values(batches, "x")[N + 1] == (None if late == "1e-400" else float(late))


def test_what_is_stated_wins_in_the_reader_too(tmp_path: Path) -> None:
    """Classes 01 and 1, and keys 00007 and 7, are two; stated to be numbers they are one."""
    write(tmp_path, "csv", {"y": cycled("01", "1", "02"), "x": [str(i) for i in range(N)]})
    _, batches = read(tmp_path, "t.csv", types={"y": "categorical"})
    assert set(values(batches, "y")) == {"01", "1", "02"}
    _, batches = read(tmp_path, "t.csv", types={"y": "numeric"})
    assert set(values(batches, "y")) == {"1", "2"}
    write(tmp_path, "csv", {"y": cycled("Yes", "yes", "no"), "x": [str(i) for i in range(N)]})
    _, batches = read(tmp_path, "t.csv", types={"y": "categorical"})
    assert set(values(batches, "y")) == {"Yes", "yes", "no"}
    keys = ["00007", "7", *map(str, range(8, N + 6))]
    write(tmp_path, "csv", {"id": keys})
    for stated in ({}, {"id": "categorical"}):
        found, batches = read(tmp_path, "t.csv", key="id", types=stated)
        assert found.schema["id"].physical == "string"
        assert values(batches, "id") == keys
    found, _ = read(tmp_path, "t.csv", key="id", types={"id": "numeric"})
    assert found.schema["id"].physical == "int64"
    write(tmp_path, "csv", {"id": [str(2**60 + i) for i in range(N)]})
    found, batches = read(tmp_path, "t.csv", key="id")
    assert values(batches, "id") == [2**60 + i for i in range(N)]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_numbers_that_the_format_calls_texts_are_texts(tmp_path: Path, form: str) -> None:
    """A quoted number is a category; where it hardly repeats, the line that reads it works."""
    few, many = cycled("1.5", "2.5", "3.5"), [f"{i / 4}" for i in range(N)]
    flags = cycled("yes", "no")
    times = [f"2024-01-{i % 28 + 1:02d}T10:00:00" for i in range(N)]
    write(tmp_path, form, {"few": few, "many": many, "flag": flags, "at_": times})
    found, batches = read(tmp_path, f"t.{form}")
    assert found.schema["few"].type is ColumnType.CATEGORICAL
    assert "writes as texts" in found.notes["few"]
    assert set(values(batches, "few")) == set(few)
    assert found.schema["flag"].type is ColumnType.BOOLEAN
    assert found.schema["at_"].type is ColumnType.DATETIME
    offered = found.ignored["many"].partition("dataset.types: ")[2].partition("}")[0] + "}"
    _, batches = read(tmp_path, f"t.{form}", types=YAML(typ="safe").load(offered))
    assert values(batches, "many") == [i / 4 for i in range(N)]


def test_long_whole_numbers_of_parquet_are_kept(tmp_path: Path) -> None:
    """Beyond 2^53 they are texts, and keys as they are; a later one is refused by place."""
    ids = [2**60 + i % 7 for i in range(N)]
    write(tmp_path, "parquet", {"x": ids, "id": [2**60 + i for i in range(N)]})
    found, batches = read(tmp_path, "t.parquet", key="id")
    assert found.schema["x"].type is ColumnType.CATEGORICAL
    assert values(batches, "x") == [str(i) for i in ids]
    assert values(batches, "id") == [2**60 + i for i in range(N)]
    for late in (2**60 + 1, 2**53 + 1):
        write(tmp_path, "parquet", {"x": [*range(N), late]})
        _, batches = read(tmp_path, "t.parquet", look_rows=100)
        assert batches[-1].faults["x"].texts == [str(late)]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("old", [False, True], ids=["missing_values", "csv.null_values"])
def test_what_is_missing_is_so_in_every_format(tmp_path: Path, form: str, old: bool) -> None:
    """By default and as stated, under the old name of the setting too; counted by word."""
    texts = cycled("NA", "", " NA ", "a", "-", "None")
    write(tmp_path, form, {"s": texts})
    found, batches = read(tmp_path, f"t.{form}")
    assert set(values(batches, "s")) == {None, "a", "-"}
    assert found.missing["s"] == (("", 50), ("NA", 100), ("None", 50))
    stated = {"csv": {"null_values": ["-"]}} if old else {"missing_values": ["-"]}
    found, batches = read(tmp_path, f"t.{form}", types={"s": "categorical"}, **stated)
    assert set(values(batches, "s")) == {None, "NA", "", " NA ", "a", "None"}
    assert found.schema.missing_values == ("-",)


def test_both_names_of_the_missing_words_are_refused() -> None:
    """One of them, not two that may differ."""
    with pytest.raises(ValueError, match="old name"):
        DatasetConfig.model_validate(
            {"source": "a", "target": "y", "missing_values": [], "csv": {"null_values": []}}
        )


def test_nan_of_json_is_missing(tmp_path: Path) -> None:
    """As NaN is in Parquet; infinity is a fault."""
    lines = [{"v": float("nan") if i % 5 == 0 else i / 8, "y": i % 2} for i in range(N)]
    lines.append({"v": float("inf"), "y": 0})
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    found, batches = read(tmp_path, "t.jsonl")
    assert found.schema["v"].type is ColumnType.NUMERIC
    assert values(batches, "v").count(None) == N // 5 + 1
    assert batches[-1].faults["v"].texts == ["inf"]


NUMBER = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(min_value=-(10**9), max_value=10**9, places=3, allow_nan=False).map(float)
    | st.floats(width=32, allow_nan=False, allow_infinity=False)
)


@settings(max_examples=settings.default.max_examples * 3 // 2, deadline=None)
@given(st.lists(NUMBER, min_size=1, max_size=30))
def test_float32_holds_a_number_if_its_shortest_text_is_the_number(numbers: list[float]) -> None:
    """Against numpy's own shortest text."""
    with np.errstate(over="ignore"):
        narrow = [np.float32(n) for n in numbers]
    wanted = [
        bool(np.isfinite(s)) and float(np.format_float_positional(s)) == n
        for s, n in zip(narrow, numbers, strict=True)
    ]
    assert fits_float32(np.array(numbers)).tolist() == wanted
    assert [bool(fits_float32(np.array([n]))[0]) for n in numbers] == wanted


def test_the_first_number_that_float32_alters_ends_the_scan(tmp_path: Path) -> None:
    """With row, value and the line to write; with it every number is kept."""
    texts = [str(i % 900) for i in range(17_000)]
    texts += [str(1_700_000_000 + 7 * i) for i in range(1000)]
    write(tmp_path, "csv", {"seen": texts})
    with pytest.raises(PrecisionLost, match="row 17001: seen is 1700000007") as caught:
        scan(tmp_path)
    assert caught.value.exit_code == 3
    offered = caught.value.remedy.partition("dataset.types: ")[2].partition("}")[0] + "}"
    table = scan(tmp_path, types=YAML(typ="safe").load(offered))
    assert table["seen"].to_pylist() == [float(text) for text in texts]


@pytest.mark.parametrize("told", [True, False], ids=["footer", "no statistics"])
def test_footers_of_parquet_tell_how_wide_whole_numbers_are(tmp_path: Path, *, told: bool) -> None:
    """A late large number, which no look sees, needs no setting: the footer is asked."""
    late = [i % 900 for i in range(17_000)] + [62_825_648]
    small = [i % 2 for i in range(17_001)]
    kinds = pa.schema([("seen", pa.int64()), ("byte", pa.int8()), ("y", pa.int64())])
    table = pa.table({"seen": late, "byte": small, "y": small}, schema=kinds)
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=8000, write_statistics=told)
    found, batches = read(tmp_path, "t.parquet", look_rows=100)
    assert found.schema["seen"].physical == "float64"
    assert found.schema["byte"].physical == "float32"
    assert [n for b in batches for n in b.table["seen"].to_pylist()] == late


def scan(root: Path, **stated: Any) -> pa.Table:
    """The validated rows of t.csv."""
    dataset = DatasetConfig.model_validate(
        {"source": "t.csv", "target": "y", "look_rows": 100, **stated}
    )
    listing = list_source(dataset, root, LocalEngine())
    schema = look_result(dataset, listing, root).schema
    expectation = {"type": "expect_column_to_exist", "kwargs": {"column": "y"}}
    suite = read_suite({"name": "s", "expectations": [expectation]})
    job = ScanJob(
        listing=listing,
        schema=schema,
        dataset=dataset,
        plan=compile_plan(suite, schema),
        suite=suite.document,
        root=root,
        work=StoreFolder.at(root / "work"),
        batch_rows=8192,
        buckets=1,
    )
    receipt, _ = scan_split(job, listing.splits[0])
    return pq.read_table(root / "work" / "parts" / receipt.part.path)


FAR = [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31), dt.datetime(2024, 2, 29)]  # noqa: DTZ001


@pytest.mark.parametrize("unit", ["s", "ms", "us", "date32", "date64", "csv"])
def test_times_of_nine_thousand_years_are_times(tmp_path: Path, unit: str) -> None:
    """In CSV, as days, as timestamps of any unit that reaches so far."""
    cells = [FAR[i % 3] for i in range(N)]
    if unit == "csv":
        write(tmp_path, "csv", {"t": [c.date().isoformat() for c in cells]})
    else:
        kind = {"date32": pa.date32(), "date64": pa.date64()}.get(unit) or pa.timestamp(unit)
        write(tmp_path, "parquet", {"t": pa.array(cells, pa.timestamp("us")).cast(kind)})
    found, batches = read(tmp_path, "t.csv" if unit == "csv" else "t.parquet", time="t")
    assert values(batches, "t") == cells
    assert found.schema["t"].edges


def test_int96_reaches_the_year_9999(tmp_path: Path) -> None:
    """Spark and Hive write such; nanoseconds would end in 2262."""
    cells = pa.array([FAR[1 + i % 2] for i in range(N)], pa.timestamp("us"))
    table = pa.table({"t": cells, "y": [i % 2 for i in range(N)]})
    pq.write_table(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    _, batches = read(tmp_path, "t.parquet")
    assert values(batches, "t") == cells.to_pylist()


def test_times_beyond_the_calendar_are_faults_and_cut_digits_are_counted() -> None:
    """No overflow wraps around; nanoseconds are cut, and how many cells is said."""
    micro = pa.timestamp("us")
    far = cast_column(pa.array([2**62, 0, -(2**62)]).cast(pa.timestamp("s")), micro)
    assert far.values.to_pylist() == [None, dt.datetime(1970, 1, 1), None]  # noqa: DTZ001
    assert far.faults is not None
    assert far.faults.indices.tolist() == [0, 2]
    assert cast_column(pa.array([1_000, 1_001, None]).cast(pa.timestamp("ns")), micro).cut == 1
    texts = pa.array(["2024-01-01T00:00:00.123456789", "2024-01-01T00:00:00.123456000"])
    assert cast_column(texts, micro).cut == 1


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_names_that_come_twice_get_a_second_name_that_is_said(tmp_path: Path, form: str) -> None:
    """Both columns are there, in every format."""
    rows = [(i, -i, i % 2) for i in range(N)]
    if form == "csv":
        (tmp_path / "t.csv").write_text("v,v,y\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    elif form == "jsonl":
        (tmp_path / "t.jsonl").write_text(
            "".join(f'{{"v": {a}, "v": {b}, "y": {c}}}\n' for a, b, c in rows)
        )
    else:
        arrays = [pa.array(cells) for cells in zip(*rows, strict=True)]
        pq.write_table(pa.Table.from_arrays(arrays, ["v", "v", "y"]), tmp_path / "t.parquet")
    found, batches = read(tmp_path, f"t.{form}")
    assert found.schema.names == ("v", "v_2", "y")
    assert "more than once" in found.notes["v_2"]
    assert values(batches, "v") == list(range(N))
    assert values(batches, "v_2") == [-i for i in range(N)]


CONVENTIONS = {
    "%d/%m/%Y": (["31/12/2024", "01/02/2024"], [(2024, 12, 31), (2024, 2, 1)]),
    "%m/%d/%Y": (["12/31/2024", "02/01/2024"], [(2024, 12, 31), (2024, 2, 1)]),
    "%d.%m.%Y %H:%M": (["31.12.2024 08:30"], [(2024, 12, 31, 8, 30)]),
    "1234,5": (["3,14", "-0,5", "1200"], [3.14, -0.5, 1200.0]),
    "1.234,5": (["1.234,5", "2.000.000,25"], [1234.5, 2000000.25]),
    "1,234.5": (["1,234.5", "999"], [1234.5, 999.0]),
    "1 234,5": (["1 234,5", "12"], [1234.5, 12.0]),
    "$1,234.5": (["$1,234.50", "-$0.25"], [1234.5, -0.25]),
    "1234.5%": (["5%", "12.5%"], [5.0, 12.5]),
    "1234,5 €": (["3,10 €", "12 €"], [3.1, 12.0]),
}


FOUND_IN = [
    pytest.param(
        form,
        convention,
        # One of times and one of numbers: each Parquet file is read in a child of its own.
        marks=[pytest.mark.slow]
        if form == "parquet" and convention not in ("%d/%m/%Y", "1.234,5")
        else [],
    )
    for form in ("csv", "jsonl", "parquet")
    for convention in CONVENTIONS
]


@pytest.mark.parametrize(("form", "convention"), FOUND_IN)
def test_a_convention_that_all_keep_is_found_said_and_checked(
    tmp_path: Path, form: str, convention: str
) -> None:
    """The column is read by it, stated or not; a later cell that does not keep it is a fault."""
    texts, worth = CONVENTIONS[convention]
    late = "x" if isinstance(worth[0], float) else "2024-12-31"
    write(tmp_path, form, {"v": [*cycled(*texts), late]})
    for stated in ({}, {"conventions": {"v": convention}}):
        found, batches = read(tmp_path, f"t.{form}", look_rows=100, **stated)
        assert [c.convention for c in found.schema.source if c.name == "v"] == [convention]
        assert bool(found.notes) == (not stated)
        wanted = [w if isinstance(w, float) else dt.datetime(*w) for w in worth]  # noqa: DTZ001
        assert shown(values(batches, "v")[: len(wanted)], wanted)
        assert batches[-1].faults["v"].texts == [late]


@pytest.mark.parametrize(
    ("texts", "readings"),
    [
        (("01/02/2024", "03/03/2024"), ("%d/%m/%Y", "%m/%d/%Y")),
        (("1,234", "5,678"), ("1,234.5", "1234,5")),
        (("379,998", "12"), ("1,234.5", "1234,5")),
    ],
)
def test_where_two_conventions_fit_the_setting_is_named(
    tmp_path: Path, texts: tuple[str, ...], readings: tuple[str, str]
) -> None:
    """The column stays text and says so; either reading can be stated."""
    write(tmp_path, "csv", {"v": cycled(*texts)})
    found, _ = read(tmp_path, "t.csv")
    assert found.schema["v"].type is ColumnType.CATEGORICAL
    assert "dataset.conventions" in found.notes["v"]
    assert all(reading in found.notes["v"] for reading in readings)
    with pytest.raises(ConfigError, match="can be") as caught:
        read(tmp_path, "t.csv", types={"v": "datetime" if "/" in texts[0] else "numeric"})
    assert tuple(caught.value.fields["conventions"]) == readings
    first, second = (
        values(read(tmp_path, "t.csv", conventions={"v": reading})[1], "v") for reading in readings
    )
    assert first != second


def test_a_convention_that_is_none_is_refused() -> None:
    """At the edge, with examples of the two kinds; for a type of the other kind, by look."""
    with pytest.raises(ValueError, match="neither"):
        DatasetConfig.model_validate({"source": "a", "target": "y", "conventions": {"v": "comma"}})


def test_a_convention_of_another_type_is_refused(tmp_path: Path) -> None:
    """Numbers by a format of times cannot be."""
    write(tmp_path, "csv", {"v": cycled("1", "2")})
    stated = {"types": {"v": "numeric"}, "conventions": {"v": "%d/%m/%Y"}}
    with pytest.raises(ConfigError, match="no convention of number"):
        read(tmp_path, "t.csv", **stated)


def test_nested_json_keeps_its_types(tmp_path: Path) -> None:
    """1 and "1" are two values; digits beyond float64 stay."""
    geo = ['{"v": 1}', '{"v": "1"}', '{"v": 1.10, "w": [12345678901234567890, null]}']
    lines = [f'{{"geo": {geo[i % 3]}, "y": {i % 2}}}' for i in range(N)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    _, batches = read(tmp_path, "t.jsonl")
    assert set(values(batches, "geo")) == set(geo)


def test_half_a_surrogate_pair_refuses_its_line(tmp_path: Path) -> None:
    """It is valid JSON and no text; nothing is put in its place."""
    lines = [f'{{"s": "a{i % 3}", "y": {i % 2}}}' for i in range(N)]
    lines[7] = '{"s": "\\ud800", "y": 1}'
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    _, batches = read(tmp_path, "t.jsonl")
    [reject] = [r for b in batches for r in b.rejects]
    assert (reject.row, reject.reason) == (7, "holds half a surrogate pair, which is no text")


@pytest.mark.parametrize("encoded", [True, False])
def test_text_that_is_not_utf8_is_a_fault_of_its_row(tmp_path: Path, encoded: bool) -> None:
    """In Parquet of either encoding; the other rows are read."""
    raw = pa.array([b"caf\xe9" if i % 50 == 3 else b"bar" for i in range(N)], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), N, raw.buffers())
    table = pa.table({"s": texts, "y": [i % 2 for i in range(N)]})
    pq.write_table(table, tmp_path / "t.parquet", use_dictionary=encoded)
    _, batches = read(tmp_path, "t.parquet")
    faulty = [int(row) for b in batches if b.faults for row in b.rows[b.faults["s"].indices]]
    assert faulty == [i for i in range(N) if i % 50 == 3]
    assert set(values(batches, "s")) == {"bar", None}


def test_the_way_of_reading_travels_with_the_schema(tmp_path: Path) -> None:
    """A later table alone would be read otherwise; with the model's schema it is not."""
    write(tmp_path, "csv", {"d": cycled("31/12/2024", "01/02/2024"), "s": cycled("a", "?")})
    stated = {"missing_values": ["", "?"]}
    schema = TableSchema.from_json(
        json.loads(json.dumps(read(tmp_path, "t.csv", **stated)[0].schema.to_json()))
    )
    write(tmp_path, "csv", {"d": cycled("01/02/2024"), "s": cycled("?")})
    dataset = DatasetConfig(source="t.csv", target="y")
    listing = list_source(dataset, tmp_path, LocalEngine())
    [batch, *_] = read_split(listing.splits[0], schema, dataset, listing, tmp_path, batch_rows=N)
    assert set(batch.table["d"].to_pylist()) == {dt.datetime(2024, 2, 1)}  # noqa: DTZ001
    assert batch.table["s"].null_count == N


def test_who_writes_zeros_behind_a_fraction_may_score_another_table(tmp_path: Path) -> None:
    """Learnt of 1.10, scored of 1.1, in CSV or JSON: the same numbers; a leading zero is a code."""
    write(tmp_path, "csv", {"x": [f"{i / 10:.2f}" for i in range(N)]})
    schema = read(tmp_path, "t.csv")[0].schema
    assert schema["x"].type is ColumnType.NUMERIC
    for form, cells in (
        ("csv", [str(i / 10) for i in range(N)]),
        ("jsonl", [i / 10 for i in range(N)]),
        ("csv", [*(str(i / 10) for i in range(N - 1)), "007"]),
    ):
        write(tmp_path, form, {"x": cells})
        dataset = DatasetConfig(source=f"t.{form}", target="y")
        listing = list_source(dataset, tmp_path, LocalEngine())
        [batch] = read_split(listing.splits[0], schema, dataset, listing, tmp_path, batch_rows=N)
        faults = [text for f in batch.faults.values() for text in f.texts]
        assert faults == [cell for cell in cells if cell == "007"]
        wanted = [None if cell == "007" else float(cell) for cell in cells]
        assert shown(batch.table["x"].to_pylist(), wanted)


def test_decimals_of_parquet_are_the_nearest_numbers(tmp_path: Path) -> None:
    """3.30 is 3.3, not 3.3000000000000003; so it is float32 as in CSV."""
    cells = [Decimal(110 * (i % 9)).scaleb(-2) for i in range(N)]
    write(tmp_path, "parquet", {"x": cells})
    found, batches = read(tmp_path, "t.parquet")
    assert found.schema["x"].physical == "float32"
    assert shown(values(batches, "x"), [float(cell) for cell in cells])


def test_numbers_of_json_have_no_spelling(tmp_path: Path) -> None:
    """1.10 and 1.1, 1e5 and 100000 are one number there, by JSON's own word."""
    cells = ["1.10", "1.1", "1e5", "100000", "1.5"]
    lines = [f'{{"x": {cells[i % 5]}, "y": {i % 2}}}' for i in range(N)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    found, batches = read(tmp_path, "t.jsonl")
    assert found.schema["x"].type is ColumnType.NUMERIC
    assert shown(values(batches, "x"), [float(cells[i % 5]) for i in range(N)])


SPELLED = st.lists(
    st.text(alphabet="0123456789.+-eE", min_size=1, max_size=7), min_size=1, max_size=40
)


@given(SPELLED)
def test_no_two_texts_of_a_column_of_numbers_become_one(texts: list[str]) -> None:
    """Whatever the sample was: what the column takes is told apart by its number."""
    _are_told_apart(texts)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=20_000, deadline=None)
@given(SPELLED)
def test_no_two_of_thousands_of_columns_become_one(texts: list[str]) -> None:
    """The same law, tried long."""
    _are_told_apart(texts)


def _are_told_apart(texts: list[str]) -> None:
    array = pa.array(texts)
    numbers = numbers_of(array)
    words = pc.unique(array.filter(numbers.is_valid()))
    style = style_of(words) if len(words) else SHORTEST
    if style is None:
        return
    whole = all(text.removesuffix(".0").lstrip("-").isdigit() for text in words.to_pylist())
    column = SourceColumn("x", "integer" if whole else "number", style=style)
    cells = cast_column(array, pa.float64(), (), column)
    stray = strays(array, numbers, style, whole=whole)
    assert not stray[[t in words.to_pylist() for t in texts]].any()
    seen: dict[float, str] = {}
    for text, value in zip(texts, cells.values.to_pylist(), strict=True):
        if value is not None:
            plain = text[: -len(text.partition(".")[2]) - 1] if _zero_fraction(text) else text
            plain = "0" if float(plain) == 0 and plain in ("-0", "0") else plain
            assert seen.setdefault(value, plain) == plain


def _zero_fraction(text: str) -> bool:
    whole, point, fraction = text.partition(".")
    return bool(point) and whole.lstrip("-").isdigit() and not fraction.strip("0")


def test_quoted_texts_of_csv_are_read_as_unquoted_ones(tmp_path: Path) -> None:
    """Quotes are no declaration in CSV."""
    out = io.StringIO()
    out.write("x,y\n" + "".join(f'"{i / 4}",{i % 2}\n' for i in range(N)))
    (tmp_path / "t.csv").write_text(out.getvalue())
    found, batches = read(tmp_path, "t.csv")
    assert found.schema["x"].type is ColumnType.NUMERIC
    assert values(batches, "x") == [i / 4 for i in range(N)]
