"""GET /healthz, /readyz and /metrics: how the monitor itself is."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tidemill_monitor.monitor_service import Service, service_of
from tidemill_monitor.routes.asking import answer
from tidemill_monitor.routes.documents import HEALTH, METRICS, READY

__all__ = ["router"]

router = APIRouter(tags=["service"])


@router.get("/healthz", **HEALTH)
async def healthz() -> Response:
    """Whether the process answers; says nothing of what it depends on."""
    return answer({"status": "ok"})


@router.get("/readyz", **READY)
async def readyz(request: Request, service: Service = Depends(service_of)) -> Response:  # noqa: B008
    """Whether rows can be taken and predictions given, part by part; 503 if not.

    Open to all, so it tells kinds of errors; with a key that may read also why the champion
    cannot be loaded, and the remedy.
    """
    parts = dict(await service.readiness.parts())
    fault, identity = service.champion.fault, getattr(request.state, "identity", None)
    if fault is not None and identity is not None and identity.may("read"):
        parts["champion"] = {
            **parts["champion"],
            "reason": fault.message,
            "remedy": fault.remedy,
        }
    ready = all(part["ok"] for part in parts.values() if part["needed"])
    status = "ready" if ready else "not ready"
    return answer({"status": status, "parts": parts}, 200 if ready else 503)


@router.get("/metrics", **METRICS)
async def metrics(service: Service = Depends(service_of)) -> Response:  # noqa: B008
    """Figures for Prometheus."""
    _look(service)
    return Response(service.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _look(service: Service) -> None:
    """Read what is not counted as it happens."""
    health, meters = service.ledger.health(), service.meters
    champion = service.champion.current
    meters.queued_bytes.set(health.queued_bytes)
    meters.unfolded_rows.set(health.unfolded_rows)
    meters.set_aside_rows.set(health.set_aside_rows)
    meters.unplaced_labels.set(health.unplaced_labels)
    meters.late_labels.set(service.ledger.left_out().late_labels)
    meters.ledger_ok.set(float(health.ok))
    meters.held_bytes.set(service.bodies.held)
    meters.champion_version.set(champion.version if champion is not None else 0)
    meters.champion_trouble.set(float(service.champion.fault is not None))
