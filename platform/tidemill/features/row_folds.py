"""Which rows are encoded by the same statistics: folds, told by the rows themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.features.columns import read_times
from tidemill.profiling import NumericProfile, Profile
from tidemill.storage import FileEntry, ShardManifest, stable_hash

__all__ = ["RowFolds"]

_STRETCHES = 16
_FOLDS = 5
_MICROS = 1_000_000


@dataclass(frozen=True)
class RowFolds:
    """The rule that gives each training row its fold.

    Parameters
    ----------
    count : int
    time : str
        The time column, where test rows are later rows: folds are stretches of time of about
        equally many rows, and a row is encoded by those before its own.
    ends : tuple of float
        Epoch seconds where each stretch but the last ends.
    key : str
        Else the column that names a row: by its hash, whatever the shard. Where there is none, by
        the hash of a row's place. A row is encoded by the folds that are not its own.
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
            place = int(file.sha256[:8], 16) << 31
            hashed = stable_hash(pa.array(place + first + np.arange(table.num_rows)))
        return (hashed % np.uint64(self.count)).astype(np.int64)

    def known(self, sums: npt.NDArray[Any], memory: float = 1.0) -> npt.NDArray[Any]:
        """What each fold's rows may know, of what each fold adds: (count, ...) to (count, ...).

        In time order a stretch counts ``memory`` times what the next one counts.
        """
        if not self.time:
            every: npt.NDArray[Any] = sums.sum(axis=0) - sums
            return every
        found = np.zeros_like(sums)
        for fold in range(1, self.count):
            found[fold] = memory * found[fold - 1] + sums[fold - 1]
        return found

    def all_known(self, sums: npt.NDArray[Any], memory: float = 1.0) -> npt.NDArray[Any]:
        """What rows of no fold may know: (count, ...) to (...)."""
        weights = memory ** np.arange(self.count)[::-1] if self.time else np.ones(self.count)
        every: npt.NDArray[Any] = np.tensordot(weights, sums, axes=1)
        return every
