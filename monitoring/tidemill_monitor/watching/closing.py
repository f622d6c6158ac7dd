"""When a window is closed; pure."""

from __future__ import annotations

import datetime as dt

from tidemill.config.monitoring import WindowConfig
from tidemill.ledger import Window
from tidemill_monitor.dates import is_ahead

__all__ = ["PAUSE_SECONDS", "is_due"]

PAUSE_SECONDS = 30
"""Silence that counts as a pause of traffic, however little lateness is allowed."""


def is_due(
    window: Window,
    config: WindowConfig,
    *,
    watermark: dt.datetime | None,
    now: dt.datetime,
    serving: bool,
) -> bool:
    """Whether an open window of the whole traffic is to be closed now.

    By time: once events have come whose own time is ``lateness_seconds`` past the window's end,
    whatever the clock says (a replay of old data closes windows as live traffic does); or, where
    traffic pauses, once the clock is so far past the end and nothing came for as long. By count:
    once it is full, or the version serves no more and nothing came for ``lateness_seconds``.
    Nothing came means at least ``PAUSE_SECONDS``: the clock is past the end of every window that
    a replay of old data fills, and the moment between two of its requests ends none.

    Parameters
    ----------
    window : Window
    config : WindowConfig
    watermark : datetime or None
        The latest event time seen of the window's model version.
    now : datetime
    serving : bool
        Whether the window's version is the champion.
    """
    lateness = dt.timedelta(seconds=config.lateness_seconds)
    pause = max(lateness, dt.timedelta(seconds=PAUSE_SECONDS))
    last = window.last_received_at
    quiet = now - last >= pause or is_ahead(last, now)
    if config.by == "count":
        return window.rows >= config.rows or (quiet and not serving)
    over = window.end + lateness
    return (watermark is not None and watermark >= over) or (now >= over and quiet)
