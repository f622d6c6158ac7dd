"""The passes over training shards: calendar counts, and what the reducer's steps ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from operator import add
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tidemill.contracts import EncodedColumn, Engine, FloatMatrix, Progress, Step
from tidemill.engines.one_thread import one_thread
from tidemill.errors import ConfigError
from tidemill.features.calendar import calendar_counts
from tidemill.features.columns import read_times
from tidemill.features.drafts import Draft
from tidemill.features.encoder import Encoder
from tidemill.features.sequence import FittedStep, chosen
from tidemill.profiling import Moments, Profile, fold, merge
from tidemill.schema import Role
from tidemill.storage import ShardEntry, ShardManifest, StoreFolder, read_blocks

__all__ = ["Encoding", "ShardColumns", "count_calendar", "training_profile"]

Counts = dict[str, dict[str, npt.NDArray[np.int64]]]


Result = TypeVar("Result")

_TRACE = 1e-9


@dataclass(frozen=True)
class Encoding:
    """What a worker needs to encode: descriptions, and what is known of their columns."""

    features: tuple[Mapping[str, Any], ...]
    columns: tuple[EncodedColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(column.name for column in self.columns)


def training_profile(manifest: ShardManifest, folder: StoreFolder) -> Profile:
    """The merged block profiles of the training shards.

    Raises
    ------
    IntegrityError
        If a profile is missing or differs from its recorded hash.
    """
    return fold(
        Profile.from_json(block)
        for shard in manifest.of(Role.TRAIN)
        for block in folder.profiles(shard)
    )


def count_calendar(
    manifest: ShardManifest,
    folder: StoreFolder,
    parts: Mapping[str, tuple[str, ...]],
    engine: Engine,
) -> Counts:
    """How often each calendar part takes each value, by time column; reads those columns only."""
    if not parts:
        return {}
    counted = engine.map(
        partial(_shard_calendar, folder=folder, parts=dict(parts)),
        manifest.of(Role.TRAIN),
        label="calendar",
    )
    return {
        name: {part: sum(shard[name][part] for shard in counted) for part in wanted}  # type: ignore[misc]
        for name, wanted in parts.items()
    }


def _shard_calendar(
    shard: ShardEntry, *, folder: StoreFolder, parts: Mapping[str, tuple[str, ...]]
) -> Counts:
    total: Counts = {}
    for table in read_blocks(folder.verified(shard.file), columns=list(parts)):
        for name, wanted in parts.items():
            counts = calendar_counts(read_times(table[name]), wanted)
            held = total.setdefault(name, {part: np.zeros_like(c) for part, c in counts.items()})
            for part, count in counts.items():
                held[part] += count
    return total


@dataclass(frozen=True, eq=False)
class ShardColumns:
    """The training rows of shards, as they come to the step that is fitted next.

    Parameters
    ----------
    manifest : ShardManifest
    folder : StoreFolder
    engine : Engine
    progress : callable or None
        Of each pass, one step a shard.
    profile : Profile
    drafts : tuple of Draft
        Of all features.
    dropped : mapping of str to str
        Encoded columns that are left out, and why.
    dropped_later : mapping of str to str
        Columns that steps made, likewise.
    scaled : bool
    gaps : bool
        Whether missing values come to the next step.
    steps : tuple of FittedStep
        Those before.
    kept : tuple of int or None
        Which columns of the last of those are left; None: all.
    """

    manifest: ShardManifest
    folder: StoreFolder
    engine: Engine
    progress: Progress | None
    profile: Profile
    drafts: tuple[Draft, ...]
    dropped: Mapping[str, str]
    scaled: bool
    gaps: bool = False
    dropped_later: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[FittedStep, ...] = ()
    kept: tuple[int, ...] | None = None
    _passed: dict[int, Moments] = field(default_factory=dict)

    @cached_property
    def encoding(self) -> Encoding:
        """The encoded columns that are left, in the order of the table."""
        left = [c for draft in self.drafts for c in draft.columns if c.name not in self.dropped]
        slots = {column.name: slot for slot, column in enumerate(left)}
        features = tuple(
            draft.placed(slots)
            for draft in self.drafts
            if any(column.name in slots for column in draft.columns)
        )
        return Encoding(features, tuple(left))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        if not self.steps:
            return self.encoding.names
        last = self.steps[-1].names
        return last if self.kept is None else tuple(last[i] for i in self.kept)

    @cached_property
    def columns(self) -> tuple[EncodedColumn, ...]:
        """Mean and variance of each; of a step's own columns from two passes."""
        if not self.steps:
            return self.encoding.columns
        sums, counts = self.fold(_sums, _both, label="means of columns")
        means = sums / np.maximum(counts, 1)
        squares = self.fold(partial(_squares, means=means), add, label="variances of columns")
        variances = squares / np.maximum(counts, 1)
        variances[variances <= np.square(_TRACE * means)] = 0.0  # a mean of equals is not exact
        found = zip(self.names, means.tolist(), variances.tolist(), strict=True)
        return tuple(EncodedColumn(*one) for one in found)

    def moments(self) -> Moments:
        """Means and co-moments, what is missing taken as the mean; read once for all steps."""
        known = self._passed.get(len(self.steps))
        if known is None or not set(self.names) <= set(known.names):
            means = np.zeros(len(self.names))
            if self.gaps and (self.steps or not self.scaled):
                means += [column.mean for column in self.columns]
            of = partial(_moments, names=self.names, means=means)
            known = self._passed[len(self.steps)] = self.fold(of, merge, label="co-moments")
        return known.only(self.names)

    def fold(
        self,
        of: Callable[[FloatMatrix, int], Result],
        merge: Callable[[Result, Result], Result],
        *,
        label: str,
    ) -> Result:
        """One pass over all blocks as they come to the next step; see :class:`TrainingColumns`."""
        one = partial(
            _shard_pass,
            folder=self.folder,
            encoding=self.encoding,
            steps=self.steps,
            kept=self.kept,
            of=of,
            merge=merge,
        )
        shards = self.manifest.of(Role.TRAIN)
        return self.engine.fold(one, shards, merge, label=label, progress=self.progress)

    def without(self, names: Iterable[str]) -> Self:
        """The same rows, without these columns."""
        return self._without(dict.fromkeys(names, ""))

    def _without(self, dropped: Mapping[str, str]) -> Self:
        if not dropped:
            return self
        if not self.steps:
            return replace(self, dropped={**self.dropped, **dropped})
        made = self.steps[-1].names
        last = range(len(made)) if self.kept is None else self.kept
        left = tuple(i for i in last if made[i] not in dropped)
        return replace(self, dropped_later={**self.dropped_later, **dropped}, kept=left)

    def after(self, name: str, step: Step) -> Self:
        """The rows as they leave a step, which is fitted here.

        Raises
        ------
        ConfigError
            If it makes two columns of one name.
        """
        left = self._without(step.fit(self))
        if not left.names or (step.only_drops and not self.steps):
            return left  # what is left out is not encoded at all
        names = step.names(left.names)
        if len(set(names)) < len(names):
            raise ConfigError(
                f"reduction.steps: {name} makes several columns of one name",
                remedy=f"take one {name} out of reduction.steps",
                names=names,
            )
        fitted = FittedStep(name, step, left.kept, names)
        gaps = left.gaps and not step.fills_missing
        return replace(left, steps=(*left.steps, fitted), kept=None, gaps=gaps)


