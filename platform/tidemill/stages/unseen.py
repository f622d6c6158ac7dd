"""unseen: what a refit says of rows that it has not learnt, told by twins that left them out.

No rows are left that the serving model does not know. A twin has the same parameters and rounds
and learns all rows but a half of the held-out ones; of these it is asked. The judged model has
learnt none of them either, so that both can be compared. Only a model that knows its rows by heart
needs twins: of the others the rows that it has learnt tell enough, and cost no fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.drift import output_schema, outputs_of
from tidemill.learning import predict_scores, threshold_of
from tidemill.metrics import baseline_figures, figures_of
from tidemill.profiling import Profile, fold
from tidemill.schema import TableSchema, Task
from tidemill.stages.blocks import ReducedBlocks

__all__ = ["BY_HEART", "halves", "loss_left", "unseen_outputs"]

MIN_ROWS = 2
ASKED_ROWS = 20_000
BY_HEART = 0.1
"""Rows of which so little loss is left are known by heart (0.01 to 0.03 measured, see drift.md)."""


def unseen_outputs(
    serving: Any,
    known: ReducedBlocks,
    held_out: ReducedBlocks,
    schema: TableSchema,
    learn: Callable[[ReducedBlocks], Any],
) -> Profile | None:
    """The outputs of two twins, each on the half of the held-out rows that it has not learnt.

    Parameters
    ----------
    serving : estimator
        Learnt both. If it leaves more than a tenth of ``known``'s loss (:func:`loss_left`), it
        does not know them by heart.
    known : ReducedBlocks
        What the judged model has learnt too, at least.
    held_out : ReducedBlocks
        What it has not: rows by which it was judged.
    schema : TableSchema
    learn : callable
        Gives the estimator that learnt these blocks.

    Returns
    -------
    Profile or None
        Over ``output_schema(schema)``, of all held-out rows. None of fewer than two, and of a
        model that does not know its rows by heart.

    Notes
    -----
    Time: two fits of fewer rows than the refit's, one after the other. Memory: as that one's;
    features of one block, scores and targets of at most 20,000 rows beside it.
    """
    if sum(held_out.rows) < MIN_ROWS or not _knows_by_heart(serving, known, schema):
        return None
    told, said = output_schema(schema), []
    first, second = halves(held_out)
    for learnt, left_out in ((first, second), (second, first)):
        twin = learn(replace(known, blocks=(*known.blocks, *learnt.blocks)))
        for X, _ in left_out:
            scores = predict_scores(twin, X, schema.task)
            outputs = outputs_of(schema, scores, threshold=threshold_of(twin))
            said.append(Profile.of(outputs, told))
    return fold(said)


def loss_left(schema: TableSchema, scores: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """What a model leaves of the loss of a dummy that knows no more than the mean of the target.

    Parameters
    ----------
    schema : TableSchema
    scores : ndarray
        From :func:`tidemill.learning.predict_scores`.
    y : ndarray
        (rows,) class codes, or targets.

    Returns
    -------
    float
        Share of the dummy's log loss, of the variance in regression: about 1 where nothing was
        learnt, near 0 of rows that are known by heart, and 0 where the dummy has no loss.
    """
    task, classes, edges = schema.task, schema.classes, schema.target.edges
    left = figures_of(task, scores, y, classes=classes, edges=edges).values()
    if task is Task.REGRESSION:
        return float(np.nan_to_num(1 - left["r2"]))
    shares = np.bincount(y, minlength=len(classes)) / len(y)
    if np.count_nonzero(shares) < 2:
        return 0.0
    dummy = baseline_figures(task, shares, y, classes=classes).values()
    return left["log_loss"] / dummy["log_loss"]


def _knows_by_heart(estimator: Any, blocks: ReducedBlocks, schema: TableSchema) -> bool:
    """Asked of at most 20,000 rows, a part of every block."""
    asked = [(predict_scores(estimator, X, schema.task), y) for X, y in blocks.sample(ASKED_ROWS)]
    if not asked:
        return True
    scores, y = (np.concatenate(parts) for parts in zip(*asked, strict=True))
    return loss_left(schema, scores, y) <= BY_HEART


def halves(blocks: ReducedBlocks) -> tuple[ReducedBlocks, ReducedBlocks]:
    """The first half of the rows and the second, in their order; a block may be divided."""
    wanted = sum(blocks.rows) // 2
    first, second = [], []
    for stem, start, rows in blocks.blocks:
        taken = min(rows, wanted)
        wanted -= taken
        if taken:
            first.append((stem, start, taken))
        if rows > taken:
            second.append((stem, start + taken, rows - taken))
    return replace(blocks, blocks=tuple(first)), replace(blocks, blocks=tuple(second))
