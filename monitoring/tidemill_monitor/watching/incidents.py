"""When a run of verdicts becomes an incident, and when the incident is over; pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.config.monitoring import AlertRule, Silence

__all__ = ["Incident", "Told", "incident", "is_over", "is_silent", "sees_beginning"]

_CONFIRMED, _SUSPECTED, _BROKEN = "confirmed harm", "suspected harm", "broken feed"


@dataclass(frozen=True, slots=True)
class Told:
    """A closed window of which something was concluded, as the rules see it.

    Parameters
    ----------
    window_id : int
    verdict, sentence : str
    measured : bool
        Whether labels told the verdict, rather than an estimate.
    """

    window_id: int
    verdict: str
    sentence: str
    measured: bool


@dataclass(frozen=True, slots=True)
class Incident:
    """Trouble that a rule wants told, once.

    Parameters
    ----------
    key : str
        The same whenever and however often the same trouble is found.
    rule, severity, segment, sentence : str
    window_id : int
        The newest window with such a verdict.
    channels : tuple of str
        Empty: all.
    """

    key: str
    rule: str
    severity: str
    segment: str
    sentence: str
    window_id: int
    channels: tuple[str, ...]


def incident(rule: AlertRule, segment: str, windows: Sequence[Told]) -> Incident | None:
    """What ``rule`` finds at the end of the windows of one segment, the oldest first.

    The windows must be in a row: the last ``rule.windows`` of those that can speak (see
    :func:`is_over`) have a verdict that the rule names. The key names the first window of the
    whole run, so a run that goes on stays one incident.

    >>> rule = AlertRule(name="harm", on=("confirmed harm",))
    >>> incident(rule, "", [Told(7, "confirmed harm", "f fell.", True)]).key
    'harm//7'
    """
    run = _run(rule, windows)
    named = [window for window in run if window.verdict in rule.on]
    if not named or len(run) < rule.windows or run[-1].verdict not in rule.on:
        return None
    return Incident(
        key=f"{rule.name}/{segment}/{run[0].window_id}",
        rule=rule.name,
        severity=rule.severity,
        segment=segment,
        sentence=named[-1].sentence,
        window_id=named[-1].window_id,
        channels=rule.channels,
    )


def is_over(rule: AlertRule, windows: Sequence[Told]) -> bool:
    """Whether the newest window that can speak says that the trouble of ``rule`` is gone.

    A broken feed says nothing about harm; a window without labels cannot deny harm that labels
    confirmed, because an estimate does not see it; and confirmed harm does not end suspicion.
    Without any window that can speak, nothing is over.
    """
    return bool(_speaking(rule, windows)) and not _run(rule, windows)


def sees_beginning(rule: AlertRule, windows: Sequence[Told]) -> bool:
    """Whether ``windows`` reach back beyond the run of ``rule``, so that its key is certain."""
    return len(_run(rule, windows)) < len(_speaking(rule, windows))


def is_silent(silences: Sequence[Silence], rule: str, now: dt.datetime) -> bool:
    """Whether nobody is to be notified by ``rule`` now; times without a zone are UTC."""
    return any(
        _utc(silence.start) <= now < _utc(silence.end)
        and (not silence.rules or rule in silence.rules)
        for silence in silences
    )


def _run(rule: AlertRule, windows: Sequence[Told]) -> list[Told]:
    """The unbroken run of trouble at the end of the windows that can speak."""
    run: list[Told] = []
    for window in reversed(_speaking(rule, windows)):
        if window.verdict not in _keeping(rule):
            break
        run.append(window)
    return run[::-1]


def _speaking(rule: AlertRule, windows: Sequence[Told]) -> list[Told]:
    keeping = _keeping(rule)
    return [w for w in windows if w.verdict in keeping or _can_deny(rule, w)]


def _can_deny(rule: AlertRule, window: Told) -> bool:
    harm = {_CONFIRMED, _SUSPECTED} & set(rule.on)
    if harm and window.verdict == _BROKEN:
        return False
    return window.measured or _CONFIRMED not in rule.on


def _keeping(rule: AlertRule) -> set[str]:
    return {*rule.on, _CONFIRMED} if _SUSPECTED in rule.on else set(rule.on)


def _utc(at: dt.datetime) -> dt.datetime:
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
