"""Which files a dataset is made of, what they are, and how their text is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from tidemill.config import DatasetConfig
from tidemill.contracts import Engine
from tidemill.errors import SourceUnreadable

__all__ = ["CsvDialect", "SourceColumn", "SourceListing", "Split", "list_source"]

Format = Literal["csv", "parquet", "jsonl"]
Compression = Literal["none", "gzip", "zstd"]

# Parquet files are cut behind the row group that fills this many rows.
SPLIT_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Split:
    """One independently readable piece of the source.

    Parameters
    ----------
    id : int
        Position in the listing.
    path : str
        Relative to the workspace when inside it, with forward slashes; absolute otherwise.
    format, compression : str
    bytes : int
        Size of the file.
    sha256 : str
        Of the file's bytes, as they lie on the disk.
    row_groups : (int, int) or None
        Half-open range of Parquet row groups; None means the whole file.
    first_row : int
        Data rows of the file before this split (Parquet cut by row groups; otherwise 0).
    """

    id: int
    path: str
    format: Format
    compression: Compression
    bytes: int
    sha256: str
    row_groups: tuple[int, int] | None = None
    first_row: int = 0

    def locate(self, root: Path) -> Path:
        """The file's place, given the workspace's."""
        return root / self.path  # an absolute path wins over root


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How delimited text is written, resolved once for all files.

    Parameters
    ----------
    delimiter, quote, encoding : str
        ``quote`` is empty where nothing is quoted; ``encoding`` is Python's name.
    header : bool
        Whether the first record of each file names its columns.
    """

    delimiter: str
    quote: str
    encoding: str
    header: bool


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as it comes: its name and the plain type that its texts have.

    ``type`` is text, integer, number, boolean, datetime or other (nested, binary).
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class SourceListing:
    """The pieces of the source and what they have in common.

    Parameters
    ----------
    splits : tuple of Split
        Ordered by path, then row groups.
    columns : tuple of SourceColumn
        Those of the first file, in its order, before ``derive`` and ``drop``.
    dialect : CsvDialect or None
        For delimited text.
    """

    splits: tuple[Split, ...]
    columns: tuple[SourceColumn, ...]
    dialect: CsvDialect | None

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        dialect = document["dialect"]
        return cls(
            splits=tuple(
                Split(**{**s, "row_groups": _pair(s["row_groups"])}) for s in document["splits"]
            ),
            columns=tuple(SourceColumn(**column) for column in document["columns"]),
            dialect=None if dialect is None else CsvDialect(**dialect),
        )


def _pair(value: list[int] | None) -> tuple[int, int] | None:
    return None if value is None else (value[0], value[1])


def list_source(dataset: DatasetConfig, root: Path, engine: Engine) -> SourceListing:
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
    from tidemill.ingestion.discover import find_files
    from tidemill.ingestion.sniff import sniff

    files = find_files(dataset, root)
    found = engine.map(
        partial(_describe, root=root, stated=dataset.format), files, label="hash the source"
    )
    formats = sorted({split.format for splits in found for split in splits})
    if len(formats) > 1:
        raise SourceUnreadable(
            f"dataset.source {dataset.source!r} holds files of several formats: "
            f"{', '.join(formats)}",
            remedy="name files of one format, for example with a glob",
            formats=tuple(formats),
        )
    pieces = (split for splits in found for split in splits)
    splits = tuple(replace(split, id=number) for number, split in enumerate(pieces))
    columns, dialect = sniff(dataset, splits, root)
    return SourceListing(splits, columns, dialect)


def _describe(path: Path, *, root: Path, stated: str) -> list[Split]:
    """One file as splits, still without their ids."""
    from tidemill.ingestion.discover import compression_of, format_of
    from tidemill.storage import hash_file

    absolute = path.resolve()
    inside = absolute.is_relative_to(root.resolve())
    shown = absolute.relative_to(root.resolve()).as_posix() if inside else absolute.as_posix()
    compression = compression_of(path)
    size = path.stat().st_size
    split = Split(0, shown, "csv", compression, size, hash_file(path))
    split = replace(split, format=format_of(path, stated, _head(split, root)))
    return _by_row_groups(split, root) if split.format == "parquet" else [split]


def _head(split: Split, root: Path) -> bytes:
    from tidemill.ingestion.streams import text_blocks

    if split.compression == "none":
        with split.locate(root).open("rb") as file:
            return file.read(4096)
    return next(text_blocks(split, root, encoding="utf-8", whole=False), b"")[:4096]


def _by_row_groups(split: Split, root: Path) -> list[Split]:
    from tidemill.ingestion.parquet_rows import open_parquet

    with open_parquet(split.locate(root), split.path) as file:
        groups = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    pieces, begin, first_row, rows = [], 0, 0, 0
    for number, group_rows in enumerate(groups, start=1):
        rows += group_rows
        if rows >= SPLIT_ROWS or number == len(groups):
            pieces.append(replace(split, row_groups=(begin, number), first_row=first_row))
            begin, first_row, rows = number, first_row + rows, 0
    return pieces or [replace(split, row_groups=(0, 0))]
