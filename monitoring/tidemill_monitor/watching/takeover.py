"""What the last run of the monitor left, held to params.yaml as it is now; done at the start."""

from __future__ import annotations

import datetime as dt

from tidemill.config.monitoring import AlertRule, MonitoringConfig
from tidemill.ledger import Alert, Ledger, Message
from tidemill.schema import Verdict
from tidemill_monitor.dispatch.channels import NOTIFICATION
from tidemill_monitor.dispatch.flow_runs import KINDS
from tidemill_monitor.watching.alerting import Alerting
from tidemill_monitor.watching.incidents import silent_until

__all__ = ["end_unwatched", "move_messages", "why_unwatched"]

_LONGEST_PAUSE = dt.timedelta(hours=1)
_OF_ALERTS = ("alert.opened", "alert.resolved")


def end_unwatched(
    ledger: Ledger, alerting: Alerting, config: MonitoringConfig, now: dt.datetime
) -> list[Alert]:
    """Resolve what nobody follows any more, since params.yaml was changed; return that."""
    found = [(alert, why_unwatched(alert, config)) for alert in ledger.alerts.open_ones()]
    return [alerting.end_unwatched(alert, why, now) for alert, why in found if why]


def why_unwatched(alert: Alert, config: MonitoringConfig) -> str:
    """Why nothing could end an open alert; empty where something can."""
    rule = next((one for one in config.alerts.rules if one.name == alert.rule), None)
    if rule is None:
        return f"the rule {alert.rule} is no longer in params.yaml"
    if alert.segment and "=" not in alert.segment:
        return _why_not_heard(alert.segment, rule, config)
    if alert.segment and not any(
        alert.segment.startswith(f"{column}=") for column in config.window.segments
    ):
        return f"monitoring.window.segments no longer leads to {alert.segment}"
    return ""


def move_messages(ledger: Ledger, config: MonitoringConfig, now: dt.datetime) -> int:
    """Let what waits to be told of alerts wait for the silences of now; how many were moved.

    They waited for those of the time when they were written: since then a silence may have become
    longer or shorter, or have come or gone; or the clock was ahead then.
    """

    def due(message: Message) -> dt.datetime:
        if message.kind == NOTIFICATION and message.payload.get("type") in _OF_ALERTS:
            until = silent_until(config.alerts.silences, message.payload["data"]["rule"], now)
            if until > now:
                return until
        # What was tried waits for its receiver; anything else has waited for a silence's end.
        # No receiver is waited for longer than that: a clock that was ahead wrote the date.
        return min(message.due_at, now + _LONGEST_PAUSE if message.attempts else now)

    return sum(ledger.outbox.postpone(kind, due) for kind in (NOTIFICATION, *KINDS))


def _why_not_heard(kind: str, rule: AlertRule, config: MonitoringConfig) -> str:
    """Of troubles that no window tells: silence of the feed, rows that could not be folded."""
    if Verdict.BROKEN_FEED not in rule.on:
        return f"the rule {rule.name} no longer names broken feed"
    if kind == "(silence)" and config.quality.freshness_seconds is None:
        return "monitoring.quality.freshness_seconds is no longer set"
    return ""
