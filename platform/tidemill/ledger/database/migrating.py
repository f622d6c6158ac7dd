"""Bring a store to the newest revision of its tables."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from tidemill.errors import ConfigError

__all__ = ["ALEMBIC", "check_revision", "migrate"]

ALEMBIC = threading.Lock()
"""Alembic's context is one for the process: two threads at once would take each other's."""


def migrate(connection: Connection, name: str) -> None:
    """Run the migrations that the database lacks, all in one transaction.

    Parameters
    ----------
    connection : Connection
        The writer's; it holds the lock.
    name : str
        The store, for messages.

    Raises
    ------
    ConfigError
        If the store was made by a tidemill whose revision is not known here.
    """
    scripts = _scripts()
    with connection.begin():
        if not _behind(connection, scripts, name):
            return
        config = Config()
        config.attributes["connection"] = connection
        environment = EnvironmentContext(
            config,
            scripts,
            fn=lambda revision, _: scripts._upgrade_revs("head", revision),
        )
        with ALEMBIC, environment:
            scripts.run_env()


def check_revision(connection: Connection, name: str) -> None:
    """Refuse a store whose tables are not those of this tidemill.

    Raises
    ------
    ConfigError
        If they are older or newer.
    """
    if _behind(connection, _scripts(), name):
        raise ConfigError(
            f"{name} is not prepared for this version of tidemill",
            remedy="start the monitor once: it brings the store up to date",
            store=name,
        )


def _behind(connection: Connection, scripts: ScriptDirectory, name: str) -> bool:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise ConfigError(
            f"{name} was made by another version of tidemill (revision {current})",
            remedy="use that one, or let the monitor begin a store of its own: move this one away, "
            "or set TIDEMILL_MONITOR_STORE",
            store=name,
            revision=current,
        )
    return current != scripts.get_current_head()


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).with_name("migrations")))
