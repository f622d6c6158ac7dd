"""How far a figure may lie from its long-run value by chance: standard errors from partials.

The infinitesimal jackknife (Efron, 1982): a figure's standard error is the root of the summed
squares of what one row more of each kind would move it. The rows themselves are not needed: the
partials count rows by kind (score and class, confusion cell, residual). For the ROC AUC it is
DeLong's (1988) up to terms of order 1 / rows.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tidemill.metrics import (
    OPERATING_THRESHOLD,
    BinaryFigures,
    Figures,
    MulticlassFigures,
    RegressionFigures,
    ScoreHistogram,
)

__all__ = ["distance_error", "scores_of", "standard_error"]

Floats = npt.NDArray[np.float64]

_EPSILON = np.finfo(np.float64).eps


def standard_error(figures: Figures, metric: str) -> float:
    """Standard error of ``figures.values()[metric]``, rows taken as independent.

    NaN where the figure itself is not defined. Exact up to the bins of the partials; for roc_auc
    and brier of more than two classes an upper bound (classes taken as fully correlated); r2
    takes the target's fourth moment from its histogram, and figures that were kept before the
    errors' fourth powers were take those from the residuals'. Infinite where such a power is no
    number.

    O(bins) time and memory.
    """
    if not figures.count or math.isnan(figures.values()[metric]):
        return math.nan
    if isinstance(figures, BinaryFigures):
        if metric == "f1":
            return _f1(figures.confusion)
        return _root(_of_cells(figures.ranks, metric, figures.threshold))
    if isinstance(figures, MulticlassFigures):
        return _multiclass(figures, metric)
    n = figures.count
    squared = figures.squared_error_sum / n
    fourth = _fourth_of_errors(figures)
    if not math.isfinite(fourth):
        return math.inf
    if metric == "bias":
        return math.sqrt(max(squared - (figures.error_sum / n) ** 2, 0.0) / n)
    if metric == "mae":
        return math.sqrt(max(squared - (figures.absolute_error_sum / n) ** 2, 0.0) / n)
    if metric == "rmse":
        return math.sqrt(max(fourth - squared**2, 0.0) / (4 * n * squared)) if squared else 0.0
    return _r2(figures, squared, fourth)


def distance_error(metric: str, value: float, expected: float, error: float) -> float:
    """Standard error of how far ``value`` lies above ``expected``, from that of ``value``.

    Of an RMSE it is told on the scale of the squares, which add up: the root of a mean square
    that one wrong row makes seems sure to half of itself, the mean square says nothing.

    >>> distance_error("mae", 100.0, 1.0, 50.0), distance_error("rmse", 99.0, 1.0, 50.0)
    (50.0, 99.0)
    """
    if metric != "rmse" or not value > expected:
        return error
    return error * 2 * value / (value + expected)


def _r2(figures: RegressionFigures, squared: float, fourth: float) -> float:
    """Influence of a row: its squared error, less its share of the target's variance."""
    variance = figures.target_m2 / figures.count
    if not variance:
        return 0.0
    ratio = squared / variance
    from_mean = _middles(figures.edges) - figures.target_mean
    spread = _fourth_moment(from_mean, figures.joint_counts.sum(axis=1), figures.target_m2)
    residual = _middles(figures.edges)[None, :] - _middles(figures.edges)[:, None]
    together = _covariance(residual**2, (from_mean**2)[:, None], figures.joint_counts)
    noise = max(fourth - squared**2, 0.0) + ratio**2 * max(spread - variance**2, 0.0)
    return math.sqrt(max(noise - 2 * ratio * together, 0.0) / figures.count) / variance


def _fourth_of_errors(figures: RegressionFigures) -> float:
    if not math.isnan(figures.fourth_error_sum):
        return figures.fourth_error_sum / figures.count
    return _fourth_moment(
        _middles(figures.residual_edges),
        figures.residual_counts,
        figures.squared_error_sum,
        figures.absolute_error_sum,
    )


def _covariance(a: Floats, b: Floats, counts: npt.NDArray[np.int64]) -> float:
    n = counts.sum()
    return float((counts * a * b).sum() / n - (counts * a).sum() * (counts * b).sum() / n**2)


def scores_of(ranks: ScoreHistogram) -> Floats:
    """The score of each bin, ascending; its lower edge where a bin holds several scores."""
    return ranks.roc_curve(points=len(ranks.bins)).thresholds[:0:-1]


def _of_cells(ranks: ScoreHistogram, metric: str, threshold: float = OPERATING_THRESHOLD) -> float:
    """Sum over rows of squared influence on a figure of (score, class) pairs."""
    p, q, score = ranks.positives.astype(float), ranks.negatives.astype(float), scores_of(ranks)
    if metric == "accuracy":
        right = (score > threshold).astype(float)
        up, down = _centred(right, 1 - right, p, q)
    else:
        up, down = _INFLUENCE[metric](score, p, q)
    return float((p * up**2).sum() + (q * down**2).sum())


def _roc_auc(_: Floats, p: Floats, q: Floats) -> tuple[Floats, Floats]:
    beats = (np.cumsum(q) - q / 2) / q.sum()
    beaten = 1 - (np.cumsum(p) - p / 2) / p.sum()
    area = float((p * beats).sum() / p.sum())
    return (beats - area) / p.sum(), (beaten - area) / q.sum()


