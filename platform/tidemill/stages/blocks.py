"""Reduced matrices in the store, so that several passes pay for the reduction once.

They lie in the workspace's work folder, outside every output: losing them costs time only.
Each stage that uses it compares it with its hashes first; what is damaged is made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import FloatMatrix
from tidemill.features import encode_target, load_fitted_rows, load_reducer
from tidemill.schema import Role, TableSchema, Task
from tidemill.stages.context import StageContext
from tidemill.storage import (
    FileEntry,
    Receipts,
    ShardEntry,
    ShardManifest,
    StoreFolder,
    Workspace,
    hash_file,
    hash_files,
    hash_json,
    open_store,
    read_blocks,
    read_nearby,
)

if TYPE_CHECKING:
    from tidemill.features.fitted_rows import FittedRows
    from tidemill.features.reducer import Reducer

__all__ = ["ReducePart", "ReducedBlocks", "reduce_parts", "reduced_blocks"]


@dataclass(frozen=True)
class ReducedBlocks:
    """The blocks of one role as matrices in a store; picklable, reads one block at a time.

    Parameters
    ----------
    folder : StoreFolder
    names : tuple of str
        Columns of the matrix.
    blocks : tuple of (str, int, int)
        Name of the part, first row in it, rows.
    target_dtype : str
        ``float64`` or ``int32``.
    warnings : tuple of str
        What a person should know of them.
    hashes : mapping of str to mapping
        Where they lie in a store apart: by part, the SHA-256 of ``x`` and ``y``. They are read
        from copies on this machine, so that only the first pass asks the store.
    """

    folder: StoreFolder
    names: tuple[str, ...]
    blocks: tuple[tuple[str, int, int], ...]
    target_dtype: str
    warnings: tuple[str, ...] = ()
    hashes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each block."""
        return tuple(rows for _, _, rows in self.blocks)

    @property
    def shards(self) -> tuple[str, ...]:
        """The part that each block is of."""
        return tuple(stem for stem, _, _ in self.blocks)

    def take(self, blocks: Sequence[int]) -> ReducedBlocks:
        """Those blocks alone, with the hashes of their parts."""
        taken = tuple(self.blocks[block] for block in blocks)
        parts = {stem for stem, _, _ in taken}
        told = {stem: each for stem, each in self.hashes.items() if stem in parts}
        return replace(self, blocks=taken, hashes=told)

    def read(self, block: int) -> tuple[FloatMatrix, npt.NDArray[Any]]:
        """Return ``X`` (rows, n_features) float32 and ``y`` (rows,) of one block."""
        stem, first, rows = self.blocks[block]
        X = np.empty((rows, len(self.names)), np.float32)
        y = np.empty(rows, self.target_dtype)
        for array, kind in ((X, "x"), (y, "y")):
            key, start = self.folder.key(f"{stem}.{kind}"), first * array.strides[0]
            if self.hashes:
                read_nearby(self.folder.store, key, self.hashes[stem][kind], start, array.data)
            else:
                open_store(self.folder.store).read_range(key, start, array.data)
        return X, y

    def __iter__(self) -> Iterator[tuple[FloatMatrix, npt.NDArray[Any]]]:
        return (self.read(block) for block in range(len(self.blocks)))

    def followed_by(self, others: ReducedBlocks) -> ReducedBlocks:
        """The same blocks, and after them those of other parts of the same folder."""
        hashes = {**self.hashes, **others.hashes}
        return replace(self, blocks=(*self.blocks, *others.blocks), hashes=hashes)

    def sample(self, max_rows: int) -> ReducedBlocks:
        """The same share of every block, at most ``max_rows`` rows in all."""
        total = sum(self.rows)
        if total <= max_rows:
            return self
        taken = tuple(
            (stem, first, max(1, rows * max_rows // total)) for stem, first, rows in self.blocks
        )
        return replace(self, blocks=taken)


@dataclass(frozen=True, slots=True)
class ReducePart:
    """Blocks of one shard whose matrices go to one pair of objects."""

    stem: str
    file: FileEntry
    blocks: tuple[int, ...]

    @classmethod
    def whole(cls, entry: ShardEntry) -> ReducePart:
        """All blocks of a shard."""
        return cls(f"{entry.id:05d}", entry.file, tuple(range(len(entry.file.blocks))))


def reduced_blocks(context: StageContext, manifest: ShardManifest, role: Role) -> ReducedBlocks:
    """The reduced matrices of ``role``, made where they are not yet there.

    Memory: one block and its matrix, per worker. Disk: rows x n_features x 4 bytes.
    """
    workspace = context.workspace
    key = hash_json(
        {
            "shards": hash_file(workspace.shards / "manifest.json"),
            "reducer": hash_files(workspace.reducer),
        }
    )
    folder = workspace.work("reduced", key[:16])
    _forget_others(workspace, folder)
    parts = [ReducePart.whole(entry) for entry in manifest.of(role)]
    return reduce_parts(
        context,
        parts,
        manifest.schema,
        workspace.reducer,
        folder,
        label=f"reduce {role.value}",
        fitted_on=role is Role.TRAIN,
    )


def reduce_parts(
    context: StageContext,
    parts: Sequence[ReducePart],
    schema: TableSchema,
    reducer_folder: Path,
    folder: Path,
    *,
    label: str,
    rows: StoreFolder | None = None,
    fitted_on: bool = False,
) -> ReducedBlocks:
    """The matrices of the parts in ``folder``, made where they are not yet there.

    The caller names ``folder`` by the rows and the reducer. Memory: one block and its matrix,
    per worker.

    Parameters
    ----------
    rows : StoreFolder or None
        The folder of the parts' files; the workspace's shards.
    fitted_on : bool
        Whether the reducer was fitted on these rows: where the target is in it, they are not told
        what they have said themselves.
    """
    workspace, reducer = context.workspace, load_reducer(reducer_folder)
    function = partial(
        _reduce_part,
        folder=workspace.stored(folder),
        rows=rows or context.shards,
        reducer=reducer,
        fitted_rows=load_fitted_rows(reducer_folder) if fitted_on else None,
        schema=schema,
    )
    left = context.engine.map(function, parts, label=label, progress=context.progress)
    blocks = []
    for part in parts:
        first = 0
        for count in (part.file.blocks[block] for block in part.blocks):
            blocks.append((part.stem, first, count))
            first += count
    names = tuple(str(name) for name in reducer.get_feature_names_out())
    dtype = "float64" if schema.task is Task.REGRESSION else "int32"
    stored = workspace.stored(folder)
    healed = Receipts(stored).made_anew("reduced matrices")
    hashes = {part.stem: each for part, each in zip(parts, left, strict=True)}
    told = hashes if stored.apart else {}
    return ReducedBlocks(stored, names, tuple(blocks), dtype, healed, told)


def _forget_others(workspace: Workspace, folder: Path) -> None:
    kept, above = workspace.stored(folder), workspace.stored(folder.parent)
    store, start = open_store(above.store), len(above.key(""))
    found = {above.key(key[start:].split("/")[0]) for key in store.list_keys(above.folder)}
    for other in sorted(found - {kept.folder}):
        store.discard(other)


def _reduce_part(
    part: ReducePart,
    *,
    folder: StoreFolder,
    rows: StoreFolder,
    reducer: Reducer,
    fitted_rows: FittedRows | None,
    schema: TableSchema,
) -> dict[str, str]:
    """Make the objects of a part, or find them finished; the hashes of ``x`` and ``y``."""
    receipts, names = Receipts(folder), (f"{part.stem}.x", f"{part.stem}.y")
    finished = receipts.done(part.stem)
    if finished:  # an earlier release told no hashes
        return finished
    shard = rows.verified(part.file)
    # Not flushed to the disk: the receipt has their hashes.
    with ExitStack() as stack:
        xs, ys = (
            stack.enter_context(receipts.store.replace(folder.key(name), durable=False))
            for name in names
        )
        firsts = np.cumsum([0, *part.file.blocks])
        for block, table in zip(part.blocks, read_blocks(shard, blocks=part.blocks), strict=True):
            y = encode_target(table[schema.target.name], schema)
            X = (
                reducer.transform(table)
                if fitted_rows is None
                else fitted_rows.transform(table, part.file, int(firsts[block]))
            )
            xs.write(np.ascontiguousarray(X).data)
            ys.write(np.ascontiguousarray(y).data)
    hashes = {"x": xs.stored.sha256, "y": ys.stored.sha256}
    receipts.finish(part.stem, hashes, dict(zip(names, hashes.values(), strict=True)))
    return hashes
