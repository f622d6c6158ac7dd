"""Alerts kept in step with the verdicts: raised, counted, told once, resolved."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from tidemill.config.monitoring import AlertRule, AlertsConfig
from tidemill.drift import Finding
from tidemill.ledger import Alert, Ledger, NewMessage
from tidemill.schema import Verdict
from tidemill_monitor.dispatch.channels import NOTIFICATION, Notice
from tidemill_monitor.watching.incidents import (
    Incident,
    PastIncident,
    Told,
    ended,
    incident,
    is_over,
    sees_beginning,
    silent_until,
)

__all__ = ["RECOVERED", "UNWATCHED", "Alerting", "notices"]

RECOVERED = "recovered"
"""The note of an alert that ended by itself."""

UNWATCHED = "nobody watches for it any more: "
"""Begins the note of one that params.yaml ended; any other note was written by a person."""

_SILENCE = "silence"


class Alerting:
    """Raises and resolves the alerts of one model.

    One alert is open for a rule and segment at a time. An incident that a person resolved does
    not come back until its trouble went away once.

    Parameters
    ----------
    ledger : Ledger
    config : AlertsConfig
    model : str
        Its name, for people.
    link : str
        Address of the dashboard.
    """

    def __init__(self, ledger: Ledger, config: AlertsConfig, *, model: str, link: str) -> None:
        self._ledger = ledger
        self._config = config
        self._model = model
        self._link = link

    def follow(
        self,
        segment: str,
        version: int,
        windows: Sequence[Told],
        now: dt.datetime,
        *,
        whole: bool = False,
        since: dt.datetime | None = None,
    ) -> list[Alert]:
        """Bring the alerts of one segment up to date; return those that changed.

        What began and was over since alerts were looked at last is raised and resolved.

        Parameters
        ----------
        segment : str
            Empty for the whole traffic.
        version : int
            The champion's; its windows only.
        windows : sequence of Told
            The newest windows with a verdict, oldest first.
        whole : bool
            Whether no window was before them.
        since : datetime or None
            Windows judged before were looked at; None: all were.
        """
        opened = {alert.rule: alert for alert in self._ledger.alerts.open_ones(segment)}
        changed = []
        for rule in self._config.rules:
            alert = opened.get(rule.name)
            found = incident(rule, segment, windows)
            over = ended(rule, segment, windows, whole=whole)
            if alert is not None and _is_of_one(alert, over):
                changed.append(self._resolved(alert, now))
                alert = None
            changed += self._passed(rule, over, version, since, now)
            begins = sees_beginning(rule, windows)
            if alert is not None and (
                is_over(rule, windows) or (self._replaced(alert, rule, version) and not found)
            ):
                changed.append(self._resolved(alert, now))
            elif found is not None and self._news(alert, found, version, begins):
                changed += self._raised(rule, found, version, alert, now)
        return changed

    def listen(self, silence: Finding | None, since: dt.datetime, now: dt.datetime) -> list[Alert]:
        """Raise an alert when no event has come for too long, resolve it when one has."""
        sentence = silence.detail if silence is not None and silence.flagged else None
        return self.stand(_SILENCE, since.isoformat(), sentence, now)

    def stand(
        self, kind: str, since: str, sentence: str | None, now: dt.datetime, *, more: bool = False
    ) -> list[Alert]:
        """Raise an alert about what no window tells, by the rules that name *broken feed*.

        Parameters
        ----------
        kind : str
            Names the trouble.
        since : str
            Names its run: what a person resolved stays so while the same run goes on.
        sentence : str or None
            None: it is over.
        more : bool
            The run goes on with something new, which an open alert counts.
        """
        changed, segment = [], f"({kind})"
        opened = {alert.rule: alert for alert in self._ledger.alerts.open_ones(segment)}
        for rule in self._config.rules:
            if Verdict.BROKEN_FEED not in rule.on:
                continue
            alert = opened.get(rule.name)
            if sentence is not None:
                key = f"{rule.name}/{kind}/{since}"
                found = Incident(key, rule.name, rule.severity, segment, sentence, 0, rule.channels)
                if more if alert else self._news(None, found, None, begins=True):
                    changed += self._raised(rule, found, None, alert, now)
            elif alert is not None:
                changed.append(self._resolved(alert, now))
        return changed

    def tell_after_silences(self, now: dt.datetime) -> int:
        """Tell of alerts that were opened in silence, still stand, and may be told now."""
        told = 0
        for alert in self._ledger.alerts.open_ones():
            waits = alert.detail.get("silenced") and alert.state == "open"
            if not waits or self._silent_until(alert.rule, now) > now or self._was_told(alert):
                continue
            for message in self._notices(alert, "alert.opened", alert.severity, now):
                told += self._ledger.outbox.add(message, at=now) is not None
            # Last: killed before it, the messages are there and their keys keep them single.
            self._ledger.notes.put(_told_note(alert), True, now)
        return told

    def end_replaced(self, version: int, followed: Iterable[str], now: dt.datetime) -> list[Alert]:
        """Resolve alerts about an earlier champion's harm in segments that came no more."""
        others = [
            a for a in self._ledger.alerts.open_ones() if a.model_version not in (None, version)
        ]
        gone = {alert.segment for alert in others} - set(followed)
        return [
            alert for segment in sorted(gone) for alert in self.follow(segment, version, (), now)
        ]

    def end_unwatched(self, alert: Alert, why: str, now: dt.datetime) -> Alert:
        """Resolve an alert that nothing could end: what it watched for is in params.yaml no more.

        Who was told of the trouble is told that, with what was known last: it need not be over.
        """
        lead = f"Nobody watches for it any more: {why}. Known last: "
        messages = self._recovery(alert, now, lead)
        return self._ledger.alerts.resolve(
            alert.id, note=f"{UNWATCHED}{why}", at=now, messages=messages
        )

    def resolved_by_hand(self, alert: Alert, name: str, note: str, now: dt.datetime) -> Alert:
        """Resolve an alert because a person says so, and tell that."""
        said = f"{name}: {note}" if note else name
        return self._ledger.alerts.resolve(
            alert.id, note=said, at=now, messages=self._recovery(alert, now)
        )

    def _silent_until(self, rule: str, now: dt.datetime) -> dt.datetime:
        return silent_until(self._config.silences, rule, now)

    def _news(
        self, alert: Alert | None, found: Incident, version: int | None, begins: bool
    ) -> bool:
        """Whether an incident is to be raised or counted.

        What a person resolved stays so while the same run goes on; also where the run's
        beginning (``begins``) lies further back than anybody looks, and its key is not known.
        """
        if alert is not None:
            return alert.window_id != found.window_id
        last = self._ledger.alerts.last(found.rule, found.segment, version)
        if last is None or last.note == RECOVERED or last.note.startswith(UNWATCHED):
            return True
        return begins and last.key != found.key

    def _passed(
        self,
        rule: AlertRule,
        over: Sequence[PastIncident],
        version: int,
        since: dt.datetime | None,
        now: dt.datetime,
    ) -> list[Alert]:
        """Raise and resolve what came and went since then, unless there is an alert of it."""
        changed = []
        for run in over:
            news = since is not None and run.judged_at is not None and run.judged_at >= since
            found = run.incident
            if not news or self._ledger.alerts.knows_run(
                found.key, found.rule, found.segment, version, run.first, run.last
            ):
                continue
            for alert in self._raised(rule, found, version, None, now):
                changed += [alert, self._resolved(alert, now)]
        return changed

    def _raised(
        self,
        rule: AlertRule,
        found: Incident,
        version: int | None,
        alert: Alert | None,
        now: dt.datetime,
    ) -> list[Alert]:
        silent = self._silent_until(rule.name, now) > now
        detail = {
            "sentence": found.sentence,
            "model": self._model,
            "channels": list(found.channels),
            "silenced": silent,
        }
        if alert is not None:
            detail["silenced"] = alert.detail.get("silenced", False)
        key = found.key if alert is None else alert.key
        title = self._title(rule.name, found.segment)
        messages = () if silent else self._messages(found, version, title, now)
        raised, _ = self._ledger.alerts.raise_(
            key,
            rule=rule.name,
            segment=found.segment,
            model_version=version,
            severity=rule.severity,
            title=title,
            detail=detail,
            window_id=found.window_id or None,
            at=now,
            messages=messages,
        )
        return [raised]

    def _messages(
        self, found: Incident, version: int | None, title: str, now: dt.datetime
    ) -> list[NewMessage]:
        data = {
            "rule": found.rule,
            "segment": found.segment,
            "model": self._model,
            "model_version": version,
            "window_id": found.window_id or None,
            "incident": found.key,
            "link": self._link,
        }
        text = f"{found.sentence}\n{self._link}"
        message = Notice("alert.opened", title, text, found.severity, now, data)
        return notices(message, self._names(found.channels), series=found.key)

    def _resolved(self, alert: Alert, now: dt.datetime) -> Alert:
        return self._ledger.alerts.resolve(
            alert.id, note=RECOVERED, at=now, messages=self._recovery(alert, now)
        )

    def _recovery(self, alert: Alert, now: dt.datetime, lead: str = "") -> list[NewMessage]:
        """A notice to those who were told of the trouble; where a silence holds, after it."""
        if alert.detail.get("silenced") and not self._was_told(alert):
            return []
        lead = lead or f"Over since {now:%Y-%m-%d %H:%M} UTC. It was: "
        return self._notices(alert, "alert.resolved", "success", now, lead)

    def _was_told(self, alert: Alert) -> bool:
        return self._ledger.notes.get(_told_note(alert)) is not None

    def _notices(
        self, alert: Alert, kind: str, severity: str, now: dt.datetime, lead: str = ""
    ) -> list[NewMessage]:
        over = kind == "alert.resolved"
        sentence = alert.detail.get("sentence", "")
        title = f"{'Resolved: ' if over else ''}{alert.title}"
        data = {
            "alert_id": alert.id,
            "rule": alert.rule,
            "segment": alert.segment,
            "model": self._model,
            "model_version": alert.model_version,
            "window_id": alert.window_id,
            "incident": alert.key,
            "link": self._link,
        }
        message = Notice(kind, title, f"{lead}{sentence}\n{self._link}", severity, now, data)
        names = self._names(tuple(alert.detail.get("channels", ())))
        return notices(
            message,
            names,
            key=f"alert/{alert.id}/{kind}",
            series=alert.key,
            due_at=self._silent_until(alert.rule, now),
        )

    def _names(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """Channels that there are, of those that an alert was told to; none named: all."""
        known = tuple(channel.name for channel in self._config.channels)
        return tuple(name for name in channels if name in known) if channels else known

    def _title(self, rule: str, segment: str) -> str:
        where = f" ({segment})" if segment and not segment.startswith("(") else ""
        return f"{self._model}{where}: {rule}"

    def _replaced(self, alert: Alert, rule: AlertRule, version: int) -> bool:
        """Whether the harm was that of a champion that serves no more."""
        return alert.model_version not in (None, version) and Verdict.BROKEN_FEED not in rule.on


def notices(
    message: Notice,
    channels: Iterable[str],
    *,
    key: str | None = None,
    series: str | None = None,
    due_at: dt.datetime | None = None,
) -> list[NewMessage]:
    """The outbox rows that take one message to some channels; with a key, once for ever.

    Messages of a ``series`` arrive in order; none is sent before ``due_at``.
    """
    document = message.to_json()
    return [
        NewMessage(
            kind=NOTIFICATION,
            target=name,
            payload=document,
            key=f"{key}/{name}" if key else None,
            series=series,
            due_at=due_at,
        )
        for name in channels
    ]


def _is_of_one(alert: Alert, over: Sequence[PastIncident]) -> bool:
    """Whether an alert tells of a run that is over."""
    return any(alert.key == run.incident.key for run in over)


def _told_note(alert: Alert) -> str:
    return f"alerts/told/{alert.id}"
