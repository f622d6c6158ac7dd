"""register: the candidate becomes a version; the better of it and the champion serves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemill.config import Params
from tidemill.errors import IntegrityError
from tidemill.ingestion import read_report
from tidemill.metrics import HIGHER_IS_BETTER, in_words, metric_names
from tidemill.schema import Role
from tidemill.stages.candidate import read_training
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.deciding import metric_of_champion
from tidemill.stages.own import own_figures, own_record
from tidemill.stages.promotion import Contest, Promotion
from tidemill.stages.reference import make_reference
from tidemill.stages.refit import REFIT, refit_seconds, unseen_of
from tidemill.storage import (
    ShardManifest,
    Workspace,
    hash_file,
    is_left,
    read_hashed,
    read_output,
    write_hashed,
    write_json,
)
from tidemill.tracking import Candidate, Registry, open_candidate
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
# A workspace may be moved, and registers again then.
_UNHASHED = ("tracking_uri",)


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
    remedy = "delete it and run: tidemill run"
    noted = read_hashed(path, remedy=remedy, besides=_UNHASHED)
    if not noted.keys() >= _NOTED:
        raise IntegrityError(f"{path} is not what was written", remedy=remedy, path=str(path))
    return noted


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
        and (store == context.tracker.uri or is_left(Path(store)))
        and is_left(sealed)
        and noted["digest"] == hash_file(sealed)
    )


def run_register(context: StageContext, *, params: Params, own: Sequence[str] = ()) -> StageResult:
    """Register models/serving; promote it if what was judged beats what the champion's was.

    Both on these test shards. Registering the same twice changes nothing.

    Parameters
    ----------
    own : sequence of str
        Stages of the user's own before it: what they noted goes with run and version.
    """
    workspace, tracker = context.workspace, context.tracker
    manifest = ShardManifest.read(workspace.shards)
    metrics = _figures_of(workspace)
    read_output(workspace.reports / "reduction.json", lambda said: said["features_out"])
    read_report(workspace.reports / "validation.json")
    training = read_training(workspace.candidate)
    candidate = open_candidate(workspace.serving / "model")
    _require_judged(metrics, candidate, workspace)
    versions = Versions(workspace.root)
    versions.require_dataset("register")
    run_id = tracker.open_run(
        training["key"],
        name=f"train {training['learner']} {training['key'][:8]}",
        tags={"tidemill.model": params.model_name},
    )
    registry = Registry(tracker)
    metrics, moved = _by_one_figure(params, metrics, registry, manifest)
    _log(context, run_id, params, manifest, metrics, training, versions)
    _log_refit(context, run_id, candidate.digest)
    _log_own(context, run_id, params, own)
    registered = registry.register(
        workspace.serving / "model",
        model_name=params.model_name,
        run_id=run_id,
        digest=candidate.digest,
        reference=[_written_reference(context, manifest, candidate, metrics["metric"])],
        attachments=[*_attachments(workspace), *(workspace.root / own_record(n) for n in own)],
        metrics={f"test_{name}": value for name, value in metrics["test"].items()},
        metric=metrics["metric"],
        tags=origin_tags(versions, workspace.root),
    )
    metric = metrics["metric"]
    value, number = metrics["test"][metric], registered.version
    promotion = Contest(
        context, params, registry, number, candidate, manifest, metric, value
    ).settle()
    _describe(context, params, run_id, training["learner"], metrics, number, promotion)
    tracker.finish(run_id, "FINISHED")
    notes = (*moved, *candidate.notes, *promotion.notes, *_spoilt_note(workspace.root))
    return _told(context, params, number, run_id, candidate, metric, promotion, notes)


def _by_one_figure(
    params: Params, metrics: dict[str, Any], registry: Registry, manifest: ShardManifest
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What evaluate left, by the figure that judges candidate and champion; and what to say."""
    own, champion = metrics["metric"], registry.champion(params.model_name)
    metric = metric_of_champion(
        params.evaluation.metric,
        own,
        None if champion is None else champion.metric,
        metric_names(manifest.schema.task),
    )
    if champion is None or metric == own:
        return metrics, ()
    said = (
        f"{in_words(metric)} judges, as it did champion {champion.version}: for these rows it "
        f"would be {in_words(own)}; to change it, set evaluation.metric to {own}"
    )
    return {**metrics, "metric": metric}, (said,)


def _describe(
    context: StageContext,
    params: Params,
    run_id: str,
    learner: str,
    metrics: dict[str, Any],
    version: int,
    promotion: Promotion,
) -> None:
    """Name the run by what tells it apart, and say what it made."""
    metric = metrics["metric"]
    value = metrics["test"][metric]
    changed = [f"- {key}: {change}" for key, change in context.changed.items()]
    lines = [
        f"{params.model_name} version {version} ({learner}): {in_words(metric)} {value:.4f}"
        f"{_error(metrics)} on the test rows, {metrics['baseline'][metric]:.4f} of a dummy.",
        f"{'Promoted' if promotion.promoted else 'Not promoted'}: {promotion.reason}.",
        *(
            f"**No better than a dummy**: on the test rows {said}."
            for said in metrics.get("no_better_than_dummy", ())
        ),
        *(["Settings changed for this run:", "\n".join(changed)] if changed else []),
        f"Reports: {context.workspace.reports}",
    ]
    context.tracker.describe(
        run_id,
        name=f"v{version} {learner} {metric} {value:.4f}",
        text="\n\n".join(lines),
        judged=f"test/{metric}",
        greater=HIGHER_IS_BETTER[metric],
        version=(params.model_name, version),
    )


