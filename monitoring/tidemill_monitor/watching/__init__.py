"""Watching: rows into windows, windows into verdicts, verdicts into alerts and decisions."""

from tidemill_monitor.watching.folds import Folds
from tidemill_monitor.watching.housekeeping import Housekeeping
from tidemill_monitor.watching.watcher import Tick, Watcher

__all__ = ["Folds", "Housekeeping", "Tick", "Watcher"]
