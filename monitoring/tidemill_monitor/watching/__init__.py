"""Watching: rows into windows, windows into verdicts, verdicts into alerts and decisions."""

from tidemill_monitor.watching.folding import Folds
from tidemill_monitor.watching.watcher import Tick, Watcher

__all__ = ["Folds", "Tick", "Watcher"]
