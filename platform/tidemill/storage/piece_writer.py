"""A piece of an exchange: rows are sorted by place, in runs of bounded memory, and merged."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts import ObjectWriter, StoredObject
from tidemill.storage.atomic import storage_errors
from tidemill.storage.parquet import compacted
from tidemill.storage.recut import recut
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stores import open_store

__all__ = ["FRAME_HEADER", "PieceIndex", "PieceWriter", "frame_checksum"]

FRAME_HEADER = struct.Struct("<IIQ")
"""Before each frame of rows: its group, its checksum (of group and content), its bytes."""

_FRAME_ROWS = 16_384

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PieceIndex:
    """What a piece holds of each shard.

    Parameters
    ----------
    offsets : (shards + 1,) int64
        Where the stretch of each shard begins, in bytes; last, where the piece ends.
    rows : (shards,) int64
    """

    offsets: Numbers
    rows: Numbers

    def to_json(self) -> dict[str, Any]:
        """As a receipt holds it."""
        return {"offsets": self.offsets.tolist(), "rows": self.rows.tolist()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> PieceIndex:
        """Read what :meth:`to_json` wrote."""
        return cls(np.array(document["offsets"], np.int64), np.array(document["rows"], np.int64))


class _Run(NamedTuple):
    """Rows in the order of their places; rows of one place in the order in which they came."""

    rows: pa.Table
    places: Numbers

    def between(self, first: int, last: int) -> _Run:
        """Rows of the places from ``first`` to before ``last``, free of the rest."""
        start, end = np.searchsorted(self.places, [first, last]).tolist()
        return _Run(_lean(self.rows.slice(start, end - start)), self.places[start:end])


class PieceWriter:
    """Writes one piece; a context manager, after which ``index`` says what it holds.

    ``stored`` is its name, size and hash, as it was written.

    Notes
    -----
    Memory: two runs and the table that is added (three of 24 MB in sharding), a dictionary of
    categories with each, and 16 bytes a shard and group. Disk of this machine: the rows of the
    piece once more, in a file without a name below :meth:`StoreFolder.scratch`, where they are more
    than a run.
    """

    def __init__(
        self, folder: StoreFolder, name: str, shards: int, groups: int, run_rows: int
    ) -> None:
        self.index: PieceIndex
        self.stored: StoredObject
        self._folder, self._name, self._shards, self._groups = folder, name, shards, groups
        self._run_rows = run_rows
        self._waiting: list[tuple[pa.Table, Numbers]] = []
        self._counts = np.zeros(shards * groups, np.int64)
        self._runs: list[tuple[int, int]] = []
        self._stack = ExitStack()
        self._scratch = folder.scratch()
        self._spill: BinaryIO | None = None

    def add(self, rows: pa.Table, places: Numbers) -> None:
        """Add rows.

        Parameters
        ----------
        rows : pyarrow.Table
            With the same columns each time.
        places : (rows,) int64
            ``shard * groups + group`` of each; rows below 0 are left out.
        """
        waiting = sum(len(each) for _, each in self._waiting)
        if waiting and waiting + len(places) > self._run_rows:
            self._spill_run(self._sorted())
        self._counts += np.bincount(places[places >= 0], minlength=len(self._counts))
        self._waiting.append((rows, places))

    def __enter__(self) -> PieceWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self.index = self._write()

    def _sorted(self) -> _Run:
        tables, places = zip(*self._waiting, strict=True)
        self._waiting = []
        return _in_order(tables, np.concatenate(places))

    def _spill_run(self, run: _Run) -> None:
        with storage_errors(self._scratch):
            if self._spill is None:
                # Without a name, so that nothing is left of it, however this process ends.
                self._scratch.mkdir(parents=True, exist_ok=True)
                spill = TemporaryFile(dir=self._scratch)  # noqa: SIM115
                self._spill = self._stack.enter_context(spill)
            start = self._spill.tell()
            # By place: a column of the data may have any name.
            table = run.rows.append_column("", pa.array(run.places))
            with pa.ipc.new_stream(self._spill, table.schema) as writer:
                writer.write_table(table)
            self._runs.append((start, self._spill.tell() - start))

    def _write(self) -> PieceIndex:
        sizes = np.zeros(self._shards, np.int64)
        key = self._folder.key(self._name)
        with open_store(self._folder.store).replace(key, durable=False) as piece:
            for place, frame in self._frames(self._all_runs()):
                sizes[place // self._groups] += _write_frame(piece, place % self._groups, frame)
        self.stored = piece.stored
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return PieceIndex(offsets, self._counts.reshape(self._shards, -1).sum(axis=1))

    def _all_runs(self) -> list[_Run]:
        if not self._waiting:
            return []
        last = self._sorted()
        if self._spill is None:
            return [last]
        self._spill_run(last)
        with storage_errors(self._scratch):
            self._spill.flush()
            mapped = mmap.mmap(self._spill.fileno(), 0, access=mmap.ACCESS_READ)
        content = pa.py_buffer(mapped)
        return [_mapped_run(content.slice(start, size)) for start, size in self._runs]

    def _frames(self, runs: list[_Run]) -> Iterator[tuple[int, pa.Table]]:
        """Rows of each place in turn, in tables of bounded rows; a run's worth is in memory."""
        for first, last in _steps(self._counts, self._run_rows):
            found = [run.between(first, last) for run in runs]
            if last == first + 1:
                tables = (compacted(t) for t in recut((run.rows for run in found), _FRAME_ROWS))
                yield from ((first, table) for table in tables)
                continue
            whole = found[0]
            if len(found) > 1:
                places = np.concatenate([run.places for run in found])
                whole = _in_order([run.rows for run in found], places)
            yield from _by_place(whole)


