"""Entry point of the deployment train-model/train-model."""

from __future__ import annotations

from typing import Any

from prefect import flow

from tidemill.orchestration import run_name, train_in_flow


@flow(name="train-model", flow_run_name=run_name, persist_result=True, result_serializer="json")
def train_model(
    workspace: str = ".",
    overrides: dict[str, str | int | float | bool | None] | None = None,
    require_promotion: bool = False,
    engine: str | None = None,
) -> dict[str, Any]:
    """Run every stage that is not current, to a registered model.

    Args:
        workspace: The folder with params.yaml.
        overrides: Settings to write to params.yaml first, for example
            {"training.learner": "sgd"}.
        require_promotion: Fail if the new model does not become the champion.
        engine: What runs the work, as TIDEMILL_ENGINE names it, which holds where this is null.
    """
    return train_in_flow(workspace, overrides, require_promotion, engine)
