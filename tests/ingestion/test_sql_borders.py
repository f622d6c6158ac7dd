"""Borders of ranges stay where they were; at a cursor a run reads what changed, and no more."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ingestion.databases import numbered, read
from tests.ingestion.test_ingestion_ingest import expect

from tidemill.config import DatasetConfig, IngestionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import ColumnMissing, ConfigError, KeyInvalid
from tidemill.ingestion import list_source
from tidemill.settings import Settings
from tidemill.stages import StageContext, run_ingest, run_look
from tidemill.storage import Workspace, write_json


def moment(minute):
    """A time, in each database's own words."""
    return f"2024-01-{1 + minute // 1440:02} {minute // 60 % 24:02}:{minute % 60:02}:00"


def changed_at(base, count):
    """A table of so many rows, the times of whose last changes grow with their ids."""
    rows = ", ".join(f"({n}, '{moment(n)}', {n})" for n in reversed(range(1, count + 1)))
    kind = {"sqlite": "text", "mysql": "datetime"}.get(base.kind, "timestamp")
    base.run(
        f"CREATE TABLE t (id integer PRIMARY KEY, updated_at {kind}, n integer)",
        f"INSERT INTO t VALUES {rows}",
    )


def change(base, ids, now):
    """Rows get another value, at a time of today."""
    for number, id_ in enumerate(ids):
        at = moment(now + number)
        base.run(f"UPDATE t SET n = -{id_}, updated_at = '{at}' WHERE id = {id_}")


def known(splits):
    return {(split.address, split.etag) for split in splits}


def test_what_changed_is_read_and_no_more(base):
    """Of ten ranges those that lost rows, and the last: in splits, rows and bytes."""
    changed_at(base, 950)
    _, before = base.splits("t", cursor="updated_at")
    change(base, (5, 7, 250), 951)
    base.run(*(f"INSERT INTO t VALUES ({n}, '{moment(n + 4)}', {n})" for n in (951, 952)))
    source, after = base.splits("t", before, cursor="updated_at")
    news = [split for split in after if (split.address, split.etag) not in known(before)]
    assert [after.index(split) for split in news] == [0, 2, 9]
    assert [len(read(source, split)) for split in news] == [98, 99, 55]
    assert sum(split.bytes for split in news) < 0.3 * sum(split.bytes for split in after)
    _, fresh = base.splits("t", cursor="updated_at")
    assert [n for split in after for n in read(source, split)] == [
        n for split in fresh for n in read(source, split)
    ]
    assert base.splits("t", after, cursor="updated_at")[1] == after


def test_rows_that_go_or_come_move_no_other_range(base):
    """At the key too; a new least key is a range before the others, an emptied one is left out."""
    numbered(base, 950, "n * 10")
    _, before = base.splits("t")
    base.run("DELETE FROM t WHERE k = 150", "INSERT INTO t VALUES (3335, 0)")
    source, after = base.splits("t", before)
    assert [s.address for s in after] == [s.address for s in before]
    assert [n for n, s in enumerate(after) if s.etag != before[n].etag] == [0, 3]
    base.run("INSERT INTO t VALUES (1, 7)", "DELETE FROM t WHERE k BETWEEN 1010 AND 2000")
    source, third = base.splits("t", after)
    assert len(third) == 10
    assert known(third[1:]) == known(after) - known(after[1:2])
    assert read(source, third[0]) == [7]
    base.run("INSERT INTO t VALUES (1500, 8), (9501, 9)")
    source, fourth = base.splits("t", third)
    assert [read(source, fourth[2]), read(source, fourth[-1])[-1]] == [[8], 9]
    assert known(fourth[:2] + fourth[3:-1]) == known(third[:-1])


