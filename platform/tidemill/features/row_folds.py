"""Which rows are told the same statistics: folds, and what of their sums a fold may know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.features.columns import read_times
from tidemill.profiling import NumericProfile, Profile
from tidemill.storage import FileEntry, ShardManifest, stable_hash

__all__ = ["RowFolds", "all_of", "earlier", "hash_places", "others"]

_STRETCHES = 16
_FOLDS = 5
_MICROS = 1_000_000

Sums: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RowFolds:
    """The rule that gives each training row its fold.

    Parameters
    ----------
    count : int
    time : str
        The time column, where test rows are later rows: folds are stretches of time of about
        equally many rows.
    ends : tuple of float
        Epoch seconds where each stretch but the last ends.
    key : str
        Else the column that names a row: by its hash, whatever the shard. Where there is none, by
        the hash of a row's place.
    """

    count: int
    time: str = ""
    ends: tuple[float, ...] = ()
    key: str = ""

    @classmethod
    def of(cls, manifest: ShardManifest, profile: Profile) -> Self:
        """Those of a table; ``profile`` is that of its training rows."""
        time, key = manifest.schema.time, manifest.schema.key
        if time is not None and manifest.holdout.get("by") == "time":
            known = profile.columns[time.name]
            assert isinstance(known, NumericProfile)  # noqa: S101 - times are numbers there
            shares = np.arange(1, _STRETCHES) / _STRETCHES
            ends = sorted({known.quantile(share) for share in shares.tolist()})
            return cls(len(ends) + 1, time=time.name, ends=tuple(ends))
        return cls(_FOLDS, key="" if key is None else key.name)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a table that tell a row's fold."""
        return tuple(filter(None, (self.time, self.key)))

    def assign(self, table: pa.Table, file: FileEntry, first: int) -> npt.NDArray[np.int64]:
        """The fold of each row, (rows,).

        ``first`` is the number of the table's first row in the file. A row without a time is of
        the first stretch.
        """
        if self.time:
            times = read_times(table[self.time])
            seconds = times.view(np.int64) / _MICROS
            folds = np.searchsorted(self.ends, seconds, side="right")
            return np.where(np.isnat(times), 0, folds)
        if self.key:
            hashed = stable_hash(table[self.key])
        else:
            hashed = hash_places(file, first, table.num_rows)
        return (hashed % np.uint64(self.count)).astype(np.int64)


def hash_places(file: FileEntry, first: int, rows: int) -> npt.NDArray[np.uint64]:
    """The hash of the place of each of these rows of a file, (rows,); ``first`` as above."""
    place = int(file.sha256[:8], 16) << 31
    return stable_hash(pa.array(place + first + np.arange(rows)))


def others(sums: Sums) -> Sums:
    """What the folds that are not its own say, by what each says: (n_folds, ...) to (n_folds, ...).

    >>> others(np.array([1.0, 2.0, 4.0])).tolist()
    [6.0, 5.0, 3.0]
    """
    every: Sums = sums.sum(axis=0) - sums
    return every


def earlier(sums: Sums, memory: float) -> Sums:
    """What the stretches before its own say, each counting ``memory`` times what the next counts.

    >>> earlier(np.array([1.0, 2.0, 4.0]), 0.5).tolist()
    [0.0, 1.0, 2.5]
    """
    found = np.zeros_like(sums)
    for fold in range(1, len(sums)):
        found[fold] = memory * found[fold - 1] + sums[fold - 1]
    return found


def all_of(sums: Sums, memory: float = 1.0) -> Sums:
    """What all say, weighed in the same way: (n_folds, ...) to (...).

    >>> float(all_of(np.array([1.0, 2.0, 4.0]), 0.5))
    5.25
    """
    every: Sums = np.tensordot(memory ** np.arange(len(sums))[::-1], sums, axes=1)
    return every