def _shard_pass(
    shard: ShardEntry,
    *,
    folder: StoreFolder,
    encoding: Encoding,
    steps: Sequence[FittedStep],
    kept: tuple[int, ...] | None,
    of: Callable[[FloatMatrix, int], Result],
    merge: Callable[[Result, Result], Result],
) -> Result:
    path = folder.verified(shard.file)
    encoder = Encoder(encoding.features, len(encoding.columns))
    columns = list(dict.fromkeys(feature["name"] for feature in encoding.features))
    buffer = np.empty((max(shard.file.blocks), len(encoding.columns)))
    place = int(shard.file.sha256[:16], 16)

    def result(number: int, table: Any) -> Result:
        matrix: FloatMatrix = encoder.encode(table, np.float64, buffer=buffer)
        for step in steps:
            matrix = step.transform(matrix)
        seed = int(np.random.SeedSequence([place, number]).generate_state(1, np.uint64)[0])
        return of(chosen(matrix, kept), seed)

    # One thread: sums do not depend on the machine's cores, and workers share them anyway.
    with one_thread("blas"):
        blocks = enumerate(read_blocks(path, columns=columns))
        return reduce(merge, (result(number, table) for number, table in blocks))


def _moments(
    matrix: FloatMatrix,
    seed: int,  # noqa: ARG001
    *,
    names: tuple[str, ...],
    means: npt.NDArray[np.float64],
) -> Moments:
    np.copyto(matrix, means, where=np.isnan(matrix))
    return Moments.of(matrix, names)


def _sums(matrix: FloatMatrix, seed: int) -> tuple[FloatMatrix, FloatMatrix]:  # noqa: ARG001
    return np.nansum(matrix, axis=0), np.count_nonzero(~np.isnan(matrix), axis=0)


def _both(
    a: tuple[FloatMatrix, FloatMatrix], b: tuple[FloatMatrix, FloatMatrix]
) -> tuple[FloatMatrix, FloatMatrix]:
    return a[0] + b[0], a[1] + b[1]


def _squares(
    matrix: FloatMatrix,
    seed: int,  # noqa: ARG001
    *,
    means: npt.NDArray[np.float64],
) -> FloatMatrix:
    matrix -= means
    squares: FloatMatrix = np.nansum(np.square(matrix), axis=0)
    return squares
