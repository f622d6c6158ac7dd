"""ancestry: which rows a judged model and those that it goes on from have learnt.

Test rows judge a model as long as none of its lessons held them. That does not follow from the
roles of today's shards: another seed, hold-out or key makes test rows of rows that an earlier
champion learnt, and labelled live rows may be test rows that somebody played again. So each version
carries a sketch of the rows of each lesson, and test rows are looked up in it by what they say:
features and target, without key and time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.errors import ModelUntrusted
from tidemill.profiling import RowSketch, fold, merge
from tidemill.schema import Purpose, Role, TableSchema
from tidemill.stages.context import StageContext
from tidemill.storage import (
    FileEntry,
    ShardManifest,
    StoreFolder,
    hash_json,
    read_blocks,
    salted_hash,
    stable_row_hash,
)

__all__ = [
    "Frozen",
    "Learnt",
    "Unlearnt",
    "ancestry_of",
    "frozen_rows",
    "lessons_metadata",
    "lessons_of",
]

LIMIT = 4_096
"""Hashes that are kept of a lesson: 44 KB of the seal."""

TOLERATED = 0.01
"""Share of test rows that a model may have learnt: by chance rows are copies of each other."""

MIN_ROWS = 200
"""Rows without which a figure says too little."""

_LEARNT = "learnt"


@dataclass(frozen=True, slots=True)
class Learnt:
    """The rows of one lesson of a judged model.

    Parameters
    ----------
    rows_of : str
        The key of the shards, or the names of the sets of live rows.
    columns : str
        Names the columns that rows are known by, and their kinds.
    time, until : str or None
        The time column, and the latest time in it.
    sketch : RowSketch
    """

    rows_of: str
    columns: str
    time: str | None
    until: str | None
    sketch: RowSketch

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        document = {name: getattr(self, name) for name in ("rows_of", "columns", "time", "until")}
        return {**document, "sketch": self.sketch.to_json()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(**{**document, "sketch": RowSketch.from_json(document["sketch"])})


@dataclass(frozen=True, slots=True, eq=False)
class Unlearnt:
    """A filter: the test rows of which it is known that no lesson held them.

    Parameters
    ----------
    columns : tuple of str
        That rows are known by.
    below : uint64
        Rows with a larger hash are left out: of them nothing is known.
    learnt : (n,) uint64
        Hashes of rows that were learnt.
    """

    columns: tuple[str, ...]
    below: np.uint64
    learnt: npt.NDArray[np.uint64]

    def rows(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Which rows judge; (rows,) bool."""
        known, seen = self.split(table)
        return known & ~seen

    def split(self, table: pa.Table) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Of which rows it is known, and which were learnt; (rows,) bool each."""
        hashes = _hashes(table, self.columns)
        return hashes <= self.below, np.isin(hashes, self.learnt)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Which of the test rows may judge.

    Parameters
    ----------
    usable : bool
        Whether there are any, and enough of them.
    only : Unlearnt or None
        Those; None: all of them.
    said : str
        Why not all of them, in one sentence; empty where they are.
    """

    usable: bool = True
    only: Unlearnt | None = None
    said: str = ""


def lessons_of(
    context: StageContext, manifest: ShardManifest, origins: Sequence[str] | None = None
) -> tuple[Learnt, ...]:
    """The lessons of a model that learns all training and validation rows of ``manifest``.

    Two at most, however many sets of live rows there are: those of the source, and the others.

    Parameters
    ----------
    origins : sequence of str or None
        Of these sets of rows only; empty for those of the source.

    Notes
    -----
    One pass over the rows. Memory: one block and a sketch, per worker.
    """
    names = ("", *manifest.appended) if origins is None else origins
    live = [name for name in names if name]
    shards = tuple(shard for shard in manifest.shards if shard.origin in live)
    source = [(manifest.of_origin(""), manifest.key)] if "" in names else []
    others = [(replace(manifest, shards=shards), ", ".join(live))] if shards else []
    return tuple(_lesson(context, rows, name) for rows, name in [*source, *others])


def lessons_metadata(lessons: Sequence[Learnt] | None) -> dict[str, Any]:
    """What a version's metadata say of its lessons; None: they are not known."""
    return {_LEARNT: None if lessons is None else [lesson.to_json() for lesson in lessons]}


def ancestry_of(metadata: Mapping[str, Any]) -> tuple[Learnt, ...] | None:
    """The lessons that metadata tell; None of a version that was made before they were noted.

    Raises
    ------
    ModelUntrusted
        If they cannot be read.
    """
    documents = metadata.get(_LEARNT)
    if documents is None:
        return None
    try:
        return tuple(Learnt.from_json(document) for document in documents)
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelUntrusted(
            f"what the model has learnt cannot be read: {exc}",
            remedy="train and register the model again: tidemill run",
        ) from exc


