"""Figures that are expected of rows without truth, from how often each stretch of output occurs.

Within a stretch of output (a *group* of bins) rows are taken to turn out as held-out rows did.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tidemill.drift.performance.output_bins import OutputBins
from tidemill.drift.performance.standard_errors import scores_of
from tidemill.metrics import BinaryFigures, Figures, RegressionFigures
from tidemill.schema import Task

__all__ = ["concordance", "expected_figures", "grouped", "groups_of", "output_counts"]

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-9
LEAST_ROWS = 30
"""Held-out rows that a group has at least: fewer tell little about what comes of such rows."""


def groups_of(rows: Floats) -> npt.NDArray[np.int64]:
    """Number of the group of each bin, (bins,), so that each group has at least 30 rows.

    Neighbours are joined from the left; what is left over joins the last group.

    >>> groups_of(np.array([40.0, 10.0, 25.0, 3.0, 50.0, 2.0])).tolist()
    [0, 1, 1, 2, 2, 2]
    """
    found = np.zeros(len(rows), np.int64)
    group, held = 0, 0.0
    for i, here in enumerate(rows.tolist()):
        if held >= LEAST_ROWS and rows[i:].sum() >= LEAST_ROWS:
            group, held = group + 1, 0.0
        found[i] = group
        held += here
    return found


def grouped(sums: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    """Sums over the bins of each group; the last axis goes from bins to groups."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.asarray(np.add.reduceat(sums, starts, axis=-1), np.float64)


def concordance(figures: Figures, outcomes: OutputBins, groups: npt.NDArray[np.int64]) -> Floats:
    """Share of pairs (positive, negative) *inside* each group that the score puts in order.

    A half where a group has no such pair, and for other tasks than binary; (groups,).
    """
    found = np.full(int(groups[-1]) + 1, 0.5)
    if not isinstance(figures, BinaryFigures):
        return found
    ranks = figures.ranks
    place = groups[np.searchsorted(outcomes.edges, scores_of(ranks), side="right")]
    for group in range(len(found)):
        p, n = (side[place == group].astype(float) for side in (ranks.positives, ranks.negatives))
        if pairs := p.sum() * n.sum():
            found[group] = float((p * (np.cumsum(n) - n / 2)).sum() / pairs)
    return found


def output_counts(figures: Figures, edges: Floats) -> Floats:
    """How many of the rows behind ``figures`` lie in each bin of output, (n_edges + 1,).

    Of regression ``edges`` must be those of the figures.
    """
    if isinstance(figures, RegressionFigures):
        return np.asarray(figures.joint_counts.sum(axis=0), np.float64)
    if isinstance(figures, BinaryFigures):
        ranks = figures.ranks
        return _counted(scores_of(ranks), ranks.positives + ranks.negatives, edges)
    # Outputs keep the predicted class's probability and share the rest evenly: of each row the
    # one that is above an even share is the predicted one's; rows that are all even have none.
    even = 1 / len(figures.ranks) + _ROUNDING
    parts = [(scores_of(r), r.positives + r.negatives) for r in figures.ranks]
    found = np.sum([_counted(s[s > even], n[s > even], edges) for s, n in parts], axis=0)
    found[np.searchsorted(edges, even, side="right")] += figures.count - found.sum()
    return np.asarray(found, np.float64)


def _counted(scores: Floats, rows: npt.NDArray[np.int64], edges: Floats) -> Floats:
    place = np.searchsorted(edges, scores, side="right")
    return np.bincount(place, weights=rows, minlength=len(edges) + 1).astype(np.float64)


def expected_figures(
    task: Task, held_out: Floats, counts: Floats, inside: Floats
) -> dict[str, Floats]:
    """Figures that ``counts`` rows in each group would show if they turned out as held-out rows.

    Parameters
    ----------
    held_out : (..., len(SUMS[task]), groups)
        Sums of :class:`OutputBins` over held-out rows, by group; a group without any is taken
        to lie between its neighbours. Leading axes: one set of held-out rows each.
    counts : (groups,)
        Rows to judge; they need not be whole numbers.
    inside : (groups,)
        See :func:`concordance`.

    Returns
    -------
    dict of str to (...) float64
        NaN where these sums do not tell: roc_auc and f1 of more than two classes.

    Notes
    -----
    Memory: a few times ``held_out``.
    """
    known = held_out[..., 0, :] > 0
    rates = held_out / np.where(known, held_out[..., 0, :], 1.0)[..., None, :]
    at = np.arange(len(counts))
    for place in map(tuple, np.argwhere(~known.all(axis=-1))):
        there = known[place]
        rates[place] = [np.interp(at, at[there], rate[there]) for rate in rates[place]]
    return _FIGURES[task](np.moveaxis(counts * rates, -2, 0), inside)


def _binary(sums: Floats, inside: Floats) -> dict[str, Floats]:
    rows, positives, *_ = sums
    n, p, k, t, log_loss, squared = sums.sum(axis=-1)
    return {
        "roc_auc": _ordered(positives, rows - positives, inside),
        "average_precision": _average_precision(positives, rows),
        "log_loss": _ratio(log_loss, n),
        "accuracy": _ratio(n - p - k + 2 * t, n),
        "f1": np.where(p + k, _ratio(2 * t, p + k), 0.0),
        "brier": _ratio(squared, n),
    }


def _multiclass(sums: Floats, _: Floats) -> dict[str, Floats]:
    rows, correct, log_loss, squared = sums.sum(axis=-1)
    unknown = np.full(rows.shape, math.nan)
    return {
        "roc_auc": unknown,
        "log_loss": _ratio(log_loss, rows),
        "accuracy": _ratio(correct, rows),
        "f1": unknown,
        "brier": _ratio(squared, rows),
    }


def _regression(sums: Floats, _: Floats) -> dict[str, Floats]:
    rows, absolute, squared, target, target_squared, error = sums.sum(axis=-1)
    spread = target_squared - np.float_power(target, 2) / np.maximum(rows, 1.0)
    return {
        "mae": _ratio(absolute, rows),
        "rmse": np.sqrt(_ratio(squared, rows)),
        "r2": 1.0 - _ratio(squared, np.maximum(spread, 0.0)),
        "bias": _ratio(error, rows),
    }


def _ordered(positives: Floats, negatives: Floats, inside: Floats) -> Floats:
    below = np.cumsum(negatives, axis=-1) - negatives
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    return _ratio((positives * (below + inside * negatives)).sum(axis=-1), pairs)


def _average_precision(positives: Floats, rows: Floats) -> Floats:
    """Area under the precision-recall curve, each group taken at its middle."""
    p, m = positives[..., ::-1], rows[..., ::-1]
    true, seen = np.cumsum(p, axis=-1) - p / 2, np.cumsum(m, axis=-1) - m / 2
    return _ratio((p * true / np.where(seen > 0, seen, 1.0)).sum(axis=-1), p.sum(axis=-1))


def _ratio(above: Floats, below: Floats) -> Floats:
    known = np.asarray(below) != 0
    found: Floats = np.divide(above, below, out=np.full(known.shape, math.nan), where=known)
    return found


_FIGURES: dict[Task, Callable[[Floats, Floats], dict[str, Floats]]] = {
    Task.BINARY: _binary,
    Task.MULTICLASS: _multiclass,
    Task.REGRESSION: _regression,
}
