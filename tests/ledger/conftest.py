"""One PostgreSQL for all tests of the ledger, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidemill.testing.postgres import PostgresServer, find_postgres, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server."""
    if find_postgres() is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    with postgres_server() as server:
        yield server
