"""Tables are read in ranges of their key, all of one state; what changed since is refused."""

from __future__ import annotations

import re
import threading
from dataclasses import replace

import psutil
import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.ingestion.databases import numbered, read

from tidemill.config import read_params, set_params
from tidemill.contracts import RowsAsked
from tidemill.engines import LocalEngine
from tidemill.errors import (
    ConfigError,
    ServiceUnavailable,
    SourceUnreadable,
    UsageError,
)
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.sql.arrow_rows import arrow_rows
from tidemill.ingestion.sources.sql.snapshot import open_snapshot
from tidemill.ingestion.sources.sql.sql_source import SqlSource


def test_rows_of_one_key_stay_together(base):
    """The first column of a primary key of two, or a key that is none, cuts between its values."""
    rows = ", ".join(f"({n // 90}, {n})" for n in reversed(range(250)))
    base.run("CREATE TABLE t (k integer, n integer, PRIMARY KEY (k, n))")
    base.run(f"INSERT INTO t VALUES {rows}", "CREATE TABLE u AS SELECT * FROM t")
    for relation, stated in (("t", {}), ("u", {"key": "k"}), ("SELECT * FROM t;", {"key": "k"})):
        source, splits = base.splits(relation, **stated)
        found = [read(source, split) for split in splits]
        assert [len(part) for part in found] == [90, 90, 70]
        assert [n for part in found for n in part] == list(range(250))


def test_a_column_called_as_we_call_the_table_hides_no_change(base):
    """The digest is that of the whole row."""
    base.run("CREATE TABLE u (t integer PRIMARY KEY, n integer)", "INSERT INTO u VALUES (1, 5)")
    source, (split,) = base.splits("u")
    assert read(source, split) == [5]
    base.run("UPDATE u SET n = 6")
    with pytest.raises(SourceUnreadable):
        read(source, split)


def test_without_a_key_a_table_is_one_split_in_a_fixed_order(base):
    """Rows stand in the order of all their columns, not of the disk's."""
    base.run(
        "CREATE TABLE t (n integer)",
        "INSERT INTO t VALUES " + ", ".join(f"({n})" for n in reversed(range(250))),
    )
    source, splits = base.splits("SELECT * FROM t")
    assert [read(source, split) for split in splits] == [list(range(250))]


def test_rows_that_come_later_change_no_range(base):
    """What was listed is read still; what comes behind it is the next listing's, and only that."""
    numbered(base, 250)
    source, before = base.splits("t")
    base.run("INSERT INTO t VALUES (251, 251)")
    assert [len(read(source, split)) for split in before] == [100, 100, 50]
    _, after = base.splits("t")
    assert [s.etag for s in after[:2]] == [s.etag for s in before[:2]]
    assert after[2].etag != before[2].etag


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE t SET n = 151 WHERE k = 250",
        "DELETE FROM t WHERE k = 250",
        "INSERT INTO t VALUES (251, 7)",
        "ALTER TABLE t ADD COLUMN more integer DEFAULT 1",
    ],
)
def test_a_range_that_changed_is_refused(base, change):
    """No row of it is read; the remedy says what helps."""
    numbered(base, 250, "n * 2")
    source, splits = base.splits("t")
    base.run(change)
    changed = [1] if "COLUMN" not in change else [0, 1, 2]
    for number, split in enumerate(splits):
        if number in changed:
            with pytest.raises(SourceUnreadable, match="were listed") as refused:
                next(iter(source.rows(split, RowsAsked({"n": pa.string()}, ("n",), None, 30))))
            assert "run the same command again" in refused.value.remedy
        else:
            assert read(source, split)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("text COLLATE ci", "'red'", "'RED'"),
        ("bpchar", "'red'", "'red '"),
        ("varchar(9)", "'red'", "'red '"),
        ("text", "''", "NULL"),
        ("json", "'{}'", "'{ }'"),
        ("bytea", "'\\x00'", "'\\x0000'"),
        ("point", "'(1, 2)'", "'(2, 1)'"),
        ("integer[]", "'{1, NULL}'", "'{NULL, 1}'"),
        ("numeric", "12345678901234567890.1", "12345678901234567890.2"),
        ("double precision", "0.1", "0.1::float8 + 2e-17"),
        ("double precision", "'NaN'", "NULL"),
        ("double precision", "0", "NULL"),
        ("real", "0", "NULL"),
        ("numeric", "7.5", "-7.5"),
        ("numeric", "'NaN'", "NULL"),
        ("numeric", "'Infinity'", "NULL"),
        ("numeric", "0", "NULL"),
        ("bigint", "1", "4294967296"),
        ("bigint", "0", "NULL"),
        ("integer", "0", "NULL"),
        ("date", "'2000-01-01'", "NULL"),
        ("timestamp", "'2000-01-01 00:00:00.000001'", "'2000-01-01 01:11:34.967296'"),
        ("timestamptz", "'2026-11-01 00:00+00'", "'2026-11-01 00:00+00'::timestamptz + '1us'"),
        ("boolean", "true", "NULL"),
    ],
)
def test_two_values_that_are_not_the_same_have_not_one_name(postgres_base, kind, before, after):
    """Whatever PostgreSQL takes for equal in the column, or hashes alike."""
    postgres_base.run(
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        f"CREATE TABLE t (k integer PRIMARY KEY, n integer, v {kind})",
        f"INSERT INTO t VALUES (1, 2, {before})",
    )
    source, (split,) = postgres_base.splits("t")
    assert source.etag(split.address) == split.etag
    postgres_base.run(f"UPDATE t SET v = {after}")
    assert source.etag(split.address) != split.etag


