"""Reduced matrices on disk, so that several passes pay for the reduction once.

The cache lies in the workspace's work folder, outside every output: losing it costs time only.
Each stage that uses it compares it with its hashes first; what is damaged is made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.contracts import FloatMatrix
from tidemill.features import load_reducer
from tidemill.schema import Role, TableSchema, Task
from tidemill.stages.context import StageContext
from tidemill.storage import (
    FileEntry,
    ShardEntry,
    ShardManifest,
    hash_file,
    hash_json,
    made_anew,
    read_blocks,
    read_receipt,
    replaced_file,
    storage_errors,
    verify_file,
    write_receipt,
)

__all__ = ["ReducePart", "ReducedBlocks", "encode_target", "reduce_parts", "reduced_blocks"]


@dataclass(frozen=True)
class ReducedBlocks:
    """The blocks of one role as matrices on disk; picklable, reads one block at a time.

    Parameters
    ----------
    folder : Path
    names : tuple of str
        Columns of the matrix.
    blocks : tuple of (str, int, int)
        File stem, first row in the file, rows.
    target_dtype : str
        ``float64`` or ``int32``.
    warnings : tuple of str
        What a person should know of the files.
    """

    folder: Path
    names: tuple[str, ...]
    blocks: tuple[tuple[str, int, int], ...]
    target_dtype: str
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each block."""
        return tuple(rows for _, _, rows in self.blocks)

    def read(self, block: int) -> tuple[FloatMatrix, npt.NDArray[Any]]:
        """Return ``X`` (rows, n_features) float32 and ``y`` (rows,) of one block."""
        stem, first, rows = self.blocks[block]
        width = len(self.names)
        X = np.fromfile(
            self.folder / f"{stem}.x",
            np.float32,
            count=rows * width,
            offset=first * width * 4,
        ).reshape(rows, width)
        dtype = np.dtype(self.target_dtype)
        y = np.fromfile(self.folder / f"{stem}.y", dtype, count=rows, offset=first * dtype.itemsize)
        return X, y

    def __iter__(self) -> Iterator[tuple[FloatMatrix, npt.NDArray[Any]]]:
        return (self.read(block) for block in range(len(self.blocks)))

    def sample(self, max_rows: int) -> ReducedBlocks:
        """The same share of every block, at most ``max_rows`` rows in all."""
        total = sum(self.rows)
        if total <= max_rows:
            return self
        taken = tuple(
            (stem, first, max(1, rows * max_rows // total)) for stem, first, rows in self.blocks
        )
        return replace(self, blocks=taken)


def encode_target(column: pa.ChunkedArray, schema: TableSchema) -> npt.NDArray[Any]:
    """Return the target as float64 (regression) or int32 class codes; (rows,)."""
    if schema.task is Task.REGRESSION:
        return np.asarray(column.cast(pa.float64()))
    codes = pc.index_in(column.cast(pa.string()), value_set=pa.array(schema.classes))
    return np.asarray(codes.cast(pa.int32()))


@dataclass(frozen=True, slots=True)
class ReducePart:
    """Blocks of one shard whose matrices go to one pair of files."""

    stem: str
    file: FileEntry
    blocks: tuple[int, ...]

    @classmethod
    def whole(cls, entry: ShardEntry) -> ReducePart:
        """All blocks of a shard."""
        return cls(f"{entry.id:05d}", entry.file, tuple(range(len(entry.file.blocks))))


def reduced_blocks(context: StageContext, manifest: ShardManifest, role: Role) -> ReducedBlocks:
    """The reduced matrices of ``role``, made where they are not yet on disk.

    Memory: one block and its matrix, per worker. Disk: rows x n_features x 4 bytes.
    """
    workspace = context.workspace
    key = hash_json(
        {
            "shards": hash_file(workspace.shards / "manifest.json"),
            "reducer": {p.name: hash_file(p) for p in sorted(workspace.reducer.iterdir())},
        }
    )
    folder = workspace.work("reduced", key[:16])
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _forget_others(folder)
    parts = [ReducePart.whole(entry) for entry in manifest.of(role)]
    return reduce_parts(
        context, parts, manifest.schema, workspace.reducer, folder, label=f"reduce {role.value}"
    )


def reduce_parts(
    context: StageContext,
    parts: Sequence[ReducePart],
    schema: TableSchema,
    reducer_folder: Path,
    folder: Path,
    *,
    label: str,
    rows: Path | None = None,
) -> ReducedBlocks:
    """The matrices of the parts in ``folder``, made where they are not yet there.

    The caller names ``folder`` by the rows and the reducer. Memory: one block and its matrix,
    per worker.

    Parameters
    ----------
    rows : Path or None
        The folder of the parts' files; the workspace's shards.
    """
    function = partial(
        _reduce_part,
        folder=folder,
        shards=context.workspace.shards if rows is None else rows,
        reducer_folder=reducer_folder,
        schema=schema,
    )
    context.engine.map(function, parts, label=label, progress=context.progress)
    for left in folder.glob(".*.tmp"):
        left.unlink(missing_ok=True)  # by a killed run
    blocks = []
    for part in parts:
        first = 0
        for count in (part.file.blocks[block] for block in part.blocks):
            blocks.append((part.stem, first, count))
            first += count
    names = tuple(str(name) for name in load_reducer(reducer_folder).get_feature_names_out())
    dtype = "float64" if schema.task is Task.REGRESSION else "int32"
    healed = made_anew(folder, "reduced matrices")
    return ReducedBlocks(folder, names, tuple(blocks), dtype, healed)


def _forget_others(folder: Path) -> None:
    import shutil

    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _reduce_part(
    part: ReducePart, *, folder: Path, shards: Path, reducer_folder: Path, schema: TableSchema
) -> None:
    """Make the files of a part, or find them finished."""
    stem = part.stem
    receipt = folder / f"{stem}.json"
    files = [folder / f"{stem}.{kind}" for kind in ("x", "y")]
    if read_receipt(receipt, files) is not None:
        return
    path = verify_file(shards, part.file)
    reducer = load_reducer(reducer_folder)
    with replaced_file(files[0]) as xs, replaced_file(files[1]) as ys:
        for table in read_blocks(path, blocks=part.blocks):
            reducer.transform(table).tofile(xs)
            encode_target(table[schema.target.name], schema).tofile(ys)
    write_receipt(receipt, {}, files)
