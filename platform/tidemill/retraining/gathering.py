"""gather: labelled live rows to disk, those that may teach and those that judge apart."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import TooFewRows
from tidemill.ingestion import LabelledRows, LiveRows, live_rows
from tidemill.metrics import STRETCHES
from tidemill.oddities import Oddities
from tidemill.retraining.sides import UNTIMED, Cut, Sides, stretch_numbers
from tidemill.retraining.taking_in import FILES, LEARN, PROOF
from tidemill.schema import TableSchema
from tidemill.storage import (
    BlockWriter,
    Receipts,
    commit_directory,
    fresh_directory,
    read_blocks,
    stable_hash,
    stable_row_hash,
)
from tidemill.storage.live_sets import LEARNT_IDS, LiveSet

__all__ = ["Gathered", "find_gathered", "gather_rows"]

_BLOCK_ROWS = 16_384
_ALL = "all.parquet"
_WORK = "gathered"
_LEFT = (*(f"{FILES}/{side}.parquet" for side in (LEARN, PROOF)), LEARNT_IDS)

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


def find_gathered(folder: Path) -> Gathered | None:
    """What :func:`gather_rows` left in ``folder``; None where it has not, or it is damaged."""
    finished = Receipts.at(folder).done(_WORK)
    return None if finished is None else Gathered.from_json(finished)


def gather_rows(
    batches: Iterable[pa.RecordBatch | pa.Table | LabelledRows],
    schema: TableSchema,
    sides: Sides,
    folder: Path,
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
    folder : Path
        Replaced as a whole; where it is finished, nothing is read.
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
    Memory: a few batches and two blocks, whatever the rows, and 32 bytes a row; the hashes of
    earlier sets stay on disk. The rows are written twice.
    """
    if (finished := find_gathered(folder)) is not None:
        return finished
    healed = Receipts.at(folder).made_anew("sets of gathered rows")
    staged = fresh_directory(folder.with_name(f".{folder.name}.staged"))
    with BlockWriter(staged / _ALL, schema.arrow_schema(), block_rows=_BLOCK_ROWS) as writer:
        every = _Spooled.of(batches, schema, categories, writer)
    _refuse(every.odd, max_invalid_fraction)
    again = _among(every.hashes, [np.load(s.learnt_ids(), mmap_mode="r") for s in taken])
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
    _require_both(gathered)
    _write_sides(staged, schema, learns, judges, every.times)
    np.save(staged / LEARNT_IDS, np.sort(every.hashes[learns]))
    (staged / _ALL).unlink()
    receipts = Receipts.at(staged)
    receipts.finish(_WORK, asdict(gathered), receipts.held(*_LEFT))
    commit_directory(staged, folder)
    return replace(gathered, said=(*healed, *gathered.said))


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


def _among(hashes: npt.NDArray[np.uint64], known: Sequence[npt.NDArray[np.uint64]]) -> Mask:
    """Which of the hashes are in one of the sorted arrays."""
    found = np.zeros(len(hashes), np.bool_)
    for own in known:
        at = np.searchsorted(own, hashes)
        inside = at < len(own)
        found[inside] |= own[at[inside]] == hashes[inside]
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
    staged: Path,
    schema: TableSchema,
    learns: Mask,
    judges: Mask,
    times: npt.NDArray[np.int64],
) -> None:
    """The spooled rows to both files."""
    part = np.full(len(times), -1)
    part[judges] = stretch_numbers(times[judges])
    wanted = {LEARN: [learns], PROOF: (part == number for number in range(STRETCHES))}
    for side, masks in wanted.items():
        place = staged / FILES / f"{side}.parquet"
        with BlockWriter(place, schema.arrow_schema(), block_rows=_BLOCK_ROWS) as writer:
            for rows in masks:
                _copy(staged / _ALL, rows, writer)


def _copy(source: Path, wanted: Mask, writer: BlockWriter) -> None:
    """Write the wanted rows; only blocks that hold some are read."""
    blocks = np.unique(np.flatnonzero(wanted) // _BLOCK_ROWS).tolist()
    for block, table in zip(blocks, read_blocks(source, blocks=blocks), strict=True):
        rows = wanted[block * _BLOCK_ROWS :][: table.num_rows]
        writer.write(table.filter(pa.array(rows)))
