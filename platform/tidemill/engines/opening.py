"""The one place that knows engines by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from tidemill.addresses import Implementations
from tidemill.contracts import Engine
from tidemill.engines.elsewhere import ElsewhereEngine
from tidemill.errors import UsageError
from tidemill.settings import Settings

__all__ = ["ENGINES", "open_engine"]

ENGINES: Implementations[type[Engine]] = Implementations(
    {
        "local": "tidemill.engines.local:LocalEngine",
        "dask": "tidemill.engines.dask:DaskEngine",
        "spark": "tidemill.engines.spark:SparkEngine",
    },
    port=Engine,
    group="tidemill.engines",
    setting="TIDEMILL_ENGINE",
)
"""By name: made with ``workers`` and, by keyword, ``preload``; and ``address``, if one is told."""


@contextmanager
def open_engine(
    settings: Settings, *, preload: tuple[str, ...] = (), store: str | None = None
) -> Iterator[Engine]:
    """The engine of ``settings.engine``, closed when the block ends.

    Parameters
    ----------
    settings : Settings
        ``engine`` is a name of :data:`ENGINES`, or ``module:Name``, with ``://ADDRESS`` behind it
        where it runs elsewhere; ``workers`` says how many.
    preload : tuple of str
        Modules that workers may import before the first item comes.
    store : str or None
        The address of the store that the work lies in. The workers of an engine elsewhere (with
        an address) run nothing before they have seen it: ``StoreUnseen``.

    Raises
    ------
    UsageError
        If there is no such engine, or what is there is none.
    DependencyMissing
        If it needs a package that is not installed.
    """
    known = ENGINES.named_by(settings.engine_setting)
    name, behind, address = settings.engine.partition("://")
    if behind and (not address or name == "local"):
        what = "no address is behind it" if not address else "it takes no address"
        raise UsageError(
            f"{settings.engine_setting}: {settings.engine}: {what}",
            remedy=f"write {name}, which starts workers on this machine (TIDEMILL_WORKERS says how "
            f"many){'' if name == 'local' else f', or {name}://HOST:PORT'}",
            setting=settings.engine_setting,
        )
    place = {"address": address} if address else {}
    engine: Engine = known.made(name, settings.workers, preload=preload, **place)
    opened = ElsewhereEngine(engine, store) if address else engine
    with closing(opened):
        yield opened
