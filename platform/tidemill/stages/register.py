"""register: the candidate becomes a version; the better of it and the champion serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.config import Params
from tidemill.errors import DataRefused, IntegrityError
from tidemill.metrics import improves, in_words
from tidemill.schema import Role, TableSchema
from tidemill.stages.ancestry import ancestry_of, frozen_rows
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.judging import judge
from tidemill.stages.reference import make_reference
from tidemill.stages.refit import REFIT, refit_seconds
from tidemill.storage import (
    ShardManifest,
    Workspace,
    hash_file,
    hash_json,
    read_json,
    write_json,
)
from tidemill.tracking import (
    Candidate,
    LoadedModel,
    Registry,
    load_champion,
    open_candidate,
)
from tidemill.versioning import Versions, code_revision

__all__ = [
    "log_data",
    "noted_registration",
    "origin_tags",
    "registration_record",
    "registration_stands",
    "run_register",
]

_NOTED = {"model", "version", "promoted", "promotion_reason", "champion_value", "run_id", "digest"}
_BY_HAND = (
    "nothing here can judge both, and the champion stays; bring back the settings that it was made "
    "with, or move the alias in MLflow by hand"
)


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether the challenger serves from now on, and why; and what lay beside the champion."""

    promoted: bool
    reason: str
    champion_value: float | None
    notes: tuple[str, ...] = ()


def registration_record(root: Path) -> Path:
    """Where the last registration is noted: it names a run, so it is no output."""
    return root / ".tidemill" / "registered.json"


def noted_registration(root: Path) -> dict[str, Any]:
    """The last registration of a workspace.

    Raises
    ------
    IntegrityError
        If none is noted, or the note is not what was written.
    """
    path = registration_record(root)
    noted: Any = read_json(path)
    known = isinstance(noted, dict) and noted.keys() >= _NOTED
    if not known or noted.get("sha256") not in (None, _hash_of(noted)):  # None: of before it was
        raise IntegrityError(
            f"{path} is not what was written",
            remedy="delete it and run: tidemill run",
            path=str(path),
        )
    return dict(noted)


def _hash_of(noted: dict[str, Any]) -> str:
    # Without the address: a workspace may be moved, and registers again then.
    return hash_json({k: v for k, v in noted.items() if k not in ("sha256", "tracking_uri")})


def registration_stands(context: StageContext) -> bool:
    """Whether the last registration was of this candidate, in this MLflow store."""
    try:
        noted = noted_registration(context.workspace.root)
    except IntegrityError:
        return False
    sealed = context.workspace.serving / "model" / "candidate.json"
    store = context.tracker.uri.removeprefix("sqlite:///")
    return bool(
        noted.get("tracking_uri") == context.tracker.uri
        and (store == context.tracker.uri or Path(store).is_file())
        and sealed.is_file()
        and noted["digest"] == hash_file(sealed)
    )


def run_register(context: StageContext, *, params: Params) -> StageResult:
    """Register models/serving; promote it if what was judged beats what the champion's was.

    Both on these test shards. Registering the same twice changes nothing.
    """
    workspace = context.workspace
    manifest = ShardManifest.read(workspace.shards)
    metrics = read_json(workspace.reports / "metrics.json")
    training = read_json(workspace.candidate / "training.json")
    model = params.model_name
    versions = Versions(workspace.root)
    tracker = context.tracker
    run_id = tracker.open_run(
        training["key"], name=f"train {training['key'][:8]}", tags={"tidemill.model": model}
    )
    registry = Registry(tracker)
    candidate = open_candidate(workspace.serving / "model")
    _log(context, run_id, params, manifest, metrics, training, versions)
    _log_refit(context, run_id, candidate.digest)
    reference = workspace.work("register", "reference.json")
    made = make_reference(
        context,
        manifest,
        candidate.judged,
        metric=metrics["metric"],
        serving=candidate.pipeline,
    )
    write_json(reference, made.to_json())
    registered = registry.register(
        workspace.serving / "model",
        model_name=model,
        run_id=run_id,
        digest=candidate.digest,
        reference=[reference],
        attachments=_attachments(workspace),
        metrics={f"test_{name}": value for name, value in metrics["test"].items()},
        tags=origin_tags(versions, workspace.root),
    )
    promotion = _promote(
        context, registry, model, registered.version, candidate, manifest, metrics, params
    )
    tracker.finish(run_id, "FINISHED")
    facts = {
        "model": model,
        "version": registered.version,
        "promoted": promotion.promoted,
        "promotion_reason": promotion.reason,
        "champion_value": promotion.champion_value,
        "run_id": run_id,
        "digest": candidate.digest,
        "tracking_uri": tracker.uri,
    }
    write_json(registration_record(workspace.root), {**facts, "sha256": _hash_of(facts)})
    return StageResult(
        stage="register",
        facts=facts,
        links={"MLflow run": url} if (url := tracker.run_url(run_id)) else {},
        warnings=(*candidate.notes, *promotion.notes),
    )