def frozen_rows(
    context: StageContext,
    manifest: ShardManifest,
    models: Mapping[str, Sequence[Learnt] | None],
) -> Frozen:
    """Say which test rows may judge all of ``models``.

    A test row was learnt if it is in a lesson of one of them and not among the training rows of
    these very shards as well: of rows that are copies of each other, every model has learnt some.

    Parameters
    ----------
    models : mapping of str to (sequence of Learnt or None)
        By name, for people; None is taken on trust, and said.

    Notes
    -----
    One pass over the test rows, where a lesson is of other rows than these shards. Memory: one
    block and the sketches, per worker.
    """
    columns, kinds = _identity(manifest.schema), _named(manifest.schema)
    trusted = [name for name, lessons in models.items() if lessons is None]
    doubts = "".join(f"; which rows {name} has learnt was not noted" for name in trusted)
    others = {
        name: [x for x in lessons or () if not _apart(x, manifest)]
        for name, lessons in models.items()
    }
    foreign = [n for n, found in others.items() if any(x.columns != kinds for x in found)]
    if foreign:
        return Frozen(False, said=f"{foreign[0]} learnt rows of other columns{doubts}")
    lessons = [lesson for found in others.values() for lesson in found]
    if not lessons:
        return Frozen(said=doubts.removeprefix("; "))
    own = _own(context, manifest, [x for found in models.values() for x in found or ()])
    below = min([own.sketch.below, *(lesson.sketch.below for lesson in lessons)])
    learnt = np.setdiff1d(
        np.concatenate([lesson.sketch.hashes for lesson in lessons]), own.sketch.hashes
    )
    only = Unlearnt(columns, below, learnt[learnt <= below])
    known, seen = _count(context, manifest, only) if len(only.learnt) else (0, 0)
    if seen <= TOLERATED * known:
        return Frozen(said=doubts.removeprefix("; "))
    who = _who(others, only.learnt)
    share = f"{who} learnt {seen / known:.0%} of the test rows{doubts}"
    if known - seen < MIN_ROWS:
        return Frozen(False, only, f"{share}, and {known - seen} others are too few to judge by")
    return Frozen(True, only, f"{share}; judged by {known - seen} others")


def _who(models: Mapping[str, Sequence[Learnt]], learnt: npt.NDArray[np.uint64]) -> str:
    guilty = [
        name
        for name, lessons in models.items()
        if any(lesson.sketch.holds(learnt).any() for lesson in lessons)
    ]
    return " and ".join(guilty)


def _apart(lesson: Learnt, manifest: ShardManifest) -> bool:
    """Whether a lesson cannot hold test rows: of these shards, or all of it before they begin."""
    if lesson.rows_of == manifest.key:
        return True
    time = manifest.schema.time
    starts = [entry.time_from for entry in manifest.of(Role.TEST)]
    if time is None or lesson.time != time.name or lesson.until is None or not all(starts):
        return False
    first = min(np.datetime64(start, "us") for start in starts if start)
    return bool(np.datetime64(lesson.until, "us") < first)


def _own(context: StageContext, manifest: ShardManifest, known: Iterable[Learnt]) -> Learnt:
    """The lesson of these shards, without the live rows: one that a model has had, or made."""
    for lesson in known:
        if lesson.rows_of == manifest.key:
            return lesson
    return _lesson(context, manifest.of_origin(""), manifest.key)


def _lesson(context: StageContext, manifest: ShardManifest, name: str) -> Learnt:
    shards = (*manifest.of(Role.TRAIN), *manifest.of(Role.VALIDATION))
    columns = _identity(manifest.schema)
    function = partial(_sketch, folder=context.shards, columns=columns)
    files = [entry.file for entry in shards]
    sketch = context.engine.fold(function, files, merge, label="lesson", progress=context.progress)
    times = [entry.time_to for entry in shards if entry.time_to]
    time = manifest.schema.time
    return Learnt(
        name,
        _named(manifest.schema),
        None if time is None else time.name,
        max(times, key=lambda text: np.datetime64(text, "us")) if times else None,
        sketch,
    )


def _sketch(file: FileEntry, *, folder: StoreFolder, columns: tuple[str, ...]) -> RowSketch:
    tables = read_blocks(folder.verified(file), columns=list(columns))
    return fold(RowSketch.of(_hashes(table, columns), LIMIT) for table in tables)


def _count(context: StageContext, manifest: ShardManifest, only: Unlearnt) -> tuple[int, int]:
    """Test rows of which it is known, and those of them that were learnt."""
    function = partial(_count_shard, folder=context.shards, only=only)
    files = [entry.file for entry in manifest.of(Role.TEST)]
    parts = context.engine.map(function, files, label="learnt", progress=context.progress)
    return sum(known for known, _ in parts), sum(seen for _, seen in parts)


def _count_shard(file: FileEntry, *, folder: StoreFolder, only: Unlearnt) -> tuple[int, int]:
    known = seen = 0
    for table in read_blocks(folder.verified(file), columns=list(only.columns)):
        within, learnt = only.split(table)
        known += int(within.sum())
        seen += int((within & learnt).sum())
    return known, seen


def _identity(schema: TableSchema) -> tuple[str, ...]:
    """What rows are known by: a row that is played again has another key, perhaps another time."""
    features = (c.name for c in schema.features if c.purpose is not Purpose.TIME)
    return (*sorted(features), schema.target.name)


def _named(schema: TableSchema) -> str:
    kinds = {c.name: c.type.value for c in schema.columns}
    return hash_json([[name, kinds[name]] for name in _identity(schema)])


def _hashes(table: pa.Table, columns: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    known_by = pa.table({name: _as_float32(table[name]) for name in columns})
    return salted_hash(stable_row_hash(known_by), "learnt")


def _as_float32(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as float32: the same row stays the same when its column is stored otherwise."""
    kind = column.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return column.cast(pa.float32(), safe=False) if number else column
