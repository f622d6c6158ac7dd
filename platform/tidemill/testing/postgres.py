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
    data : Path
        Its folder; those beside it are its standbys'.
    """

    def __init__(self, port: int, data: Path) -> None:
        self.port, self.data = port, data

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

    @contextmanager
    def standby(self) -> Iterator[PostgresServer]:
        """Another server that follows this one and is read from, as long as the block lasts."""
        programs, data = _programs(), self.data.with_name(f"standby-{uuid.uuid4().hex}")
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "tide", "-c", "fast", "-R"]
        # Links to some of the programs may lie elsewhere than they do.
        copier = (programs / "initdb").resolve().with_name("pg_basebackup")
        base = [str(copier), "-D", str(data), *options]
        _run([*_rights(), *base], self.data.parent)
        with _started(programs, data) as server:
            yield server


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
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="tidemill-postgres-"))
    if rights := _rights():
        shutil.chown(folder, "nobody", "nogroup")
    data = folder / "data"
    options = ["-U", "tide", "-A", "trust", "-N", "-E", "UTF8"]
    try:
        _run([*rights, str(programs / "initdb"), "-D", str(data), *options], folder)
        with _started(programs, data) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    programs = find_postgres()
    if programs is None:
        raise FileNotFoundError("initdb")
    return programs


def _rights() -> list[str]:
    """What a command of the server's begins with: run as root it is nobody."""
    if os.geteuid():
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@contextmanager
def _started(programs: Path, data: Path) -> Iterator[PostgresServer]:
    """A server of a folder that is there."""
    folder, (port,) = data.parent, free_ports(1)
    options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in _SETTINGS.items())
    control = [*_rights(), str(programs / "pg_ctl"), "-D", str(data), "-w", "-t", "60"]
    start = ["-l", f"{data}.log", "-o", f"-p {port} {options}", "start"]
    _run([*control, *start], folder)
    try:
        yield PostgresServer(port, data)
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
        logs = (log.read_text() for log in sorted(folder.glob("*.log")))
        raise RuntimeError("".join((done.stdout, *logs)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One running server for all tests of a room whose conftest imports this."""
    if find_postgres() is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    with postgres_server() as server:
        yield server
