"""Map over shards: the one thing that an engine offers."""

from tidemill.engines.local import LocalEngine

__all__ = ["LocalEngine"]