def _average_precision(_: Floats, p: Floats, q: Floats) -> tuple[Floats, Floats]:
    seen = np.cumsum((p + q)[::-1])[::-1]
    precision = np.cumsum(p[::-1])[::-1] / np.where(seen > 0, seen, 1.0)
    area = float((p * precision).sum() / p.sum())
    # One more row at a score raises or lowers the precision at every lower threshold.
    lift = np.cumsum(p * (1 - precision) / seen) / p.sum()
    drop = np.cumsum(p * precision / seen) / p.sum()
    return (precision - area) / p.sum() + lift, -drop


def _log_loss(score: Floats, p: Floats, q: Floats) -> tuple[Floats, Floats]:
    clipped = np.clip(score, _EPSILON, 1 - _EPSILON)
    return _centred(-np.log(clipped), -np.log1p(-clipped), p, q)


def _brier(score: Floats, p: Floats, q: Floats) -> tuple[Floats, Floats]:
    return _centred((1 - score) ** 2, score**2, p, q)


_INFLUENCE = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "brier": _brier,
}


def _centred(up: Floats, down: Floats, p: Floats, q: Floats) -> tuple[Floats, Floats]:
    n = float(p.sum() + q.sum())
    mean = float((p * up).sum() + (q * down).sum()) / n
    return (up - mean) / n, (down - mean) / n


def _f1(confusion: npt.NDArray[np.int64]) -> float:
    (_, fp), (fn, tp) = confusion.astype(float).tolist()
    size = 2 * tp + fp + fn
    f1 = 2 * tp / size if size else 0.0
    return _root(tp * (2 - 2 * f1) ** 2 + (fp + fn) * f1**2) / size if size else 0.0


def _multiclass(figures: MulticlassFigures, metric: str) -> float:
    if metric == "log_loss":
        # The probability of the true class, over all rows, is what the positives' scores tell.
        true = [(_loss(scores_of(r)), r.positives.astype(float)) for r in figures.ranks]
        loss, rows = (np.concatenate(parts) for parts in zip(*true, strict=True))
        mean = float((loss * rows).sum() / rows.sum())
        return _root(float((rows * (loss - mean) ** 2).sum())) / float(rows.sum())
    if metric == "accuracy":
        right = figures.values()["accuracy"]
        return math.sqrt(right * (1 - right) / figures.count)
    if metric == "f1":
        parts = [_f1(_against_rest(figures.confusion, k)) for k in range(len(figures.ranks))]
    else:
        defined = [r for r in figures.ranks if r.n_positive and r.n_negative]
        parts = [_root(_of_cells(r, metric)) for r in defined]
    return sum(parts) / (1 if metric == "brier" else max(len(parts), 1))


def _against_rest(confusion: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.int64]:
    hit, row, column = confusion[k, k], confusion[k].sum(), confusion[:, k].sum()
    rest = confusion.sum() - row - column + hit
    return np.array([[rest, column - hit], [row - hit, hit]])


def _loss(score: Floats) -> Floats:
    return np.asarray(-np.log(np.clip(score, _EPSILON, 1 - _EPSILON)), np.float64)


def _middles(edges: Floats) -> Floats:
    """Middles of the inner bins between ``edges``, with the outermost edges for the open ends."""
    if not len(edges):
        return np.zeros(1)
    return np.concatenate([[edges[0]], (edges[1:] + edges[:-1]) / 2, [edges[-1]]])


def _fourth_moment(
    values: Floats, counts: npt.NDArray[np.int64], squares: float, sizes: float | None = None
) -> float:
    """Mean fourth power of values of which the histogram and the sum of squares are known.

    What the inner bins do not explain of the sum of squares lies in the open bins; of these it
    is one value's as far as the sum of absolute values (``sizes``) allows: a row that is off by a
    thousand times as much as all others is chance, whatever else lies far out.
    """
    n = float(counts.sum())
    inner = float((counts[1:-1] * values[1:-1] ** 2).sum())
    outside = float(counts[0] + counts[-1]) if len(counts) > 1 else n
    beyond = max(squares - inner, 0.0)
    scale = squares / inner if not outside and inner else 1.0
    fourth = float((counts[1:-1] * values[1:-1] ** 4).sum()) * scale**2
    if outside:
        mean = math.sqrt(beyond / outside)
        if sizes is not None:
            far = sizes - float((counts[1:-1] * np.abs(values[1:-1])).sum())
            mean = min(max(far, 0.0) / outside, mean)
        fourth += _most_uneven(mean, beyond, outside)
    return fourth / n if n else math.nan


def _most_uneven(mean: float, squares: float, n: float) -> float:
    """The largest sum of fourth powers of ``n`` values with this mean and sum of squares.

    >>> _most_uneven(2.0, 12.0, 3.0), round(_most_uneven(1.0, 9.0, 3.0))
    (48.0, 81)
    """
    spread = math.sqrt(max(squares / n - mean**2, 0.0))
    others = max(n - 1, 1.0)
    largest, rest = mean + spread * math.sqrt(others), mean - spread / math.sqrt(others)
    # Products, because a power that is too large is an error of Python's, and no infinity.
    return float(largest * largest * largest * largest + (n - 1) * rest * rest * rest * rest)


def _root(squares: float) -> float:
    return math.sqrt(max(squares, 0.0))
