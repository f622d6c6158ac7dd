"""When a run of verdicts becomes an incident, and when the incident is over; pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.config.monitoring import AlertRule, Silence
from tidemill.schema import Verdict

__all__ = [
    "Incident",
    "PastIncident",
    "Told",
    "ended",
    "incident",
    "is_over",
    "sees_beginning",
    "silent_until",
]


@dataclass(frozen=True, slots=True)
class Told:
    """A closed window of which something was concluded, as the rules see it.

    Parameters
    ----------
    window_id : int
    verdict, sentence : str
    measured : bool
        Whether labels told the verdict, rather than an estimate.
    judged_at : datetime or None
    """

    window_id: int
    verdict: str
    sentence: str
    measured: bool
    judged_at: dt.datetime | None = None


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


@dataclass(frozen=True, slots=True)
class PastIncident:
    """An incident that is over.

    Parameters
    ----------
    incident : Incident
    first, last : int
        Its first and last window of trouble.
    judged_at : datetime or None
        When the last of these was judged.
    """

    incident: Incident
    first: int
    last: int
    judged_at: dt.datetime | None


def incident(rule: AlertRule, segment: str, windows: Sequence[Told]) -> Incident | None:
    """What ``rule`` finds at the end of the windows of one segment, the oldest first.

    The windows must be in a row: the last ``rule.windows`` of those that can speak (see
    :func:`is_over`) have a verdict that the rule names. The key names the first window of the
    whole run, so a run that goes on stays one incident; fewer than ``rule.calm`` windows that
    deny it do not end the run, so a verdict that flaps is one incident too.

    >>> rule = AlertRule(name="harm", on=(Verdict.CONFIRMED_HARM,))
    >>> incident(rule, "", [Told(7, Verdict.CONFIRMED_HARM, "f fell.", True)]).key
    'harm//7'
    """
    keeping, speaking = _keeping(rule), _speaking(rule, windows)
    newest = speaking[-rule.windows :]
    unbroken = len(newest) == rule.windows and all(w.verdict in keeping for w in newest)
    if not unbroken or newest[-1].verdict not in rule.on:
        return None
    run = speaking[_beginning(rule, speaking)[0] :]
    return _incident(rule, segment, run[0], newest[-1])


def ended(
    rule: AlertRule, segment: str, windows: Sequence[Told], *, whole: bool = False
) -> list[PastIncident]:
    """Incidents that began and were over within ``windows``, the oldest first.

    Where many windows are judged at once, the newest of them alone do not tell these.

    Parameters
    ----------
    whole : bool
        Whether no window was before: else a run whose beginning is not seen is left out.

    >>> rule = AlertRule(name="harm", on=(Verdict.CONFIRMED_HARM,), calm=1)
    >>> worse = Told(7, Verdict.CONFIRMED_HARM, "f fell.", True)
    >>> windows = [worse, Told(8, Verdict.HEALTHY, "", True)]
    >>> [run.incident.key for run in ended(rule, "", windows, whole=True)]
    ['harm//7']
    >>> ended(rule, "", windows)
    []
    """
    keeping, found = _keeping(rule), []
    run: list[Told] = []
    streak = quiet = 0
    told, seen = None, whole
    for window in _speaking(rule, windows):
        if window.verdict in keeping:
            run.append(window)
            streak, quiet = streak + 1, 0
            if streak >= rule.windows and window.verdict in rule.on:
                told = window
            continue
        streak, quiet = 0, quiet + 1
        if quiet == rule.calm:
            if told is not None and seen:
                this = _incident(rule, segment, run[0], told)
                judged = max((w.judged_at for w in run if w.judged_at), default=None)
                found.append(PastIncident(this, run[0].window_id, run[-1].window_id, judged))
            run, told, seen = [], None, True
    return found


def is_over(rule: AlertRule, windows: Sequence[Told]) -> bool:
    """Whether the newest windows that can speak, ``rule.calm`` of them, say that it is gone.

    A broken feed says nothing about harm; a window without labels cannot deny harm that labels
    confirmed, because an estimate does not see it; and confirmed harm does not end suspicion.
    Without so many windows that can speak, nothing is over.
    """
    keeping, newest = _keeping(rule), _speaking(rule, windows)[-rule.calm :]
    return len(newest) == rule.calm and all(w.verdict not in keeping for w in newest)


def sees_beginning(rule: AlertRule, windows: Sequence[Told]) -> bool:
    """Whether ``windows`` reach back beyond the run of ``rule``, so that its key is certain."""
    return _beginning(rule, _speaking(rule, windows))[1]


def silent_until(silences: Sequence[Silence], rule: str, now: dt.datetime) -> dt.datetime:
    """From when on ``rule`` may notify: ``now`` where no silence holds it back.

    Silences that overlap or follow each other are one; times without a zone are UTC.
    """
    until = now
    of_rule = [s for s in silences if not s.rules or rule in s.rules]
    for silence in sorted(of_rule, key=lambda s: _utc(s.start)):
        if _utc(silence.start) <= until < _utc(silence.end):
            until = _utc(silence.end)
    return until


def _incident(rule: AlertRule, segment: str, first: Told, told: Told) -> Incident:
    return Incident(
        key=f"{rule.name}/{segment}/{first.window_id}",
        rule=rule.name,
        severity=rule.severity,
        segment=segment,
        sentence=told.sentence,
        window_id=told.window_id,
        channels=rule.channels,
    )


def _beginning(rule: AlertRule, speaking: Sequence[Told]) -> tuple[int, bool]:
    """Where the run of trouble at the end begins, and whether it cannot begin before."""
    keeping, begins, quiet = _keeping(rule), len(speaking), 0
    for index in reversed(range(len(speaking))):
        if speaking[index].verdict in keeping:
            begins, quiet = index, 0
        else:
            quiet += 1
        if quiet == rule.calm:
            return begins, True
    return begins, False


def _speaking(rule: AlertRule, windows: Sequence[Told]) -> list[Told]:
    keeping = _keeping(rule)
    return [w for w in windows if w.verdict in keeping or _can_deny(rule, w)]


def _can_deny(rule: AlertRule, window: Told) -> bool:
    harm = {Verdict.CONFIRMED_HARM, Verdict.SUSPECTED_HARM} & set(rule.on)
    if harm and window.verdict == Verdict.BROKEN_FEED:
        return False
    return window.measured or Verdict.CONFIRMED_HARM not in rule.on


def _keeping(rule: AlertRule) -> set[str]:
    return {*rule.on, Verdict.CONFIRMED_HARM} if Verdict.SUSPECTED_HARM in rule.on else set(rule.on)


def _utc(at: dt.datetime) -> dt.datetime:
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
