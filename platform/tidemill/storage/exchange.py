"""The exchange: rows of many inputs go to many shards, through few objects that are read in part.

Whoever reads an input sorts its rows by shard into one object, a *piece*, and keeps its index:
where the stretch of each shard begins. Whoever writes a shard opens the pieces that hold rows of
it, and reads its stretch of each. Inputs are joined so that there are at most :data:`FAN_IN`
pieces; one that is larger than memory allows is sorted in runs, which are merged (as the sort of
Spark's shuffle does). So opens grow with the bytes and the shards, not with their product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.contracts import ObjectReader, Store
from tidemill.errors import IntegrityError
from tidemill.storage.piece_writer import FRAME_HEADER, PieceIndex, PieceWriter, frame_checksum
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stores import open_store

__all__ = ["FAN_IN", "Exchange", "inputs_a_piece", "most_opens"]

FAN_IN = 256
"""Pieces of an exchange, at most: what a shard opens, and holds open at a time."""

Numbers = npt.NDArray[np.int64]


def inputs_a_piece(inputs: int) -> int:
    """How many consecutive inputs are joined, so that there are at most :data:`FAN_IN` pieces.

    >>> inputs_a_piece(200), inputs_a_piece(4_200)
    (1, 17)
    """
    return -(-inputs // FAN_IN) or 1


def most_opens(inputs: int, shards: int) -> int:
    """Objects and files that an exchange opens, at most, writers and readers together.

    Each piece is opened once to be written, which hashes it for its receipt (or to be hashed, where
    a killed run had finished it; one found spoilt takes both), with a file of its runs where inputs
    are joined; then by each shard that has rows in it: all, in the worst case (hash shards). At
    most ``FAN_IN * (shards + 2)``, whatever the bytes.

    >>> most_opens(10, 4), most_opens(4_200, 800)
    (50, 198896)
    """
    joined = inputs_a_piece(inputs)
    pieces = -(-inputs // joined)
    return pieces * (shards + (2 if joined > 1 else 1))


@dataclass(frozen=True)
class Exchange:
    """Where pieces lie, and what each holds of each shard.

    Parameters
    ----------
    folder : StoreFolder
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

    folder: StoreFolder
    shards: int
    groups: int
    run_rows: int
    offsets: Numbers | None = None

    def name(self, number: int) -> str:
        """The name of a piece in the folder."""
        return f"piece-{number:05d}.ipc"

    def writer(self, number: int) -> PieceWriter:
        """What writes a piece."""
        name = self.name(number)
        return PieceWriter(self.folder, name, self.shards, self.groups, self.run_rows)

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
        Memory: one table of at most 16,384 rows. At most ``FAN_IN`` streams are open.
        """
        assert self.offsets is not None  # noqa: S101 - read after it was written
        store = open_store(self.folder.store)
        with ExitStack() as stack:
            stretches = []
            for piece in self.pieces_of(shard).tolist():
                start, end = self.offsets[piece, shard : shard + 2].tolist()
                stretch = _Stretch(store, self.folder.key(self.name(piece)), start, end)
                stretches.append(stack.enter_context(closing(stretch)))
            for group in range(self.groups):
                for stretch in stretches:
                    for table in stretch.of(group):
                        yield group, table
            for stretch in stretches:
                stretch.check_end()

    def piece(self, number: int) -> Iterator[pa.Table]:
        """Yield all rows of one piece of an exchange without groups; errors and memory as above.

        It is opened once, and read from front to back.
        """
        assert self.offsets is not None  # noqa: S101 - read after it was written
        store, key = open_store(self.folder.store), self.folder.key(self.name(number))
        with closing(_Stretch(store, key, 0, int(self.offsets[number, -1]))) as stretch:
            yield from stretch.of(0)
            stretch.check_end()


class _Stretch:
    """The frames of one shard in one piece, read one after the other; open while it is read."""

    def __init__(self, store: Store, key: str, start: int, end: int) -> None:
        self._store, self._key, self._at, self._end = store, key, start, end
        self._stream = ExitStack()
        self._reader: ObjectReader | None = None
        self._next: tuple[int, int, int] | None = None

    def of(self, group: int) -> Iterator[pa.Table]:
        """The next frames, as long as they are of this group."""
        while self._peek() == group:
            assert self._next is not None  # noqa: S101 - peeked at
            _, checksum, size = self._next
            self._next = None
            content = self._read(size)
            if frame_checksum(group, content) != checksum:
                raise self._changed()
            yield pa.ipc.open_stream(pa.py_buffer(content)).read_all()
        if self._at == self._end and self._next is None:
            self.close()

    def check_end(self) -> None:
        """Refuse a stretch of which something is left: a number of a group has changed."""
        if self._at != self._end or self._next is not None:
            raise self._changed()

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _peek(self) -> int | None:
        if self._next is None and self._at < self._end:
            self._next = FRAME_HEADER.unpack(self._read(FRAME_HEADER.size))
        return None if self._next is None else self._next[0]

    def _read(self, size: int) -> bytes:
        if size > self._end - self._at:
            raise self._changed()
        try:
            if self._reader is None:
                stream = self._store.stream(self._key, self._at, self._end - self._at)
                self._reader = self._stream.enter_context(stream)
            content = self._reader.read(size)
        except IntegrityError as exc:
            raise self._changed() from exc
        self._at += size
        return content

    def _changed(self) -> IntegrityError:
        path = f"{self._store.address}/{self._key}"
        return IntegrityError(
            f"{path} changed while it was in use (before byte {self._at})",
            remedy="run the same command again: pieces that are not as they were written are made "
            "anew",
            path=path,
            offset=self._at,
        )
