"""The whole on one page: champion, readiness, traffic, verdict, alerts, the open decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.ledger import Window
from tidemill_monitor.monitor_service import Service
from tidemill_monitor.routes.lineage import mlflow_link, prefect_link
from tidemill_monitor.routes.normality import question_item
from tidemill_monitor.routes.shown import decision_item, moment, number, window_item
from tidemill_monitor.serving import Champion
from tidemill_monitor.watching.leftout import left_out_sentence
from tidemill_monitor.watching.stints import since_return

__all__ = ["status_document"]

Document = dict[str, Any]

_REMEDIES = {
    "ledger": "free some space, or start PostgreSQL; nothing needs a restart",
    "champion": "train and register a model: tidemill run",
    "mlflow": "start MLflow (tidemill up), or correct MLFLOW_TRACKING_URI",
    "prefect": "start Prefect (tidemill up), or correct PREFECT_API_URL; decisions wait",
    "outbox": "look at the receivers, then: tidemill monitor replay-webhooks",
    "watcher": "it tries again by itself; the monitor's log says more",
}


def status_document(service: Service, parts: Mapping[str, Mapping[str, Any]]) -> Document:
    """The document of ``GET /v1/status``.

    Parameters
    ----------
    parts : mapping
        From ``service.readiness``.
    """
    ledger, now = service.ledger, service.clock()
    totals = ledger.events.totals(now)
    judged = _judged(service)
    decision = ledger.decisions.current(service.champion.name)
    left_out = ledger.left_out()
    return {
        "model": service.champion.name,
        "now": moment(now),
        "champion": _champion(service),
        "readiness": _readiness(service, parts),
        "traffic": {
            "rows_total": totals.rows,
            "rows_last_hour": totals.rows_last_hour,
            "rate": round(totals.rows_last_minute / 60, 3),
            "last_event_at": moment(totals.last_received_at),
            "by_version": {str(key): rows for key, rows in totals.by_version.items()},
        },
        "unfolded": {
            "rows": left_out.rows,
            "labels": left_out.labels,
            "sentence": left_out_sentence(left_out),
        },
        "serving": _serving(service),
        "verdict": window_item(judged) if judged is not None else None,
        "open_window": _open_window(service),
        "new_normal": question_item(service.watcher.question()),
        "open_alerts": ledger.alerts.open_count(),
        "open_decision": decision_item(decision) if decision is not None else None,
        "outbox": ledger.outbox.counts(),
        "links": {
            "mlflow": mlflow_link(service),
            "prefect": prefect_link(service),
        },
    }


def _judged(service: Service) -> Window | None:
    """The newest judged window of the version that serves, since it does so."""
    champion = service.champion.current
    version = champion.version if champion is not None else None
    # However many windows since then were too small to conclude anything.
    found = service.ledger.windows.list(
        limit=20, state="closed", segment="", model_version=version, told="verdict"
    )
    stint = service.watcher.stint()
    return next(iter(since_return(found, stint)), None)


def _serving(service: Service) -> Document | None:
    """Since when the version serves, and whether it has returned."""
    stint = service.watcher.stint()
    if stint is None:
        return None
    return {
        "version": stint.version,
        "since": moment(stint.began),
        "before": stint.before,
        "returned": stint.returned,
    }


def _champion(service: Service) -> Document | None:
    champion, fault = service.champion.current, service.champion.fault
    if champion is None:
        return None
    return {
        "version": champion.version,
        "since": moment(champion.since),
        "run_id": champion.run_id,
        "metric": champion.metric,
        "figures": dict(champion.figures),
        "held": _held(champion),
        "trouble": fault.message if fault is not None else None,
        "trouble_remedy": fault.remedy if fault is not None else None,
        "notes": list(champion.notes),
    }


def _held(champion: Champion) -> float | None:
    """What live windows are held to: measured on held-out rows as it is on live ones.

    ``figures`` are MLflow's, of test rows alone and of the probabilities of every class.
    """
    if champion.reference is None:
        return None
    return number(champion.reference.quality.figures.get(champion.metric or ""))


def _readiness(service: Service, parts: Mapping[str, Mapping[str, Any]]) -> Document:
    known = [
        {
            "name": name,
            "ok": bool(part["ok"]),
            "needed": bool(part.get("needed", True)),
            "detail": part.get("detail", ""),
            "remedy": "" if part["ok"] else _REMEDIES.get(name, ""),
        }
        for name, part in parts.items()
    ]
    known.append({"needed": False, **service.watcher.readiness()})
    fault = service.champion.fault
    for part in known:
        # What is open to all tells the kind of error only; here the reason itself is told.
        if part["name"] == "champion" and not part["ok"] and fault is not None:
            part |= {"detail": fault.message, "remedy": fault.remedy}
    ready = all(part["ok"] for part in known if part["needed"])
    return {"ready": ready, "parts": known}


def _open_window(service: Service) -> Document | None:
    champion = service.champion.current
    if champion is None:
        return None
    found = [w for w in service.ledger.windows.open(champion.version) if not w.segment]
    if not found:
        return None
    window, config = found[-1], service.params.monitoring.window
    return {
        "id": window.id,
        "start": moment(window.start),
        "end": moment(window.end),
        "rows": window.rows,
        "min_rows": config.min_rows,
        "full_rows": config.rows if config.by == "count" else None,
    }
