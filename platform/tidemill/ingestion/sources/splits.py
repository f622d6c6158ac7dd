"""Which files a dataset is made of, what they are, and how their text is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from tidemill.schema import SourceColumn

__all__ = ["CsvDialect", "SourceListing", "Split"]

Format = Literal["csv", "parquet", "jsonl"]
Compression = Literal["none", "gzip", "zstd"]


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
    checked : bool
        Whether damage shows: False for zstd and Parquet without checksums of their content.
    """

    id: int
    path: str
    format: Format
    compression: Compression
    bytes: int
    sha256: str
    row_groups: tuple[int, int] | None = None
    first_row: int = 0
    checked: bool = True

    @property
    def digest(self) -> str:
        """Names the rows by content: the file, and which of its row groups."""
        if self.row_groups is None:
            return self.sha256
        return f"{self.sha256}:{self.row_groups[0]}-{self.row_groups[1]}"

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
    escape : str
        The character before a quote or delimiter that is text; empty if only doubled quotes are.
    skip_blanks : bool
        Whether blanks behind a delimiter belong to it.
    comment : str
        The first character of lines that are left out; empty if none are.
    skip_lines : int
        Lines above the header, or the first row, of each file.
    trailing : bool
        Whether every row (the header not) ends in a delimiter that separates nothing.
    """

    delimiter: str
    quote: str
    encoding: str
    header: bool
    escape: str = ""
    skip_blanks: bool = False
    comment: str = ""
    skip_lines: int = 0
    trailing: bool = False


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

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What to say of files that carry no checksums of their content; nothing if all do."""
        files = len({split.path for split in self.splits})
        bare = {split.path for split in self.splits if not split.checked}
        if not bare:
            return ()
        parquet = self.splits[0].format == "parquet"
        how = "pyarrow: write_page_checksum=True" if parquet else "zstd --check"
        kind = "Parquet" if parquet else "zstd"
        return (
            f"{len(bare):,} of {files:,} files are {kind} without checksums: a byte that changes "
            f"in one may be read as another value without a word ({how} writes them)",
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return {
            "splits": [asdict(split) for split in self.splits],
            "columns": [column.to_json() for column in self.columns],
            "dialect": None if self.dialect is None else asdict(self.dialect),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        dialect = document["dialect"]
        return cls(
            splits=tuple(
                Split(**{**s, "row_groups": _pair(s["row_groups"])}) for s in document["splits"]
            ),
            columns=tuple(SourceColumn.from_json(column) for column in document["columns"]),
            dialect=None if dialect is None else CsvDialect(**dialect),
        )


def _pair(value: list[Any] | None) -> tuple[Any, Any] | None:
    return None if value is None else (value[0], value[1])
