"""No cell changes without a word: random dirty tables, against the values as generated.

A cell is read as the number, time, truth or text that it is, or is missing by a word of the
settings, or is a fault of its row that is listed with its text, or is told as rounded. Python says
what a text is worth; pandas and DuckDB, reading the same file, have the last word on its cells, and
DuckDB's casts on numbers and times.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.config import DatasetConfig
from tidemill.conventions import NumberConvention, parse_convention
from tidemill.engines import LocalEngine
from tidemill.ingestion.first_look.look import LookResult, look_result
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.schema import ColumnType, SourceColumn
from tidemill.spelling import FALSE_TEXTS, TRUE_TEXTS, category

ROWS = 230
MISSING = frozenset(("", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"))
PLAIN = {"delimiter": ",", "quote": '"', "escape": "", "comment": "", "skip_lines": 0}

ODD = [
    *("", " ", "NA", " NA ", "nan", "NaN", "None", "null", "N/A", "inf", "-inf", "Infinity"),
    *("1e400", "1e-400", "007", "00", "+5", "1.10", "1.1", "1e5", "1E5", "1e+05", "0x1F"),
    *("1_000", "1,000", "1.000,5", "1 234", "1'234", "١٢", "½", "\u22125", "--5", "12abc"),
    *("true", "True", "TRUE", "yes", "no", "F", "0", "1", "-0", "-0.0", "3.0", "3.", ".5", "0.1"),
    *(" 12 ", "12 ", "\t7", "\u00a05", "16777217", "9007199254740993", "18446744073709551616"),
    *("1e22", "123456789.123456789", "0.1000000000000000055", "5e-324", "1.7976931348623157e308"),
    *("2024-01-01", "2024-02-30", "2024-01-01T25:00", "9999-12-31", "0001-01-01", "0000-01-01"),
    *("10000-01-01", "2024-W01-1", "2024-001", "20240101", "2024-01-01T10:00:00.1234567"),
    *("2024-01-01T10:00:00+99:99", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00 +02:00"),
    *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2024-01-01T23:59:60Z"),
    *("31/12/2024", "12/31/2024", "01/02/2024", "31.12.2024", "Jan 5, 2024"),
    *("#5", "5%", "$5", "5 €", "$-5", "-$5", "1.234,5", "1,234.5", "1234,5", "(5)"),
    *(
        "\u200b",
        "1\n2",
        "a,b",
        'q"q',
        "'x'",
        "a\x0bb",
        "a\x85b",
        "a\u2028b",
        "é",
        "e\u0301",
        "a\rb",
    ),
    *('"', "\\", "\\N", "a\\", "=1+1", "x" * 300),
]


@dataclass(frozen=True)
class Texts:
    """A column of texts; ``bare`` are cells that JSON holds without quotes."""

    texts: list[str]
    bare: bool = False

    def literal(self, row: int) -> str:
        """As JSON has the cell."""
        text = self.texts[row]
        if self.bare and text in ("true", "false"):
            return text
        return text if self.bare and _is_json_number(text) else json.dumps(text)


def _is_json_number(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), str | bool | list | dict | None) and text == (
            text.strip()
        )
    except ValueError:
        return False


def _pools(rng: random.Random) -> list[list[str]]:
    top = 10 ** rng.randrange(1, 20)
    places = rng.randrange(1, 5)
    scale = 10.0 ** rng.randrange(-12, 12)
    day = dt.datetime(rng.randrange(1, 9990), 1, 1)  # noqa: DTZ001
    times = [day + dt.timedelta(seconds=rng.randrange(10**8)) for _ in range(40)]
    zone = rng.choice(["", "Z", "+02:00", " -0530"])
    return [
        [str(rng.randrange(-top, top)) for _ in range(40)],
        [f"{rng.randrange(top)}{rng.choice(['', '.0'])}" for _ in range(40)],
        [repr(rng.gauss(0, 1) * scale) for _ in range(40)],
        [f"{rng.uniform(-999, 999):.{places}f}" for _ in range(40)],
        [f"{rng.gauss(0, 1) * scale:.{places}e}" for _ in range(40)],
        [f"{rng.randrange(10**5):05d}" for _ in range(40)],
        [f"{rng.uniform(1, 99_999):,.2f}" for _ in range(40)],
        [f"{rng.uniform(1, 99_999):.2f}".replace(".", ",") for _ in range(40)],
        [t.isoformat(sep=rng.choice(" T")) + zone for t in times],
        [t.date().isoformat() for t in times],
        [f"{t:%d/%m/}{t.year:04d}" for t in times],
        rng.choice([["true", "false"], ["True", "False"], ["yes", "no"], ["Y", "N"], ["t", "f"]]),
        ["Rome", "Oslo", "São Paulo", "東京", "a,b", 'say "hi"', " padded "],
        rng.sample(ODD, 12),
    ]


def _column(rng: random.Random) -> Texts:
    """Mostly of one kind; some cells, seen by look or not, are anything."""
    pool = rng.choice(_pools(rng))
    texts = [rng.choice(pool) for _ in range(ROWS)]
    for row in range(ROWS):
        if rng.random() < rng.choice([0.0, 0.0, 0.01, 0.1]):
            texts[row] = rng.choice(ODD)
    for row in range(ROWS - rng.choice([0, 0, 3, 20]), ROWS):
        texts[row] = rng.choice([*ODD, *pool])
    return Texts(texts, bare=rng.random() < 0.5)


def write(root: Path, form: str, table: dict[str, Texts], rng: random.Random) -> None:
    """The table as one file, with a target of words."""
    targets = ["ab"[row % 2] for row in range(ROWS)]
    columns = [column.texts for column in table.values()]
    if form == "csv":
        out = io.StringIO(newline="")
        # A writer of Python leaves a lone carriage return unquoted: refused by row, as it should.
        lone = any("\r" in text for texts in columns for text in texts)
        quoting = csv.QUOTE_ALL if lone else rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        writer = csv.writer(out, quoting=quoting, lineterminator=rng.choice(["\n", "\r\n"]))
        writer.writerow([*table, "y"])
        writer.writerows(zip(*columns, targets, strict=True))
        (root / "t.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    elif form == "jsonl":
        lines = [
            ", ".join(f"{json.dumps(n)}: {c.literal(row)}" for n, c in table.items())
            + f', "y": "{targets[row]}"'
            for row in range(ROWS)
        ]
        (root / "t.jsonl").write_text("".join(f"{{{line}}}\n" for line in lines), encoding="utf-8")
    else:
        kinds = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
        arrays = [pa.array(texts).cast(rng.choice(kinds)) for texts in columns]
        whole = pa.Table.from_arrays([*arrays, pa.array(targets)], [*table, "y"])
        pq.write_table(whole, root / "t.parquet", row_group_size=rng.choice([37, 500]))


@dataclass(frozen=True)
class Cells:
    """A column as it was read: values by row, and what was told of which row."""

    values: list[Any]
    faults: dict[int, str]
    rounded: set[int]
    physical: str


def read(root: Path, source: str, **stated: Any) -> tuple[LookResult, dict[str, Cells], int]:
    """All rows of the file, column by column, and how many times were cut."""
    document = {"source": source, "target": "y", "look_rows": 100, **stated}
    dataset = DatasetConfig.model_validate(document)
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    (split,) = listing.splits
    batches = list(read_split(split, found.schema, dataset, listing, root, batch_rows=64))
    assert not (bad := [r for b in batches for r in b.rejects]), bad
    assert [int(row) for b in batches for row in b.rows] == list(range(ROWS))
    columns = {
        column.name: Cells(
            [v for b in batches for v in b.table[column.name].to_pylist()],
            _by_row(batches, column.name, lambda b: b.faults),
            set(_by_row(batches, column.name, lambda b: b.misfits)),
            column.physical,
        )
        for column in found.schema.columns
    }
    return found, columns, sum(n for b in batches for n in b.cut.values())


def _by_row(
    batches: list[ParsedBatch], name: str, told: Callable[[ParsedBatch], Any]
) -> dict[int, str]:
    return {
        int(batch.rows[index]): text
        for batch in batches
        if name in told(batch)
        for index, text in zip(told(batch)[name].indices, told(batch)[name].texts, strict=True)
    }


def _number_of(text: str, convention: str | None) -> float:
    plain = text.strip()
    if convention is not None:
        said = parse_convention(convention)
        assert isinstance(said, NumberConvention)
        for unit in (said.prefix, said.suffix, said.thousands):
            plain = plain.replace(unit, "") if unit else plain
        plain = plain.replace(said.decimal, ".")
    return float(plain)


def _time_of(text: str, convention: str | None) -> dt.datetime:
    plain = text.strip()
    if convention is not None:
        return dt.datetime.strptime(plain, convention)  # noqa: DTZ007
    found = dt.datetime.fromisoformat(plain.replace(",", ".").replace(" +", "+").replace(" -", "-"))
    if found.tzinfo is None:
        return found
    offset = found.utcoffset()
    assert offset is not None
    return found.replace(tzinfo=None) - offset


def _truth_of(text: str) -> bool:
    lower = text.strip().lower()
    whole, _, rest = lower.partition(".")
    if whole in ("1", "0", "-0") and not rest.strip("0"):  # 1.0 is worth 1
        return whole == "1"
    assert lower in TRUE_TEXTS + FALSE_TEXTS, text
    return lower in TRUE_TEXTS


def _same_number(value: float, wanted: float, cells: Cells, row: int) -> bool:
    if cells.physical != "float32":
        return value == wanted
    # The shortest text of what is kept is the number, or it is told.
    return float(str(np.float32(value))) == wanted or row in cells.rounded


def _bare_text(text: str) -> str:
    """A category that JSON writes as a number: one text a number, digits that are beyond kept."""
    if not _is_json_number(text):
        return text
    if text.lstrip("-").isdigit():
        return "0" if text == "-0" else text
    held = float(text)
    return category(held) if Decimal(repr(held)) == Decimal(text) else text


def _check(form: str, column: Texts, cells: Cells, kind: ColumnType, how: SourceColumn) -> None:
    for row, (text, value) in enumerate(zip(column.texts, cells.values, strict=True)):
        here = (form, kind, how, row, text, value)
        told_so = form == "jsonl" and column.bare and _is_json_number(text)
        bare = _bare_text(text) if form == "jsonl" and column.bare else text
        if value is None:
            told = cells.faults.get(row)
            if told_so and how.convention is not None and told:
                continue  # the number as the column would write it
            assert told in (text[:200], bare[:200]) or (text.strip() in MISSING and not told), here
            continue
        assert row not in cells.faults, here
        if kind is ColumnType.NUMERIC:
            assert _same_number(
                value, _number_of(text, None if told_so else how.convention), cells, row
            ), here
        elif kind is ColumnType.DATETIME:
            assert value == _time_of(text, how.convention), here
        elif kind is ColumnType.BOOLEAN:
            assert value == _truth_of(bare), here
        else:
            assert value == bare, here


def _are_told_apart(column: Texts, cells: Cells, how: SourceColumn) -> None:
    """No two texts are one number, 3 and 3.0 aside.

    Left out: exponents, which programs write in many ways, and digits that float64 does not hold.
    """
    seen: dict[float, str] = {}
    for text, value in zip(column.texts, cells.values, strict=True):
        if value is not None and "e" not in text.lower() and len(text.strip()) <= 17:
            whole, point, fraction = text.strip().partition(".")
            plain = whole if point and not fraction.strip("0") else text.strip()
            plain = "0" if plain == "-0" else plain
            assert seen.setdefault(value, plain) == plain, (plain, seen[value], how)


def _judge_cells(root: Path, table: dict[str, Texts]) -> None:
    """Pandas and DuckDB find the same texts in the CSV file."""
    frame = pd.read_csv(root / "t.csv", dtype=str, keep_default_na=False, encoding="utf-8")
    for name, column in table.items():
        assert frame[name].tolist() == column.texts
    if any("\r" in text for column in table.values() for text in column.texts):
        return  # DuckDB ends a record there, quoted or not
    # comment='': else it may guess that a cell such as #5 begins one.
    options = "delim=',', quote='\"', escape='\"', comment='', header=true, all_varchar=true"
    found = duckdb.sql(
        f"FROM read_csv('{root / 't.csv'}', {options}, nullstr='\\0', parallel=false)"
    ).fetchall()
    assert [row[:-1] for row in found] == list(
        zip(*(column.texts for column in table.values()), strict=True)
    )


def _judge_values(column: Texts, cells: Cells, kind: ColumnType, how: SourceColumn) -> None:
    """DuckDB's own casts give the same numbers and times, wherever both find one."""
    wanted = {ColumnType.NUMERIC: "DOUBLE", ColumnType.DATETIME: "TIMESTAMPTZ"}.get(kind)
    if wanted is None or how.convention is not None:
        return
    texts = pa.table({"t": [text.strip() for text in column.texts]})
    with duckdb.connect() as connection:
        connection.register("texts", texts)
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            f"SELECT epoch_us(TRY_CAST(t AS {wanted})) FROM texts"
            if kind is ColumnType.DATETIME
            else f"SELECT TRY_CAST(t AS {wanted}) FROM texts"
        ).fetchall()
    origin = dt.datetime(1970, 1, 1)  # noqa: DTZ001
    for row, (value, (told,)) in enumerate(zip(cells.values, found, strict=True)):
        if value is None or told is None:
            continue
        here = (column.texts[row], value, told)
        if kind is ColumnType.NUMERIC:
            assert _same_number(value, told, cells, row), here
        else:
            assert (value - origin) // dt.timedelta(microseconds=1) == told, here


