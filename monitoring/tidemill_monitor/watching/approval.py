"""People are told, once, that a decision waits for their approval."""

from __future__ import annotations

import datetime as dt

from tidemill.config.monitoring import AlertsConfig
from tidemill.ledger import Ledger
from tidemill_monitor.dispatch.channels import Notice
from tidemill_monitor.watching.alerting import notices

__all__ = ["ask_for_approval"]


def ask_for_approval(
    ledger: Ledger,
    config: AlertsConfig,
    *,
    model: str,
    version: int,
    link: str,
    now: dt.datetime,
) -> int:
    """Enqueue a notice to every channel; return how many were new.

    The notices' keys name the decision, so asking at every tick tells it once.
    """
    decision = ledger.decisions.current(model)
    if decision is None or decision.state != "awaiting approval":
        return 0
    message = Notice(
        type="decision.awaiting_approval",
        title=f"{model}: a retraining waits for your approval",
        text=f"{decision.reason}.\nApprove or reject: {link}/decisions",
        severity="warning",
        at=decision.opened_at,
        data={
            "decision_id": decision.id,
            "model": model,
            "model_version": version,
            "link": f"{link}/decisions",
        },
    )
    names = [channel.name for channel in config.channels]
    rows = notices(message, names, key=f"decision/{decision.id}/awaiting")
    return sum(ledger.outbox.add(row, at=now) is not None for row in rows)
