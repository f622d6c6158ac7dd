"""A trial as a child run of its study's run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.tracking.values import param_text, plain_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from tidemill.contracts import Trial

__all__ = ["TRIAL_KEY", "log_trial"]

TRIAL_KEY = "tidemill.trial_key"
_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}


def log_trial(
    client: MlflowClient, experiment_id: str, parent: Run, trial: Trial, *, key: str
) -> None:
    """Log ``trial`` below ``parent``; one that is there and ended is left alone.

    One that a crash left half written is written again: its figures carry the parent's start
    as their time, so that MLflow recognises those it has.
    """
    child = _find(client, experiment_id, f"{key}/{trial.number}")
    if child is not None and child.info.status in _STATUS.values():
        return
    run_id = (
        _create(client, experiment_id, parent, trial, key) if child is None else child.info.run_id
    )
    _write(client, run_id, trial, parent.info.start_time)
    client.set_terminated(run_id, _STATUS[trial.state])


def _find(client: MlflowClient, experiment_id: str, key: str) -> Run | None:
    found = client.search_runs(
        [experiment_id],
        f"tags.`{TRIAL_KEY}` = '{key}'",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    return found[0] if found else None


def _create(client: MlflowClient, experiment_id: str, parent: Run, trial: Trial, key: str) -> str:
    tags = {
        TRIAL_KEY: f"{key}/{trial.number}",
        "tidemill.trial_state": trial.state,
        "mlflow.parentRunId": parent.info.run_id,
        "mlflow.source.name": "tidemill",
    }
    if trial.message:
        tags["tidemill.trial_message"] = trial.message[:5000]
    run = client.create_run(experiment_id, tags=tags, run_name=f"trial {trial.number}")
    return str(run.info.run_id)


def _write(client: MlflowClient, run_id: str, trial: Trial, time: int) -> None:
    from mlflow.entities import Metric, Param

    metrics = [Metric("curve", float(value), time, step) for step, value in trial.steps]
    if trial.value is not None:
        metrics.append(Metric("value", float(trial.value), time, 0))
    params = [Param(plain_name(name), param_text(v)) for name, v in trial.params.items()]
    client.log_batch(run_id, metrics=metrics, params=params)
