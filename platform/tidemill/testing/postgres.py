"""A real PostgreSQL for tests, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tidemill.testing.tcp_ports import free_ports

__all__ = ["PostgresServer", "find_postgres", "postgres", "postgres_server"]

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "fsync": "off",  # tests kill its clients, never the machine
}


class PostgresServer:
    """A running server.

    Parameters
    ----------
    port : int
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, database: str) -> str:
        """The address of a database, for SQLAlchemy."""
        return f"postgresql+psycopg://tide:tide@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; returns its address."""
        import psycopg

        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="tide", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def find_postgres() -> Path | None:
    """The folder of initdb and pg_ctl, or None."""
    folders = [Path(found).parent for name in ("initdb",) if (found := shutil.which(name))]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "pg_ctl").exists()), None)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server with its data in a folder of its own; both end with the block.

    Run as root, the server gets the rights of nobody: it refuses to be root.
    """
    programs = find_postgres()
    if programs is None:
        raise FileNotFoundError("initdb")
    folder = Path(tempfile.mkdtemp(prefix="tidemill-postgres-"))
    prefix: list[str] = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(folder, "nobody", "nogroup")
    try:
        with _running(programs, folder, prefix) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(programs: Path, folder: Path, prefix: list[str]) -> Iterator[PostgresServer]:
    data, (port,) = folder / "data", free_ports(1)
    _run(
        [
            *prefix,
            str(programs / "initdb"),
            "-D",
            str(data),
            "-U",
            "tide",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
        ],
        folder,
    )
    options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in _SETTINGS.items())
    control = [*prefix, str(programs / "pg_ctl"), "-D", str(data), "-w", "-t", "60"]
    start = ["-l", str(folder / "log"), "-o", f"-p {port} {options}", "start"]
    _run([*control, *start], folder)
    try:
        yield PostgresServer(port)
    finally:
        _run([*control, "-m", "immediate", "stop"], folder)


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(  # noqa: S603 - programs of the installation
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        log = folder / "log"
        raise RuntimeError(done.stdout + (log.read_text() if log.exists() else ""))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One running server for all tests of a room whose conftest imports this."""
    if find_postgres() is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    with postgres_server() as server:
        yield server
