"""When a window is closed; pure."""

from __future__ import annotations

import datetime as dt

from tidemill.config.monitoring import WindowConfig
from tidemill.ledger import Window

__all__ = ["is_due"]


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
    quiet = now - window.last_received_at >= lateness
    if config.by == "count":
        return window.rows >= config.rows or (quiet and not serving)
    over = window.end + lateness
    return (watermark is not None and watermark >= over) or (now >= over and quiet)
