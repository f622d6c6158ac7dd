"""The one place that knows engines by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from tidemill.addresses import implementation
from tidemill.contracts import Engine
from tidemill.errors import UsageError
from tidemill.settings import Settings

__all__ = ["ENGINES", "GROUP", "open_engine"]

ENGINES = {"local": "tidemill.engines.local:LocalEngine"}
"""By name: called with ``workers`` and, by keyword, ``preload``."""

GROUP = "tidemill.engines"
"""The entry points of other packages."""


@contextmanager
def open_engine(settings: Settings, *, preload: tuple[str, ...] = ()) -> Iterator[Engine]:
    """The engine of ``settings.engine``, closed when the block ends.

    Parameters
    ----------
    settings : Settings
        ``engine`` is a name of :data:`ENGINES`, of an entry point of :data:`GROUP`, or
        ``module:Name``; ``workers`` says how many.
    preload : tuple of str
        Modules that workers may import before the first item comes.

    Raises
    ------
    UsageError
        If there is no such engine, or what is there is none.
    DependencyMissing
        If it needs a package that is not installed.
    """
    make = implementation(settings.engine, ENGINES, group=GROUP, setting="TIDEMILL_ENGINE")
    try:
        engine = make(settings.workers, preload=preload)
    except TypeError as exc:
        raise _no_engine(settings.engine, str(exc)) from exc
    if not isinstance(engine, Engine):
        raise _no_engine(settings.engine, f"it makes a {type(engine).__name__}")
    with closing(engine):
        yield engine


def _no_engine(name: str, reason: str) -> UsageError:
    return UsageError(
        f"TIDEMILL_ENGINE: {name!r} is no engine: {reason}",
        remedy="one is made with workers and preload, and has workers, map, fold, stream and "
        "close: see docs/engines.md",
        engine=name,
    )
