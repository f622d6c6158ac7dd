"""No cell of a database becomes another value without a word."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from tests.ingestion import tables

DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(200)]
FIRST = dt.datetime.fromisoformat("2024-01-01T12:30:00")
TIMES = [FIRST + dt.timedelta(days=n, seconds=n % 60, microseconds=n) for n in range(200)]
KINDS = {
    "small": ("smallint", pa.int16(), [n - 100 for n in range(200)]),
    "whole": ("integer", pa.int32(), [n * 1000 for n in range(200)]),
    "beyond": ("integer", pa.int32(), [2**24 + n for n in range(200)]),
    "long": ("bigint", pa.int64(), [2**60 + n for n in range(200)]),
    "single": ("real", pa.float32(), [n / 7 for n in range(200)]),
    "double": ("double precision", pa.float64(), [n / 7 for n in range(200)]),
    "paid": (
        "numeric(10, 2)",
        pa.decimal128(10, 2),
        [Decimal(n * 10).scaleb(-2) for n in range(200)],
    ),
    "exact": (
        "numeric(38, 4)",
        pa.decimal128(38, 4),
        [Decimal(f"{10**30 + n}.2500") for n in range(200)],
    ),
    "truth": ("boolean", pa.bool_(), [n % 3 == 0 for n in range(200)]),
    "day": ("date", pa.date32(), DAYS),
    "moment": ("timestamp", pa.timestamp("us"), TIMES),
    "zoned": (
        "timestamptz",
        pa.timestamp("us", "UTC"),
        [t.replace(tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))) for t in TIMES],
    ),
    "word": ("text", pa.string(), [("red", " blue", "", "Ünï—")[n % 4] for n in range(200)]),
    "code": ("varchar(5)", pa.string(), [f"0{n % 9}" for n in range(200)]),
    "gone": ("text", pa.string(), [None] * 200),
    "json": ("jsonb", None, ['{"a": 1}'] * 200),
    "raw": ("bytea", None, [b"\x00\xff"] * 200),
    "list": ("integer[]", None, [[1, 2]] * 200),
    "clock": ("time", None, [dt.time(12, 30)] * 200),
    "span": ("interval", None, [dt.timedelta(days=1)] * 200),
}


@pytest.fixture(scope="module")
def url(postgres):
    """A database with a table of every kind, each cell of each tenth row NULL."""
    url = postgres.new_database()
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        columns = ", ".join(f'"{name}" {kind}' for name, (kind, *_) in KINDS.items())
        connection.exec_driver_sql(f"CREATE TABLE kinds (id integer PRIMARY KEY, {columns})")
        marks = ", ".join(f"CAST(%s AS {kind})" for kind, *_ in KINDS.values())
        with connection.connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO kinds VALUES (%s, {marks})", list(records()))
    return url.replace("tide:tide@", "tide@")


def records():
    for row in range(200):
        cells = [cells[row] if row % 10 else None for *_, cells in KINDS.values()]
        yield row, *cells


def test_postgres_is_read_as_parquet_is(url, tmp_path):
    """One table is one schema and one content, in Parquet and in PostgreSQL."""
    plain = {n: (kind, cells) for n, (_, kind, cells) in KINDS.items() if kind is not None}
    rows = list(records())
    names = ["id", *KINDS]
    arrays = {n: pa.array([r[names.index(n)] for r in rows], k) for n, (k, _) in plain.items()}
    table = pa.table({"id": pa.array(range(200), pa.int32()), **arrays})
    pq.write_table(table, tmp_path / "kinds.parquet")
    settings = {"target": "truth", "key": "id"}
    ours, found = tables.read(tmp_path, "kinds.parquet", **settings)
    theirs, read = tables.read(tmp_path, f"{url}#kinds", **settings)
    assert theirs.schema.columns == ours.schema.columns
    for name in ours.schema.names:
        assert tables.values(read, name) == tables.values(found, name)
    assert not any(batch.faults for batch in read)
    assert theirs.schema.names == ours.schema.names
    left = {n: theirs.ignored[n] for n, (_, kind, _) in KINDS.items() if kind is None}
    assert all(theirs.ignored[name] for name in left)
    assert "jsonb" in left["json"]
    assert "bytea" in left["raw"]


def test_what_no_parquet_holds_is_a_fault_of_its_row(postgres, tmp_path):
    """Infinity, a time before the year 1, a number beyond float64: told with their texts."""
    url = postgres.new_database()
    rows = [(str(n), f"2024-01-{n % 28 + 1:02}", n % 2) for n in range(100)]
    odd = [("Infinity", "infinity", 0), ("NaN", "0044-03-15 BC", 1), ("1e400", "2024-01-01", 1)]
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE odd (id serial PRIMARY KEY, n numeric, moment timestamp, y integer)"
        )
        with connection.connection.cursor() as cursor:
            cursor.executemany("INSERT INTO odd (n, moment, y) VALUES (%s, %s, %s)", [*rows, *odd])
    place = f"{url.replace('tide:tide@', 'tide@')}#odd"
    found, (batch,) = tables.read(tmp_path, place, batch_rows=1000)
    assert found.schema.names == ("id", "n", "moment", "y")
    faults = {n: (list(f.indices), [t[:13] for t in f.texts]) for n, f in batch.faults.items()}
    assert faults == {
        "n": ([100, 102], ["Infinity", "1000000000000"]),
        "moment": ([100, 101], ["infinity", "0044-03-15 00"]),
    }
    assert batch.table["n"][101].as_py() is None


def test_sqlite_tells_each_cell(tmp_path):
    """Whole numbers, fractions and texts of one column are what they are; bytes are a fault."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/base", poolclass=sa.pool.NullPool)
    cells = [
        (n, n / 4, f"2024-01-{n % 28 + 1:02} 10:00:00", ("red", "7")[n % 2]) for n in range(99)
    ]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n, m, moment, word)")
        with_ids = [(n, *row) for n, row in enumerate([*cells, (2.5, b"\xff", None, "x")])]
        connection.exec_driver_sql("INSERT INTO t VALUES (?, ?, ?, ?, ?)", with_ids)
    found, (batch,) = tables.read(tmp_path, "sqlite:///base#t", target="word", batch_rows=1000)
    kinds = {column.name: column.physical for column in found.schema.columns}
    assert kinds == {
        "id": "float32",
        "n": "float32",
        "moment": "timestamp[us]",
        "word": "dictionary",
    }
    assert "binary" in found.ignored["m"]
    assert batch.table["n"].to_pylist() == [float(n) for n in range(99)] + [2.5]
    assert batch.table["word"].to_pylist()[:3] == ["red", "7", "red"]
    assert batch.table["moment"][0].as_py() == FIRST.replace(hour=10, minute=0)


def test_blanks_of_char_are_kept_and_told(postgres_base):
    """As psql and COPY have them; where one text is as long as it may be, too."""
    postgres_base.run(
        "CREATE TABLE t AS SELECT n AS id, mod(n, 2) AS y, "
        "(ARRAY['red', 'green'])[mod(n, 2) + 1]::char(5) AS word FROM generate_series(1, 100) AS n"
    )
    found, batches = tables.read(postgres_base.root, f"{postgres_base.url}#t")
    assert tables.values(batches, "word")[:2] == ["green", "red  "]
    assert "fills char(n) up with blanks" in found.notes["word"]