def _holds(root: Path, seed: int) -> None:
    rng = random.Random(seed)
    table = {f"c{number}": _column(rng) for number in range(rng.randrange(2, 5))}
    for form in ("csv", "jsonl", "parquet"):
        write(root, form, table, rng)
        found, columns, _ = read(root, f"t.{form}", csv=PLAIN)
        assert set(table) <= {*columns, *found.ignored}
        for name, column in table.items():
            if name not in columns:
                continue
            kind = found.schema[name].type
            (how,) = (source for source in found.schema.source if source.name == name)
            _check(form, column, columns[name], kind, how)
            plain = kind is ColumnType.NUMERIC and how.convention is None
            if plain and not columns[name].rounded and not (form == "jsonl" and column.bare):
                _are_told_apart(column, columns[name], how)
            if form == "csv":
                _judge_values(column, columns[name], kind, how)
    _judge_cells(root, table)


TRIED = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}


@settings(max_examples=3, **TRIED)
@given(seed=st.integers(0, 2**40))
def test_no_cell_of_a_dirty_table_changes_without_a_word(tmp_path: Path, seed: int) -> None:
    """As CSV, JSON lines and Parquet texts."""
    _holds(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=1500, **TRIED)
@given(seed=st.integers(0, 2**40))
def test_no_cell_of_thousands_of_dirty_tables_changes(tmp_path: Path, seed: int) -> None:
    """The same law, tried long."""
    _holds(tmp_path, seed)


