"""The contract of sources, kept by tables of SQLite, a real PostgreSQL and a real MariaDB."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tidemill.config import DatasetConfig
from tidemill.ingestion.sources.sql.sql_source import SqlSource
from tidemill.testing.sources import SourceContract


class OfATable(SourceContract):
    """Pieces are rows of one table, told apart by its key."""

    format = "sql"
    url: str

    @pytest.fixture(autouse=True)
    def base(self, tmp_path):
        """An empty database."""
        raise NotImplementedError

    def open(self, folder, source="rides"):
        address = f"{self.url}#{'rides' if source == '.' else source}"
        dataset = DatasetConfig(source=address, format="sql", target="number", key="number")
        return SqlSource(dataset, folder)

    def write(self, folder, name, rows):
        """A name has a range of keys of its own, but for the one that a test repeats."""
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execute(
                sa.text("CREATE TABLE IF NOT EXISTS pieces (name text, word text, number integer)")
            )
            connection.execute(sa.text("DROP VIEW IF EXISTS rides"))
            connection.execute(sa.text("CREATE VIEW rides AS SELECT word, number FROM pieces"))
            connection.execute(sa.text("DELETE FROM pieces WHERE name = :name"), {"name": name})
            if rows:
                connection.execute(
                    sa.text("INSERT INTO pieces VALUES (:name, :word, :number)"),
                    [{"name": name, "word": word, "number": number} for word, number in rows],
                )


class TestSqlite(OfATable):
    """SQLite keeps the contract."""

    @pytest.fixture(autouse=True)
    def base(self, tmp_path):
        """A file beside what a test writes."""
        place = tmp_path / "base"
        place.touch()
        self.url = f"sqlite:///{place}"


class TestPostgres(OfATable):
    """PostgreSQL keeps the contract."""

    @pytest.fixture(autouse=True)
    def base(self, postgres):
        """A database of the room's server, which asks for no password."""
        self.url = postgres.new_database().replace("tide:tide@", "tide@")


@pytest.mark.slow
class TestMariaDB(OfATable):
    """MariaDB keeps the contract."""

    @pytest.fixture(autouse=True)
    def base(self, mariadb):
        """A database of the room's server, which asks for no password."""
        self.url = mariadb.new_database()
