"""The registered versions of the model, and where they are shown."""

from __future__ import annotations

import json
from typing import Any

from tidemill.tracking import ModelVersion
from tidemill_monitor.monitor_service import Service
from tidemill_monitor.routes.shown import moment

__all__ = ["mlflow_link", "models_document", "prefect_link"]

Document = dict[str, Any]
_MAX = 200


def models_document(service: Service) -> Document:
    """Versions, newest first.

    Raises
    ------
    ServiceUnavailable
        If MLflow does not answer.
    """
    champion = service.champion.current
    serving = champion.version if champion is not None else None
    versions = service.champion.versions()
    items = [_item(service, version, serving) for version in reversed(versions)]
    return {
        "items": items[:_MAX],
        "links": {"mlflow": mlflow_link(service), "prefect": prefect_link(service)},
    }


def mlflow_link(service: Service, version: int | None = None) -> str | None:
    """The page of the model, or of a version; None where MLflow is a file and no server."""
    mlflow = service.settings.mlflow_link
    if mlflow is None:
        return None
    page = f"{mlflow}/#/models/{service.champion.name}"
    return page if version is None else f"{page}/versions/{version}"


def prefect_link(service: Service) -> str | None:
    """Prefect's page; None where no server is known."""
    return service.settings.prefect_link


def _item(service: Service, version: ModelVersion, serving: int | None) -> Document:
    promotion = _promotion(version)
    reference = service.champion.current.reference if service.champion.current else None
    return {
        "version": version.version,
        "aliases": list(version.aliases),
        "registered_at": moment(version.created_at) if version.created_at else None,
        "run_id": version.run_id,
        "metric": reference.metric if reference is not None else None,
        "figures": dict(version.metrics),
        "serving": version.version == serving,
        "promotion": promotion,
        "promotion_reason": promotion.get("reason") if promotion else None,
        "links": {"mlflow": mlflow_link(service, version.version)},
    }


def _promotion(version: ModelVersion) -> Document | None:
    try:
        found = json.loads(version.tags.get("tidemill.promotion", "null"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
