"""Entry point of the deployment retrain-on-drift/retrain-on-drift."""

from __future__ import annotations

from typing import Any

from prefect import flow

from tidemill.orchestration import retrain_in_flow


@flow(name="retrain-on-drift", persist_result=True, result_serializer="json")
def retrain_on_drift(
    workspace: str,
    decision_id: str | int,
    attempt: int = 1,
    monitor_url: str = "",
    reason: str = "",
    work: str = "",
    engine: str | None = None,
) -> dict[str, Any]:
    """Retrain for a decision of the monitor, judge the challenger, and report back.

    Args:
        workspace: The folder with params.yaml.
        decision_id: The monitor's decision; the same again goes on, or finds it done.
        attempt: Which flow run of that decision this is.
        monitor_url: Where the monitor answers; its key is in TIDEMILL_MONITOR_KEY.
        reason: One sentence, kept with the new version of the data.
        work: What tells this decision from those of other ledgers; all its attempts share it.
        engine: What runs the work, as TIDEMILL_ENGINE names it, which holds where this is null.
    """
    return retrain_in_flow(workspace, str(decision_id), attempt, monitor_url, reason, work, engine)
