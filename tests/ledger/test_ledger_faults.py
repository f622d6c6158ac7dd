"""A store that is locked, full, read-only, gone, damaged or of another time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.errors import Busy, ConfigError, IntegrityError, ServiceUnavailable, StorageFailed
from tidemill.ledger import Ledger, LedgerInUse
from tidemill.testing.postgres import PostgresServer
from tidemill.testing.traffic import CountingFolding, event_batch, label_batch, window_counts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with _counting(path) as ledger:
        yield ledger


def _counting(path: Path, **more: float) -> Ledger:
    url = f"sqlite:///{path}"
    return Ledger.open(url, folding=CountingFolding(), fold_seconds=0.01, **more)


def test_locked_means_busy_and_it_recovers(path):
    """While another program holds the lock callers are told to come back; then all goes on."""
    with _counting(path, busy_seconds=0.3) as ledger:
        _busy_then_well(ledger, path)


def _busy_then_well(ledger: Ledger, path: Path) -> None:
    ledger.events.append(event_batch(["a"]))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy) as caught:
        ledger.events.append(event_batch(["b"]))
    assert caught.value.fields["retry_after"] >= 1
    health = ledger.health()
    assert not health.ok
    assert "ledger.db" in health.reason
    other.execute("ROLLBACK")
    other.close()
    assert ledger.events.append(event_batch(["a", "b"])).duplicates == (0,)
    ledger.settle()
    assert [found["rows"] for found in window_counts(ledger).values()] == [2]


def test_a_full_disk_takes_nothing_half(tmp_path):
    """Refused batches are not stored, acknowledged ones are; with room it goes on by itself."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    ballast = disk / "ballast"
    try:
        with Ledger.open(f"sqlite:///{disk}/ledger.db", folding=CountingFolding()) as ledger:
            ballast.write_bytes(b"x" * (1 << 20))
            stored, refused = 0, None
            for number in range(400):
                ids = [f"{number:08d}-{i:08d}-{os.urandom(8).hex()}" for i in range(200)]
                try:
                    ledger.events.append(event_batch(ids))
                except StorageFailed as error:
                    refused = (ids, error)
                    break
                stored += 200
            assert refused is not None
            assert "retry_after" in refused[1].fields
            assert not ledger.health().ok
            ballast.unlink()
            assert ledger.events.append(event_batch(refused[0])).accepted == 200
            assert ledger.health().ok
            ledger.settle()
            assert sum(found["rows"] for found in window_counts(ledger).values()) == stored + 200
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_deleted_file_takes_no_writes(ledger, path):
    """A store that was deleted says so, rather than lose rows; put back, it goes on."""
    ledger.events.append(event_batch(["a"]))
    away = path.with_name("away.db")
    path.rename(away)
    with pytest.raises(StorageFailed, match="gone"):
        ledger.events.append(event_batch(["b"]))
    assert not ledger.health().ok
    away.rename(path)
    assert ledger.events.append(event_batch(["a", "b"])).duplicates == (0,)


def test_a_read_only_store_says_so_and_recovers(ledger):
    """What SQLite refuses as read-only is a storage failure."""
    writer = ledger._database.writer()
    ledger._writer.call(lambda _: None)
    connection = writer.connection.driver_connection
    connection.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageFailed, match="readonly"):
        ledger.events.append(event_batch(["a"]))
    assert ledger.events.append(event_batch(["a"])).accepted == 1, "a new connection may write"


def test_a_folder_without_rights_is_refused():
    """A store that cannot be made is a storage failure, not a crash."""
    with pytest.raises(StorageFailed):
        Ledger.open("sqlite:////proc/nowhere/ledger.db")


