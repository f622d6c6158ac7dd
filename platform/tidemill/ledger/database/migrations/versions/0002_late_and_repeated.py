"""Which rows came after their window was closed, and which events a request sent again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_late_and_repeated"
down_revision = "0001_incidents"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is not known of rows that are there: nothing is said of them."""
    op.add_column("batches", sa.Column("late", sa.LargeBinary(), nullable=True))
    op.add_column("arrivals", sa.Column("repeats", sa.LargeBinary(), nullable=True))
