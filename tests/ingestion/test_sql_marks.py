"""A mark tells that rows of PostgreSQL are those of before, and never that others are."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from tests.ingestion.databases import Database, alone, numbered, read

from tidemill.engines import LocalEngine
from tidemill.errors import SourceUnreadable
from tidemill.settings import Settings
from tidemill.stages import StageContext, run_look
from tidemill.stages.ingest import found_by_look
from tidemill.storage import Workspace, read_hashed, write_hashed
from tidemill.testing.postgres import postgres_server


def forged(splits):
    """The splits under a wrong name, which stays where a mark is believed."""
    return [replace(split, etag="forged") for split in splits]


def believed(base, splits, relation="t"):
    """By ranges, whether rows are taken for those of before; else they have their true names."""
    _, found = base.splits(relation, forged(splits))
    _, anew = base.splits(relation)
    if [s.address for s in found] == [s.address for s in anew]:
        assert all(a.etag in (b.etag, "forged") for a, b in zip(found, anew, strict=True))
    return [split.etag == "forged" for split in found]


def plain(base):
    """A small table of built-in types."""
    base.run(
        "CREATE TABLE t (k integer PRIMARY KEY, n integer, word varchar(9), day timestamptz)",
        "INSERT INTO t SELECT n, n, 'w' || n, '2024-01-01'::timestamptz + n * interval '1 hour' "
        "FROM generate_series(1, 40) AS n",
    )


def test_cells_of_rows_that_bear_their_mark_are_not_read(postgres_base):
    """Neither by a listing nor by who reads them; of three ranges the one that changed is named."""
    numbered(postgres_base, 250)
    source, before = postgres_base.splits("t")
    assert all(split.mark for split in before)
    assert len({split.mark for split in before}) == 3
    assert believed(postgres_base, before) == [True, True, True]
    assert read(source, forged(before)[1]) == list(range(101, 201))
    postgres_base.run("UPDATE t SET n = 0 WHERE k = 150")
    assert believed(postgres_base, before) == [True, False, True]
    with pytest.raises(SourceUnreadable, match="has not the rows any more"):
        read(source, before[1])
    with pytest.raises(SourceUnreadable, match="has not the rows any more"):
        read(source, replace(before[0], mark=None, etag="forged"))
    _, after = postgres_base.splits("t", before)
    assert believed(postgres_base, after) == [True, True, True]


CHANGES = {
    "one cell": ((), ("UPDATE t SET n = 0 WHERE k = 7",)),
    "twice in one transaction": (
        (),
        ("UPDATE t SET n = n + 1; UPDATE t SET n = n - 1 WHERE k > 1",),
    ),
    "two rows change their cells": (
        (),
        ("UPDATE t SET n = 15 - n WHERE k IN (7, 8)",),
    ),
    "a row in the place of another": (
        (),
        (
            "DELETE FROM t WHERE k = 40",
            "VACUUM t",
            "INSERT INTO t VALUES (40, 0, 'w40', '2024-01-02 16:00+00')",
        ),
    ),
    "a type, all rows written anew": (
        (),
        ("ALTER TABLE t ALTER n TYPE bigint USING n + 1",),
    ),
    "a type and back": (
        (),
        (
            "ALTER TABLE t ALTER word TYPE text USING upper(word)",
            "ALTER TABLE t ALTER word TYPE varchar(9)",
        ),
    ),
    "a type, no row written": (
        (),
        ("SET TimeZone = 'UTC'; ALTER TABLE t ALTER day TYPE timestamp",),
    ),
    "a new column": ((), ("ALTER TABLE t ADD more integer DEFAULT 5",)),
    "a column of that name anew": (
        ("ALTER TABLE t ADD more integer DEFAULT 5",),
        ("ALTER TABLE t DROP more, ADD more integer DEFAULT 6",),
    ),
    "columns change their names": (
        ("ALTER TABLE t ADD more integer DEFAULT 5",),
        (
            "ALTER TABLE t RENAME n TO less",
            "ALTER TABLE t RENAME more TO n",
            "ALTER TABLE t RENAME less TO more",
        ),
    ),
    "filled anew": (
        (),
        ("TRUNCATE t; INSERT INTO t SELECT n, n + 1 FROM generate_series(1, 40) AS n",),
    ),
    "made anew": (
        (),
        ("CREATE TABLE u AS SELECT k, n + 1 AS n, word, day FROM t", "DROP TABLE t",
         "ALTER TABLE u RENAME TO t", "ALTER TABLE t ADD PRIMARY KEY (k)"),
    ),
    "made in one transaction with another": (
        ("DROP TABLE t; CREATE TABLE t AS SELECT 1 AS n; CREATE TABLE u AS SELECT 2 AS n",),
        ("ALTER TABLE t RENAME TO v", "ALTER TABLE u RENAME TO t"),
    ),
    "the catalog by hand": (
        ("ALTER TABLE t ADD more integer DEFAULT 5, ADD less integer DEFAULT 6",),
        ("UPDATE pg_attribute AS a SET attmissingval = b.attmissingval FROM pg_attribute AS b "
         "WHERE (a.attname, b.attname) = ('more', 'less') AND a.attrelid = 't'::regclass "
         "AND b.attrelid = a.attrelid",),
    ),
    "another schema's": (
        ("CREATE SCHEMA other; CREATE TABLE other.t AS SELECT k, n + 1 AS n, word, day FROM t",),
        ("DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = other', "
         "current_database()); END$$",),
    ),
    "rows of a heir": (
        (),
        ("CREATE TABLE heir () INHERITS (t)", "INSERT INTO heir VALUES (41, 41)"),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_cell_changes_the_mark(postgres_base, change):
    """Whether or not it writes a row."""
    plain(postgres_base)
    first, then = CHANGES[change]
    alone(postgres_base, "SELECT 1", *first)
    _, before = postgres_base.splits("t")
    assert believed(postgres_base, before) == [True]
    alone(postgres_base, *then)
    _, (after,) = postgres_base.splits("t")
    assert after.etag != before[0].etag
    assert believed(postgres_base, before) == [False]


def test_a_row_may_lie_where_another_lay(postgres_base):
    """What one of the changes above rests on: the place is the same, the transaction is not."""
    plain(postgres_base)
    asked = "SELECT ctid::text, xmin::text FROM t WHERE k = 40"
    ((place, transaction),) = alone(postgres_base, asked)
    _, changes = CHANGES["a row in the place of another"]
    ((now, another),) = alone(postgres_base, *changes, asked)
    assert (now, another != transaction) == (place, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statements", "stays"),
    [
        (("VACUUM FREEZE t", "ANALYZE t", "CREATE INDEX ON t (n)"), True),
        (("BEGIN", "UPDATE t SET n = 0", "ROLLBACK"), True),
        (("UPDATE t SET n = n",), False),
        (("VACUUM FULL t",), False),
        (("CLUSTER t USING t_pkey",), False),
    ],
)
def test_the_same_cells_keep_their_name(postgres_base, statements, stays):
    """A mark that is another only costs the reading of cells."""
    plain(postgres_base)
    _, before = postgres_base.splits("t")
    alone(postgres_base, *statements)
    assert postgres_base.splits("t", before)[1] == before
    assert believed(postgres_base, before) == [stays]


NOT_PLAIN = {
    "an enumeration's labels": (
        ("CREATE TYPE mood AS ENUM ('sad', 'glad')", "CREATE TABLE o (n integer, m mood)",
         "INSERT INTO o VALUES (1, 'sad')"),
        ("ALTER TYPE mood RENAME VALUE 'sad' TO 'low'",),
    ),
    "a name in the catalog": (
        ("CREATE TABLE named (n integer)", "CREATE TABLE o (n integer, m regclass)",
         "INSERT INTO o VALUES (1, 'named')"),
        ("ALTER TABLE named RENAME TO renamed",),
    ),
    "a view": (
        ("CREATE TABLE under AS SELECT 1 AS n", "CREATE VIEW o AS SELECT n FROM under"),
        ("UPDATE under SET n = 2",),
    ),
    "a partition's rows": (
        ("CREATE TABLE o (n integer) PARTITION BY RANGE (n)",
         "CREATE TABLE part PARTITION OF o DEFAULT", "INSERT INTO o VALUES (1)"),
        ("UPDATE part SET n = 2",),
    ),
    "the rows of a heir": (
        ("CREATE TABLE o (n integer)", "CREATE TABLE heir () INHERITS (o)",
         "INSERT INTO heir VALUES (1)"),
        ("UPDATE heir SET n = 2",),
    ),
    "a cell of several cells": (
        ("CREATE TYPE pair AS (a integer, b integer)", "CREATE TABLE o (n integer, m pair)",
         "INSERT INTO o VALUES (1, ROW(1, 2))"),
        ("ALTER TYPE pair ADD ATTRIBUTE c integer",),
    ),
    "rows that a crash takes": (
        ("CREATE UNLOGGED TABLE o AS SELECT 1 AS n",),
        ("UPDATE o SET n = 2",),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_what_is_no_plain_table_has_no_mark(postgres_base, kind):
    """Its rows tell not all, and their cells are read each time."""
    made, changed = NOT_PLAIN[kind]
    alone(postgres_base, *made)
    _, before = postgres_base.splits("o")
    assert [split.mark for split in before] == [None]
    alone(postgres_base, *changed)
    assert postgres_base.splits("o", before)[1] != before
    assert believed(postgres_base, before, "o") == [False]


@pytest.mark.slow
def test_who_sees_some_rows_has_no_mark(postgres_base):
    """Which ones another table may say."""
    plain(postgres_base)
    name = postgres_base.url.rpartition("/")[2]
    alone(
        postgres_base,
        *(f"CREATE ROLE some_{name} LOGIN", "CREATE TABLE seen AS SELECT 0 AS least"),
        "CREATE POLICY later ON t USING (k > (SELECT least FROM seen))",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO some_{name}",
    )
    reader = Database(postgres_base.url.replace("tide@", f"some_{name}@"), postgres_base.root)
    source, before = reader.splits("t")
    assert [(split.mark, len(read(source, split))) for split in before] == [(None, 40)]
    alone(postgres_base, "UPDATE seen SET least = 20")
    source, (split,) = reader.splits("t", before)
    assert read(source, split) == list(range(21, 41))


@pytest.mark.slow
def test_a_standby_is_read_and_has_no_mark(postgres, postgres_base):
    """Rows have the names that they have at the server it follows, and follow it."""
    numbered(postgres_base, 250)
    with postgres.standby() as follower:
        name = postgres_base.url.rpartition("/")[2]
        url = follower.url(name).replace("tide:tide@", "tide@")
        there = Database(url, postgres_base.root)
        _, here = postgres_base.splits("t")
        source, splits = there.splits("t")
        assert all(split.mark for split in here)
        assert [(s.etag, s.mark) for s in splits] == [(s.etag, None) for s in here]
        assert read(source, splits[1]) == list(range(101, 201))
        assert believed(there, here) == [False] * 3
        alone(postgres_base, "UPDATE t SET n = 0 WHERE k = 150")
        ((position,),) = alone(postgres_base, "SELECT pg_current_wal_lsn()::text")
        behind = f"SELECT pg_last_wal_replay_lsn() < '{position}'::pg_lsn"
        ends = time.monotonic() + 60
        while alone(there, behind) == [(True,)]:
            assert time.monotonic() < ends
            time.sleep(0.1)
        source, after = there.splits("t", splits)
        assert [a.etag == b.etag for a, b in zip(after, splits, strict=True)] == [True, False, True]
        assert read(source, after[1]) == [*range(101, 150), 0, *range(151, 201)]


def test_a_query_has_no_mark(postgres_base):
    """It may read whatever it likes."""
    plain(postgres_base)
    _, (split,) = postgres_base.splits("SELECT * FROM t")
    assert split.mark is None


def test_who_may_read_has_marks_and_who_may_not_ask_has_none(postgres_base):
    """A user of no rights beside those of reading; and a server that does not say which it is."""
    plain(postgres_base)
    name = postgres_base.url.rpartition("/")[2]
    postgres_base.run(f"CREATE ROLE only_{name} LOGIN", f"GRANT SELECT ON t TO only_{name}")
    reader = Database(postgres_base.url.replace("tide@", f"only_{name}@"), postgres_base.root)
    _, before = reader.splits("t")
    assert believed(reader, before) == [True]
    assert before[0].mark == postgres_base.splits("t")[1][0].mark
    postgres_base.run("REVOKE EXECUTE ON FUNCTION pg_postmaster_start_time() FROM public")
    source, (split,) = reader.splits("t", before)
    assert (split.etag, split.mark) == (before[0].etag, None)
    assert read(source, split) == list(range(1, 41))


def test_who_may_read_some_columns_has_no_mark(postgres_base):
    """Where a row lies and who wrote it is told of whole rows; its cells are read each time."""
    plain(postgres_base)
    name = postgres_base.url.rpartition("/")[2]
    alone(
        postgres_base, f"CREATE ROLE part_{name} LOGIN", f"GRANT SELECT (k, n) ON t TO part_{name}"
    )
    reader = Database(postgres_base.url.replace("tide@", f"part_{name}@"), postgres_base.root)
    source, (split,) = reader.splits("SELECT k, n FROM t")
    assert (split.mark, read(source, split)) == (None, list(range(1, 41)))
    alone(postgres_base, "ALTER TABLE t DROP word, DROP day")
    source, (split,) = reader.splits("t")
    assert (split.mark, read(source, split)) == (None, list(range(1, 41)))


@pytest.mark.parametrize("name", ["a:b", "a%b", 'a"b', "a\\:b", "a:b.c"])
def test_a_table_of_any_name_has_marks(postgres_base, name):
    """Signs that SQLAlchemy's texts, drivers or SQL take for their own."""
    quoted = name.replace('"', '""')
    alone(postgres_base, f'CREATE TABLE "{quoted}" AS SELECT 7 AS n')
    _, before = postgres_base.splits(name)
    assert before[0].mark
    assert believed(postgres_base, before, name) == [True]


