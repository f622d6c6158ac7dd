"""A row that is sent has the values of the same row in a file that is scored, or it is refused."""

from __future__ import annotations

import datetime as dt
import json
import random
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion import list_source, read_split
from tidemill.schema import Column, ColumnType, Purpose, SourceColumn, TableSchema, Task
from tidemill_monitor.intake import ARROW, JSON, NDJSON, Body, Shape, sort_body

COLUMNS = {
    "zone": (ColumnType.CATEGORICAL, "dictionary", SourceColumn("zone", "text")),
    "near": (ColumnType.NUMERIC, "float32", SourceColumn("near", "number", style="shortest")),
    "wide": (ColumnType.NUMERIC, "float64", SourceColumn("wide", "number", style="shortest")),
    "fare": (ColumnType.NUMERIC, "float64", SourceColumn("fare", "number", convention="1.234,5")),
    "paid": (ColumnType.BOOLEAN, "bool", SourceColumn("paid", "boolean", words=("no", "yes"))),
    "born": (ColumnType.DATETIME, "timestamp[us]", SourceColumn("born", "datetime")),
}
SCHEMA = TableSchema(
    (
        *(Column(n, kind, Purpose.FEATURE, held) for n, (kind, held, _) in COLUMNS.items()),
        Column("late", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
    ),
    Task.BINARY,
    ("0", "1"),
    missing_values=("", "NA"),
    source=tuple(source for _, _, source in COLUMNS.values()),
)
FIRST, LAST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
PLAN = Shape(SCHEMA, lambda: (FIRST, LAST)).records
SOUND = {"zone": "a", "near": 1.5, "wide": 1.5, "fare": 1.5, "paid": True, "born": "1980-05-05"}

EDGES = (2**24, 2**31, 2**53, 2**63, 2**64, 10**22, 10**30)
NUMBERS = [0, 0.1 + 0.2, 1 / 3, 5e-324, 1e-46, 1e-45, 1e38, 3.5e38, 1e308, 1e22, 1e23, "1.10", "x"]
NUMBERS += [sign * (edge + more) for edge in EDGES for more in (-1, 0, 1) for sign in (1, -1)]
TEXTS = ["", " ", "NA", " NA ", " a", "A", "ä", "a\u0308", "01", "1", "1.0", "true", "\ufeffa"]
DAYS = ("0001-01-01", "1969-12-31", "1980-02-29", "1981-02-29", "9999-12-31", "10000-01-01")
CLOCKS = ("", "T23:59", " 23:59:59.9999999", "T23:59:59,999999Z", "T00:00+01:00", "T24:00")
POOL = {
    "zone": [*TEXTS, *NUMBERS, True, False],
    "near": [*NUMBERS, True],
    "wide": [*NUMBERS, True],
    "fare": [*NUMBERS, "1.234", "1.234,5"],
    "paid": [True, False, 0, 1, 2, 0.5, "yes", "NA"],
    "born": [*(day + clock for day in DAYS for clock in CLOCKS), "now", "", " 1980-05-05", 5],
}


def cells(name: str, rng: random.Random) -> list:
    """The edges, and some hundred values between them, for one column."""
    found = [None, *POOL[name]]
    if name in ("zone", "near", "wide", "fare"):
        found += [rng.uniform(-1, 1) * 10 ** rng.uniform(-50, 50) for _ in range(150)]
        found += [rng.randrange(-(2**bits), 2**bits) for bits in range(1, 80)]
        found += [round(rng.uniform(0, 1e6), rng.randrange(5)) for _ in range(50)]
    if name == "born":
        first = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
        days = [rng.uniform(0, 3.65e6) for _ in range(100)]
        found += [(first + dt.timedelta(n)).isoformat() for n in days]
    return found


def scored(path, form: str):
    """The batch that ``tidemill score`` reads of a file."""
    dataset = DatasetConfig(name="x", source=str(path), format=form, target="late")
    listing = list_source(dataset, path.parent, LocalEngine(), named="--input")
    schema = replace(SCHEMA, columns=SCHEMA.columns[:-1])
    (split,) = listing.splits
    (batch,) = read_split(split, schema, dataset, listing, path.parent, batch_rows=10_000)
    return batch


def plain(column: pa.ChunkedArray) -> list:
    times = pa.types.is_timestamp(column.type)
    return column.cast(pa.int64()).to_pylist() if times else column.to_pylist()


def compare(name: str, given: list, batch, sent) -> int:
    """Assert that what was taken is what the file says, and told alike; the rows taken."""
    assert batch.table.num_rows == sent.rows == len(given)
    file, taken = plain(batch.table[name]), plain(sent.table[name])
    faults = set(batch.faults[name].indices.tolist()) if name in batch.faults else set()
    misfits = set(batch.misfits[name].indices.tolist()) if name in batch.misfits else set()
    told = {int(row): fault.code for fault in sent.altered for row in fault.rows}
    for row, value in zip(sent.positions.tolist(), taken, strict=True):
        assert row not in faults, (name, given[row], value)
        assert value == file[row], (name, given[row], value, file[row])
        if told.get(row) == "rounded":
            assert row in misfits or batch.cut.get(name), (name, given[row])
        elif row in misfits:  # by its shortest text only
            assert value == given[row], (name, given[row], value)
    return len(taken)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_row_in_json_is_read_as_in_a_file(name, tmp_path):
    """Whatever is taken of a document or of lines is what score reads; the rest is refused."""
    given = cells(name, random.Random(8))
    rows = [SOUND | {name: value} for value in given]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    records = [{"features": row} for row in rows]
    bodies = (
        Body(json.dumps({"records": records}).encode(), JSON),
        Body("\n".join(map(json.dumps, records)).encode(), NDJSON),
    )
    document, lines = (sort_body(b, PLAN, max_rows=10**4, max_bytes=1 << 24) for b in bodies)
    assert compare(name, given, scored(path, "jsonl"), document) > 2
    assert document.table.equals(lines.table)
    assert document.errors() == lines.errors()


KINDS = {
    "zone": (pa.string(), pa.float64(), pa.float32(), pa.int64(), pa.uint64(), pa.bool_()),
    "near": (pa.float64(), pa.float32(), pa.int64(), pa.uint64()),
    "wide": (pa.float64(), pa.float32(), pa.int64(), pa.uint64()),
    "fare": (pa.float64(), pa.int64()),
    "paid": (pa.bool_(), pa.string()),
    "born": (pa.string(), *(pa.timestamp(unit) for unit in ("ms", "us", "ns"))),
}
BOUNDS = (-62_135_596_800_000, -1, 0, 1_700_000_000_123, 253_402_300_799_999)


def arrays(name: str, kind: pa.DataType) -> pa.Array:
    """What of the column's values a type of Arrow can hold."""
    given = cells(name, random.Random(8))
    if pa.types.is_timestamp(kind):
        scale = {"ms": 1, "us": 10**3, "ns": 10**6}[kind.unit]
        near = [edge * scale + more for edge in BOUNDS for more in (-1, 0, 1, 1001)]
        return pa.array([n for n in near if abs(n) < 2**63], pa.int64()).cast(kind)
    found = []
    for value in given:
        try:
            found += pa.array([value], kind).to_pylist()
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            continue
    return pa.array(found, kind)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, many in KINDS.items() for k in many])
