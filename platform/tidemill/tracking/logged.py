"""The MLflow model of a run: the candidate's files under MLflow's roof, complete or not used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ModelUntrusted
from tidemill.tracking.model_versions import DIGEST
from tidemill.tracking.values import param_text

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

__all__ = ["environment", "logged_model", "name_version", "require_ready"]

_VERSIONS = "mlflow.modelVersions"  # where MLflow's page of a model looks for its versions

_FORBIDDEN = re.compile(r"""[/:.%"']""")  # by MLflow, in a logged model's name


def logged_model(
    client: MlflowClient,
    folder: Path,
    *,
    name: str,
    run_id: str,
    digest: str,
    figures: Mapping[str, float],
) -> LoggedModel:
    """The run's MLflow model with the candidate's files; READY when this returns.

    One that a crash left PENDING, or whose upload FAILED, is never used: it may lack files.
    """
    from mlflow.entities import LoggedModelStatus

    run: Run = client.get_run(run_id)
    experiments = [run.info.experiment_id]
    for model in client.search_logged_models(experiments, f"tags.`{DIGEST}` = '{digest}'"):
        if model.source_run_id == run_id and model.status == LoggedModelStatus.READY:
            return model
    model = client.create_logged_model(
        run.info.experiment_id,
        name=_FORBIDDEN.sub("-", name),
        source_run_id=run_id,
        tags={DIGEST: digest},
        params={key: param_text(value) for key, value in run.data.params.items()},
        model_type="tidemill",
    )
    try:
        client.log_model_artifacts(model.model_id, str(folder))
    except Exception:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    _link(client, run, model.model_id, figures)
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _link(client: MlflowClient, run: Run, model_id: str, figures: Mapping[str, float]) -> None:
    from mlflow.entities import LoggedModelOutput, Metric

    start = run.info.start_time
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model_id, 0)])
    metrics = [Metric(name, value, start, 0, model_id=model_id) for name, value in figures.items()]
    client.log_batch(run.info.run_id, metrics=metrics)


def require_ready(client: MlflowClient, model_id: str) -> None:
    """Refuse what MLflow itself would register: a model whose upload failed or did not end.

    Raises
    ------
    ModelUntrusted
        If the MLflow model is not READY.
    """
    status = client.get_logged_model(model_id).status
    if status.name != "READY":
        raise ModelUntrusted(
            f"the MLflow model {model_id} is {status.name} and cannot be registered",
            remedy="run the registration again: tidemill run",
            model_id=model_id,
            status=status.name,
        )


def name_version(client: MlflowClient, model_id: str, model_name: str, version: int) -> None:
    """Let the MLflow model name the version that was made of it; others that it names stay.

    Nothing that serves reads it: where somebody has deleted the model, nothing is done.
    """
    from mlflow.exceptions import MlflowException

    entry = {"name": model_name, "version": version}
    try:
        named = json.loads(client.get_logged_model(model_id).tags.get(_VERSIONS, "[]"))
        if entry not in named:
            tags = {_VERSIONS: json.dumps([*named, entry])}
            client.set_logged_model_tags(model_id, tags)
    except MlflowException as exc:
        if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


@cache
def environment() -> str:
    """The installed packages, one ``name==version`` a line."""
    lines = {f"{found.metadata['Name']}=={found.version}" for found in distributions()}
    return "".join(f"{line}\n" for line in sorted(lines, key=str.lower))