def _in_order(tables: Iterable[pa.Table], places: Numbers) -> _Run:
    order = np.argsort(places, kind="stable")
    order = order[np.count_nonzero(places < 0) :]
    table = pa.concat_tables(tables).unify_dictionaries()
    return _Run(table.take(pa.array(order)).combine_chunks(), places[order])


def _mapped_run(content: pa.Buffer) -> _Run:
    table = pa.ipc.open_stream(content).read_all()
    last = table.num_columns - 1
    return _Run(table.select(list(range(last))), table.column(last).to_numpy())


def _steps(counts: Numbers, limit: int) -> Iterator[tuple[int, int]]:
    """Cut places into ranges of at most ``limit`` rows each, or one place.

    >>> list(_steps(np.array([3, 0, 4, 9, 1]), 7))
    [(0, 3), (3, 4), (4, 5)]
    """
    below = np.concatenate([[0], np.cumsum(counts)])
    first = 0
    while below[first] < below[-1]:
        last = max(int(np.searchsorted(below, below[first] + limit, side="right")) - 1, first + 1)
        yield first, last
        first = last


def _by_place(run: _Run) -> Iterator[tuple[int, pa.Table]]:
    places, counts = np.unique(run.places, return_counts=True)
    starts = accumulate(counts.tolist(), initial=0)
    for place, start, rows in zip(places.tolist(), starts, counts.tolist(), strict=False):
        for at in range(start, start + rows, _FRAME_ROWS):
            size = min(_FRAME_ROWS, start + rows - at)
            yield place, _lean(run.rows.slice(at, size))


def _lean(rows: pa.Table) -> pa.Table:
    """The same rows, without dictionaries that are longer than they are."""
    coded = [column for column in rows.columns if pa.types.is_dictionary(column.type)]
    chunks = [chunk for column in coded for chunk in column.chunks]
    return compacted(rows) if any(len(c.dictionary) > len(c) for c in chunks) else rows


def _write_frame(piece: ObjectWriter, group: int, rows: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    content = sink.getvalue()
    piece.write(FRAME_HEADER.pack(group, frame_checksum(group, content), content.size))
    piece.write(content)
    return FRAME_HEADER.size + int(content.size)


def frame_checksum(group: int, content: bytes | pa.Buffer) -> int:
    """CRC-32 of a frame."""
    return zlib.crc32(content, group)
