"""A table is cut at keys that a text gives back; with any other it is one split."""

from __future__ import annotations

import pytest
from tests.ingestion.databases import numbered, read

from tidemill.errors import KeyInvalid

TIMES = "timestamp '2024-01-01' + n * interval '1 hour'"
UUIDS = "(lpad(n::text, 8, '0') || '-0000-0000-0000-000000000000')::uuid"


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("integer", "n * 10 - 500"),
        ("text", "'it''s \"' || substr('000' || n, -3)"),
        ("timestamp", TIMES),
        ("timestamptz", TIMES),
        ("date", "date '2024-01-01' + n"),
        ("numeric(20, 3)", "n * 0.125"),
        ("uuid", UUIDS),
    ],
)
def test_ranges_have_every_row_once_in_its_order(base, kind, key):
    """Whatever the key's type; each has the rows that it should, and its bounds are told."""
    if kind not in ("integer", "text") and base.kind != "postgresql":
        pytest.skip("a type of PostgreSQL's")
    if base.kind == "postgresql":
        key = key.replace("substr('000' || n, -3)", "lpad(n::text, 3, '0')")
    if base.kind == "mysql":
        kind = kind.replace("text", "varchar(30)")
    numbered(base, 250, key, kind)
    source, splits = base.splits("t")
    assert [read(source, split) for split in splits] == [
        list(range(1, 101)),
        list(range(101, 201)),
        list(range(201, 251)),
    ]
    assert all(source.etag(split.address) == split.etag for split in splits)
    assert len({split.etag for split in splits}) == 3
    if kind == "integer":
        ends = [split.address.partition("#t#")[2] for split in splits]
        assert ends == ["[-490, 510)", "[510, 1510)", "[1510, 2000]"]


def test_rows_without_a_key_are_refused(base):
    """Where the table must be cut they would be in no range."""
    base.run("CREATE TABLE t (k integer, n integer)")
    base.run("INSERT INTO t VALUES (NULL, 0), " + ", ".join(f"({n}, {n})" for n in range(250)))
    with pytest.raises(KeyInvalid, match="1 rows have no k"):
        base.splits("t", key="k")


OTHERS = {
    "bytea": "int4send(n::int4)",
    "jsonb": "to_jsonb(n)",
    "integer[]": "ARRAY[n, 7]",
    "double precision": "n / 8.0",
    "interval": "n * interval '1 hour'",
    "mood": "('m' || lpad(n::text, 3, '0'))::mood",
    "text": "repeat('x', 600) || lpad(n::text, 3, '0')",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_keys_of_other_types_cut_nothing(postgres_base, kind):
    """Bytes, documents, arrays, fractions, texts that are too long: one split of all rows."""
    moods = ", ".join(f"'m{n:03}'" for n in range(1, 251))
    postgres_base.run(f"CREATE TYPE mood AS ENUM ({moods})")
    numbered(postgres_base, 250, OTHERS[kind], kind)
    source, (split,) = postgres_base.splits("t")
    assert read(source, split) == list(range(1, 251))


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("real", "n / 8.0"),
        ("", "n / 8.0"),
        ("blob", "CAST(n + 1000 AS blob)"),
        ("", "CASE WHEN n < 200 THEN n ELSE 'z' || n END"),
        ("text", "CASE WHEN n < 249 THEN 'a' || (n + 1000) ELSE CAST(n + 1000 AS blob) END"),
    ],
)
def test_keys_of_sqlite_cut_if_all_are_of_one_type(sqlite_base, kind, key):
    """It declares none: whole numbers, or texts; a table with others loses no row."""
    numbered(sqlite_base, 250, key, kind)
    source, (split,) = sqlite_base.splits("t")
    assert read(source, split) == list(range(1, 251))


def test_a_stated_key_that_has_no_order_is_none(postgres_base):
    """json cannot be compared: rows come in the order of the other columns."""
    numbered(postgres_base, 250)
    query = "SELECT n, to_json(n) AS j FROM t"
    source, (split,) = postgres_base.splits(query, key="j")
    assert read(source, split) == list(range(1, 251))


def test_texts_are_cut_by_code_points(base):
    """Whatever the column's own collation: Z before a, and a is not A."""
    words = [f"{sign}{n:02}" for n in range(60) for sign in ("a", "A", "\u00e4", "Z")]
    collation = {"sqlite": "NOCASE", "mysql": "utf8mb4_general_ci"}.get(base.kind)
    if base.kind == "postgresql":
        collation = "nocase"
        base.run(
            "CREATE COLLATION nocase "
            "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    base.run(f"CREATE TABLE t (k text COLLATE {collation}, n integer)")
    rows = ", ".join(f"('{word}', {n})" for n, word in enumerate(sorted(words), start=1))
    base.run(f"INSERT INTO t VALUES {rows}")
    source, splits = base.splits("t", key="k")
    assert [len(read(source, split)) for split in splits] == [100, 100, 40]
    assert [n for split in splits for n in read(source, split)] == list(range(1, 241))
