"""Both stores keep the ledger's contract."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

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


@pytest.mark.slow
class TestPostgres(StoreContract):
    @pytest.fixture
    def url(self, postgres: PostgresServer) -> str:
        return postgres.new_database()
