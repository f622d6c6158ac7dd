"""Event ids as 128-bit hashes in sorted runs: looked up many at a time, never one by one.

Two SipHash-2-4 values with keys of the store's own make one hash. Whoever sends events cannot
know the keys and so cannot make two ids collide; by chance, n ids collide with probability
n^2 / 2^129: 1.5e-15 for 10^12 ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

__all__ = ["IdRun", "Ids", "add_run", "find_in_run", "hash_ids", "merge_runs"]

Words64 = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_GROWTH = 2


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Hashes of event ids, in the order of their rows.

    Parameters
    ----------
    high, low : (n,) uint64
    """

    high: Words64
    low: Words64

    def __len__(self) -> int:
        return len(self.high)

    def take(self, rows: npt.NDArray[np.int64] | Mask) -> Ids:
        """The hashes of some rows."""
        return Ids(self.high[rows], self.low[rows])

    def keys(self) -> list[bytes]:
        """Each hash as 16 bytes, for a database's key."""
        both = np.empty((len(self), 2), ">u8")
        both[:, 0], both[:, 1] = self.high, self.low
        text = both.tobytes()
        return [text[i : i + 16] for i in range(0, len(text), 16)]

    @classmethod
    def of_keys(cls, keys: Sequence[bytes]) -> Ids:
        """Read what :meth:`keys` wrote."""
        both = np.frombuffer(b"".join(keys), ">u8").reshape(-1, 2).astype(np.uint64)
        return cls(np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1]))

    @classmethod
    def join(cls, several: Sequence[Ids]) -> Ids:
        """One after the other."""
        if len(several) == 1:
            return several[0]
        empty = np.empty(0, np.uint64)
        return cls(
            np.concatenate([empty, *(ids.high for ids in several)]),
            np.concatenate([empty, *(ids.low for ids in several)]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class IdRun:
    """Ids in ascending order of (high, low), each with the number of its row.

    Parameters
    ----------
    high, low : (n,) uint64
    seq : (n,) int64
    """

    high: Words64
    low: Words64
    seq: Numbers

    def __len__(self) -> int:
        return len(self.high)

    @classmethod
    def of(cls, ids: Ids, seq: Numbers) -> IdRun:
        """Sort ids; 24 bytes a row."""
        order = np.argsort(ids.high, kind="stable")
        high, low = ids.high[order], ids.low[order]
        if len(high) > 1 and (high[1:] == high[:-1]).any():  # as good as never
            order = np.lexsort((ids.low, ids.high))
            high, low = ids.high[order], ids.low[order]
        return cls(high, low, seq[order])


def hash_ids(texts: pa.Array | pa.ChunkedArray, salt: bytes) -> Ids:
    """Hash event ids to 128 bits.

    Parameters
    ----------
    texts : string array without nulls
    salt : 16 bytes
        The store's own secret.

    Notes
    -----
    SipHash-2-4 (Aumasson & Bernstein, 2012), as implemented by pandas; O(n) memory.

    >>> a = hash_ids(pa.array(["x", "y", "x"]), bytes(range(16)))
    >>> bool(a.high[0] == a.high[2]), bool(a.high[0] == a.high[1])
    (True, False)
    """
    values = np.asarray(texts.to_numpy(zero_copy_only=False), dtype=object)
    if not len(values):
        return Ids(np.empty(0, np.uint64), np.empty(0, np.uint64))
    text = salt.hex()  # pandas takes keys of 16 characters
    return Ids(
        pd.util.hash_array(values, hash_key=text[:16], categorize=False),
        pd.util.hash_array(values, hash_key=text[16:32], categorize=False),
    )


def find_in_run(run: IdRun, high: Words64, low: Words64) -> Numbers:
    """The row numbers of some ids, -1 where the run lacks them.

    Parameters
    ----------
    high, low : (n,) uint64
        Best in ascending order of ``high``: the search then walks through memory once.

    Returns
    -------
    (n,) int64
    """
    found = np.full(len(high), -1, np.int64)
    if not len(run) or not len(high):
        return found
    at = np.searchsorted(run.high, high)
    open_rows = np.flatnonzero(at < len(run))
    while len(open_rows):
        place = at[open_rows]
        same_high = run.high[place] == high[open_rows]
        open_rows, place = open_rows[same_high], place[same_high]
        same_low = run.low[place] == low[open_rows]
        found[open_rows[same_low]] = run.seq[place[same_low]]
        open_rows = open_rows[~same_low]
        at[open_rows] += 1
        open_rows = open_rows[at[open_rows] < len(run)]
    return found


def merge_runs(runs: Sequence[IdRun]) -> IdRun:
    """One run of all; memory is twice their size."""
    ids = Ids.join([Ids(run.high, run.low) for run in runs])
    return IdRun.of(ids, np.concatenate([run.seq for run in runs]))


def add_run(runs: tuple[IdRun, ...], new: IdRun) -> tuple[IdRun, ...]:
    """Runs with one more, merged so that each is at least twice as long as the next.

    A lookup then searches O(log n) runs, and an id is sorted O(log n) times in all.
    """
    kept, merged = list(runs), [new]
    size = len(new)
    while kept and len(kept[-1]) < _GROWTH * size:
        merged.append(kept.pop())
        size += len(merged[-1])
    return (*kept, merge_runs(merged[::-1]) if len(merged) > 1 else new)
