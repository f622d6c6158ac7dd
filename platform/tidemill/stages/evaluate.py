"""evaluate: the candidate alone, on the frozen test shards, beside a dummy baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.config import EvaluationConfig
from tidemill.learners import has_threshold, uncalibrated
from tidemill.metrics import (
    HIGHER_IS_BETTER,
    BinaryFigures,
    Figures,
    few_are_found,
    improves,
    in_words,
    metric_names,
    no_better_than_dummy,
    standard_errors,
)
from tidemill.profiling import fold
from tidemill.schema import Role
from tidemill.sharding import Copies, count_copies
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.deciding import choose_metric
from tidemill.stages.figures import draw_figures
from tidemill.stages.shard_figures import (
    defined,
    measure_baseline,
    measure_shards,
    measure_stretches,
    stretch_ends,
)
from tidemill.stages.weak_slices import find_weak_slices
from tidemill.storage import (
    ShardManifest,
    Workspace,
    commit_directory,
    fresh_directory,
    hash_files,
    write_hashed,
)
from tidemill.tracking import open_candidate

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["run_evaluate"]

TRAIN_ROWS = 200_000
"""Training rows looked at for the gap: enough for two digits, whatever the table's size."""

COPIES = 0.05
"""Share of test rows with the features of training rows from which figures are of such rows."""

TINY = 0.01
"""Share of the dummy's loss below which one loss being many times another is no alarm."""

Metrics = Mapping[str, float]

_PARTS = ("test", "baseline", "validation", "train")


def run_evaluate(context: StageContext, *, evaluation: EvaluationConfig) -> StageResult:
    """Leave reports/metrics.json and reports/figures/."""
    workspace = context.workspace
    manifest = ShardManifest.read(workspace.shards)
    schema = manifest.schema
    chosen = choose_metric(evaluation.metric, manifest, context.shards, setting="evaluation.metric")
    metric = chosen.name
    candidate = open_candidate(workspace.candidate / "model")
    pipeline = candidate.pipeline
    tested, errors = _tested(context, pipeline, manifest)
    validation, found = _validated(context, pipeline, manifest, tested)
    train = measure_shards(context, pipeline, manifest, Role.TRAIN, max_rows=TRAIN_ROWS).values()
    baseline = measure_baseline(context, manifest).values()
    plain = _uncalibrated(context, pipeline, manifest)
    gap = relative_gap(metric, train[metric], validation[metric])
    doubt = no_better_than_dummy(tested, schema.classes)
    copies, slices = _copies(context, manifest), find_weak_slices(context, pipeline, manifest)
    weak = [asdict(one) for one in slices]
    parts = dict(zip(_PARTS, (tested.values(), baseline, validation, train), strict=True))
    told = {part: defined(figures) for part, figures in (*parts.items(), ("test_error", errors))}
    document: dict[str, Any] = {
        "metric": metric,
        **told,
        "gap": gap,
        "rows": {role.value: manifest.rows(role) for role in Role},
        "copies": {"test_rows": copies.known, "share": copies.share},
        # In lists, which DVC does not take for metrics.
        "judged": [candidate.judged_sha256],
        "no_better_than_dummy": [doubt] if doubt else [],
        "weakest_slices": weak,
        **_of_probabilities(tested, plain),
    }
    _leave(workspace, document, lambda f: draw_figures(f, tested, pipeline, manifest, slices))
    by_heart = gap > evaluation.max_gap and not _both_tiny(metric, train, validation, baseline)
    warnings = _warnings(metric, parts, copies, by_heart=by_heart)
    return StageResult(
        stage="evaluate",
        facts={metric: parts["test"][metric], f"{metric}_error": told["test_error"][metric]}
        | {f"baseline_{metric}": baseline[metric], "gap": gap}
        | {"known_test_share": copies.share, "metric": chosen.said},
        tables={"metrics": _table(told, metric_names(schema.task)), "weakest slices": weak},
        warnings=tuple(filter(None, (doubt and f"on the test rows {doubt}", found, *warnings))),
    )


def _of_probabilities(tested: Figures, plain: Metrics) -> dict[str, Any]:
    """What of the document only some models have."""
    operating = tested.operating() if isinstance(tested, BinaryFigures) else {}
    parts = {"uncalibrated": plain, "operating": operating}
    return {name: defined(figures) for name, figures in parts.items() if figures}


