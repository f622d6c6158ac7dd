"""A real MariaDB, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from contextlib import closing, contextmanager
from pathlib import Path

import pymysql
import pytest

from tidemill.testing.tcp_ports import free_ports

SETTINGS = (
    "--bind-address=127.0.0.1",
    "--innodb-buffer-pool-size=32M",
    "--innodb-flush-log-at-trx-commit=0",  # tests kill its clients, never the machine
    "--skip-log-bin",
    "--skip-name-resolve",
)


class MariaServer:
    """A running server."""

    def __init__(self, port):
        self.port = port

    def run(self, *statements):
        """Run statements as the owner."""
        for statement in statements:
            self.ask(statement)

    def ask(self, statement):
        """The records of a statement, asked as the owner."""
        place = {"host": "127.0.0.1", "port": self.port, "user": "root", "autocommit": True}
        with closing(pymysql.connect(**place)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def new_database(self):
        """Make an empty database; returns its address."""
        name = f"t{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{name}"


@contextmanager
def mariadb_server():
    """A server with its data in a folder of its own; both end with the block."""
    folder = Path(tempfile.mkdtemp(prefix="tidemill-mariadb-"))
    prefix = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(folder, "nobody", "nogroup")
    (port,) = free_ports(1)
    data, log = f"--datadir={folder / 'data'}", (folder / "log").open("w")
    make = ["mariadb-install-db", "--no-defaults", data, "--skip-test-db"]
    with log:
        subprocess.run(
            [*prefix, *make, "--auth-root-authentication-method=normal"],
            cwd=folder,
            stdout=log,
            stderr=log,
            check=True,
        )
        places = [f"--port={port}", f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}"]
        process = subprocess.Popen(
            [*prefix, shutil.which("mariadbd"), "--no-defaults", data, *places, *SETTINGS],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        server = MariaServer(port)
        until = time.monotonic() + 60
        while True:
            try:
                server.run("SELECT 1")
                break
            except pymysql.OperationalError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((folder / "log").read_text()) from None
                time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb():
    """One running server for all tests of a room whose conftest imports this."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("MariaDB's server is not installed")
    with mariadb_server() as server:
        yield server
