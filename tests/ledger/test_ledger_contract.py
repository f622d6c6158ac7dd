"""Both stores keep the ledger's contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.testing.ledgers import LedgerContract
from tidemill.testing.postgres import PostgresServer


class TestSqlite(LedgerContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'store' / 'ledger.db'}"


class TestPostgres(LedgerContract):
    @pytest.fixture
    def url(self, postgres: PostgresServer) -> str:
        return postgres.new_database()
