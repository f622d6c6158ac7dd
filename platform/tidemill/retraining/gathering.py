"""gather: labelled live rows to disk, those that may teach and those that judge apart."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts import ObjectWriter
from tidemill.errors import TooFewRows
from tidemill.ingestion import LabelledRows, LiveRows, live_rows
from tidemill.metrics import STRETCHES
from tidemill.oddities import Oddities
from tidemill.retraining.gathered_rows import FILES, LEARN, PROOF
from tidemill.retraining.sides import UNTIMED, Cut, Sides, stretch_numbers
from tidemill.schema import TableSchema
from tidemill.storage import (
    LEARNT_IDS,
    BlockWriter,
    LiveSet,
    ObjectFile,
    Receipts,
    StoreFolder,
    open_store,
    read_blocks,
    stable_hash,
    stable_row_hash,
    write_learnt,
)

__all__ = ["Gathered", "find_gathered", "gather_rows"]

_BLOCK_ROWS = 16_384
_ALL = "all.parquet"
_WORK = "gathered"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Gathered:
    """How many labelled rows came, and which way they went.

    Parameters
    ----------
    learn, proof : int
    left_out : int
        Rows whose label is none of the model's classes, or whose event id is none.
    repeated : int
        Rows that are in a set of another retraining already: who learnt them is not judged by
        them.
    unreadable : int
        Rows of which a cell, or all, could not be read as the model's table was.
    odd_cells, said
        :meth:`tidemill.oddities.Oddities.table` and ``sentences`` of all rows that came.
    untimed : int
        Of the learn and proof rows those without a time, which go by their hash.
    cut : Cut or None
        The sides of rows whose time no earlier cut holds; None where there are none.
    since, until : str or None
        The first and the last day (UTC) of the learn and proof rows that have a time.
    """

    learn: int
    proof: int
    left_out: int
    repeated: int = 0
    unreadable: int = 0
    odd_cells: Sequence[dict[str, Any]] = ()
    said: Sequence[str] = ()
    untimed: int = 0
    cut: Cut | None = None
    since: str | None = None
    until: str | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what was kept of it; an earlier tidemill kept no cut."""
        cut = document.get("cut")
        kept = {"said": tuple(document.get("said", ()))}
        return cls(**{**document, **kept, "cut": None if cut is None else Cut.from_json(cut)})


def find_gathered(folder: StoreFolder) -> Gathered | None:
    """What :func:`gather_rows` left in ``folder``; None where it has not, or it is damaged."""
    finished = Receipts(folder).done(_WORK)
    return None if finished is None else Gathered.from_json(finished)


def gather_rows(
    batches: Iterable[pa.RecordBatch | pa.Table | LabelledRows],
    schema: TableSchema,
    sides: Sides,
    folder: StoreFolder,
    taken: Sequence[LiveSet] = (),
    categories: Mapping[str, Container[str]] | None = None,
    *,
    max_invalid_fraction: float = 1.0,
) -> Gathered:
    """Write labelled rows to ``folder/files``: learn.parquet and proof.parquet, as one.

    The rows that judge follow each other in time, by one of twenty equal parts after the other.

    Parameters
    ----------
    batches : iterable
        See :func:`tidemill.ingestion.live_rows`. Read once.
    sides : Sides
        Of the rows so far.
    folder : StoreFolder
        Its receipt is written last; where that stands, nothing is read.
    taken : sequence of LiveSet
        Their rows are learnt from: they are not taken again, and judge nobody.
    categories : mapping of str to container of str, optional
        By feature those so far, as for :func:`tidemill.ingestion.live_rows`.
    max_invalid_fraction : float
        Of the rows that may be unreadable; they are left out.

    Raises
    ------
    ValidationFailed
        If more are unreadable.
    TooFewRows
        If one side has no rows.

    Notes
    -----
    Memory: a few batches and two blocks, whatever the rows, and 48 bytes a row; of the hashes of
    earlier sets a piece (8 MiB). The rows are written twice.
    """
    if (finished := find_gathered(folder)) is not None:
        return finished
    receipts = Receipts(folder)
    healed = receipts.made_anew("sets of gathered rows")
    receipts.store.discard(folder.folder)  # what a killed one has begun
    try:
        with _blocks(folder, _ALL, schema, durable=False) as (writer, _):
            every = _Spooled.of(batches, schema, categories, writer)
        _refuse(every.odd, max_invalid_fraction)
        gathered, learns, judges = _parted(every, sides, taken)
        _require_both(gathered)
        left = _write_sides(folder, schema, learns, judges, every.times)
    finally:
        receipts.store.discard(folder.key(_ALL))
    with receipts.store.replace(folder.key(LEARNT_IDS)) as kept:
        write_learnt(kept, every.hashes[learns])
    receipts.finish(_WORK, asdict(gathered), {**left, LEARNT_IDS: kept.stored.sha256})
    return replace(gathered, said=(*healed, *gathered.said))


def _parted(every: _Spooled, sides: Sides, taken: Sequence[LiveSet]) -> tuple[Gathered, Mask, Mask]:
    """What is to be told of the rows, which of them may teach, and which judge."""
    again = _among(every.hashes, taken)
    known = sides.extended(every.times[~again])
    judges = known.judges(every.times, every.names) & ~again
    learns = ~judges & ~again
    since, until = _days(every.times[~again])
    gathered = Gathered(
        learn=int(learns.sum()),
        proof=int(judges.sum()),
        left_out=every.left_out,
        repeated=int(again.sum()),
        unreadable=every.odd.invalid,
        odd_cells=every.odd.table(),
        said=every.odd.sentences(rows_stay=False),
        untimed=int((every.times[~again] == UNTIMED).sum()),
        cut=known.cuts[-1] if len(known.cuts) > len(sides.cuts) else None,
        since=since,
        until=until,
    )
    return gathered, learns, judges


