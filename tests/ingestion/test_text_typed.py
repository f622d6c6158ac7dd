"""Numbers and booleans that a format itself holds: one value, however they are spelled there."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.casting import cast_column
from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion.checks.unread_cells import why_unread
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.json_lines.json_rows import _Number, _text
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.odd_cells import never_seen
from tidemill.ingestion.sources.reading import read_split
from tidemill.profiling import CategoryProfile
from tidemill.schema import ColumnType
from tidemill.spelling import category

PLAIN = [f"{n}.5" for n in range(150)]


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Read a column v of cells as the format has them; its values, and its faults by row."""

    def run(form: str, cells: Any, **stated: Any) -> tuple[LookResult, list[Any], dict[int, str]]:
        path = tmp_path / f"t.{form}"
        if form == "parquet":
            pq.write_table(pa.table({"v": cells, "y": [n % 2 for n in range(len(cells))]}), path)
        elif form == "jsonl":
            path.write_text("".join(f'{{"v": {c}, "y": {n % 2}}}\n' for n, c in enumerate(cells)))
        else:
            path.write_text("v,y\n" + "".join(f"{c},{n % 2}\n" for n, c in enumerate(cells)))
        dataset = DatasetConfig.model_validate(
            {"source": path.name, "target": "y", "look_rows": 100, **stated}
        )
        listing = list_source(dataset, tmp_path, LocalEngine())
        found = look_result(dataset, listing, tmp_path)
        (split,) = listing.splits
        (batch,) = read_split(split, found.schema, dataset, listing, tmp_path, batch_rows=9999)
        faults = batch.faults.get("v")
        texts = {} if faults is None else dict(zip(faults.indices, faults.texts, strict=True))
        return found, batch.table["v"].to_pylist(), texts

    return run


def test_a_quoted_code_among_numbers_of_json_is_refused(read: Any) -> None:
    """ "1.10" would become 1.1; a quoted number that comes out as it is written is one."""
    _, values, faults = read("jsonl", [*PLAIN, '"1.10"', '"2.25"', '"007"', "7.50"])
    assert faults == {150: "1.10", 152: "007"}
    assert values[150:] == [None, 2.25, None, 7.5]


def test_a_number_of_json_is_no_text_of_a_convention(read: Any) -> None:
    """1.234 among "1.234,5" is itself, and not 1234; in the sample and behind it."""
    texts = [f'"{n}.500,25"' for n in range(1, 150)]
    for cells in ([*texts, "1.234", "-7", "2.5"], ["1.234", "-7", *texts, "2.5"]):
        found, values, faults = read("jsonl", cells)
        assert [c.convention for c in found.schema.source if c.name == "v"] == ["1.234,5"]
        assert not faults
        assert {1.234, -7.0, 2.5, 1500.25} <= set(np.array(values).round(3).tolist())
        assert 1234.0 not in values


@pytest.mark.parametrize("key", [None, "v"])
def test_a_number_of_json_is_one_however_it_is_spelled(read: Any, key: str | None) -> None:
    """1e5 and 7.0 among whole numbers, late or in the sample; as keys too."""
    whole = [str(n) for n in range(150)]
    for cells in ([*whole, "1e5", "1E+6", "700.0"], ["1e5", "1E+6", "700.0", *whole]):
        found, values, faults = read("jsonl", cells, key=key)
        assert not faults
        assert {100_000, 1_000_000, 700} <= set(values)
        assert found.schema["v"].physical == ("int64" if key else "float32")


def test_gaps_of_json_may_be_quoted(read: Any) -> None:
    """ "" and "NA" among numbers are missing cells, and do not make texts of the numbers."""
    gaps = ["1.5", '""', '"NA"', '" "', "2.5"] * 30
    for form in ("jsonl", "csv"):
        cells = gaps if form == "jsonl" else [cell.strip('"') for cell in gaps]
        found, values, faults = read(form, cells)
        assert found.schema["v"].type is ColumnType.NUMERIC
        assert (values.count(None), faults) == (90, {})


def test_typed_numbers_as_categories_have_one_text(read: Any) -> None:
    """7.50, 7.5 and 75e-1 of JSON are one category, as of Parquet; texts are as they are."""
    stated = {"types": {"v": "categorical"}}
    spelled = ["7.50", "7.5", "75e-1", "3.0", "3", "0.10", "-0.0", "1e16"] * 20
    _, values, _ = read("jsonl", spelled, **stated)
    assert set(values) == {"7.5", "3", "0.1", "0", "1e+16"}
    for typed in (
        pa.array([float(text) for text in spelled]),
        pa.array([Decimal(text) for text in spelled[:7]] * 20, pa.decimal128(9, 3)),
        pa.array([float(text) for text in spelled], pa.float32()),
    ):
        assert set(values) - {"1e+16"} == set(read("parquet", typed, **stated)[1]) - {"1e+16"}
    for form in ("csv", "jsonl"):
        cells = spelled if form == "csv" else [json.dumps(text) for text in spelled]
        assert set(read(form, cells, **stated)[1]) == set(spelled)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_year_10000_is_no_time_in_any_unit(unit: str) -> None:
    """Its first moment, too: one second after the last of 9999."""
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    ends = (-62_135_596_800 * scale - 1, -62_135_596_800 * scale, 253_402_300_800 * scale)
    known = [n for n in (*ends, ends[-1] - 1) if abs(n) < 2**63]
    cells = cast_column(pa.array(known, pa.timestamp(unit)), pa.timestamp("us"))
    faulty = [] if cells.faults is None else cells.faults.indices.tolist()
    assert [known[row] for row in faulty] == [n for n in (ends[0], ends[-1]) if abs(n) < 2**63]
    assert cells.values.null_count == len(faulty)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 3))