def test_a_column_may_be_called_as_in_our_statement(postgres_base):
    """Names of the table go before those of a statement."""
    columns = ("number", "line", "version", "ctids")
    postgres_base.run(
        f"CREATE TABLE t ({' integer, '.join(columns)} integer, n integer)",
        "INSERT INTO t SELECT n, n, n, n, n FROM generate_series(1, 9) AS n",
    )
    _, before = postgres_base.splits("t")
    assert believed(postgres_base, before) == [True]


def looked(root, described):
    """A look; the listing that ingest finds then."""
    place = Workspace.at(root)
    with LocalEngine(1) as engine:
        run_look(StageContext(place, Settings(), engine, None), dataset=described)
    return place, found_by_look(place, described)[0]


def test_marks_are_this_machine_s_alone(postgres_base):
    """A look leaves them for ingest and for the next look, and data/source.json has none."""
    plain(postgres_base)
    described = postgres_base.source("t").dataset
    place, listing = looked(postgres_base.root, described)
    assert [split.mark for split in listing.splits] == [
        s.mark for s in postgres_base.splits("t")[1]
    ]
    assert "mark" not in place.source_listing.read_text()
    kept = place.hidden / "look.json"
    document = read_hashed(kept)
    for split in document["listing"]["splits"]:
        split["sha256"] = "forged"
    write_hashed(kept, document)
    assert found_by_look(place, described)[0].splits[0].mark is None  # of another name
    _, again = looked(postgres_base.root, described)
    assert [split.etag for split in again.splits] == ["forged"]
    kept.unlink()
    assert found_by_look(place, described)[0].splits[0].mark is None
    _, anew = looked(postgres_base.root, described)
    assert anew.splits == listing.splits