@dataclass(frozen=True, slots=True)
class _Spooled:
    """What is known of rows on disk, in their order.

    ``hashes`` (rows,) uint64 tell whether a row was learnt; ``names`` (rows,) uint64 know nothing
    of its truth; ``times`` (rows,) int64 in microseconds.
    """

    hashes: npt.NDArray[np.uint64]
    names: npt.NDArray[np.uint64]
    times: npt.NDArray[np.int64]
    left_out: int
    odd: Oddities

    @classmethod
    def of(
        cls,
        batches: Iterable[pa.RecordBatch | pa.Table | LabelledRows],
        schema: TableSchema,
        categories: Mapping[str, Container[str]] | None,
        writer: BlockWriter,
    ) -> Self:
        """Write the rows, typed."""
        left_out, odd = 0, Oddities()
        hashes, names = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        times = [np.empty(0, np.int64)]
        for batch in batches:
            rows = live_rows(batch, schema, categories)
            writer.write(rows.table)
            left_out += rows.left_out
            odd = odd.merge(rows.odd)
            times.append(_times(rows))
            names.append(_names(rows, schema.target.name))
            hashes.append(names[-1] if rows.ids is not None else stable_row_hash(rows.table))
        every = (np.concatenate(hashes), np.concatenate(names), np.concatenate(times))
        return cls(*every, left_out, odd)


def _names(rows: LiveRows, target: str) -> npt.NDArray[np.uint64]:
    """Hashes of ids; without them, of all of a row but its target."""
    if rows.ids is not None:
        return stable_hash(rows.ids)
    return stable_row_hash(rows.table.drop_columns([target]))


def _times(rows: LiveRows) -> npt.NDArray[np.int64]:
    if rows.times is None:
        return np.full(rows.table.num_rows, UNTIMED)
    micros = rows.times.cast(pa.int64()).fill_null(int(UNTIMED))
    return np.asarray(micros.to_numpy(), np.int64)


def _days(times: npt.NDArray[np.int64]) -> tuple[str | None, str | None]:
    """The first and the last day of rows."""
    timed = times[times != UNTIMED]
    if not len(timed):
        return None, None
    first, last = np.array([timed.min(), timed.max()]).astype("datetime64[us]")
    return str(first.astype("datetime64[D]")), str(last.astype("datetime64[D]"))


def _among(hashes: npt.NDArray[np.uint64], sets: Sequence[LiveSet]) -> Mask:
    """Which of the hashes are in one of the sets."""
    order = np.argsort(hashes)
    ordered, found = hashes[order], np.zeros(len(hashes), np.bool_)
    for piece in chain.from_iterable(live.learnt() for live in sets):
        first = np.searchsorted(ordered, piece[0])
        last = np.searchsorted(ordered, piece[-1], side="right")
        within = ordered[first:last]
        found[order[first:last]] |= piece[np.searchsorted(piece, within)] == within
    return found


def _refuse(odd: Oddities, limit: float) -> None:
    error = odd.refusal(
        limit,
        source="the labelled rows",
        remedy="write them as the model's table was written (dates, decimals, codes, keys), or "
        "raise ingestion.max_invalid_fraction",
    )
    if error is not None:
        raise error


def _require_both(gathered: Gathered) -> None:
    if gathered.learn and gathered.proof:
        return
    counts = {k: v for k, v in asdict(gathered).items() if k not in ("cut", "since", "until")}
    raise TooFewRows(
        f"of the labelled rows {gathered.learn} may be learnt from, {gathered.proof} would "
        f"judge, {gathered.left_out} have a label that the model does not know, or no event "
        f"id, {gathered.unreadable} cannot be read, and {gathered.repeated} were learnt from "
        "before",
        remedy="wait for more labels, or change monitoring.retraining.proof_fraction",
        **counts,
    )


def _write_sides(
    folder: StoreFolder,
    schema: TableSchema,
    learns: Mask,
    judges: Mask,
    times: npt.NDArray[np.int64],
) -> dict[str, str]:
    """The spooled rows to both objects; the hashes of these."""
    part = np.full(len(times), -1)
    part[judges] = stretch_numbers(times[judges])
    wanted = {LEARN: [learns], PROOF: (part == number for number in range(STRETCHES))}
    left = {}
    for side, masks in wanted.items():
        name = f"{FILES}/{side}.parquet"
        with _blocks(folder, name, schema) as (writer, kept):
            for rows in masks:
                _copy(folder.file(_ALL), rows, writer)
        left[name] = kept.stored.sha256
    return left


@contextmanager
def _blocks(
    folder: StoreFolder, name: str, schema: TableSchema, *, durable: bool = True
) -> Iterator[tuple[BlockWriter, ObjectWriter]]:
    """Write an object of the folder: its rows, and what is told of it then."""
    with (
        open_store(folder.store).replace(folder.key(name), durable=durable) as kept,
        BlockWriter(kept, schema.arrow_schema(), block_rows=_BLOCK_ROWS) as writer,
    ):
        yield writer, kept


def _copy(source: ObjectFile, wanted: Mask, writer: BlockWriter) -> None:
    """Write the wanted rows; only blocks that hold some are read."""
    blocks = np.unique(np.flatnonzero(wanted) // _BLOCK_ROWS).tolist()
    for block, table in zip(blocks, read_blocks(source, blocks=blocks), strict=True):
        rows = wanted[block * _BLOCK_ROWS :][: table.num_rows]
        writer.write(table.filter(pa.array(rows)))
