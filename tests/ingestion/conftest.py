"""One PostgreSQL for the room."""

from __future__ import annotations

from tidemill.testing.postgres import postgres

__all__ = ["postgres"]
