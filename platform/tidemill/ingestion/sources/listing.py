"""Find the files of the source, hash them, and find how they are written."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from tidemill.config import DatasetConfig
from tidemill.contracts import Engine
from tidemill.errors import SourceUnreadable
from tidemill.ingestion.sources.discover import (
    compression_of,
    find_files,
    format_of,
    has_zstd_checksum,
)
from tidemill.ingestion.sources.parquet.parquet_apart import open_parquet
from tidemill.ingestion.sources.sniff import sniff
from tidemill.ingestion.sources.splits import SourceListing, Split
from tidemill.ingestion.sources.streams import text_blocks
from tidemill.storage import hash_file

__all__ = ["list_source"]

# Parquet files are cut behind the row group that fills this many rows.
SPLIT_ROWS = 1_000_000


def list_source(
    dataset: DatasetConfig,
    root: Path,
    engine: Engine,
    *,
    named: str = "dataset.source",
    given: str | None = None,
) -> SourceListing:
    """Find the files that ``dataset.source`` names, hash them, and find how they are written.

    A Parquet file of many row groups becomes several splits of about a million rows. How text
    is written (delimiter, header, encoding) is found from the first file, types of columns from
    ``dataset.look_rows`` rows over all files.

    Parameters
    ----------
    dataset : DatasetConfig
    root : Path
        The workspace.
    engine : Engine
        Hashes the files.
    named : str
        What errors call the source: the option that took the place of ``dataset.source``.
    given : str or None
        What was written there, from where the reader stands; None: ``dataset.source`` itself.

    Raises
    ------
    SourceMissing, SourceEmpty, SourceUnreadable
        If there is no file, no data, or a file that cannot be what it should be.
    SchemaMismatch
        If a file lacks columns of the first.
    ConfigError
        If ``dataset.csv`` cannot be.

    Notes
    -----
    Memory: the sample of ``look_rows`` rows as texts.
    """
    files = find_files(dataset, root, named, given)
    if given is not None:  # from here on it is only told
        dataset = dataset.model_copy(update={"source": given})
    found = engine.map(
        partial(_describe, root=root, stated=dataset.format), files, label="hash the source"
    )
    formats = sorted({split.format for splits in found for split in splits})
    if len(formats) > 1:
        raise SourceUnreadable(
            f"{named} {dataset.source!r} holds files of several formats: {', '.join(formats)}",
            remedy="name files of one format, for example with a glob",
            formats=tuple(formats),
        )
    pieces = (split for splits in found for split in splits)
    splits = tuple(replace(split, id=number) for number, split in enumerate(pieces))
    columns, dialect = sniff(dataset, splits, root, named)
    return SourceListing(splits, columns, dialect)


def _describe(path: Path, *, root: Path, stated: str) -> list[Split]:
    """One file as splits, still without their ids."""
    absolute = path.resolve()
    inside = absolute.is_relative_to(root.resolve())
    shown = absolute.relative_to(root.resolve()).as_posix() if inside else absolute.as_posix()
    compression = compression_of(path)
    size = path.stat().st_size
    split = Split(0, shown, "csv", compression, size, hash_file(path))
    split = replace(split, checked=compression != "zstd" or has_zstd_checksum(path))
    split = replace(split, format=format_of(path, stated, _head(split, root)))
    return _by_row_groups(split, root) if split.format == "parquet" else [split]


def _head(split: Split, root: Path) -> bytes:
    if split.compression == "none":
        with split.locate(root).open("rb") as file:
            return file.read(4096)
    return next(text_blocks(split, root, encoding="utf-8", whole=False), b"")[:4096]


def _by_row_groups(split: Split, root: Path) -> list[Split]:
    with open_parquet(split.locate(root), split.path) as file:
        groups, split = file.group_rows, replace(split, checked=file.checked)
    pieces, begin, first_row, rows = [], 0, 0, 0
    for number, group_rows in enumerate(groups, start=1):
        rows += group_rows
        if rows >= SPLIT_ROWS or number == len(groups):
            pieces.append(replace(split, row_groups=(begin, number), first_row=first_row))
            begin, first_row, rows = number, first_row + rows, 0
    return pieces or [replace(split, row_groups=(0, 0))]
