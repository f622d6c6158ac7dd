"""The one safe way from the registry to a pipeline in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import ModelMissing, ModelUntrusted
from tidemill.schema import Purpose, TableSchema
from tidemill.storage import (
    commit_directory,
    discard_directory,
    fresh_directory,
    write_bytes,
)
from tidemill.tracking.candidate import open_candidate
from tidemill.tracking.contents import open_contents
from tidemill.tracking.model_versions import CHAMPION, ModelVersion, find_version
from tidemill.tracking.registry import REFERENCE, REFERENCE_AT
from tidemill.tracking.seal import Refusal, read_listed
from tidemill.tracking.service import service_errors
from tidemill.tracking.store import connect, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

__all__ = ["LoadedModel", "fetch_reference", "load_champion"]

_REMEDY = (
    "do not use this version: find out who changed it, then register a new one with tidemill run, "
    "or promote an earlier version"
)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A registered version, checked.

    Parameters
    ----------
    pipeline : Pipeline
        What serves; takes raw feature columns.
    version : int
    run_id : str
    digest : str
    metadata : mapping
        What was given to ``save_candidate``.
    judged : Pipeline
        What every comparison is made with: it never saw the rows that judge. ``pipeline``
        itself in a version of one model.
    judged_sha256 : str
        Of the judged pipeline's file.
    notes : tuple of str
        What lies beside the model's files, is not used, and can be deleted.
    metric : str or None
        The figure that it was registered to be judged by; None where the version does not say.
    """

    pipeline: Pipeline
    version: int
    run_id: str
    digest: str
    metadata: Mapping[str, Any]
    judged: Pipeline
    judged_sha256: str
    notes: tuple[str, ...] = ()
    metric: str | None = None

    @property
    def schema(self) -> TableSchema:
        """Of the table that it was trained on.

        Raises
        ------
        ModelUntrusted
            If the version does not say.
        """
        try:
            found = TableSchema.from_json(self.metadata["schema"])
            if not found.features or Purpose.TARGET not in [c.purpose for c in found.columns]:
                raise ValueError("there is nothing to learn from, or to predict")
        except (KeyError, TypeError, ValueError) as exc:
            raise ModelUntrusted(
                f"version {self.version} does not say what table it was trained on",
                remedy="train and register the model again: tidemill run",
                version=self.version,
            ) from exc
        return found


def load_champion(
    uri: str,
    model_name: str,
    alias: str = CHAMPION,
    *,
    version: int | None = None,
    timeout_seconds: int = 10,
) -> LoadedModel:
    """Load the pipelines of a registered version without trusting the artifact store.

    The alias is resolved once to an exact version. Its sealed files are read, each once, and
    compared with the digest that the registry recorded; then the MLmodel file and every
    type in the skops file are checked against what tidemill writes. No code of the artifact
    runs, and MLflow's own loaders are not used.

    Raises
    ------
    ModelMissing
        If there is no such model, version or alias.
    ModelUntrusted
        If a file is not what was registered; ``fields["file"]`` names it.
    ServiceUnavailable, StorageFailed, UsageError
        See :func:`tidemill.tracking.service.service_errors`.

    Notes
    -----
    About four times the models' size in memory.
    """
    client = _reader(uri, model_name, timeout_seconds)
    with service_errors(uri, timeout_seconds=timeout_seconds):
        found = find_version(client, model_name, alias=alias, version=version)
    label = f"{model_name} version {found.version}"
    if found.digest is None:
        raise ModelUntrusted(
            f"{label} was not registered by tidemill: it has no digest",
            remedy="register a model with: tidemill run",
            file=None,
            model_name=model_name,
            version=found.version,
        )
    contents = open_contents(uri, _location(client, uri, found))
    candidate = open_candidate(contents, digest=found.digest, remedy=_REMEDY, label=label)
    return LoadedModel(
        pipeline=candidate.pipeline,
        version=found.version,
        run_id=found.run_id,
        digest=candidate.digest,
        metadata=candidate.metadata,
        judged=candidate.judged,
        judged_sha256=candidate.judged_sha256,
        notes=candidate.notes,
        metric=found.metric,
    )


def fetch_reference(
    uri: str, model_name: str, version: int, folder: Path, *, timeout_seconds: int = 10
) -> Path:
    """Copy the reference profiles of a version into ``folder``, replaced as a whole.

    Raises
    ------
    ModelUntrusted
        If a file is missing, added or changed since registration; ``folder`` is as before then.
    """
    client = _reader(uri, model_name, timeout_seconds)
    with service_errors(uri, timeout_seconds=timeout_seconds):
        found = find_version(client, model_name, version=version)
        run = client.get_run(found.run_id)
    recorded: dict[str, str] = json.loads(found.tags.get(REFERENCE, "{}"))
    files: Mapping[str, bytes] = {}
    if recorded:
        refusal = Refusal(f"the reference of {model_name} version {version}", _REMEDY)
        place = found.tags.get(REFERENCE_AT, "reference")
        source = open_contents(uri, f"{run.info.artifact_uri}/{place}")
        files, _ = read_listed(source, source.sizes(), recorded, refusal, stated={})
    staged = fresh_directory(folder.with_name(f".{folder.name}.staged"))
    try:
        for name, content in files.items():
            write_bytes(staged / name, content)
        commit_directory(staged, folder)
    finally:
        discard_directory(staged)
    return folder


def _reader(uri: str, model_name: str, timeout_seconds: int) -> MlflowClient:
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise ModelMissing(
            f"there is no model {model_name!r}: nothing was registered at {path}",
            remedy="train and register one with: tidemill run",
            model_name=model_name,
            path=str(path),
        )
    return connect(uri, timeout_seconds=timeout_seconds)


def _location(client: MlflowClient, uri: str, found: ModelVersion) -> str:
    with service_errors(uri):
        return str(client.get_model_version_download_uri(found.name, str(found.version)))