@pytest.fixture
def own_base(tmp_path):
    """A database of a server that a test may end."""
    with postgres_server() as server:
        yield Database(server.new_database().replace("tide:tide@", "tide@"), tmp_path)


@pytest.mark.slow
def test_another_run_of_a_server_has_other_marks(own_base):
    """And one whose numbers of transactions have been given away once has none."""
    plain(own_base)
    _, before = own_base.splits("t")
    ((data,),) = alone(own_base, "SHOW data_directory")
    program, _, options = Path(data, "postmaster.opts").read_text().strip().partition(" ")
    mine = Path(data).stat().st_uid == os.geteuid()
    user = [] if mine else ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

    def run(name, *words):
        command = [*user, Path(program).parent / name, "-D", data, *words]
        subprocess.run(command, check=True, cwd=data, stdout=subprocess.DEVNULL)

    stop, start = ("-w", "-m", "fast", "stop"), ("-w", "-l", "log", "-o", options, "start")
    run("pg_ctl", *stop)
    run("pg_ctl", *start)
    _, again = own_base.splits("t")
    assert (again, again[0].mark is None) == (before, False)
    assert believed(own_base, before) == [False]
    assert believed(own_base, again) == [True]
    run("pg_ctl", *stop)
    run("pg_resetwal", "-e", "1")
    run("pg_ctl", *start)
    _, later = own_base.splits("t", again)
    assert (later, later[0].mark) == (before, None)


@pytest.mark.slow
def test_numbers_that_a_crash_gives_again_are_told_apart(own_base):
    """A commit that was seen and never reached the disk; its number is another's afterwards."""
    plain(own_base)
    ((writer,),) = alone(
        own_base, "CHECKPOINT", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    )
    asked = "SELECT ctid::text, xmin::text, pg_postmaster_start_time()::text FROM t WHERE k = 41"
    os.kill(writer, signal.SIGSTOP)  # so nothing reaches the disk by itself
    insert = "INSERT INTO t (k, n) VALUES (41, {})"
    first = alone(own_base, "SET synchronous_commit = off", insert.format(1), asked)
    _, before = own_base.splits("t")
    os.kill(writer, signal.SIGKILL)
    for _ in range(600):
        try:
            lost = alone(own_base, asked)
            break
        except psycopg.OperationalError:
            time.sleep(0.05)
    assert lost == []
    assert alone(own_base, insert.format(2), asked) == first
    assert believed(own_base, before) == [False]
