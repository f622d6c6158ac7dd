"""One PostgreSQL for all tests of the ledger, where it is installed."""

from tidemill.testing.postgres import postgres

__all__ = ["postgres"]
