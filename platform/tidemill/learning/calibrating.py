"""Which calibration fits rows that were not learnt, chosen by measure: out of core.

Every choice is judged on other rows than those it was made from: the held-out rows fall into five
stretches, and each is answered by what the other four would choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.config import TrainingConfig
from tidemill.contracts import Blocks, Fit
from tidemill.errors import ConfigError
from tidemill.learning.calibration import Calibration
from tidemill.learning.operating import LEAST_ROWS, find_operating
from tidemill.learning.scoring import predict_scores
from tidemill.metrics import ScoreHistogram
from tidemill.profiling import fold
from tidemill.schema import Task

__all__ = ["calibrated_fit", "find_calibration"]

_KINDS = {
    Task.BINARY: ("platt", "isotonic"),
    Task.MULTICLASS: ("temperature",),
    Task.REGRESSION: (),
}

FOLDS = 5
SURE = 2.0
"""Standard errors by which a calibration must be better than a simpler one to be taken."""

_SLOPES = np.geomspace(0.25, 4.0, 65)
_EPSILON = np.finfo(np.float64).eps

Floats = npt.NDArray[np.float64]
Curve = Callable[[Floats], Floats]


def calibrated_fit(
    fitted: Fit, held_out: Blocks, task: Task, config: TrainingConfig
) -> tuple[Fit, Calibration]:
    """The fit with the calibration and the threshold that ``config`` asks for; and those.

    A warning of the fit tells where one that was named could not be had. For memory and errors
    see :func:`find_calibration` and :func:`find_operating`.
    """
    found = find_calibration(fitted.estimator, held_out, task, config.calibration)
    said = fitted.warnings
    if config.calibration not in ("auto", "none") and found.kind == "none":
        said = (
            *said,
            f"training.calibration: {config.calibration} was not fitted: there are too few "
            "validation rows of a class, or what is said of them tells nothing",
        )
    threshold, doubt = find_operating(
        found.applied(fitted.estimator), held_out, task, config.threshold
    )
    found, said = replace(found, threshold=threshold), (*said, *doubt)
    return replace(fitted, estimator=found.applied(fitted.estimator), warnings=said), found


def find_calibration(estimator: Any, held_out: Blocks, task: Task, how: str) -> Calibration:
    """The calibration of a classifier by rows that it has not learnt.

    With two classes Platt's curve is tried, then an isotonic one; with more a temperature. Each is
    taken only if its log loss is less than the simpler one's by more than two standard errors; if
    ``how`` names one, it is that one.

    Parameters
    ----------
    estimator : classifier
    held_out : Blocks
    task : Task
    how : str
        ``training.calibration``.

    Returns
    -------
    Calibration
        Of kind ``none`` for regression, and where the rows are too few.

    Raises
    ------
    ConfigError
        If ``how`` names one of another task.

    Notes
    -----
    One pass. Memory: a block and its scores; five histograms of scores (2.5 MB each at most), or
    325 sums with more than two classes.
    """
    if how not in ("auto", "none", *_KINDS[task]):
        raise ConfigError(
            f"training.calibration: {how} does not fit a {task.value} target",
            remedy=f"set training.calibration to {' or '.join(('auto', 'none', *_KINDS[task]))}",
            calibration=how,
        )
    if how == "none" or task is Task.REGRESSION or not sum(held_out.rows):
        return Calibration()
    if task is Task.MULTICLASS:
        return _by_temperature(estimator, held_out, wanted=how == "temperature")
    return _by_curve(estimator, held_out, how)


def _by_curve(estimator: Any, held_out: Blocks, how: str) -> Calibration:
    """Of two classes, from histograms of their scores."""
    parts: dict[int, list[ScoreHistogram]] = {}
    for at, scores, y in _by_stretch(estimator, held_out, Task.BINARY):
        parts.setdefault(at, []).append(ScoreHistogram.of(scores, y == 1))
    ranks = [fold(some) for some in parts.values()]
    whole = fold(ranks)
    if len(ranks) < FOLDS or min(whole.n_positive, whole.n_negative) < LEAST_ROWS:
        return Calibration()
    losses = {
        kind: [_crossed(ranks, at, fit) for at in range(FOLDS)] for kind, fit in _FITS.items()
    }
    found = "none"
    for kind in ("platt", "isotonic"):
        if how == kind or (how == "auto" and _better(ranks, losses[kind], losses[found])):
            found = kind
    if found == "none":
        return Calibration()
    curve = _FITS[found](whole)
    before, now = (_mean(ranks, losses[kind]) for kind in ("none", found))
    plain, after = (_tied(said, whole) for said in (whole.middles, curve.binary(whole.middles)))
    return replace(
        curve,
        log_loss=(before, now),
        average_precision=(plain.average_precision, after.average_precision),
        rows=whole.n_positive + whole.n_negative,
    )


def _by_stretch(
    estimator: Any, blocks: Blocks, task: Task
) -> Iterator[tuple[int, Floats, npt.NDArray[Any]]]:
    total, start = sum(blocks.rows), 0
    for X, y in blocks:
        scores = predict_scores(estimator, X, task)
        stretches = (start + np.arange(len(y))) * FOLDS // total
        start += len(y)
        for at in np.unique(stretches).tolist():
            yield at, scores[stretches == at], y[stretches == at]


def _nothing(_: ScoreHistogram) -> Calibration:
    return Calibration()


def _platt(ranks: ScoreHistogram) -> Calibration:
    """Logistic regression of the class on the log odds, by Newton; O(bins) time and memory.

    Targets are Platt's, a little inside 0 and 1, so that classes apart do not end at infinity.
    """
    x, n = _log_odds(ranks.middles), ranks.positives + ranks.negatives
    high = (ranks.n_positive + 1) / (ranks.n_positive + 2)
    low = 1 / (ranks.n_negative + 2)
    target = (high * ranks.positives + low * ranks.negatives) / n
    columns = np.column_stack([x, np.ones(len(x))])
    weights = np.array([1.0, 0.0])
    for _ in range(100):
        said = 1 / (1 + np.exp(-np.clip(columns @ weights, -500, 500)))
        gradient = columns.T @ (n * (said - target))
        curvature = (columns * (n * said * (1 - said))[:, None]).T @ columns
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        step *= min(1.0, 2.0 / max(np.abs(step).max(), 1e-300))
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    slope, offset = weights.tolist()
    if not slope > 0:  # what is said of the rows tells nothing: their order is kept
        return Calibration()
    return Calibration("platt", slope=slope, offsets=(0.0, offset))


def _isotonic(ranks: ScoreHistogram) -> Calibration:
    """The increasing steps that fit best, each a little drawn to the mean; linear between them."""
    from sklearn.isotonic import isotonic_regression

    n = ranks.positives + ranks.negatives
    steps = isotonic_regression(ranks.positives / n, sample_weight=n.astype(float))
    _, first, at = np.unique(steps, return_index=True, return_inverse=True)
    rows, share = np.bincount(at, weights=n), ranks.n_positive / n.sum()
    levels = (np.bincount(at, weights=ranks.positives) + share) / (rows + 1)
    levels = np.maximum.accumulate(levels)
    last = np.append(first[1:], len(n)) - 1
    middles = ranks.middles
    ends = np.column_stack([middles[first], middles[last]]).ravel()
    kept = np.append(True, np.diff(ends) > 0)
    return Calibration(
        "isotonic", scores=tuple(ends[kept].tolist()), shares=tuple(np.repeat(levels, 2)[kept])
    )


_FITS: dict[str, Callable[[ScoreHistogram], Calibration]] = {
    "none": _nothing,
    "platt": _platt,
    "isotonic": _isotonic,
}


def _crossed(
    ranks: Sequence[ScoreHistogram], at: int, fit: Callable[[ScoreHistogram], Calibration]
) -> tuple[Floats, Floats]:
    """Losses of a positive and of a negative in each bin of a stretch, by what the others say."""
    others = fold(part for i, part in enumerate(ranks) if i != at)
    said = np.clip(fit(others).binary(ranks[at].middles), _EPSILON, 1 - _EPSILON)
    return -np.log(said), -np.log1p(-said)


Losses = Sequence[tuple[Floats, Floats]]


def _mean(ranks: Sequence[ScoreHistogram], losses: Losses) -> float:
    rows = sum(part.n_positive + part.n_negative for part in ranks)
    pairs = zip(ranks, losses, strict=True)
    return float(sum((p.positives @ up) + (p.negatives @ down) for p, (up, down) in pairs)) / rows


def _better(ranks: Sequence[ScoreHistogram], new: Losses, old: Losses) -> bool:
    gains = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(new, old, strict=True)]
    squares = [(up**2, down**2) for up, down in gains]
    mean, square = _mean(ranks, gains), _mean(ranks, squares)
    rows = sum(part.n_positive + part.n_negative for part in ranks)
    return mean > SURE * math.sqrt(max(square - mean**2, 0.0) / rows)


def _tied(scores: Floats, ranks: ScoreHistogram) -> ScoreHistogram:
    """The rows of the bins by other scores; bins of one score are ties."""
    score, at = np.unique(scores, return_inverse=True)
    positives, negatives = (
        np.bincount(at, weights=counts).astype(np.int64)
        for counts in (ranks.positives, ranks.negatives)
    )
    return ScoreHistogram(np.arange(len(score)), positives, negatives, score)


def _by_temperature(estimator: Any, held_out: Blocks, *, wanted: bool) -> Calibration:
    """The slope over the logarithms, of a grid, that leaves the least log loss."""
    sums, squares = np.zeros((2, FOLDS, len(_SLOPES)))
    rows, plain = np.zeros(FOLDS), 0.0
    for at, scores, y in _by_stretch(estimator, held_out, Task.MULTICLASS):
        logs = np.log(np.clip(scores, np.finfo(np.float64).tiny, 1.0))
        own = -logs[np.arange(len(y)), y]
        loss = np.column_stack([_raised_loss(slope * logs, y) for slope in _SLOPES])
        gain = own[:, None] - loss
        sums[at] += gain.sum(axis=0)
        squares[at] += (gain**2).sum(axis=0)
        rows[at] += len(y)
        plain += float(own.sum())
    others = (sums.sum(axis=0) - sums).argmax(axis=1)
    each = np.arange(FOLDS)
    total = rows.sum()
    mean, square = (part[each, others].sum() / total for part in (sums, squares))
    sure = mean > SURE * math.sqrt(max(square - mean**2, 0.0) / total)
    if not wanted and not sure:
        return Calibration()
    return Calibration(
        "temperature",
        slope=float(_SLOPES[sums.sum(axis=0).argmax()]),
        log_loss=(plain / total, float(plain / total - mean)),
        rows=int(total),
    )


def _raised_loss(logs: Floats, y: npt.NDArray[Any]) -> Floats:
    top = logs.max(axis=1)
    whole = top + np.log(np.exp(logs - top[:, None]).sum(axis=1))
    return np.asarray(whole - logs[np.arange(len(y)), y], np.float64)


def _log_odds(scores: Floats) -> Floats:
    clipped = np.clip(scores, np.finfo(np.float64).tiny, 1 - _EPSILON)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), np.float64)
