"""unseen: what a refit says of rows that it has not learnt, told by twins that left them out.

No rows are left that the serving model does not know. A twin has the same parameters and rounds
and learns all rows but a half of the held-out ones; of these it is asked. The judged model has
learnt none of them either, so that both can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tidemill.drift import output_schema, outputs_of
from tidemill.learning import predict_scores
from tidemill.profiling import Profile, fold
from tidemill.schema import TableSchema
from tidemill.stages.blocks import ReducedBlocks

__all__ = ["halves", "unseen_outputs"]

MIN_ROWS = 2


def unseen_outputs(
    known: ReducedBlocks,
    held_out: ReducedBlocks,
    schema: TableSchema,
    learn: Callable[[ReducedBlocks], Any],
) -> Profile | None:
    """The outputs of two twins, each on the half of the held-out rows that it has not learnt.

    Parameters
    ----------
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
        Over ``output_schema(schema)``, of all held-out rows; None of fewer than two.

    Notes
    -----
    Time: two fits of fewer rows than the refit's. Memory: as that one's; one block is scored at
    a time.
    """
    if sum(held_out.rows) < MIN_ROWS:
        return None
    told, said = output_schema(schema), []
    first, second = halves(held_out)
    for learnt, left_out in ((first, second), (second, first)):
        twin = learn(replace(known, blocks=(*known.blocks, *learnt.blocks)))
        for X, _ in left_out:
            scores = predict_scores(twin, X, schema.task)
            said.append(Profile.of(outputs_of(schema, scores), told))
    return fold(said)


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
