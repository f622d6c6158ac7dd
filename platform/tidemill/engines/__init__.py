"""Engines: one function over many items, in this process, in a pool, or elsewhere."""

from tidemill.engines.local import LocalEngine
from tidemill.engines.one_thread import one_thread
from tidemill.engines.opening import ENGINES, open_engine

__all__ = ["ENGINES", "LocalEngine", "one_thread", "open_engine"]
