"""The first map: validated blocks become pieces of the exchange, their rows sorted by slot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.sharding.facts import Place, facts_of
from tidemill.sharding.plan import ShardPlan, row_bytes
from tidemill.storage import (
    Exchange,
    PieceIndex,
    Receipts,
    StoreFolder,
    ValidatedManifest,
    hash_json,
    inputs_a_piece,
    read_blocks,
)

__all__ = ["PieceTask", "exchange_of", "pieces_of", "write_piece"]

_ORDER = "__order"
_PIECE_BYTES = 24 << 20


@dataclass(frozen=True, slots=True)
class PartBlocks:
    """Consecutive blocks of one part, of about 24 MB.

    Parameters
    ----------
    file : str
        Its name in the folder of the parts.
    blocks : tuple of int
    place : Place
        Of the first row.
    """

    file: str
    blocks: tuple[int, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class PieceTask:
    """What becomes one piece.

    Parameters
    ----------
    number : int
        Position among all pieces, in source order.
    inputs : tuple of PartBlocks
    key : str
        Names the content of the parts, the blocks and the plan.
    """

    number: int
    inputs: tuple[PartBlocks, ...]
    key: str


def exchange_of(manifest: ValidatedManifest, work: StoreFolder, plan: ShardPlan) -> Exchange:
    """The exchange between pieces and shards, before anything is written."""
    return Exchange(work, len(plan.slots), plan.groups, _run_rows(manifest))


def pieces_of(manifest: ValidatedManifest, plan: ShardPlan) -> list[PieceTask]:
    """Cut the parts into runs of blocks of about 24 MB (one block, where that is larger).

    Each becomes a piece; where they are more than pieces may be, several that follow each other do.
    """
    keyed: list[tuple[str, PartBlocks]] = []
    first_row, digest = 0, plan.digest
    for number, part in enumerate(manifest.parts):
        place = Place(number, first_row, part.digest)
        for blocks in _runs(part.file.blocks, _run_rows(manifest)):
            named = [digest, part.digest, part.file.sha256, number, place.first, list(blocks)]
            keyed.append((hash_json(named), PartBlocks(part.file.path, blocks, place)))
            place = place.after(sum(part.file.blocks[block] for block in blocks))
        first_row = place.first
    size = inputs_a_piece(len(keyed))
    tasks = []
    for number, start in enumerate(range(0, len(keyed), size)):
        keys, inputs = zip(*keyed[start : start + size], strict=True)
        tasks.append(PieceTask(number, inputs, hash_json(keys)))
    return tasks


def _run_rows(manifest: ValidatedManifest) -> int:
    return max(1, _PIECE_BYTES // row_bytes(manifest.schema))


def _runs(sizes: tuple[int, ...], limit: int) -> Iterator[tuple[int, ...]]:
    run: list[int] = []
    rows = 0
    for block, size in enumerate(sizes):
        if run and rows + size > limit:
            yield tuple(run)
            run, rows = [], 0
        run.append(block)
        rows += size
    if run:
        yield tuple(run)


def write_piece(
    exchange: Exchange, plan: ShardPlan, folder: StoreFolder, task: PieceTask
) -> PieceIndex:
    """Write one piece of parts in ``folder``, or find it finished; last the receipt of it.

    Notes
    -----
    Memory: about three times 24 MB (or a validated block, where that is larger).
    """
    receipts, name = Receipts(exchange.folder), f"piece-{task.number:05d}"
    # The pieces are not flushed to the disk: after a power cut a receipt may outlive them.
    finished = receipts.done(name, task.key)
    if finished is not None:
        return PieceIndex.from_json(finished["index"])
    with exchange.writer(task.number) as writer:
        for part in task.inputs:
            writer.add(*_placed(plan, folder, part))
    left = {exchange.name(task.number): writer.stored.sha256}
    receipts.finish(name, {"index": writer.index.to_json()}, left, key=task.key)
    return writer.index


def _placed(
    plan: ShardPlan, folder: StoreFolder, part: PartBlocks
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The rows, and ``slot * groups + group`` of each; below 0 where it is left out."""
    blocks = read_blocks(folder.near(part.file), blocks=part.blocks)
    table = pa.concat_tables(blocks).unify_dictionaries()
    facts = facts_of(table, plan.wanted, part.place)
    slots, order = plan.slot_of(facts), plan.order_of(facts)
    if order is None:
        return table, slots
    places = slots * plan.groups + _group_of(order, plan.groups)
    return table.append_column(_ORDER, pa.array(order)), np.where(slots < 0, -1, places)


def _group_of(order: npt.NDArray[np.uint64], groups: int) -> npt.NDArray[np.int64]:
    # Groups are ranges of the order, so that group after group is the whole order.
    cuts = np.array([2**64 * i // groups for i in range(1, groups)], np.uint64)
    return np.searchsorted(cuts, order, side="right")