@pytest.mark.parametrize("kind", ["text", "integer", "double precision", "numeric", "boolean"])
def test_values_that_change_places_change_the_name(postgres_base, kind):
    """Two rows of any two: the sum of their hashes is another."""
    postgres_base.run(
        f"CREATE TABLE t (k integer PRIMARY KEY, n integer, v {kind})",
        f"INSERT INTO t SELECT n, n, mod(n, 2)::text::{kind} FROM generate_series(1, 40) AS n",
    )
    source, (split,) = postgres_base.splits("t")
    found = {split.etag}
    for odd in range(1, 21, 2):
        postgres_base.run(
            f"UPDATE t SET v = CASE mod(k, 2) WHEN 1 THEN '0' ELSE '1' END::{kind} "
            f"WHERE k IN ({odd}, {odd + 1})"
        )
        found.add(source.etag(split.address))
    assert len(found) == 11


def test_all_is_of_the_state_at_which_it_began(base):
    """Another program writes behind each statement: listing and reading see nothing of it."""
    numbered(base, 250)
    base.let_both_work()
    source, splits = base.splits("t")
    reading, writes = [False], []
    add = "INSERT INTO t VALUES (-5, -5), (251, 251) ON CONFLICT DO NOTHING"
    if base.kind == "mysql":
        add = "INSERT IGNORE INTO t VALUES (-5, -5), (251, 251)"

    def write(connection, cursor, statement, *_):
        if statement.startswith("SELECT") and reading[0]:
            reading[0] = False
            base.run("UPDATE t SET n = n + 1000", add)
            writes.append(statement)
            reading[0] = True

    sa.event.listen(sa.Engine, "after_cursor_execute", write)
    try:
        reading[0] = True
        found = read(source, splits[1])
        reading[0] = False
        base.run("UPDATE t SET n = k", "DELETE FROM t WHERE k IN (-5, 251)")
        assert found == list(range(101, 201))
        (address,) = source.find("dataset.source")
        writes.clear()
        reading[0] = True
        listed = source.split(address)
        reading[0] = False
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", write)
    assert writes
    assert listed == splits


def test_types_and_names_of_rows_are_of_one_state(base):
    """What comes once the rows have their names is no part of what look finds."""
    numbered(base, 250)
    base.let_both_work()
    dataset, writes = base.source("t").dataset, []
    of_another_type = "x'ff'" if base.kind == "sqlite" else "20000000"

    def write(connection, cursor, statement, *_):
        if re.search(r"hash_record|SELECT \W?k\W?, .* ORDER BY", statement) and not writes:
            writes.append(statement)
            base.run(f"INSERT INTO t VALUES (251, {of_another_type})")

    before = list_source(dataset, base.root, LocalEngine())
    sa.event.listen(sa.Engine, "after_cursor_execute", write)
    try:
        listed = list_source(dataset, base.root, LocalEngine())
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", write)
    assert writes
    assert listed == before
    assert list_source(dataset, base.root, LocalEngine()).columns != before.columns


def test_a_table_that_changes_all_the_time_is_never_mixed(base):
    """Each range is of one state, or refused, while another program writes: sums tell."""
    numbered(base, 250)
    base.let_both_work()
    stop = threading.Event()

    def write():
        while not stop.is_set():  # one row less, another more: each state has the same sum
            base.run(
                "UPDATE t SET n = n - 7 WHERE k = 20",
                "UPDATE t SET n = n + 7 WHERE k = 230",
            )

    writer = threading.Thread(target=write)
    source, splits = base.splits("t")
    writer.start()
    refused = whole = 0
    try:
        for _ in range(8):
            source, splits = base.splits("t")
            try:
                found = sum(sum(read(source, split, rows=7)) for split in splits)
            except (SourceUnreadable, ServiceUnavailable):
                refused += 1
            else:
                assert found == sum(range(1, 251))
                whole += 1
    finally:
        stop.set()
        writer.join()
    assert refused + whole == 8
    source, splits = base.splits("t")
    assert sum(sum(read(source, split)) for split in splits) == sum(range(1, 251))