def test_ranges_are_cut_anew_once_they_are_too_many_and_one_that_grows_by_itself(base):
    """More than twice what the rows need; more than one and a half times what one should have."""
    numbered(base, 950)
    rest = "n % 100" if base.kind == "sqlite" else "mod(n, 100)"
    _, before = base.splits("t")
    base.run("INSERT INTO t SELECT k + 950, n + 950 FROM t WHERE n <= 200")
    source, grown = base.splits("t", before)
    assert [len(read(source, split)) for split in grown] == [100] * 11 + [50]
    assert known(grown[:9]) == known(before[:9])
    base.run(f"DELETE FROM t WHERE {rest} > 60")
    source, thinner = base.splits("t", grown)
    assert [len(read(source, split)) for split in thinner] == [61] * 11 + [50]
    base.run(f"DELETE FROM t WHERE {rest} > 15")
    source, anew = base.splits("t", thinner)
    assert [len(read(source, split)) for split in anew] == [100, 91]
    assert anew == base.splits("t")[1]
    base.run("DELETE FROM t")
    source, (none,) = base.splits("t", anew)
    assert none.address.endswith("#t")


def test_borders_of_another_type_are_forgotten(postgres_base):
    """A table that was made anew has another key by now."""
    numbered(postgres_base, 250, "'a' || lpad(n::text, 3, '0')", "text")
    _, before = postgres_base.splits("t")
    postgres_base.run("DROP TABLE t")
    numbered(postgres_base, 250)
    source, after = postgres_base.splits("t", before)
    assert [len(read(source, split)) for split in after] == [100, 100, 50]


RETYPED = {
    "numbers become texts": ("numeric", "n * 0.5", "text", "k::text"),
    "texts become days": (
        ("text", "to_char(date '2024-01-01' + n, 'FMMM/FMDD/YYYY')", "date", "k::date")
    ),
    "numbers change their signs": ("integer", "n", "numeric", "k * -1.5"),
}


@pytest.mark.parametrize("change", RETYPED)
def test_borders_that_another_type_sorts_otherwise_are_forgotten(postgres_base, change):
    """They are values of the new type all the same; each row is in the range that is said."""
    kind, key, now, by = RETYPED[change]
    numbered(postgres_base, 350, key, kind)
    _, before = postgres_base.splits("t")
    postgres_base.run(f"ALTER TABLE t ALTER k TYPE {now} USING {by}")
    source, after = postgres_base.splits("t", before)
    assert [len(read(source, split)) for split in after] == [100, 100, 100, 50]
    assert after == postgres_base.splits("t")[1]


def test_borders_that_another_type_sorts_alike_stay(postgres_base):
    """So what is in a range is read anew, and no range is another."""
    numbered(postgres_base, 350)
    _, before = postgres_base.splits("t")
    postgres_base.run("ALTER TABLE t ALTER k TYPE numeric", "DELETE FROM t WHERE n = 150")
    source, after = postgres_base.splits("t", before)
    assert [s.address.replace('"', "") for s in after] == [s.address for s in before]
    assert [len(read(source, split)) for split in after] == [100, 99, 100, 50]


def test_a_row_without_a_cursor_is_told_where_borders_stay(base):
    """As where they are cut for the first time."""
    changed_at(base, 250)
    _, before = base.splits("t", cursor="updated_at")
    base.run("UPDATE t SET updated_at = NULL WHERE id IN (9, 90)")
    with pytest.raises(KeyInvalid, match="2 rows have no updated_at"):
        base.splits("t", before, cursor="updated_at")


@pytest.mark.parametrize("seed", range(3))
def test_any_changes_leave_each_row_in_one_range(sqlite_base, seed):
    """And what is listed twice is listed as it was."""
    draw = random.Random(seed)
    changed_at(sqlite_base, 300)
    listed, now, last = [], 301, 300
    for _ in range(12):
        kind = draw.choice(("change", "insert", "delete", "many"))
        ids = draw.sample(range(1, last + 1), 12)
        if kind == "change":
            change(sqlite_base, ids, now)
        elif kind == "delete":
            first = draw.randrange(last)
            sqlite_base.run(f"DELETE FROM t WHERE id BETWEEN {first} AND {first + 150}")
        else:  # several of one time
            count = 7 if kind == "insert" else 180
            for _ in range(count):
                last += 1
                at = moment(now + draw.randrange(20))
                sqlite_base.run(f"INSERT INTO t VALUES ({last}, '{at}', {last})")
        now += 20
        source, found = sqlite_base.splits("t", listed, cursor="updated_at")
        assert sqlite_base.splits("t", found, cursor="updated_at")[1] == found
        listed = found
        with sqlite_base.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT n FROM t ORDER BY updated_at, id")
            expected = [n for (n,) in rows]
        assert [n for split in listed for n in read(source, split)] == expected