def _uncalibrated(
    context: StageContext, pipeline: Pipeline, manifest: ShardManifest
) -> Mapping[str, float]:
    """Figures on the test rows of what the model's calibration holds; empty where it has none."""
    from sklearn.pipeline import Pipeline as Steps

    inner, whole = uncalibrated(pipeline[-1]), pipeline[-1]
    if inner is (whole.estimator if has_threshold(whole) else whole):
        return {}
    bare = Steps([("reducer", pipeline[0]), ("learner", inner)])
    return measure_shards(context, bare, manifest, Role.TEST).values()


def _table(
    told: Mapping[str, Mapping[str, float | None]], names: Iterable[str]
) -> list[dict[str, Any]]:
    parts = ("test", "test_error", *_PARTS[1:])
    return [{"metric": name, **{part: told[part][name] for part in parts}} for name in names]


def _validated(
    context: StageContext, pipeline: Pipeline, manifest: ShardManifest, tested: Figures
) -> tuple[Metrics, str]:
    """The figures on validation rows, and what their best threshold would find of the test rows."""
    if not manifest.of(Role.VALIDATION):
        return dict.fromkeys(metric_names(manifest.schema.task), math.nan), ""
    held_out = measure_shards(context, pipeline, manifest, Role.VALIDATION)
    if isinstance(tested, BinaryFigures) and isinstance(held_out, BinaryFigures):
        return held_out.values(), few_are_found(tested, held_out)
    return held_out.values(), ""


def _tested(
    context: StageContext, pipeline: Pipeline, manifest: ShardManifest
) -> tuple[Figures, dict[str, float]]:
    """The figures on the test rows, and the standard error of each: rows near in time are alike.

    Memory: the figures of 20 stretches, at most 50 MB (of classes 40 MB each).
    """
    parts = measure_stretches(
        context,
        pipeline,
        [entry.file for entry in manifest.of(Role.TEST)],
        context.shards,
        manifest.schema,
        label=f"evaluate {Role.TEST.value}",
        ends=stretch_ends(context, manifest, Role.TEST),
    )
    return fold(parts), standard_errors(parts)


def _leave(workspace: Workspace, document: dict[str, Any], draw: Callable[[Path], object]) -> None:
    """The figures, then the document that names them; last the folder, whole or not at all."""
    staged = fresh_directory(workspace.work("evaluate", "figures"))
    draw(staged)
    document["figures"] = [list(named) for named in hash_files(staged).items()]
    write_hashed(workspace.reports / "metrics.json", document, listed=True)
    commit_directory(staged, workspace.reports / "figures")


def _warnings(
    metric: str, parts: Mapping[str, Metrics], copies: Copies, *, by_heart: bool
) -> Iterator[str]:
    test, baseline, validation, train = (parts[part][metric] for part in _PARTS)
    if by_heart:
        yield (
            f"{in_words(metric)} is {train:.4f} on training and {validation:.4f} on validation "
            "rows: the model may have learnt the training rows by heart"
        )
    if not improves(metric, test, baseline):
        yield (
            f"{in_words(metric)} on the test rows is {test:.4f}, no better than the "
            f"{baseline:.4f} of a dummy that knows the target's shares only"
        )
    if copies.share > COPIES:
        yield (
            f"{copies.share:.1%} of the test rows have exactly the features of a training row: the "
            "figures tell how well such rows are known, and less how new ones are predicted; if "
            "they are copies of one another, drop them from the source, or hold out by time or "
            "file (sharding.holdout.by)"
        )


def _copies(context: StageContext, manifest: ShardManifest) -> Copies:
    workspace = context.workspace
    work = workspace.fresh(workspace.work("evaluate", "copies"))
    found = count_copies(manifest, context.shards, workspace.stored(work), context.engine)
    workspace.discard(work)
    return found


def _both_tiny(metric: str, train: Metrics, validation: Metrics, baseline: Metrics) -> bool:
    """Whether both losses are next to nothing beside the dummy's: then their ratio says little.

    >>> _both_tiny("log_loss", {"log_loss": 1e-4}, {"log_loss": 3e-3}, {"log_loss": 0.7})
    True
    """
    if HIGHER_IS_BETTER[metric]:
        return False
    return max(train[metric], validation[metric]) <= TINY * baseline[metric]


def relative_gap(metric: str, train: float, validation: float) -> float:
    """By how much training beats validation, relative to the larger of the two.

    >>> round(relative_gap("roc_auc", 0.9, 0.6), 3)
    0.333
    >>> relative_gap("rmse", 2.0, 1.0)
    -0.5
    """
    ahead = train - validation if HIGHER_IS_BETTER[metric] else validation - train
    size = max(abs(train), abs(validation))
    return ahead / size if size and math.isfinite(ahead) else 0.0
