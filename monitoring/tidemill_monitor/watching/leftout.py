"""Told: that rows or labels are durable and could not be folded, so that verdicts lack them."""

from __future__ import annotations

import datetime as dt

from tidemill.ledger import Alert, Ledger, LeftOut
from tidemill_monitor.watching.alerting import Alerting

__all__ = ["follow_left_out", "left_out_sentence"]

_NOTE = "leftout/run"
_QUIET = dt.timedelta(hours=1)
"""So long after the last of them the trouble is over."""


def follow_left_out(ledger: Ledger, alerting: Alerting, now: dt.datetime) -> list[Alert]:
    """Raise, count or resolve the alert about what could not be folded; those that changed.

    A run begins with the first that cannot be folded and is over an hour after the last; it is
    kept in the ledger, so that a restart neither tells it again nor forgets it.
    """
    count = ledger.left_out()
    total = count.rows + count.labels
    known = ledger.notes.get(_NOTE) or {"total": 0, "since": None, "last": None}
    if total > known["total"]:
        running = known["last"] and now - dt.datetime.fromisoformat(known["last"]) < _QUIET
        since = known["since"] if running else now.isoformat()
        known = {"total": total, "since": since, "last": now.isoformat()}
        ledger.notes.put(_NOTE, known, now)
        return alerting.stand("unfolded", since, left_out_sentence(count), now, more=True)
    if known["last"] is None:
        return []
    over = now - dt.datetime.fromisoformat(known["last"]) >= _QUIET
    sentence = None if over else left_out_sentence(count)
    return alerting.stand("unfolded", known["since"], sentence, now)


def left_out_sentence(count: LeftOut) -> str:
    """What could not be folded, for people; empty if nothing."""
    found = [
        f"{number:,} {name if number != 1 else name[:-1]}"
        for number, name in ((count.rows, "rows"), (count.labels, "labels"))
        if number
    ]
    if not found:
        return ""
    verb = "is" if count.rows + count.labels == 1 else "are"
    return (
        f"{' and '.join(found)} {verb} stored and could not be folded: windows and verdicts are "
        "without them; the monitor's log says why."
    )
