"""Who alters a table of PostgreSQL's that is read alters no cell of ours, and gets his turn."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from tests.ingestion.databases import alone, numbered, read

from tidemill.errors import ServiceUnavailable, SourceUnreadable
from tidemill.ingestion.sources.sql.arrow_rows import arrow_rows
from tidemill.ingestion.sources.sql.snapshot import open_snapshot

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"


def wait_for_one(base, over):
    """Until somebody waits for the table, or all is over."""
    while not over.is_set() and alone(base, WAITING) == [(0,)]:
        time.sleep(0.01)


@contextmanager
def altered_once_awaited(base, change):
    """Another session has altered the table, and commits as soon as who reads waits for that."""
    over = threading.Event()
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(base.url.replace("+psycopg", "")) as writer,
    ):
        writer.execute(change)
        done = pool.submit(lambda: (wait_for_one(base, over), writer.commit()))
        try:
            yield
        finally:
            over.set()
            done.result()


CHANGES = {
    "a column of that name": "ALTER TABLE t DROP n, ADD n integer DEFAULT 99",
    "a type, all rows written anew": "ALTER TABLE t ALTER n TYPE bigint USING n + 1",
    "rows": "TRUNCATE t; INSERT INTO t VALUES (7, 7)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_was_altered_while_we_waited_is_another(postgres_base, change):
    """To who reads a range, and to who lists: never rows of one moment by another's columns."""
    numbered(postgres_base, 50)
    source, before = postgres_base.splits("t")
    whole = source.find("dataset.source")
    with (
        altered_once_awaited(postgres_base, CHANGES[change]),
        source.one_state(whole, tuple(before)),
    ):
        found = source.split(*whole)
    assert found != before
    assert found == postgres_base.splits("t")[1]
    postgres_base.run("DROP TABLE t")
    numbered(postgres_base, 50)
    source, before = postgres_base.splits("t")
    with (
        altered_once_awaited(postgres_base, CHANGES[change]),
        pytest.raises(SourceUnreadable, match="has not the rows any more"),
    ):
        read(source, before[0])


def test_who_is_about_to_alter_a_table_gets_his_turn(postgres_base):
    """He waits for our first connection, and our second for him: of that the server sees a half."""
    numbered(postgres_base, 50)
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with open_snapshot(postgres_base.url, postgres_base.root) as snapshot:
            snapshot.records("SELECT count(*) FROM t")
            altered = pool.submit(alone, postgres_base, "ALTER TABLE t ADD more integer")
            wait_for_one(postgres_base, over)
            with pytest.raises(ServiceUnavailable, match="about to alter what is read") as told:
                list(arrow_rows(snapshot, "SELECT n FROM t", {}, rows=10))
        altered.result()
    assert (told.value.exit_code, told.value.retryable) == (75, True)
