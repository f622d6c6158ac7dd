"""The exchange: rows of many inputs go to many shards, through few files that are read in part.

Whoever reads an input sorts its rows by shard into one file, a *piece*, and keeps its index:
where the stretch of each shard begins. Whoever writes a shard opens the pieces that hold rows of
it, and reads its stretch of each. Inputs are joined so that there are at most :data:`FAN_IN`
pieces; one that is larger than memory allows is sorted in runs, which are merged (as the sort of
Spark's shuffle does). So opens grow with the bytes and the shards, not with their product.
"""

from __future__ import annotations

import mmap
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import IntegrityError
from tidemill.storage.atomic import replaced_file, storage_errors
from tidemill.storage.parquet import compacted
from tidemill.storage.recut import recut

__all__ = ["FAN_IN", "Exchange", "PieceIndex", "PieceWriter", "inputs_a_piece", "most_opens"]

FAN_IN = 256
"""Pieces of an exchange, at most: the files that a shard opens, and holds open at a time."""

_FRAME_ROWS = 16_384
# Before each frame of rows: its group, its checksum (of group, size and content), its bytes.
_HEADER = struct.Struct("<IIQ")

Numbers = npt.NDArray[np.int64]


def inputs_a_piece(inputs: int) -> int:
    """How many consecutive inputs are joined, so that there are at most :data:`FAN_IN` pieces.

    >>> inputs_a_piece(200), inputs_a_piece(4_200)
    (1, 17)
    """
    return -(-inputs // FAN_IN) or 1


def most_opens(inputs: int, shards: int) -> int:
    """Files that an exchange opens, at most, writers and readers together.

    Each piece is opened once to be written and once to be hashed for its receipt, with a file of
    its runs where inputs are joined; then by each shard that has rows in it: all, in the worst case
    (hash shards). At most ``FAN_IN * (shards + 3)``, whatever the bytes.

    >>> most_opens(10, 4), most_opens(4_200, 800)
    (60, 199144)
    """
    joined = inputs_a_piece(inputs)
    pieces = -(-inputs // joined)
    return pieces * (shards + (3 if joined > 1 else 2))


@dataclass(frozen=True, slots=True)
class PieceIndex:
    """What a piece holds of each shard.

    Parameters
    ----------
    offsets : (shards + 1,) int64
        Where the stretch of each shard begins, in bytes; last, where the file ends.
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


@dataclass(frozen=True)
class Exchange:
    """Where pieces lie, and what each holds of each shard.

    Parameters
    ----------
    folder : Path
    shards : int
    groups : int
        Each shard's rows are read group after group, and within a group piece after piece, in the
        order in which they were added.
    run_rows : int
        Rows that are sorted in memory at once.
    offsets : (pieces, shards + 1) int64
        The indices of the pieces; none before they are written.

    Notes
    -----
    Memory: the indices, 8 bytes a piece and shard (2 KB a shard at most).
    """

    folder: Path
    shards: int
    groups: int
    run_rows: int
    offsets: Numbers | None = None

    def path(self, number: int) -> Path:
        """Where a piece lies."""
        return self.folder / f"piece-{number:05d}.ipc"

    def writer(self, number: int) -> PieceWriter:
        """What writes a piece."""
        return PieceWriter(self.path(number), self.shards, self.groups, self.run_rows)

    def holding(self, pieces: Sequence[PieceIndex]) -> Exchange:
        """The exchange when all its pieces are written; their indices in order."""
        offsets = np.array([piece.offsets for piece in pieces], np.int64)
        return replace(self, offsets=offsets.reshape(len(pieces), self.shards + 1))

    def pieces_of(self, shard: int) -> Numbers:
        """Numbers of the pieces that hold rows of a shard."""
        assert self.offsets is not None  # noqa: S101 - read after it was written
        return np.flatnonzero(self.offsets[:, shard + 1] > self.offsets[:, shard])

    def read(self, shard: int) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows of a shard as ``(group, table)``: by group, then by piece.

        Each piece that holds rows of it is opened once, and its stretch read from end to end.

        Raises
        ------
        IntegrityError
            If a stretch is not what was written.

        Notes
        -----
        Memory: one table of at most 16,384 rows. At most ``FAN_IN`` files are open.
        """
        assert self.offsets is not None  # noqa: S101 - read after it was written
        with ExitStack() as stack:
            stretches = []
            for piece in self.pieces_of(shard).tolist():
                start, end = self.offsets[piece, shard : shard + 2].tolist()
                stretch = _Stretch(self.path(piece), start, end)
                stretches.append(stack.enter_context(closing(stretch)))
            for group in range(self.groups):
                for stretch in stretches:
                    for table in stretch.of(group):
                        yield group, table
            for stretch in stretches:
                stretch.check_end()


class _Stretch:
    """The frames of one shard in one piece, read one after the other; open while it is read."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self._path, self._at, self._end = path, start, end
        self._file: BinaryIO | None = None
        self._next: tuple[int, int, int] | None = None

    def of(self, group: int) -> Iterator[pa.Table]:
        """The next frames, as long as they are of this group."""
        while self._peek() == group:
            assert self._next is not None  # noqa: S101 - peeked at
            _, checksum, size = self._next
            self._next = None
            content = self._read(size)
            if _checksum(group, content) != checksum:
                raise self._changed()
            yield pa.ipc.open_stream(pa.py_buffer(content)).read_all()
        if self._at == self._end and self._next is None:
            self.close()

    def check_end(self) -> None:
        """Refuse a stretch of which something is left: a number of a group has changed."""
        if self._at != self._end or self._next is not None:
            raise self._changed()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _peek(self) -> int | None:
        if self._next is None and self._at < self._end:
            self._next = _HEADER.unpack(self._read(_HEADER.size))
        return None if self._next is None else self._next[0]

    def _read(self, size: int) -> bytes:
        if size > self._end - self._at:
            raise self._changed()
        with storage_errors(self._path):
            if self._file is None:
                self._file = self._path.open("rb")
                self._file.seek(self._at)
            content = self._file.read(size)
        if len(content) < size:
            raise self._changed()
        self._at += size
        return content

    def _changed(self) -> IntegrityError:
        return IntegrityError(
            f"{self._path} changed while it was in use (before byte {self._at})",
            remedy=f"delete the folder {self._path.parent} and run the same command again",
            path=str(self._path),
            offset=self._at,
        )


class _Run(NamedTuple):
    """Rows in the order of their places; rows of one place in the order in which they came."""

    rows: pa.Table
    places: Numbers

    def between(self, first: int, last: int) -> _Run:
        """Rows of the places from ``first`` to before ``last``, free of the rest."""
        start, end = np.searchsorted(self.places, [first, last]).tolist()
        return _Run(_lean(self.rows.slice(start, end - start)), self.places[start:end])


class PieceWriter:
    """Writes one piece; a context manager, whose ``index`` says what it holds.

    Notes
    -----
    Memory: two runs and the table that is added (three of 24 MB in sharding), a dictionary of
    categories with each, and 16 bytes a shard and group. Disk: the rows of the piece once more, in
    a file without a name, where they are more than a run.
    """

    def __init__(self, path: Path, shards: int, groups: int, run_rows: int) -> None:
        self.index: PieceIndex
        self._path, self._shards, self._groups = path, shards, groups
        self._run_rows = run_rows
        self._waiting: list[tuple[pa.Table, Numbers]] = []
        self._counts = np.zeros(shards * groups, np.int64)
        self._runs: list[tuple[int, int]] = []
        self._stack = ExitStack()
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
        with storage_errors(self._path):
            if self._spill is None:
                # Without a name, so that nothing is left of it, however this process ends.
                self._path.parent.mkdir(parents=True, exist_ok=True)
                spill = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115
                self._spill = self._stack.enter_context(spill)
            start = self._spill.tell()
            # By place: a column of the data may have any name.
            table = run.rows.append_column("", pa.array(run.places))
            with pa.ipc.new_stream(self._spill, table.schema) as writer:
                writer.write_table(table)
            self._runs.append((start, self._spill.tell() - start))

    def _write(self) -> PieceIndex:
        sizes = np.zeros(self._shards, np.int64)
        with replaced_file(self._path) as file:
            for place, frame in self._frames(self._all_runs()):
                sizes[place // self._groups] += _write_frame(file, place % self._groups, frame)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return PieceIndex(offsets, self._counts.reshape(self._shards, -1).sum(axis=1))

    def _all_runs(self) -> list[_Run]:
        if not self._waiting:
            return []
        last = self._sorted()
        if self._spill is None:
            return [last]
        self._spill_run(last)
        with storage_errors(self._path):
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


def _write_frame(file: BinaryIO, group: int, rows: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    content = sink.getvalue()
    file.write(_HEADER.pack(group, _checksum(group, content), content.size))
    file.write(content)
    return _HEADER.size + int(content.size)


def _checksum(group: int, content: bytes | pa.Buffer) -> int:
    return zlib.crc32(content, group)
