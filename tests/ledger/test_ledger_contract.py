"""Both stores keep the ledger's contract."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tidemill.ledger import Ledger
from tidemill.ledger.database import tables
from tidemill.testing.ledgers import LedgerContract, fire_decision
from tidemill.testing.postgres import PostgresServer
from tidemill.testing.traffic import empty_store


class StoreContract(LedgerContract):
    """What is asked of the database itself."""

    def test_the_constraint_is_the_databases_own(self, opened):
        """Even a writer that forgets to ask cannot open a second decision."""
        ledger = opened(folding=None)
        fire_decision(ledger)
        with ledger._database.read() as connection:
            row = connection.execute(sa.select(tables.decisions)).one()._asdict()
        del row["id"]
        insert = sa.insert(tables.decisions).values(**row)
        with pytest.raises(Exception, match=r"(?i)unique"):
            ledger._writer.call(lambda commit: commit.connection.execute(insert))

    def test_migrations_make_the_tables(self, opened):
        """The revisions leave exactly what the code expects."""
        with opened()._database.read() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, tables.metadata) == []


class TestSqlite(StoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        store = tmp_path / "ledger.db"
        store.write_bytes(empty_store())
        return f"sqlite:///{store}"


def sqlite_schema(store: Path) -> list[tuple[str, ...]]:
    """Kind, name and statement of all tables, with their columns, and of all indexes."""
    query = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    with closing(sqlite3.connect(store)) as connection:
        return connection.execute(query).fetchall()


def test_a_new_store_has_the_tables_of_the_ready_one(tmp_path):
    """Where there is neither a file nor a folder for it."""
    new, ready = tmp_path / "store" / "ledger.db", tmp_path / "ready.db"
    Ledger.open(f"sqlite:///{new}").close()
    ready.write_bytes(empty_store())
    made = sqlite_schema(new)
    assert made == sqlite_schema(ready)
    assert {name for kind, name, _ in made if kind == "table"} > set(tables.metadata.tables)


@pytest.mark.slow
class TestPostgres(StoreContract):
    @pytest.fixture
    def url(self, postgres: PostgresServer) -> str:
        return postgres.new_database()