def _written_reference(
    context: StageContext, manifest: ShardManifest, candidate: Candidate, metric: str
) -> Path:
    """The file of the candidate's reference, made anew."""
    path = context.workspace.work("register", "reference.json")
    made = make_reference(
        context,
        manifest,
        candidate.judged,
        metric=metric,
        serving=candidate.pipeline,
        unseen=unseen_of(context.workspace.serving),
    )
    write_json(path, made.to_json())
    return path


def _told(
    context: StageContext,
    params: Params,
    version: int,
    run_id: str,
    candidate: Candidate,
    metric: str,
    promotion: Promotion,
    notes: tuple[str, ...],
) -> StageResult:
    """Note the registration, and tell it."""
    facts = {
        "model": params.model_name,
        "version": version,
        "promoted": promotion.promoted,
        "promotion_reason": promotion.reason,
        "metric": metric,
        "champion_value": promotion.champion_value,
        "run_id": run_id,
        "digest": candidate.digest,
        "tracking_uri": context.tracker.uri,
    }
    record = registration_record(context.workspace.root)
    write_hashed(record, facts, besides=_UNHASHED)
    return StageResult(
        stage="register",
        facts=facts,
        links={"MLflow run": url} if (url := context.tracker.run_url(run_id)) else {},
        warnings=notes,
    )


def _spoilt_note(root: Path) -> tuple[str, ...]:
    try:
        noted_registration(root)
    except IntegrityError:
        if is_left(path := registration_record(root)):
            return (f"{path} was not what had been written, and was made again",)
    return ()


def _error(metrics: dict[str, Any]) -> str:
    """The standard error of the figure, where evaluate could tell it."""
    error = metrics.get("test_error", {}).get(metrics["metric"])
    return "" if error is None else f" ± {error:.4f}"


_PARTS = ("test", "baseline", "validation", "train")


def _figures_of(workspace: Workspace) -> dict[str, Any]:
    """What evaluate left, its pictures as it drew them."""
    metrics = read_output(workspace.reports / "metrics.json", _judged)
    folder = workspace.reports / "figures"
    for name, digest in metrics.get("figures", ()):  # earlier releases noted none
        path = folder / name
        if not is_left(path) or hash_file(path) != digest:
            raise IntegrityError(
                f"{path} is not what evaluate drew",
                remedy=f"delete {folder} and run: tidemill run",
                path=str(path),
            )
    return metrics


def _require_judged(metrics: dict[str, Any], candidate: Candidate, workspace: Workspace) -> None:
    """Refuse figures of one model for another: a stage between them was left out."""
    if metrics.get("judged", [candidate.judged_sha256]) != [candidate.judged_sha256]:
        raise IntegrityError(
            f"{workspace.reports / 'metrics.json'} tells of another model than the one that "
            f"{workspace.serving} was judged by",
            remedy="let every stage between them run: tidemill run",
            path=str(workspace.serving),
        )


def _judged(document: dict[str, Any]) -> dict[str, Any]:
    """What evaluate left, with all that is read of it."""
    parts = {part: dict(document[part]) for part in _PARTS}
    float(parts["test"][document["metric"]])
    return {**document, **parts}


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
    if "operating" in metrics:
        tracker.log_stage(run_id, "operating", {}, metrics["operating"])
    for part in (*_PARTS, "test_error"):
        tracker.log_stage(run_id, part, {}, metrics.get(part, {}))
    log_data(context, run_id, params, manifest, versions)
    tracker.log_artifacts(run_id, context.workspace.reports / "figures", "figures")


def _log_refit(context: StageContext, run_id: str, digest: str) -> None:
    """What the refit cost, and what it learnt from: MLflow's run shows it beside the figures."""
    told = read_output(
        context.workspace.serving / REFIT,
        lambda document: {**document, **{name: document[name] for name in ("rows", "iterations")}},
    )
    figures = {name: told[name] for name in ("rows", "iterations")}
    seconds = refit_seconds(context.workspace.hidden, digest)
    context.tracker.log_stage(run_id, "refit", {}, {**figures, "seconds": seconds})


def _log_own(context: StageContext, run_id: str, params: Params, own: Sequence[str]) -> None:
    """What stages of the user's own were told, and the figures that they returned."""
    for name in own:
        figures = own_figures(context.workspace, name)
        numbers = {key: float(n) for key, n in figures.items() if isinstance(n, int | float)}
        told = params.stages[name].model_dump(mode="json")
        context.tracker.log_stage(run_id, name, told, numbers)


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
    return [path for path in found if is_left(path)]