def test_a_row_in_arrow_is_read_as_in_parquet(name, kind, tmp_path):
    """Of every type: the same value, or none."""
    column = arrays(name, kind)
    table = pa.table({n: pa.array([v] * len(column)) for n, v in SOUND.items()} | {name: column})
    pq.write_table(table, tmp_path / "rows.parquet")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    body = Body(sink.getvalue().to_pybytes(), ARROW)
    sent = sort_body(body, PLAN, max_rows=10**4, max_bytes=1 << 24)
    compare(name, plain(table[name]), scored(tmp_path / "rows.parquet", "parquet"), sent)


def test_long_codes_keep_their_digits():
    """A category that is a whole number beyond 64 bits is its text."""
    codes = [10**20 + 1, -(10**19) - 1, 2**64, 2**64 - 1, 10**30]
    rows = [{"features": SOUND | {"zone": n}} for n in codes]
    for body in (
        Body(json.dumps({"records": rows}).encode(), JSON),
        Body("\n".join(map(json.dumps, rows)).encode(), NDJSON),
    ):
        found = sort_body(body, PLAN, max_rows=100, max_bytes=1 << 20)
        assert found.table["zone"].to_pylist() == list(map(str, codes))


def test_the_last_moment_of_the_year_9999_is_a_time_and_the_next_is_none():
    """As a feature, whose times have no bounds but the years."""
    rows = [{"features": SOUND | {"born": f"9999-12-31T23:59:59.999999{z}"}} for z in ("", "-01")]
    found = sort_body(
        Body(json.dumps({"records": rows}).encode(), JSON), PLAN, max_rows=9, max_bytes=1 << 20
    )
    assert found.positions.tolist() == [0]
    assert [e.code for e in found.errors()] == ["out_of_range"]
