"""Opening a store; the workspace's own is one sqlite file, whole or absent, and a folder beside."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tidemill.errors import StorageFailed
from tidemill.storage import storage_errors
from tidemill.tracking.service import (
    check_database,
    check_server,
    import_mlflow,
    is_server,
    open_client,
    service_errors,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["artifact_root", "connect", "make_store", "sqlite_path"]

_making = threading.Lock()  # Alembic keeps the migration under way in module-level state
_PORTS = {"mssql": 1433, "mysql": 3306, "postgresql": 5432}


def connect(uri: str, *, timeout_seconds: int) -> MlflowClient:
    """A client of the store at ``uri``: a sqlite store is made if absent, a server is asked once.

    Raises
    ------
    ServiceUnavailable, StorageFailed, UsageError
        See :func:`tidemill.tracking.service.service_errors`.
    """
    path = sqlite_path(uri)
    if path is not None:
        make_store(path)
    elif is_server(uri):
        check_server(uri, timeout_seconds)
    else:
        scheme, host, port = _database_server(uri)
        if host is not None and scheme in _PORTS:
            check_database(uri, host, port or _PORTS[scheme], timeout_seconds)
    with service_errors(uri, timeout_seconds=timeout_seconds):
        return open_client(uri)


def _database_server(uri: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(uri)
    return parts.scheme.partition("+")[0], parts.hostname, parts.port


def sqlite_path(uri: str) -> Path | None:
    """The file of a ``sqlite:///`` address; None for any other.

    >>> sqlite_path("sqlite:////work/mlflow.db").name
    'mlflow.db'
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except ArgumentError:  # a folder or a server
        return None
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def artifact_root(uri: str) -> str | None:
    """Where a sqlite store keeps artifacts: ``mlartifacts`` beside it; None: the server's place."""
    path = sqlite_path(uri)
    return None if path is None else (path.parent / "mlartifacts").as_uri()


def make_store(path: Path) -> None:
    """Create the sqlite store at ``path`` if it is not there (1 s).

    MLflow makes its tables by dozens of migrations, and a process that dies among them leaves
    a file that no later one can open. So they run in a file beside, renamed when it is whole.

    Raises
    ------
    StorageFailed
        If the file is no database, or the disk refuses.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _making, _folder_lock(path.parent):
            if path.exists() and path.stat().st_size:
                _check(path)
                return
            staged = path.with_name(f".{path.name}.new")
            for leftover in path.parent.glob(f".{path.name}.new*"):
                leftover.unlink()
            _initialise(staged)
            staged.rename(path)


def _initialise(path: Path) -> None:
    uri = f"sqlite:///{path}"
    stores = import_mlflow("mlflow.store.tracking.sqlalchemy_store")
    try:
        with service_errors(uri), _quiet("mlflow.store.db.utils"):
            stores.SqlAlchemyStore(uri, str(path.parent / "mlartifacts"))
    finally:
        # MLflow remembers the engine, also of a failed start: its connections would follow the
        # file, or keep a deleted one.
        engine = stores.SqlAlchemyStore._engine_map.pop(uri, None)
        if engine is not None:
            engine.dispose()


def _check(path: Path) -> None:
    """MLflow would try a damaged file for minutes; sqlite says so at once."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as exc:
        raise StorageFailed(
            f"the MLflow store at {path} cannot be opened: {exc}",
            remedy=f"make it readable and writable, or move {path.name} away to start a new one",
            path=str(path),
        ) from exc


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Keep a logger's news to itself; its warnings are shown."""
    named = logging.getLogger(logger)
    level = named.level
    named.setLevel(logging.WARNING)
    try:
        yield
    finally:
        named.setLevel(level)