def test_the_text_of_a_json_number_is_its_category(number: float, zeros: int) -> None:
    """Whatever the spelling; digits that float64 does not hold are kept."""
    plain = f"{Decimal(repr(number)):f}"
    plain += "0" * zeros if "." in plain else f".0{'0' * zeros}"
    for text in (repr(number), plain, f"{Decimal(repr(number)):E}"):
        found = _text(_Number(text))
        assert found == (category(number) if "." in text or "E" in text or "e" in text else text)
    long = f"{Decimal(repr(number)):f}".partition(".")[0] + ".12345678901234567890"
    assert _text(_Number(long)) == long


def test_words_for_true_and_false_are_known_alike() -> None:
    """A table of JSON has true, one of CSV True: neither is new to the other's model."""
    words = pa.chunked_array([pa.array(["true", "True", "TRUE", "no", "T"]).dictionary_encode()])
    for word in ("True", "true"):
        profile = CategoryProfile.of({word: 1, "no": 1}, rows=2)
        assert never_seen(words, profile).texts == ["T"]
    both = CategoryProfile.of({"True": 1, "true": 1, "no": 1}, rows=3)
    assert never_seen(words, both).texts == ["TRUE", "T"]


@pytest.mark.parametrize(
    ("text", "physical", "convention", "why"),
    [
        ("much", "float64", None, "is not a number"),
        ("1.10", "float64", None, "is a number that would not come out as it is written"),
        ("007", "int64", None, "is a number that would not come out as it is written"),
        ("3.5", "int64", None, "is not a whole number"),
        ("1e39", "float32", None, "is beyond what float32 holds"),
        ("1234.50", "float64", "1.234,5", "is not written in the column's convention"),
    ],
)
def test_the_reason_is_the_true_one(
    text: str, physical: str, convention: str | None, why: str
) -> None:
    """A number that is refused is not said to be none."""
    found = why_unread([text, "x"], "a number", physical=physical, convention=convention)
    assert found.tolist() == [why, "is not a number"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_spellings_that_become_one_are_said(read: Any, form: str) -> None:
    """true and True in a column of truths, with the line that keeps them apart; 7.50 of JSON."""
    words = ["true", "True", "false", "true"] * 30
    cells: Any = [json.dumps(word) for word in words] if form == "jsonl" else words
    found, values, _ = read(form, cells)
    assert set(values) == {True, False}
    assert found.notes["v"].startswith("'True' and 'true' are read as one (dataset.types")
    found, values, _ = read(form, cells, types={"v": "categorical"})
    assert (set(values), found.notes) == (set(words), {})
    found, values, _ = read(form, [cell for cell in cells if "True" not in cell])
    assert (set(values), found.notes) == ({True, False}, {})
    if form == "jsonl":
        found, values, _ = read(form, ["7.50", "7.5", '"a"'] * 30)
        assert (set(values), found.notes) == (
            {"7.5", "a"},
            {"v": "a bare number has one text: 7.50 is '7.5'"},
        )


@pytest.mark.parametrize("stated", ["boolean", "datetime"])
@pytest.mark.parametrize("kind", ["int64", "float64", "decimal128"])
def test_numbers_are_truths_and_times_as_their_texts_are(read: Any, stated: str, kind: str) -> None:
    """2 is not true in Parquet either, and no number is a time there: as in CSV and JSON lines."""
    numbers = [n % 2 for n in range(60)] + [2, -1, 1_700_000_000]
    arrow = pa.decimal128(12, 2) if kind == "decimal128" else getattr(pa, kind)()
    cells = pa.array([Decimal(n) for n in numbers] if kind == "decimal128" else numbers, arrow)
    said = {"types": {"v": stated}}
    forms = [read("parquet", cells, **said)]
    forms += [read(form, list(map(str, numbers)), **said) for form in ("csv", "jsonl")]
    told = [(values, faults) for _, values, faults in forms]
    assert told[0] == told[1] == told[2]
    lost = [60, 61, 62] if stated == "boolean" else list(range(63))
    assert list(told[0][1]) == lost
    assert told[0][1][60] == "2"


def test_a_type_that_has_no_way_to_the_wanted_one_is_a_fault_of_its_rows() -> None:
    """A time where truths are, a list where numbers are: refused by row, no crash."""
    given = {
        "time": pa.array([0, None, 1]).cast(pa.timestamp("us")),
        "list": pa.array([[1], None, []]),
        "clock": pa.array([1, None, 2], pa.int32()).cast(pa.time32("s")),
        "truth": pa.array([True, None, False]),
        "bytes": pa.array([b"\xff", None, b"x"]),
    }
    readable = {("time", "double"), ("truth", "double"), ("time", "timestamp[us]")}
    readable |= {("truth", "bool"), *((name, "string") for name in ("time", "clock", "truth"))}
    for name, values in given.items():
        for wanted in (pa.bool_(), pa.timestamp("us"), pa.float64(), pa.int64(), pa.string()):
            cells = cast_column(values, wanted)
            assert cells.values.type == wanted
            found = [] if cells.faults is None else cells.faults.indices.tolist()
            if (name, str(wanted)) in readable:
                assert not found
            elif (name, wanted) == ("bytes", pa.string()):
                assert (found, cells.values.to_pylist()) == ([0], [None, None, "x"])
            else:
                assert (found, cells.values.null_count) == ([0, 2], 3), (name, wanted)
    infinite = cast_column(pa.array([float("inf"), 1.0, 0.5]), pa.bool_())
    assert infinite.values.to_pylist() == [None, True, None]
    assert infinite.faults.texts == ["inf", "0.5"]
