"""One PostgreSQL, one MariaDB and one server of S3 for the room, and empty databases."""

from __future__ import annotations

import pytest
from tests.ingestion.databases import Database
from tests.ingestion.mariadb import mariadb

from tidemill.testing.file_servers import s3_files
from tidemill.testing.postgres import postgres

__all__ = ["mariadb", "postgres", "s3_files"]


@pytest.fixture
def postgres_base(postgres, tmp_path):
    """A database of the room's server, which asks for no password."""
    return Database(postgres.new_database().replace("tide:tide@", "tide@"), tmp_path)


@pytest.fixture
def sqlite_base(tmp_path):
    """An empty file."""
    place = tmp_path / "base"
    place.touch()
    return Database(f"sqlite:///{place}", tmp_path)


@pytest.fixture
def mariadb_base(mariadb, tmp_path):
    """A database of the room's server, which asks for no password."""
    return Database(mariadb.new_database(), tmp_path)


@pytest.fixture(params=["sqlite", "postgres", pytest.param("mariadb", marks=pytest.mark.slow)])
def base(request):
    """An empty database of each kind."""
    return request.getfixturevalue(f"{request.param}_base")
