"""Where rows come from: found, cut into splits, looked at, and read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.cells import CellFaults
from tidemill.conventions import NumberConvention
from tidemill.schema import SourceColumn

__all__ = [
    "Compression",
    "OfOneState",
    "RawBatch",
    "Reject",
    "RowsAsked",
    "Sniffed",
    "Source",
    "Split",
]

Compression = Literal["none", "bzip2", "gzip", "zstd"]


@dataclass(frozen=True, slots=True)
class Split:
    """One independently readable piece of the source; picklable.

    Parameters
    ----------
    id : int
        Position in the listing.
    address : str
        What its source opens. Of a file: relative to the workspace when inside it, with forward
        slashes; absolute otherwise.
    format : str
        The source's name in the table, or its address ``module:Name``.
    compression : str
    bytes : int
        Size of what lies at the address.
    etag : str
        Another one wherever the content is another; of a file the sha256 of its bytes.
    part : (int, int) or None
        Which part of what lies there, a half-open range: Parquet's row groups. None: all.
    first_row : int
        Data rows there before this split.
    checked : bool
        Whether damage shows: False for zstd and Parquet without checksums of their content.
    mark : str or None
        What tells on a day, without its cells, that what lies there is what ``etag`` names; None:
        nothing does. No part of what a split is: neither compared nor written.
    """

    id: int
    address: str
    format: str
    compression: Compression
    bytes: int
    etag: str
    part: tuple[int, int] | None = None
    first_row: int = 0
    checked: bool = True
    mark: str | None = field(default=None, compare=False)

    @property
    def digest(self) -> str:
        """Names the rows by content: what lies at the address, and which part of it."""
        return self.etag if self.part is None else f"{self.etag}:{self.part[0]}-{self.part[1]}"

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back; its words are those of files."""
        values = asdict(self)
        del values["mark"]
        return {_IN_JSON.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        names = [name for name in cls.__slots__ if name != "mark"]
        given = {name: document[_IN_JSON.get(name, name)] for name in names}
        part = given.pop("part")
        return cls(**given, part=None if part is None else (part[0], part[1]))


_IN_JSON = {"address": "path", "etag": "sha256", "part": "row_groups"}


@dataclass(frozen=True, slots=True)
class Reject:
    """A record of the source that is no row: wrong number of fields, broken quoting, bad JSON.

    Parameters
    ----------
    row : int
        0-based number of the data row in the split; rejected ones count.
    line : int or None
        1-based line of the file where the record begins, header lines included.
    reason : str
    raw : str
        The record, at most 500 characters.
    """

    row: int
    line: int | None
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Columns as a source leaves them, before they take the schema's types.

    Parameters
    ----------
    columns : dict of name to pyarrow.Array
        Equally long; texts, or what the source itself has numbers, truths and times as.
    rows : (n,) int64
        0-based number of each row among all records of the split, ascending.
    faults : dict of name to CellFaults
        Those that the reader found already.
    rejects : tuple of Reject
        Ascending by row.
    left_out : dict of str to int
        Lines that are no rows, and cells of columns that the listing lacks, by what they are.
    """

    columns: dict[str, pa.Array]
    rows: npt.NDArray[np.int64]
    faults: dict[str, CellFaults] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What a source's splits have in common.

    Parameters
    ----------
    columns : tuple of SourceColumn
        With plain types, before ``derive`` and ``drop``; of texts as
        :func:`tidemill.ingestion.sources.text_columns.column_of_texts` has them.
    written : dict or None
        How it is written, as JSON has it, where that had to be found; :meth:`Source.rows` is given
        it back.
    """

    columns: tuple[SourceColumn, ...]
    written: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RowsAsked:
    """What is to be read of a split.

    Parameters
    ----------
    columns : dict of name to pyarrow.DataType
        As what texts of them are best: strings, or a dictionary of strings where they repeat.
    listed : tuple of str
        All columns that :meth:`Source.sniff` found, in their order.
    written : dict or None
        What it found of how they are written.
    batch_rows : int
    max_batches : int or None
        No more are wanted; None: the split is read to its end.
    missing : collection of str
        Texts that mean 'missing', and may come back as null.
    conventions : mapping of name to NumberConvention
        As texts of the column write numbers.
    """

    columns: dict[str, pa.DataType]
    listed: tuple[str, ...]
    written: dict[str, Any] | None
    batch_rows: int
    max_batches: int | None = None
    missing: Collection[str] = ()
    conventions: Mapping[str, NumberConvention] = field(default_factory=dict)


@runtime_checkable
class Source(Protocol):
    """Rows of one format: which there are, and what they hold. Made with ``(dataset, root)``.

    ``tidemill.testing.sources`` has a test for each of these clauses, and
    ``tidemill.testing.bad_sources`` a source that breaks it.

    Addresses
        All that travels is a split: picklable, with a text that says where. Any process makes the
        source anew, with the same settings, and reads the same.
    Splits
        Together they have every row once. The same content has the same splits.
    Etags
        :meth:`etag` and the split's are equal as long as the content is, and no longer.
    Columns
        What :meth:`sniff` finds, :meth:`rows` has: every column that is asked for, and no other.
        It reads no more rows of each split than ``share`` allows.
    Batches
        Batch ``k`` holds the records ``[k * batch_rows, (k + 1) * batch_rows)`` of the split. Rows
        do not depend on ``batch_rows``, nor on which columns are asked for.
    Positions
        Every record of a split has its number, in ``rows`` or in ``rejects``, once.
    Faults, not failures
        A record that is no row is rejected, with its reason and its text; the rest is read.
    Changes
        A split that is not what was listed is refused when it is read to its end: a
        ``SourceUnreadable``. So is one that is damaged or cut off, as far as that shows.
    Bounded
        Memory is that of a few batches, whatever the split.
    Errors
        No row at all is a ``SourceEmpty``, no such place a ``SourceMissing``; they have a remedy.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """What names of its files end in; empty: its rows lie in no files.

    DVC hashes files. Of another source :meth:`etag` tells alone what has changed: look asks it in
    each run, and leaves the answer in data/source.json.
    """
    magic: ClassVar[tuple[bytes, ...]]
    """One of these is what each of its files begins with; empty: nothing in particular."""
    likely: ClassVar[bytes]
    """What its text begins with, blanks aside, where the file's name says nothing; or empty."""
    typed: ClassVar[bool]
    """Whether numbers are numbers, and texts texts, by the format's own word."""
    scanned: ClassVar[int]
    """Rows that the look reads for each one that it keeps: as many as cost little."""

    def __init__(self, dataset: Any, root: Path) -> None:
        """Take the ``dataset`` section of params.yaml, and the workspace's root."""

    def find(self, named: str, given: str | None = None) -> tuple[str, ...]:
        """The addresses that ``dataset.source`` names, in an order that is always the same.

        ``named`` is what the reader of an error calls the setting, ``given`` what he wrote there,
        if another text stands in the settings.
        """

    def split(self, address: str) -> list[Split]:
        """Its splits, in the order of their rows; their ``id`` is given later."""

    def etag(self, address: str) -> str:
        """What names the content that lies there now."""

    def sniff(self, splits: tuple[Split, ...], share: Callable[[int], int], named: str) -> Sniffed:
        """The columns of all splits, from some rows of each.

        ``share`` says how many rows of each split, where so many columns are read.
        """

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """Yield the rows of a split."""

    def said(self, splits: tuple[Split, ...], written: dict[str, Any] | None) -> tuple[str, ...]:
        """What people should know of how the data are written; nothing, if that is as usual."""

    def unchecked(self, splits: tuple[Split, ...]) -> tuple[str, ...]:
        """What to say of splits whose damage would not show; nothing, if it shows in all."""

    def setting_for(
        self, column: str, splits: tuple[Split, ...], written: dict[str, Any] | None
    ) -> str:
        """What to set so that the source has a column of that name; or nothing."""


@runtime_checkable
class OfOneState(Protocol):
    """What a :class:`Source` has besides, if its rows may change while it is looked at."""

    def one_state(
        self, addresses: tuple[str, ...], before: tuple[Split, ...] = ()
    ) -> AbstractContextManager[None]:
        """Within it :meth:`Source.split` and :meth:`Source.sniff` see the rows of one moment.

        ``before`` are the splits of an earlier listing of the same settings, in their order: what
        is cut as it was then need not be read again. Theirs may be marks (:class:`Split`), which
        may be believed where they are equal, and borders of a key that is of another type by now.
        """
