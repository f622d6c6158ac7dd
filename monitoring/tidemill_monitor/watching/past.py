"""What the rules see of the past: the newest judged windows of each segment, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.config.monitoring import MonitoringConfig
from tidemill.ledger import Ledger, Window
from tidemill_monitor.watching.incidents import Told, sees_beginning
from tidemill_monitor.watching.lookback import look_back
from tidemill_monitor.watching.stints import Stint, since_return

__all__ = ["Past", "read_past"]

_LOOK_BACK = 60


@dataclass(frozen=True, slots=True)
class Past:
    """What was read of one segment.

    Parameters
    ----------
    told : list of Told
    whole : bool
        Whether there is nothing before it: a run that begins with its first window begins there.
    """

    told: list[Told]
    whole: bool


def read_past(
    ledger: Ledger, config: MonitoringConfig, version: int, stint: Stint | None
) -> dict[str, Past]:
    """The newest windows by segment, back to where the runs of all rules begin."""

    def reaches(windows: Sequence[Window]) -> bool:
        segments = _told_of(windows).values()
        return all(sees_beginning(rule, told) for told in segments for rule in config.alerts.rules)

    def read(segment: str | None, first: int) -> dict[str, Past]:
        found = look_back(ledger, version, segment, first=first, enough=reaches)
        kept = since_return(found, stint)
        whole = len(found) < first or len(kept) < len(found)
        return {name: Past(told, whole) for name, told in _told_of(kept).items()}

    of_all = {"": Past([], whole=True), **read("", _LOOK_BACK)}
    if not config.window.segments:
        return of_all
    return {**read(None, _LOOK_BACK * config.window.max_segments), "": of_all[""]}


def _told_of(windows: Sequence[Window]) -> dict[str, list[Told]]:
    """What the rules see of windows, by segment, oldest first; given newest first."""
    found: dict[str, list[Told]] = {}
    for window in reversed(windows):
        if window.verdict is not None:
            measured = bool(window.summary.get("measured"))
            told = Told(window.id, window.verdict, window.sentence, measured, window.judged_at)
            found.setdefault(window.segment, []).append(told)
    return found
