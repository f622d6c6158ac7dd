"""The database behind the ledger: connections, the writer's lock, migrations."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine

from tidemill.errors import ConfigError, StorageFailed, TidemillError
from tidemill.ledger.database.ledger_errors import database_errors
from tidemill.ledger.database.locks import file_lock, hold_advisory_lock
from tidemill.storage import FileLock

__all__ = ["Database"]

_PAGE_BYTES = 8192


class Database:
    """Two pools of connections to one database: many that read, one that writes.

    Parameters
    ----------
    url : str
        ``sqlite:////path`` or ``postgresql+psycopg://...``.
    writable : bool
        Take the writer's lock; without it only :meth:`read` works.
    busy_seconds : float
        How long another program's lock, and a connection, are waited for.

    Raises
    ------
    ConfigError
        If the address is none of the two.
    LedgerInUse
        If another process writes to this store.
    StorageFailed, ServiceUnavailable
        If the store cannot be reached.
    """

    def __init__(self, url: str, *, writable: bool, busy_seconds: float = 5.0) -> None:
        self.url = _parsed(url)
        self.name = self.url.render_as_string(hide_password=True)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self.path = Path(self.url.database or "") if self.sqlite else None
        self._pid = os.getpid()
        self._identity: tuple[int, int] | None = None
        self._lock: FileLock | None = None
        if self.path is not None:
            self.name = str(self.path)
            self._lock = _file_lock(self.path) if writable else None
        engine = partial(_engine, self.url, self.path, busy_seconds)
        self._reads = engine(writing=False)
        self._writes = engine(writing=True) if writable else None
        self._checkpoints = engine(writing=True, begins=False)
        self._writer: Connection | None = None
        self._closing = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state; give it back soon.

        Raises
        ------
        StorageFailed, Busy, IntegrityError, ServiceUnavailable
            What the database said, translated.
        """
        self._guard()
        with database_errors(self.name), self._reads.connect() as connection:
            yield connection

    def writer(self) -> Connection:
        """The one connection that writes, opened (and locked) anew after it broke."""
        self.check_writable()
        with database_errors(self.name):
            if self._writer is not None and not self._writer.invalidated:
                self._same_file()
                return self._writer
            self.drop_writer()
            self._same_file()
            connection = self._writes.connect()  # type: ignore[union-attr]
            if not self.sqlite:
                try:
                    hold_advisory_lock(connection, self.name)
                except TidemillError:
                    connection.close()
                    raise
            self._writer = connection
        return connection

    def check_writable(self) -> None:
        """Refuse to write where the store was opened for reading, or by another process.

        Raises
        ------
        ConfigError, TidemillError
            One of the two.
        """
        self._guard()
        if self._writes is None:
            raise ConfigError(
                f"{self.name} was opened for reading only",
                remedy="ask the running monitor to do this, or stop it first",
            )

    def drop_writer(self) -> None:
        """Forget the writing connection; the next :meth:`writer` opens another."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                writer.invalidate()
                writer.close()
            except sa.exc.SQLAlchemyError:  # it was broken: that is why it goes
                return

    def wal_bytes(self) -> int:
        """Size of SQLite's log of what is committed and not in the main file yet."""
        if self.path is None:
            return 0
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except OSError:
            return 0

    def checkpoint(self) -> None:
        """Move what is committed from SQLite's log to its main file, beside the writer."""
        if self._writes is None or self.path is None:
            return
        with database_errors(self.name), self._checkpoints.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def remember_file(self) -> None:
        """Note which file is open, so that its disappearance is noticed."""
        if self.path is not None:
            status = self.path.stat()
            self._identity = (status.st_dev, status.st_ino)

    def close(self) -> None:
        """Close all connections and give the lock back."""
        with self._closing:
            self.drop_writer()
            self._reads.dispose()
            self._checkpoints.dispose()
            if self._writes is not None:
                self._writes.dispose()
            if self._lock is not None:
                self._lock.release()

    def _guard(self) -> None:
        if os.getpid() != self._pid:
            raise TidemillError(
                f"{self.name} was opened by process {self._pid} and is used by its fork",
                remedy="open the ledger in the process that uses it",
            )

    def _same_file(self) -> None:
        # A deleted file still takes writes, and loses them all when it is closed.
        if self.path is None or self._identity is None:
            return
        try:
            status = self.path.stat()
        except FileNotFoundError:
            status = None
        if status is None or (status.st_dev, status.st_ino) != self._identity:
            raise StorageFailed(
                f"{self.path} is gone, or another file lies in its place",
                remedy="put the file back, or restart the monitor to begin a new store",
                path=str(self.path),
                retry_after=5,
            )


def _parsed(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as exc:
        raise _bad_address() from exc
    known = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
    if parsed.drivername not in known:
        raise _bad_address(parsed.drivername)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise _bad_address("sqlite without a file")
    return parsed


def _bad_address(what: str = "it") -> ConfigError:
    # The address may hold a password: it is never repeated.
    return ConfigError(
        f"the store's address is not understood: {what}",
        remedy="use sqlite:////folder/ledger.db or postgresql+psycopg://user@host/database",
    )


def _file_lock(path: Path) -> FileLock:
    with database_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        return file_lock(path.with_name(path.name + ".lock"), str(path))


def _engine(
    url: URL, path: Path | None, busy_seconds: float, *, writing: bool, begins: bool = True
) -> Engine:
    size = {"pool_size": 1, "max_overflow": 0} if writing else {"pool_size": 8, "max_overflow": 32}
    if path is None:
        engine = sa.create_engine(
            url,
            **size,
            pool_timeout=busy_seconds,
            pool_pre_ping=not writing,
            connect_args={
                "connect_timeout": 5,
                "application_name": "tidemill-ledger",
                "client_encoding": "utf8",
            },
        )
        event.listen(engine, "connect", _prepare_postgres)
        return engine
    engine = sa.create_engine(
        url,
        **size,
        poolclass=sa.pool.QueuePool,
        pool_timeout=busy_seconds,
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_writing if writing else _prepare_reading)
    if begins:
        event.listen(engine, "begin", _begin_writing if writing else _begin_reading)
    return engine


def _prepare_writing(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    for pragma in (
        f"page_size={_PAGE_BYTES}",
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-32768",
        "wal_autocheckpoint=0",  # the keeper does it, so that no commit waits for it
        "journal_size_limit=134217728",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_reading(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    for pragma in ("query_only=ON", "cache_size=-4096"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgres(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        cursor.execute("SET lock_timeout = '5s'")
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
