"""The registry: candidates become versions once, challengers become champions with evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import Busy, ModelMissing
from tidemill.storage import hash_file
from tidemill.tracking.contents import FolderContents
from tidemill.tracking.logged import environment, logged_model, name_version, require_ready
from tidemill.tracking.model_versions import (
    CHALLENGER,
    CHAMPION,
    DIGEST,
    METRIC,
    METRICS,
    ModelVersion,
    find_version,
    version_of,
)
from tidemill.tracking.seal import read_sealed
from tidemill.tracking.service import service_errors
from tidemill.tracking.tracker import Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

__all__ = ["PROMOTION", "REFERENCE", "REFERENCE_AT", "Registered", "Registry"]

REFERENCE = "tidemill.reference"
REFERENCE_AT = "tidemill.reference_at"
PROMOTION = "tidemill.promotion"
_MODEL_ID = "tidemill.model_id"


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a candidate: its version, and whether this call made it."""

    version: int
    created: bool


class Registry:
    """Registers candidates and moves the aliases ``challenger`` and ``champion``.

    Every method may be repeated after a crash at any point. Two registrations of one candidate
    at the same moment are not kept apart; the workspace lock does that.

    Parameters
    ----------
    tracker : Tracker
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def register(
        self,
        folder: Path,
        *,
        model_name: str,
        run_id: str,
        digest: str,
        reference: Sequence[Path] = (),
        attachments: Sequence[Path] = (),
        metrics: Mapping[str, float | None] | None = None,
        metric: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Registered:
        """Make the candidate in ``folder`` a version, and the challenger unless it is champion.

        A candidate whose digest has a version already gets no second one.

        Parameters
        ----------
        folder : Path
            From :func:`tidemill.tracking.save_candidate`.
        digest : str
            What that returned: the folder must still be what it was.
        reference : sequence of Path
            Profiles the model was trained on; run artifacts below ``reference``, or for a
            later version of the same run below a folder of its own; place and hashes are
            recorded with the version.
        attachments : sequence of Path
            validation.json, params.yaml and the like; run artifacts below ``registration``,
            beside ``environment.txt``.
        metrics : mapping
            Figures on the test shards, recorded with the version, the run and the model.
        metric : str, optional
            The one that it is judged by, recorded with the version.
        tags : mapping
            Recorded with the version: ``tidemill.dataset_version``, ``tidemill.code_revision``.

        Raises
        ------
        ModelUntrusted
            If ``folder`` is not the candidate of ``digest``.
        """
        read_sealed(
            FolderContents(folder),
            digest=digest,
            label=str(folder),
            remedy="run the training again: tidemill run",
        )
        figures = {name: float(v) for name, v in (metrics or {}).items() if v is not None}
        client = self._tracker.client()
        with service_errors(self._tracker.uri):
            known = self._of_digest(client, model_name, digest)
            if known is None:
                # A run's second version (of one search, refitted otherwise) keeps its own.
                again = bool(self._search(client, f"run_id = '{run_id}'"))
                place = f"reference-{digest[:16]}" if again else "reference"
                self._attach(client, run_id, reference, place, attachments)
                model = logged_model(
                    client, folder, name=model_name, run_id=run_id, digest=digest, figures=figures
                )
                facts = {
                    **(tags or {}),
                    **({METRIC: metric} if metric else {}),
                    DIGEST: digest,
                    METRICS: json.dumps(figures, sort_keys=True),
                    REFERENCE: json.dumps(_hashes(reference), sort_keys=True),
                    REFERENCE_AT: place,
                    _MODEL_ID: model.model_id,
                }
                version = self._create_version(client, model_name, run_id, model, facts)
            else:
                version, facts = known.version, dict(known.tags)
            if _MODEL_ID in facts:
                name_version(client, facts[_MODEL_ID], model_name, version)
            self._challenge(client, model_name, version)
        return Registered(version=version, created=known is None)

    def champion(self, model_name: str) -> ModelVersion | None:
        """The version that serves, if there is one."""
        client = self._tracker.client()
        with service_errors(self._tracker.uri):
            try:
                return find_version(client, model_name, alias=CHAMPION)
            except ModelMissing:
                return None

    def versions(self, model_name: str) -> tuple[ModelVersion, ...]:
        """All versions, oldest first."""
        client = self._tracker.client()
        with service_errors(self._tracker.uri):
            found = self._search(client, f"name = '{model_name}'")
            # A search does not tell the aliases.
            return tuple(find_version(client, model_name, version=v.version) for v in found)

    def promote(
        self, model_name: str, version: int, *, replaces: int | None, evidence: Mapping[str, Any]
    ) -> None:
        """Make ``version`` the champion in place of ``replaces``.

        The evidence is recorded with the version before the alias moves; the alias is the
        promotion. A version that is champion already stays so, and nothing changes.

        Raises
        ------
        Busy
            If the champion is not ``replaces``: somebody promoted another one meanwhile.
        ModelMissing
            If there is no such version.
        """
        client = self._tracker.client()
        current = self.champion(model_name)
        if current is not None and current.version == version:
            return
        found = current.version if current else None
        if found != replaces:
            raise Busy(
                f"the champion of {model_name!r} is version {found}, and the challenger was "
                f"compared with version {replaces}",
                remedy="compare it with the present champion: tidemill run",
                model_name=model_name,
                champion=found,
                replaces=replaces,
            )
        with service_errors(self._tracker.uri):
            promoted = find_version(client, model_name, version=version)
            text = json.dumps({"replaces": replaces, **evidence}, sort_keys=True)
            client.set_model_version_tag(model_name, str(version), PROMOTION, text)
            client.set_registered_model_alias(model_name, CHAMPION, str(version))
            if CHALLENGER in promoted.aliases:
                client.delete_registered_model_alias(model_name, CHALLENGER)

    def _of_digest(self, client: MlflowClient, model_name: str, digest: str) -> ModelVersion | None:
        found = self._search(client, f"name = '{model_name}' AND tags.`{DIGEST}` = '{digest}'")
        return found[0] if found else None

    def _search(self, client: MlflowClient, query: str) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = client.search_model_versions(query, max_results=1000, page_token=token)
            found.extend(version_of(entity) for entity in page)
            token = page.token
            if not token:
                return sorted(found, key=lambda version: version.version)

    def _attach(
        self,
        client: MlflowClient,
        run_id: str,
        reference: Sequence[Path],
        place: str,
        attachments: Sequence[Path],
    ) -> None:
        self._tracker.log_artifacts(run_id, reference, place)
        self._tracker.log_artifacts(run_id, attachments, "registration")
        client.log_text(run_id, environment(), "registration/environment.txt")

    def _create_version(
        self,
        client: MlflowClient,
        model_name: str,
        run_id: str,
        model: LoggedModel,
        tags: Mapping[str, str],
    ) -> int:
        from mlflow.exceptions import MlflowException

        require_ready(client, model.model_id)
        try:
            client.create_registered_model(model_name)
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = client.create_model_version(
            model_name,
            # The place itself: MLflow looks up models:/ addresses in its global store.
            model.artifact_location,
            run_id=run_id,
            tags=dict(tags),
            model_id=model.model_id,
            await_creation_for=0,  # a version is ready when the call returns
        )
        return int(created.version)

    def _challenge(self, client: MlflowClient, model_name: str, version: int) -> None:
        aliases = find_version(client, model_name, version=version).aliases
        if CHAMPION not in aliases and CHALLENGER not in aliases:
            client.set_registered_model_alias(model_name, CHALLENGER, str(version))


def _hashes(paths: Sequence[Path]) -> dict[str, str]:
    """SHA-256 by the name below the artifact folder, as ``log_artifacts`` lays files out."""
    found = {}
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        root = path if path.is_dir() else path.parent
        found.update({file.relative_to(root).as_posix(): hash_file(file) for file in files})
    return found
