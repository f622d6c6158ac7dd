"""The first map: validated blocks become pieces, their rows sorted by slot."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import IntegrityError
from tidemill.sharding.facts import Place, facts_of
from tidemill.sharding.plan import ShardPlan, row_bytes
from tidemill.storage import (
    ValidatedManifest,
    hash_json,
    read_blocks,
    read_receipt,
    replaced_file,
    storage_errors,
    write_receipt,
)

__all__ = ["PieceTask", "pieces_of", "read_segments", "write_piece"]

_ORDER = "__order"
_PIECE_BYTES = 24 << 20
_SEGMENT_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class PieceTask:
    """Consecutive blocks of one part that become one piece.

    Parameters
    ----------
    number : int
        Position among all pieces, in source order.
    path : Path
    blocks : tuple of int
    place : Place
        Of the first row.
    key : str
        Names the content of the part, the blocks and the plan.
    """

    number: int
    path: Path
    blocks: tuple[int, ...]
    place: Place
    key: str


def pieces_of(manifest: ValidatedManifest, folder: Path, plan: ShardPlan) -> list[PieceTask]:
    """Cut the parts into pieces of about 24 MB, or one block where that is larger."""
    limit = max(1, _PIECE_BYTES // row_bytes(manifest.schema))
    tasks: list[PieceTask] = []
    first_row, digest = 0, plan.digest
    for number, part in enumerate(manifest.parts):
        place = Place(number, first_row, part.digest)
        for blocks in _runs(part.file.blocks, limit):
            key = hash_json(
                [digest, part.digest, part.file.sha256, number, place.first, list(blocks)]
            )
            path = folder / part.file.path
            tasks.append(PieceTask(len(tasks), path, blocks, place, key))
            place = place.after(sum(part.file.blocks[block] for block in blocks))
        first_row = place.first
    return tasks


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


def write_piece(work: Path, plan: ShardPlan, task: PieceTask) -> npt.NDArray[np.int64]:
    """Write one piece, or find it finished; return the rows of each slot, (slots,) int64.

    A piece is three files: segments (each an Arrow stream with the rows of one slot and
    group), an index of them, and last the receipt that makes it finished.

    Notes
    -----
    Memory: about three times the piece.
    """
    receipt = work / f"piece-{task.number:05d}.json"
    files = [_path(work, task.number, kind) for kind in ("ipc", "npy")]
    # The pieces are not flushed to the disk: after a power cut a receipt may outlive them.
    finished = read_receipt(receipt, files)
    if finished is not None and finished["key"] == task.key:
        return np.array(finished["rows"], np.int64)
    table = pa.concat_tables(read_blocks(task.path, blocks=task.blocks)).unify_dictionaries()
    facts = facts_of(table, plan.wanted, task.place)
    slots, order = plan.slot_of(facts), plan.order_of(facts)
    with replaced_file(files[0]) as file:
        index = _write_segments(file, table, slots, order, plan.groups)
    with replaced_file(files[1]) as file:
        np.save(file, index)
    rows = np.bincount(slots[slots >= 0], minlength=len(plan.slots))
    write_receipt(receipt, {"key": task.key, "rows": rows.tolist()}, files)
    return rows


def read_segments(work: Path, pieces: int, slot: int, group: int) -> Iterator[pa.Table]:
    """Yield the rows of one slot and group, piece by piece in source order.

    Raises
    ------
    IntegrityError
        If a segment is not what was written.

    Notes
    -----
    Memory: one segment.
    """
    for number in range(pieces):
        index = np.load(_path(work, number, "npy"))
        for _, _, offset, size, checksum in index[(index[:, 0] == slot) & (index[:, 1] == group)]:
            yield _read_segment(_path(work, number, "ipc"), int(offset), int(size), int(checksum))


def _path(work: Path, number: int, kind: str) -> Path:
    return work / f"piece-{number:05d}.{kind}"


def _write_segments(
    file: BinaryIO,
    table: pa.Table,
    slots: npt.NDArray[np.int64],
    order: npt.NDArray[np.uint64] | None,
    groups: int,
) -> npt.NDArray[np.int64]:
    """Write the rows sorted by slot and group; return the index, (segments, 5) int64."""
    where = slots if order is None else slots * groups + _group_of(order, groups)
    where[slots < 0] = -1
    if order is not None:
        table = table.append_column(_ORDER, pa.array(order))
    taken = np.argsort(where, kind="stable")
    places, counts = np.unique(where, return_counts=True)
    table = table.take(pa.array(taken)).combine_chunks()
    index = []
    starts = accumulate(counts.tolist(), initial=0)
    for place, start, rows in zip(places.tolist(), starts, counts.tolist(), strict=False):
        if place >= 0:
            slot_and_group = place // groups, place % groups
            segments = _cut(table.slice(start, rows))
            index += [(*slot_and_group, *_write_segment(file, each)) for each in segments]
    return np.array(index, np.int64).reshape(-1, 5)


def _group_of(order: npt.NDArray[np.uint64], groups: int) -> npt.NDArray[np.int64]:
    # Groups are ranges of the order, so that group after group is the whole order.
    cuts = np.array([2**64 * i // groups for i in range(1, groups)], np.uint64)
    return np.searchsorted(cuts, order, side="right")


def _cut(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, _SEGMENT_ROWS):
        yield table.slice(start, _SEGMENT_ROWS)


def _write_segment(file: BinaryIO, rows: pa.Table) -> tuple[int, int, int]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    content = sink.getvalue()
    offset = file.tell()
    file.write(content)
    return offset, content.size, zlib.crc32(content)


def _read_segment(path: Path, offset: int, size: int, checksum: int) -> pa.Table:
    with storage_errors(path), path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if zlib.crc32(content) != checksum:
        raise IntegrityError(
            f"{path} changed while it was in use (bytes {offset} to {offset + size})",
            remedy=f"delete the folder {path.parent} and run the same command again",
            path=str(path),
            offset=offset,
        )
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()
