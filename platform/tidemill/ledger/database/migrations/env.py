"""Alembic's entry: runs the revisions on the connection that the ledger hands over."""

from __future__ import annotations

import contextlib

from alembic import context

from tidemill.ledger.database.tables import metadata


def run() -> None:
    """Run the revisions within the caller's transaction."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,
        render_as_batch=True,
    )
    context.run_migrations()


# Imported by anything but Alembic, there is no context to run in.
with contextlib.suppress(NameError):
    run()
