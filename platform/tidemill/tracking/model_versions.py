"""Model versions as the registry knows them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill.errors import ModelMissing

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

__all__ = ["CHALLENGER", "CHAMPION", "DIGEST", "ModelVersion", "find_version", "version_of"]

CHALLENGER = "challenger"
CHAMPION = "champion"
DIGEST = "tidemill.digest"
METRICS = "tidemill.metrics"
METRIC = "tidemill.metric"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version.

    Parameters
    ----------
    name : str
    version : int
    run_id : str
    digest : str or None
        The candidate's digest; None for a version that tidemill did not register.
    aliases : tuple of str
    metrics : mapping
        Figures recorded at registration.
    metric : str or None
        The figure that it is judged by; None for versions that do not say.
    tags : mapping
    created_at : datetime or None
        When it was registered, UTC.
    """

    name: str
    version: int
    run_id: str
    digest: str | None
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    metric: str | None = None
    created_at: dt.datetime | None = None


def version_of(entity: Any) -> ModelVersion:
    """MLflow's entity in our words."""
    tags = dict(entity.tags)
    return ModelVersion(
        name=entity.name,
        version=int(entity.version),
        run_id=str(entity.run_id or ""),
        digest=tags.get(DIGEST),
        aliases=tuple(sorted(entity.aliases or ())),
        metrics=json.loads(tags.get(METRICS, "{}")),
        tags=tags,
        metric=tags.get(METRIC),
        created_at=_moment(entity.creation_timestamp),
    )


def _moment(milliseconds: int | None) -> dt.datetime | None:
    if milliseconds is None:
        return None
    return dt.datetime.fromtimestamp(milliseconds / 1e3, tz=dt.UTC)


def find_version(
    client: MlflowClient, model_name: str, *, alias: str | None = None, version: int | None = None
) -> ModelVersion:
    """The version of a number, or the one that an alias points to now.

    Raises
    ------
    ModelMissing
        If there is none.
    """
    from mlflow.exceptions import MlflowException

    try:
        if version is not None:
            return version_of(client.get_model_version(model_name, str(version)))
        return version_of(client.get_model_version_by_alias(model_name, str(alias)))
    except MlflowException as exc:
        if not _says_missing(client, model_name, exc):
            raise
        what = f"version {version}" if version is not None else f"{alias}"
        raise ModelMissing(
            f"the registry has no {what} of the model {model_name!r}",
            remedy="train and register one with: tidemill run; or name another with --model",
            model_name=model_name,
            alias=alias,
            version=version,
        ) from exc


def _says_missing(client: MlflowClient, model_name: str, exc: MlflowException) -> bool:
    # An alias that is not set is an invalid parameter to MLflow.
    if exc.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return True
    # A server with users denies everybody but its administrator a name that it does not have.
    return exc.error_code == "PERMISSION_DENIED" and not client.search_registered_models(
        f"name = '{model_name}'", max_results=1
    )
