"""Messages of one incident go out in order: the outbox knows which belong together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tidemill.ledger.database.column_types import Document

revision = "0003_outbox_series"
down_revision = "0002_late_and_repeated"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and fill it for what has not been told yet."""
    op.add_column("outbox", sa.Column("series", sa.Text(), nullable=True))
    op.create_index(op.f("ix_outbox_series"), "outbox", ["series", "target"], unique=False)
    outbox = sa.table(
        "outbox",
        sa.column("id"),
        sa.column("payload", Document()),
        sa.column("state"),
        sa.column("series"),
    )
    connection = op.get_bind()
    waiting = outbox.c.state.in_(("pending", "leased", "dead"))
    for number, payload in connection.execute(
        sa.select(outbox.c.id, outbox.c.payload).where(waiting)
    ).all():
        data = payload.get("data") if isinstance(payload, dict) else None
        incident = data.get("incident") if isinstance(data, dict) else None
        if incident:
            filled = sa.update(outbox).where(outbox.c.id == number).values(series=str(incident))
            connection.execute(filled)
