"""Entry point of the deployment score-batch/score-batch."""

from __future__ import annotations

from typing import Any

from prefect import flow

from tidemill.orchestration import run_name, score_in_flow


@flow(name="score-batch", flow_run_name=run_name, persist_result=True, result_serializer="json")
def score_batch(
    workspace: str,
    input: str,  # noqa: A002
    output: str,
    model: str = "champion",
    engine: str | None = None,
) -> dict[str, Any]:
    """Predict every row of a table with a registered model, in bounded memory.

    Args:
        workspace: The folder with params.yaml.
        input: A file, folder or glob of the same columns as the training data.
        output: The file to write: it ends in .parquet or .csv.
        model: champion, challenger, or a version number.
        engine: What runs the work, as TIDEMILL_ENGINE names it, which holds where this is null.
    """
    return score_in_flow(workspace, input, output, model, engine)
