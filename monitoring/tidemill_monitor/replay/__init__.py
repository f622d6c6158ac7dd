"""Rows of a table played to a monitor as if they happened now: over HTTP, in event-time order."""

from tidemill_monitor.replay.player import Played, Player
from tidemill_monitor.replay.spool import Spool, spool

__all__ = ["Played", "Player", "Spool", "spool"]