def _promote(
    context: StageContext,
    registry: Registry,
    model: str,
    version: int,
    candidate: Candidate,
    manifest: ShardManifest,
    metrics: dict[str, Any],
    params: Params,
) -> Promotion:
    metric, challenger = metrics["metric"], metrics["test"][metrics["metric"]]
    if challenger is None:
        return Promotion(False, f"{in_words(metric)} is not defined on the test rows", None)
    champion = registry.champion(model)
    if champion is not None and champion.version == version:
        return Promotion(True, "it is the champion already", challenger)
    if champion is None:
        registry.promote(model, version, replaces=None, evidence={metric: challenger})
        return Promotion(True, "there was no champion", None)
    try:
        loaded = load_champion(context.tracker.uri, model, version=champion.version)
        if candidate.judged_sha256 == loaded.judged_sha256:
            registry.promote(
                model, version, replaces=champion.version, evidence={metric: challenger}
            )
            return Promotion(
                True,
                f"the same model was judged as champion {champion.version}'s; what serves of it "
                "is fitted anew",
                challenger,
            )
        found = _compared(context, candidate, loaded, manifest, metric, challenger)
    except DataRefused as exc:
        return Promotion(
            False, f"champion {champion.version} cannot score these shards: {exc}", None
        )
    if isinstance(found, str):
        return Promotion(False, found, None)
    challenger, value, said = found
    margin = params.registration.min_improvement
    if not improves(metric, challenger, value, margin):
        return Promotion(
            False,
            f"{in_words(metric)} {challenger:.4f} does not beat champion {champion.version}'s "
            f"{value:.4f} by more than {margin:g}{said}",
            value,
            loaded.notes,
        )
    evidence = {metric: challenger, f"champion_{metric}": value}
    registry.promote(model, version, replaces=champion.version, evidence=evidence)
    return Promotion(
        True,
        f"{in_words(metric)} {challenger:.4f} beats champion {champion.version}'s {value:.4f}"
        f"{said}",
        value,
        loaded.notes,
    )


def _compared(
    context: StageContext,
    candidate: Candidate,
    champion: LoadedModel,
    manifest: ShardManifest,
    metric: str,
    challenger: float,
) -> tuple[float, float, str] | str:
    """Figures of candidate and champion on test rows that neither has learnt, and a remark.

    Or why there are none.
    """
    name = f"champion {champion.version}"
    if difference := _difference(champion.schema, manifest.schema):
        return (
            f"{name} answers another question ({difference}): move the "
            "alias in MLflow by hand, or register under another registration.model"
        )
    lessons = {
        "the candidate": ancestry_of(candidate.metadata),
        name: ancestry_of(champion.metadata),
    }
    frozen = frozen_rows(context, manifest, lessons)
    if not frozen.usable:
        return f"{frozen.said}: {_BY_HAND}"
    figures = judge(context, champion.judged, manifest, Role.TEST, only=frozen.only).values()
    if frozen.only is not None:
        own = judge(context, candidate.judged, manifest, Role.TEST, only=frozen.only).values()
        challenger = own[metric]
    return challenger, figures[metric], f" ({frozen.said})" if frozen.said else ""


def _difference(theirs: TableSchema, ours: TableSchema) -> str | None:
    """What the champion predicts that we do not: figures of the two mean different things."""
    for what, its, here in (
        ("target", theirs.target.name, ours.target.name),
        ("task", theirs.task.value, ours.task.value),
        ("classes", theirs.classes, ours.classes),
    ):
        if its != here:
            return f"{what} {its}, here {here}"
    return None


def _log(
    context: StageContext,
    run_id: str,
    params: Params,
    manifest: ShardManifest,
    metrics: dict[str, Any],
    training: dict[str, Any],
    versions: Versions,
) -> None:
    tracker = context.tracker
    tracker.log_stage(run_id, "params", params.model_dump(mode="json"), {})
    tracker.log_stage(run_id, "train", training["params"], {"iterations": training["iterations"]})
    for part in ("test", "baseline", "validation", "train"):
        tracker.log_stage(run_id, part, {}, metrics[part])
    log_data(context, run_id, params, manifest, versions)
    tracker.log_artifacts(run_id, context.workspace.reports / "figures", "figures")


def _log_refit(context: StageContext, run_id: str, digest: str) -> None:
    """What the refit cost, and what it learnt from: MLflow's run shows it beside the figures."""
    told = read_json(context.workspace.serving / REFIT)
    figures = {name: told[name] for name in ("rows", "iterations")}
    seconds = refit_seconds(context.workspace.hidden, digest)
    context.tracker.log_stage(run_id, "refit", {}, {**figures, "seconds": seconds})


def log_data(
    context: StageContext, run_id: str, params: Params, manifest: ShardManifest, versions: Versions
) -> None:
    """Let an MLflow run name the shards that it learnt from, and their version in DVC."""
    context.tracker.log_dataset(
        run_id,
        name=params.dataset.name,
        version=versions.dataset_version() or "unversioned",
        source=context.workspace.shards.relative_to(context.workspace.root).as_posix(),
        rows=sum(manifest.rows(role) for role in Role),
        schema=manifest.schema,
    )


def origin_tags(versions: Versions, root: Path) -> dict[str, str]:
    """Tags of a version: by which data and which code it was made."""
    return {
        "tidemill.dataset_version": versions.dataset_version() or "",
        "tidemill.code_revision": code_revision(root) or "",
    }


def _attachments(workspace: Workspace) -> list[Path]:
    """What goes with the model: validation result, metrics, parameters, data version."""
    found = (
        workspace.reports / "validation.json",
        workspace.reports / "metrics.json",
        workspace.reports / "reduction.json",
        workspace.candidate / "training.json",
        workspace.serving / REFIT,
        workspace.params,
        workspace.root / "dvc.lock",
    )
    return [path for path in found if path.is_file()]
