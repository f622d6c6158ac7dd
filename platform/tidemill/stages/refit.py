"""refit: what serves learns from every row, the newest included, with what was found before.

The judged model has to leave rows out by which it is judged; with a time hold-out those are the
newest. Nothing is found out here: parameters and rounds are those of the judged model, and every
figure, gate and comparison stays with it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tidemill.config import ReductionConfig, TrainingConfig
from tidemill.errors import BudgetExceeded
from tidemill.features import fit_reducer, load_reducer, save_reducer
from tidemill.learners import AUTO
from tidemill.learning import Calibration, fit
from tidemill.profiling import Profile
from tidemill.schema import Role
from tidemill.stages.blocks import ReducedBlocks, ReducePart, reduce_parts
from tidemill.stages.candidate import leave_candidate, read_training
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.meter import Meter
from tidemill.stages.unseen import unseen_outputs
from tidemill.storage import (
    ShardManifest,
    Workspace,
    commit_directory,
    copy_folder,
    find_hashed,
    fresh_directory,
    hash_file,
    hash_json,
    write_hashed,
)

__all__ = ["REFIT", "note_refit", "refit_seconds", "run_refit", "unseen_of"]

REFIT = "refit.json"
_WHY = "all rows, with the parameters and rounds of the judged model"


def run_refit(
    context: StageContext, *, training: TrainingConfig, reduction: ReductionConfig, seed: int
) -> StageResult:
    """Leave models/serving: the pipeline that serves, the judged one beside it, one seal.

    If it knows its rows by heart, what twins of it say of rows that they have not learnt stands
    beside them (``unseen_outputs``), which takes two further fits.
    With ``training.refit: none``, and with a warning where the rows of all roles do not fit into
    ``training.memory_budget_mb``, the judged pipeline serves.

    Notes
    -----
    Memory: as for ``reduce`` and ``train``, with the rows of all roles. Disk, until it is done:
    rows x n_features x 4 bytes.
    """
    workspace = context.workspace
    warnings: tuple[str, ...] = ()
    learner = str(read_training(workspace.candidate)["learner"])
    if training.learner == AUTO:
        training = training.model_copy(update={"learner": learner})
    reduction = reduction.for_learner(learner)
    with Meter() as meter:
        if training.refit == "none":
            document = _serve_judged(workspace, "training.refit is none")
        else:
            try:
                document = _refit(context, training, reduction, seed)
            except BudgetExceeded as exc:
                document = _serve_judged(workspace, f"not refitted: {exc.message}")
                warnings = (
                    f"the judged model serves, without the newest rows: {exc.message}; raise "
                    "training.memory_budget_mb, or set training.refit to none",
                )
    digest = hash_file(workspace.serving / "model" / "candidate.json")
    note_refit(workspace.hidden, digest, meter.seconds)
    return StageResult(
        stage="refit",
        facts={
            **{name: document[name] for name in ("rows", "iterations", "twins", "why")},
            "candidate": digest[:12],
        },
        warnings=warnings,
    )


def note_refit(folder: Path, digest: str, seconds: float) -> None:
    """Note what the refit that left ``digest`` took: no output holds a time."""
    write_hashed(folder / REFIT, {"digest": digest, "seconds": seconds})


def refit_seconds(folder: Path, digest: str) -> float | None:
    """What the refit that left ``digest`` took, if it was noted in ``folder``."""
    noted = find_hashed(folder / REFIT, remedy="delete it")
    return None if noted is None or noted.get("digest") != digest else float(noted["seconds"])


def unseen_of(folder: Path) -> Profile | None:
    """What twins of the model in ``folder`` said of rows unseen; None where there are none.

    There are none where the judged model serves, where the serving one does not know its rows by
    heart, and of what an earlier tidemill refitted.
    """
    said = (find_hashed(folder / REFIT) or {}).get("unseen")
    return None if said is None else Profile.from_json(said)


def _serve_judged(workspace: Workspace, why: str) -> dict[str, Any]:
    judged = read_training(workspace.candidate)
    document = {**{name: judged[name] for name in ("rows", "iterations")}, "twins": 0, "why": why}
    staged = fresh_directory(workspace.work("refit", "serving"))
    copy_folder(workspace.candidate / "model", staged / "model")
    write_hashed(staged / REFIT, document)
    commit_directory(staged, workspace.serving)
    return document


def _refit(
    context: StageContext, training: TrainingConfig, reduction: ReductionConfig, seed: int
) -> dict[str, Any]:
    workspace = context.workspace
    manifest = ShardManifest.read(workspace.shards).all_training()
    judged = read_training(workspace.candidate)
    key = _key(workspace, reduction)
    work = workspace.work("refit", key[:16])
    blocks = _all_blocks(context, manifest, reduction, work)
    learn = partial(
        fit,
        training,
        judged["params"],
        validation=replace(blocks, blocks=()),
        task=manifest.schema.task,
        classes=manifest.schema.classes,
        seed=seed,
        rounds=max(judged["iterations"], 1),
        engine=context.engine,
    )
    calibration = Calibration.of_model(judged)
    fitted = learn(blocks)
    serving = calibration.applied(fitted.estimator)
    unseen = unseen_outputs(
        serving,
        *_known_and_held_out(workspace, blocks),
        manifest.schema,
        lambda b: calibration.applied(learn(b).estimator),
    )
    document = {
        **{name: judged[name] for name in ("learner", "strategy", "params", "schema")},
        "key": key,
        "iterations": fitted.n_iterations,
        "rows": manifest.rows(Role.TRAIN),
        "seed": seed,
        "why": "; ".join((_WHY, *fitted.warnings)),
        "twins": 0 if unseen is None else 2,
        "unseen": None if unseen is None else unseen.to_json(),
        **calibration.noted(),
    }
    _leave(context, manifest, work / "reducer", serving, document)
    workspace.discard(work)
    return document


def _known_and_held_out(
    workspace: Workspace, blocks: ReducedBlocks
) -> tuple[ReducedBlocks, ReducedBlocks]:
    """The blocks of training rows, and of those by which the judged model was judged."""
    training = ShardManifest.read(workspace.shards).of(Role.TRAIN)
    taught = {ReducePart.whole(entry).stem for entry in training}
    known = tuple(block for block in blocks.blocks if block[0] in taught)
    held_out = tuple(block for block in blocks.blocks if block[0] not in taught)
    return replace(blocks, blocks=known), replace(blocks, blocks=held_out)


def _key(workspace: Workspace, reduction: ReductionConfig) -> str:
    """Names all that the serving model depends on."""
    return hash_json(
        {
            "shards": hash_file(workspace.shards / "manifest.json"),
            "judged": hash_file(workspace.candidate / "training.json"),
            "reduction": reduction.model_dump(mode="json"),
        }
    )


def _leave(
    context: StageContext,
    manifest: ShardManifest,
    reducer: Path,
    estimator: Any,
    document: dict[str, Any],
) -> None:
    """Put reducer and estimator into models/serving, the judged pipeline beside them."""
    from sklearn.pipeline import Pipeline

    workspace = context.workspace
    leave_candidate(
        Pipeline([("reducer", load_reducer(reducer)), ("learner", estimator)]),
        document,
        workspace.serving,
        staged=workspace.work("refit", "serving"),
        manifest=manifest,
        shards=context.shards,
        name=REFIT,
        judged=workspace.candidate,
    )


def _all_blocks(
    context: StageContext, manifest: ShardManifest, reduction: ReductionConfig, work: Path
) -> ReducedBlocks:
    """The matrices of all rows, by a reducer that knows all of them."""
    reducer, _ = fit_reducer(manifest, context.shards, reduction, engine=context.engine)
    save_reducer(reducer, fresh_directory(work / "reducer"))
    parts = [ReducePart.whole(entry) for entry in manifest.of(Role.TRAIN)]
    return reduce_parts(
        context,
        parts,
        manifest.schema,
        work / "reducer",
        work,
        label="reduce all rows",
        fitted_on=True,
    )