@pytest.mark.parametrize("which", ["true", "left(query, 4) = 'COPY'", "left(query, 4) <> 'COPY'"])
def test_a_connection_that_dies_is_an_error_and_no_end(postgres_base, which):
    """A server's process is ended between two batches; the range is read anew as it was."""
    numbered(postgres_base, 90)
    postgres_base.run(
        "ALTER TABLE t ADD COLUMN word text", "UPDATE t SET word = repeat(n::text, 300000)"
    )
    source, (split,) = postgres_base.splits("t")
    batches = source.rows(split, RowsAsked({"word": pa.string()}, ("word",), None, 10))
    next(batches)
    postgres_base.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE pid <> pg_backend_pid() AND datname = current_database() AND {which}"
    )
    if "<>" in which:  # what it was needed for is done
        assert sum(len(batch.rows) for batch in batches) == 80
    else:
        with pytest.raises(ServiceUnavailable, match="broke off") as gone:
            list(batches)
        assert gone.value.retryable
    assert read(source, split) == list(range(1, 91))


@pytest.mark.parametrize("setting", ["enable_hashagg", "enable_sort"])
def test_a_range_has_its_name_and_its_bytes_whatever_the_plan(postgres_base, setting):
    """A sort makes a row smaller; named alone it is what it is among the others."""
    numbered(postgres_base, 250)
    source, splits = postgres_base.splits("t")
    assert [source.split(split.address) for split in splits] == [[split] for split in splits]
    name = postgres_base.url.rpartition("/")[2]
    postgres_base.run(f"ALTER DATABASE {name} SET {setting} = off")
    assert postgres_base.splits("t")[1] == splits


@pytest.mark.parametrize(
    ("column", "error", "told", "remedy"),
    [
        ("1 / (5000 - n)", SourceUnreadable, "division by zero", "correct the table or query"),
        ("n, CAST(pg_sleep(.01) AS text)", ServiceUnavailable, "broke off", "statement_timeout"),
    ],
)
def test_a_statement_that_fails_is_no_lost_connection(postgres_base, column, error, told, remedy):
    """What to do is told by the server's code."""
    name = postgres_base.url.rpartition("/")[2]
    postgres_base.run(f"ALTER DATABASE {name} SET statement_timeout = '1s'")
    sql = f"SELECT {column} FROM generate_series(1, 9000) AS n"
    with (
        open_snapshot(postgres_base.url, postgres_base.root) as snapshot,
        pytest.raises(error, match=told) as failed,
    ):
        list(arrow_rows(snapshot, sql, {}, rows=10))
    assert remedy in failed.value.remedy


def test_rows_that_were_others_when_they_were_named_are_told(postgres_base):
    """A query that has one row more where it is read than where it is named."""
    source, (split,) = postgres_base.splits(
        "SELECT n FROM generate_series(1, 3) AS n WHERE n < 3 OR current_query() ~ '^COPY'"
    )
    with pytest.raises(SourceUnreadable, match="has not the rows any more"):
        read(source, split)


def test_rows_are_counted_where_no_column_is_asked_for(base):
    """As many, and each with its number."""
    numbered(base, 250)
    source, splits = base.splits("t")
    asked = RowsAsked({}, ("n",), None, 30)
    batches = list(source.rows(splits[-1], asked))
    assert [batch.columns for batch in batches] == [{}, {}]
    assert [n for batch in batches for n in batch.rows.tolist()] == list(range(50))


def test_the_result_is_never_in_memory(postgres_base):
    """Of 100 MB a batch is held, by the driver's library too."""
    postgres_base.run(
        "CREATE TABLE t (n integer PRIMARY KEY, word text)",
        "INSERT INTO t SELECT n, repeat(n::text, 5000 / length(n::text)) "
        "FROM generate_series(1, 20000) AS n",
    )
    source = SqlSource(postgres_base.source("t").dataset, postgres_base.root)
    (split,) = source.split(source.dataset.source)
    asked = RowsAsked({"word": pa.string()}, ("word",), None, 100)
    process = psutil.Process()
    head = next(source.rows(split, replace(asked, max_batches=1)))
    assert head.columns["word"].nbytes > 400_000
    before = process.memory_info().rss
    most = max(process.memory_info().rss for _ in source.rows(split, asked))
    assert most - before < 40 << 20


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://tide:canary@host/base#t",
        "postgresql://tide:ca/na@ry@host:5432/base",
        "postgresql+psycopg://tide@host/base?password=canary#t",
        "mysql://tide:canary@host/base",
    ],
)
def test_a_password_is_refused_and_not_repeated(address, tmp_path):
    """In params.yaml, by --set, and in the place of dataset.source: no error has it."""
    said = f"dataset: {{source: '{address}', target: y}}"
    plain = "dataset: {source: a, target: y}"
    dataset = read_params(plain).dataset.model_copy(update={"source": address})
    for refused in (
        lambda: read_params(said),
        lambda: set_params(plain, [f"dataset.source={address}"]),
        lambda: SqlSource(dataset, tmp_path).find("--input", address),
        lambda: SqlSource(dataset, tmp_path).etag(address),
    ):
        with pytest.raises((ConfigError, UsageError), match="a password in it") as caught:
            refused()
        told = [caught.value, caught.value.remedy, caught.value.fields]
        told += [caught.value.__cause__, caught.value.__context__]
        assert "canary" not in str(told)
        assert "ca/na" not in str(told)
        assert ("MYSQL_PWD" if address.startswith("mysql") else "PGPASSWORD") in str(told)