def _typed(rng: random.Random) -> pa.Array:
    """A column of a type that Parquet has, with its extremes here and there."""
    bits = rng.choice([8, 16, 32, 64])
    signed = rng.random() < 0.6
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    near = rng.choice([5, 1000, high])
    whole = [rng.randint(max(low, -near), min(high, near)) for _ in range(ROWS)]
    real = [rng.gauss(0, 1) * 10.0 ** rng.randrange(-30, 30) for _ in range(ROWS)]
    places = rng.randrange(0, 6)
    fixed = [Decimal(rng.randrange(-(10**12), 10**12)).scaleb(-places) for _ in range(ROWS)]
    unit = rng.choice(["s", "ms", "us", "ns"])
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    span = rng.choice([10**6, 2**62 // per_second, 2**40])
    counted = [rng.randint(-span, span) * rng.choice([1, per_second]) for _ in range(ROWS)]
    most = 2**63 // 1000 - 1 if unit == "s" else 2**63 - 1  # Parquet has no seconds
    counted = [min(max(n, -most), most) for n in counted]
    days = [rng.randint(-800_000, 3_000_000) for _ in range(ROWS)]
    array = rng.choice(
        [
            lambda: pa.array(whole, f"{'' if signed else 'u'}int{bits}"),
            lambda: pa.array(np.array(real, np.float32)),
            lambda: pa.array(np.round(np.array(real), 3)),
            lambda: pa.array(real),
            lambda: pa.array([float(np.float32(n)) for n in real]),
            lambda: pa.array(fixed, pa.decimal128(18, places)),
            lambda: pa.array(fixed, pa.decimal256(40, places + 2)),
            lambda: pa.array(counted, pa.int64()).cast(
                pa.timestamp(unit, rng.choice([None, "UTC", "Asia/Kolkata"]))
            ),
            lambda: pa.array(days, pa.int32()).cast(pa.date32()),
            lambda: pa.array(days, pa.int32()).cast(pa.date32()).cast(pa.date64()),
            lambda: pa.array([rng.random() < 0.5 for _ in range(ROWS)]),
            lambda: pa.array([rng.choice([2134, 501, 7]) for _ in range(ROWS)], pa.int16()),
            lambda: pa.array([rng.choice([7.5, 0.1, 3.0, 1e300]) for _ in range(ROWS)]),
        ]
    )()
    if rng.random() < 0.5:
        gaps = pa.array([rng.random() < 0.1 for _ in range(ROWS)])
        array = pc.if_else(gaps, pa.scalar(None, array.type), array)
    if pa.types.is_floating(array.type) and rng.random() < 0.3:
        special = np.array([rng.choice([np.nan, np.inf, -np.inf]) for _ in range(ROWS)])
        odd = pa.array([rng.random() < 0.05 for _ in range(ROWS)])
        array = pc.if_else(odd, pa.array(special).cast(array.type), array)
    return array


def _micros(array: pa.Array) -> list[int | None]:
    """Microseconds since 1970, cut, of any unit of times."""
    kind = array.type
    if pa.types.is_date32(kind):
        return [None if d is None else d * 86_400 * 10**6 for d in array.cast("int32").to_pylist()]
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[getattr(kind, "unit", "ms")]
    counted = array.cast(pa.int64()).to_pylist()
    return [None if n is None else n * 10**6 // per_second for n in counted]


def _check_typed(array: pa.Array, cells: Cells, kind: ColumnType) -> None:
    temporal = pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)
    written = _micros(array) if temporal else array.to_pylist()
    if temporal and kind is ColumnType.CATEGORICAL:
        codes = array.dictionary_encode().indices.to_pylist()
        assert len({*zip(codes, cells.values, strict=True)}) == len(set(codes))
        return
    single = array.type == pa.float32()
    for row, (told, value) in enumerate(zip(written, cells.values, strict=True)):
        here = (array.type, kind, row, told, value)
        if value is None:
            gap = told is None or (isinstance(told, float) and np.isnan(told))
            assert gap != (row in cells.faults), here
        elif kind is ColumnType.DATETIME:
            origin = dt.datetime(1970, 1, 1)  # noqa: DTZ001
            assert (value - origin) // dt.timedelta(microseconds=1) == told, here
        elif kind is ColumnType.NUMERIC:
            if single or (isinstance(told, int) and not isinstance(told, bool)):
                assert value == told or row in cells.rounded, here
            else:
                assert _same_number(value, float(told), cells, row), here
        elif kind is ColumnType.BOOLEAN:
            assert value is told, here
        elif single:
            assert value == category(float(str(np.float32(told)))), here
        else:
            assert value == category(told), here


def _shortest(number: float) -> str:
    with np.errstate(over="ignore"):
        return str(np.float32(number))


def _judge_typed(root: Path, name: str, cells: Cells, kind: ColumnType, *, nanos: bool) -> None:
    """Pandas and DuckDB read the same numbers out of the file, and DuckDB the same times."""
    if kind is ColumnType.NUMERIC:
        with duckdb.connect() as connection:
            query = f"SELECT CAST({name} AS DOUBLE) FROM read_parquet('{root / 't.parquet'}')"
            told = [value for (value,) in connection.execute(query).fetchall()]
        frame = pd.read_parquet(root / "t.parquet", columns=[name])
        for row, value in enumerate(cells.values):
            if value is not None and row not in cells.rounded:
                for other in (told[row], float(frame[name].iloc[row])):
                    assert value == other or _shortest(value) == _shortest(other), (row, other)
    elif kind is ColumnType.DATETIME and not nanos:  # which DuckDB cuts towards 1970
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            times = f"epoch_us(TRY_CAST({name} AS TIMESTAMP))"
            query = f"SELECT {times} FROM read_parquet('{root / 't.parquet'}')"
            try:
                told = [value for (value,) in connection.execute(query).fetchall()]
            except duckdb.ConversionException:
                return  # it does not hold times of milliseconds that are so far
        origin = dt.datetime(1970, 1, 1)  # noqa: DTZ001
        for row, value in enumerate(cells.values):
            if value is not None and told[row] is not None:
                assert (value - origin) // dt.timedelta(microseconds=1) == told[row], row


def _typed_holds(root: Path, seed: int) -> None:
    rng = random.Random(seed)
    table = {f"c{number}": _typed(rng) for number in range(rng.randrange(1, 4))}
    whole = pa.table({**table, "y": ["ab"[row % 2] for row in range(ROWS)]})
    pq.write_table(whole, root / "t.parquet", row_group_size=rng.choice([37, 500]))
    stated = {n: "categorical" for n in table if rng.random() < 0.2}
    found, columns, _ = read(root, "t.parquet", types=stated)
    assert set(table) <= {*columns, *found.ignored}
    for name, array in table.items():
        if name in columns:
            _check_typed(array, columns[name], found.schema[name].type)
            nanos = getattr(array.type, "unit", "") == "ns"
            _judge_typed(root, name, columns[name], found.schema[name].type, nanos=nanos)


@settings(max_examples=5, **TRIED)
@given(seed=st.integers(0, 2**40))
def test_no_typed_cell_of_parquet_changes_without_a_word(tmp_path: Path, seed: int) -> None:
    """Whole numbers of any width, floats, decimals, days, times of any unit and zone."""
    _typed_holds(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=3000, **TRIED)
@given(seed=st.integers(0, 2**40))
def test_no_typed_cell_of_thousands_of_tables_changes(tmp_path: Path, seed: int) -> None:
    """The same law, tried long."""
    _typed_holds(tmp_path, seed)