def test_a_cursor_cuts_or_is_refused(base, tmp_path):
    """A row without one, a column that is none, one of fractions, a file."""
    changed_at(base, 250)
    base.run("ALTER TABLE t ADD COLUMN share double precision", "UPDATE t SET share = n / 8.0")
    with pytest.raises(ColumnMissing, match="updated") as missing:
        base.splits("t", cursor="updated")
    assert "did you mean 'updated_at'" in missing.value.remedy
    with pytest.raises(KeyInvalid, match=r"dataset\.cursor names share"):
        base.splits("t", cursor="share")
    base.run("UPDATE t SET updated_at = NULL WHERE id = 9")
    with pytest.raises(KeyInvalid, match="1 rows have no updated_at") as null:
        base.splits("t", cursor="updated_at")
    assert "dataset.cursor" in null.value.remedy
    base.run("DELETE FROM t WHERE id > 50")  # so few are one range, and it is said all the same
    with pytest.raises(KeyInvalid, match="1 rows have no updated_at"):
        base.splits("t", cursor="updated_at")
    base.run("UPDATE t SET updated_at = NULL")
    with pytest.raises(KeyInvalid, match="50 rows have no updated_at"):
        base.splits("t", cursor="updated_at")
    base.run("DELETE FROM t")
    assert len(base.splits("t", cursor="updated_at")[1]) == 1
    (tmp_path / "a.csv").write_text("n,m\n1,2\n")
    described = DatasetConfig(source="a.csv", target="n", cursor="m")
    with pytest.raises(ConfigError, match="is for tables of databases"):
        list_source(described, tmp_path, LocalEngine(1))


def test_a_cursor_of_several_types_is_refused_in_a_small_table_too(sqlite_base):
    """SQLite declares no types: of texts and bytes there is no one order."""
    changed_at(sqlite_base, 9)
    sqlite_base.run("UPDATE t SET updated_at = X'41' WHERE id = 3")
    with pytest.raises(KeyInvalid, match=r"dataset\.cursor names updated_at"):
        sqlite_base.splits("t", cursor="updated_at")


@pytest.fixture
def cut_fine(monkeypatch):
    """Tables of few rows are cut all the same."""
    monkeypatch.setattr("tidemill.ingestion.sources.sql.sql_source.SqlSource.split_rows", 100)


def valid_rows(place):
    """Those of data/validated, by their ids."""
    tables = [pq.read_table(part) for part in sorted(place.validated.glob("*.parquet"))]
    columns = ["id", "updated_at", "n"]
    return pa.concat_tables(tables).select(columns).sort_by("id").to_pylist()


def ingested(root, described):
    """Look and ingest; how many splits were read, what was said, and the valid rows."""
    between = expect("column_values_to_be_between", column="n", min_value=-9999, max_value=9999)
    write_json(root / "suite.json", {"name": "s", "expectations": [between]})
    place = Workspace.at(root)
    with LocalEngine(1) as engine:
        context = StageContext(place, Settings(), engine, None)
        run_look(context, dataset=described)
        found = run_ingest(
            context, dataset=described, ingestion=IngestionConfig(suite="suite.json")
        )
    said = [w for w in found.warnings if "as they were" in w]
    return found.facts["splits_read"], " ".join(said), valid_rows(place)


def test_a_run_reads_what_changed_and_leaves_what_a_fresh_one_does(base, cut_fine):
    """The validated rows are those of a workspace that knows of no earlier look."""
    changed_at(base, 950)
    described = base.source("t", cursor="updated_at", key="id").dataset
    seen, fresh = base.root / "seen", base.root / "fresh"
    for root in (seen, fresh):
        root.mkdir()
    assert ingested(seen, described)[0] == 10
    change(base, (5, 7, 250), 951)
    base.run(*(f"INSERT INTO t VALUES ({n}, '{moment(n + 4)}', {n})" for n in (951, 952)))
    read_, said, rows = ingested(seen, described)
    assert read_ == 3
    assert "7 of 10 splits are as they were; 1 new" in said
    assert "2 changed" in said
    assert ingested(seen, described)[0] == 0
    assert rows == ingested(fresh, described)[2]
    assert len(rows) == 952