@pytest.mark.parametrize(
    "content", [b"this is no database, " * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_another_kind_of_file_is_refused(path, content):
    """A file that is no database is named, and stays as it is."""
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"ledger\.db"):
        Ledger.open(f"sqlite:///{path}")
    assert path.read_bytes()[: len(content)] == content


def test_damaged_rows_are_noticed(path):
    """One changed byte in stored rows is an integrity error, never a wrong row."""
    url = f"sqlite:///{path}"
    with Ledger.open(url) as ledger:
        ledger.events.append(event_batch([f"e{i}" for i in range(50)]))
        ledger.labels.append(label_batch([("e1", "yes")]))
    database = sqlite3.connect(path)
    (blob,) = database.execute("SELECT features FROM batches").fetchone()
    blob = blob[:40] + bytes([blob[40] ^ 1]) + blob[41:]
    database.execute("UPDATE batches SET features = ?", (blob,))
    database.commit()
    database.close()
    with Ledger.open(url) as ledger, pytest.raises(IntegrityError, match="checksum"):
        list(ledger.events.labelled())


def test_damaged_ids_are_noticed(path):
    """One changed byte among the ids is an integrity error, never a missed duplicate."""
    url = f"sqlite:///{path}"
    with Ledger.open(url, flush_ids=10) as ledger:
        ledger.events.append(event_batch([f"e{i}" for i in range(50)]))
        ledger.events.append(event_batch(["more"]))
    database = sqlite3.connect(path)
    (body,) = database.execute("SELECT body FROM id_pages").fetchone()
    database.execute("UPDATE id_pages SET body = ?", (body[:-1] + bytes([body[-1] ^ 1]),))
    database.commit()
    database.close()
    with Ledger.open(url) as ledger, pytest.raises(IntegrityError, match="damaged"):
        ledger.events.append(event_batch(["e7"]))


def test_a_store_of_another_version_is_refused(path):
    """A store of a later tidemill, or of one before its tables were settled, is not touched."""
    url = f"sqlite:///{path}"
    Ledger.open(url).close()
    database = sqlite3.connect(path)
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.close()
    for writable in (True, False):
        with pytest.raises(ConfigError, match="another version"):
            Ledger.open(url, writable=writable)


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:secret@h/d", "sqlite://", "postgresql://u:secret@h/d"]
)
def test_unknown_addresses_are_refused_and_not_repeated(url):
    """An address may hold a password: the message does not."""
    with pytest.raises(ConfigError) as caught:
        Ledger.open(url)
    assert "secret" not in str(caught.value) + str(caught.value.fields)


def test_a_fork_is_refused(ledger):
    """A forked process may not use its parent's connections."""
    child = os.fork()
    if child == 0:
        try:
            ledger.events.append(event_batch(["x"]))
        except Exception as error:
            os._exit(42 if "fork" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_a_lock_ends_with_its_process(ledger, path):
    """The second process is refused, by number; a dead one's lock holds nobody."""
    code = f"from tidemill.ledger import Ledger; Ledger.open('sqlite:///{path}')"
    environment = {**os.environ, "PYTHONPATH": "platform"}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert "LedgerInUse" in done.stderr
    assert str(os.getpid()) in done.stderr


def test_postgres_comes_back(postgres: PostgresServer):
    """When the server ends all connections nothing is lost or doubled, and the lock is retaken."""
    import psycopg

    url = postgres.new_database()
    with Ledger.open(url, folding=CountingFolding(), fold_seconds=0.01) as ledger:
        ledger.events.append(event_batch(["a"]))
        with psycopg.connect(
            host="127.0.0.1", port=postgres.port, user="tide", dbname="postgres", autocommit=True
        ) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [url.rpartition("/")[2]],
            )
        # Whoever writes first finds out: this, or the folding.
        with contextlib.suppress(ServiceUnavailable, Busy):
            ledger.events.append(event_batch(["b"]))
        assert 0 in ledger.events.append(event_batch(["a", "b"])).duplicates
        with pytest.raises(LedgerInUse):
            Ledger.open(url)
        ledger.settle()
        assert [found["rows"] for found in window_counts(ledger).values()] == [2]


def test_postgres_that_is_away_says_so():
    """Nobody at the address: the error names no password and may be retried."""
    with pytest.raises(ServiceUnavailable) as caught:
        Ledger.open("postgresql+psycopg://u:secret@127.0.0.1:9/nothing")
    assert caught.value.retryable
    assert "secret" not in str(caught.value)
