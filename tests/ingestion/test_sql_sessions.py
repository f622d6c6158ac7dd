"""A session reads, whatever the server's settings; who may not in is told what to correct."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from tests.ingestion.databases import numbered

from tidemill.contracts import RowsAsked
from tidemill.errors import ServiceUnavailable, SourceMissing, SourceUnreadable
from tidemill.ingestion.sources.sql.snapshot import open_snapshot, require_version

SETTINGS = {
    "TimeZone": "'Asia/Kolkata'",
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "'sql_standard'",
    "bytea_output": "'escape'",
    "extra_float_digits": "-9",
    "client_encoding": "'LATIN1'",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_a_server_alters_a_cell_or_a_name(postgres_base, setting):
    """A database, or a role, may have its own; the same rows are the same all the same."""
    postgres_base.run(
        "CREATE TABLE t AS SELECT 1 AS n, timestamptz '2024-05-06 07:08+00' AS moment, "
        "date '2024-05-06' AS day, interval '1 day -2 hours' AS span, '\\x00ff'::bytea AS raw, "
        "1 / 7::float8 AS fraction, 'Ünï—' AS word"
    )
    source, (split,) = postgres_base.splits("t")
    names = ("moment", "day", "fraction", "word")
    asked = RowsAsked(dict.fromkeys(names, pa.string()), names, None, 30)
    (before,) = source.rows(split, asked)
    name = postgres_base.url.rpartition("/")[2]
    postgres_base.run(f"ALTER DATABASE {name} SET {setting} = {SETTINGS[setting]}")
    with postgres_base.engine.connect() as connection:
        assert str(connection.exec_driver_sql(f"SHOW {setting}").scalar()) in SETTINGS[setting]
    assert postgres_base.splits("t")[1] == [split]
    (after,) = source.rows(split, asked)
    assert after.columns == before.columns


def test_nothing_is_written_in_postgres(postgres_base):
    """Not by a function of a query either."""
    postgres_base.run("CREATE SEQUENCE counted")
    with pytest.raises(SourceUnreadable, match="read-only transaction"):
        postgres_base.splits("SELECT nextval('counted') AS n")
    with postgres_base.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT nextval('counted')").scalar() == 1


def test_nothing_is_written_in_sqlite(sqlite_base):
    """The session itself refuses it."""
    numbered(sqlite_base, 3)
    with (
        open_snapshot(sqlite_base.url, sqlite_base.root) as snapshot,
        pytest.raises(sa.exc.OperationalError, match="readonly"),
    ):
        snapshot.connection.exec_driver_sql("DELETE FROM t")


@pytest.mark.parametrize("most", [None, 20])
def test_who_stops_early_leaves_nothing_open(base, caplog, most):
    """The cursor is closed before the connection: no traceback is on the screen of a good run."""
    numbered(base, 250)
    source, (split, *_) = base.splits("t")
    found = source.rows(split, RowsAsked({"n": pa.int64()}, ("n",), most, 3))
    assert len(next(found).rows) == 3
    found.close()
    assert [record.getMessage() for record in caplog.records] == []


def test_a_server_that_is_too_old_is_told():
    """It has not the functions that name rows."""
    dialect = postgresql.dialect()
    dialect.server_version_info = (13, 22)
    with pytest.raises(SourceUnreadable, match="is PostgreSQL 13, and 14"):
        require_version(dialect, "postgresql://tide@host/base")


def test_a_file_that_another_program_holds_is_told(sqlite_base):
    """To try again is right."""
    numbered(sqlite_base, 3)
    sqlite_base.url += "?timeout=0.05"
    other = sqlite3.connect(sqlite_base.root / "base")
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(ServiceUnavailable, match="is locked") as busy:
            sqlite_base.splits("t")
    finally:
        other.close()
    assert (busy.value.exit_code, busy.value.retryable) == (75, True)
    assert len(sqlite_base.splits("t")[1]) == 1


@pytest.fixture
def guarded(postgres):
    """How the room's server is addressed as a user, who may need a password."""

    def run(statement):
        place = {"host": "127.0.0.1", "port": postgres.port, "user": "tide", "dbname": "postgres"}
        with psycopg.connect(**place, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchone()[0] if found.description else None

    hba = Path(run("SHOW hba_file"))
    if "keyed" not in hba.read_text():
        rules = ("host all keyed 127.0.0.1/32 scram-sha-256", "host all never 127.0.0.1/32 reject")
        hba.write_text("\n".join([*rules, hba.read_text()]))
        for statement in (
            "CREATE ROLE keyed LOGIN PASSWORD 'sesame'",
            "CREATE ROLE never LOGIN",
            "CREATE ROLE nologin NOLOGIN",
            "CREATE ROLE full_up LOGIN CONNECTION LIMIT 0",
            "SELECT pg_reload_conf()",
        ):
            run(statement)
        while not run("SELECT count(*) FROM pg_hba_file_rules WHERE user_name = '{keyed}'"):
            time.sleep(0.05)
    return lambda user, name="postgres": f"postgresql://{user}@127.0.0.1:{postgres.port}/{name}"


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [
        ("keyed", "another", "password authentication failed"),
        ("keyed", None, "no password supplied"),
        ("nobody_here", None, "role"),
        ("never", None, "rejects connection"),
        ("nologin", None, "not permitted to log in"),
        ("tide", None, "database"),
    ],
)
def test_who_may_not_in_is_told_what_to_correct(
    guarded, user, password, told, sqlite_base, monkeypatch
):
    """To try again would not help: the address or the password is wrong."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    if password:
        monkeypatch.setenv("PGPASSWORD", password)
    sqlite_base.url = guarded(user, "no_such_base" if user == "tide" else "postgres")
    with pytest.raises(SourceMissing, match=told) as refused:
        sqlite_base.splits("t")
    assert refused.value.exit_code == 2
    assert "correct the user or the database" in refused.value.remedy
    assert "PGPASSFILE" in refused.value.remedy


def test_who_may_in_later_is_told_so(guarded, sqlite_base):
    """A server that has no room now, or does not run."""
    for address, told in (
        (guarded("full_up"), "too many connections"),
        ("postgresql://tide@127.0.0.1:1/base", "Connection refused"),
    ):
        sqlite_base.url = address
        with pytest.raises(ServiceUnavailable, match=told) as refused:
            sqlite_base.splits("t")
        assert refused.value.exit_code == 75
