"""Sheets of Excel's workbooks as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, ClassVar

import numpy as np

from tidemill.contracts import RawBatch, Reject, RowsAsked, Sniffed, Split
from tidemill.conventions import NumberConvention
from tidemill.errors import SourceEmpty, SourceUnreadable
from tidemill.ingestion.sources.batches import unlisted
from tidemill.ingestion.sources.column_names import (
    require_columns,
    unique_names,
    with_written_names,
)
from tidemill.ingestion.sources.excel.workbook import ErrorCell, of_sheet, opened_sheet
from tidemill.ingestion.sources.files import FileSource, refuse_changed
from tidemill.ingestion.sources.sql.sql_cells import column_of_cells
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.schema import SourceColumn

__all__ = ["ExcelSource"]

_MAX_RAW = 500
Row = tuple[int, dict[int, Any]]


@dataclass(frozen=True, slots=True)
class _Columns:
    """A sheet's columns as they are called and written, the first in Excel's column A."""

    names: list[str]
    written: list[str]
    rows: Iterator[Row]

    def batches(self, size: int) -> Iterator[list[Row]]:
        """The rows, so many at a time."""
        while batch := list(islice(self.rows, size)):
            yield batch

    def cells(self, name: str, rows: list[Row]) -> list[Any]:
        """The cells of a column."""
        place = self.names.index(name) + 1
        return [cells.get(place) for _, cells in rows]

    def is_row(self, row: Row) -> bool:
        """Whether all its cells stand in columns that have names."""
        return max(row[1]) <= len(self.names)


class ExcelSource(FileSource):
    """One sheet of a workbook (``book.xlsx#SHEET``), or of each of several, each a split.

    Its first row that holds something has the names, unless ``dataset.csv.header`` and
    ``skip_lines`` say otherwise.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".xlsx", ".xlsm")
    typed: ClassVar[bool] = True

    def find(self, named: str, given: str | None = None) -> tuple[str, ...]:
        """The sheet in each of the workbooks that ``dataset.source`` names."""
        book, sheet = of_sheet(self.dataset.source)
        files = FileSource(self.dataset.model_copy(update={"source": book}), self.files.root)
        found = files.find(named, None if given is None else of_sheet(given)[0])
        return tuple(f"{address}#{sheet}" if sheet else address for address in found)

    def split(self, address: str) -> list[Split]:
        """The sheet, still without its number."""
        path, _ = of_sheet(address)
        (split,) = super().split(path)
        with opened_sheet(address, self.files) as sheet:
            return [replace(split, address=sheet.shown)]

    def etag(self, address: str) -> str:
        """That of the workbook."""
        return super().etag(of_sheet(address)[0])

    def sniff(self, splits: tuple[Split, ...], share: Callable[[int], int], named: str) -> Sniffed:
        """The first sheet's columns, by some rows of each sheet."""
        found: dict[str, list[Any]] = {}
        written: list[str] = []
        for split in splits:
            with self._opened(split.address) as columns:
                rows = list(islice(columns.rows, share(len(columns.names))))
                _refuse_wider(columns, rows, split.address)
                if not found:
                    found, written = {name: [] for name in columns.names}, columns.written
                require_columns(found, columns.names, split.address)
                for name, cells in found.items():
                    cells += columns.cells(name, [row for row in rows if columns.is_row(row)])
        if not any(map(len, found.values())):
            raise SourceEmpty(
                f"{named} {self.dataset.source!r} has no rows",
                remedy="put a row of names and rows of values into the sheet, or name another",
                source=self.dataset.source,
            )
        sniffed = [self._column(name, cells) for name, cells in found.items()]
        return Sniffed(with_written_names(sniffed, written))

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """Yield the rows below the names; a row with a value beside them is none.

        Raises
        ------
        SchemaMismatch
            If a column is absent.
        SourceUnreadable
            If the workbook is damaged, or not the one that was listed.
        """
        path, _ = of_sheet(split.address)
        if asked.max_batches is None:
            refuse_changed(self.files, path, split.etag)
        with self._opened(split.address) as columns:
            require_columns(asked.columns, columns.names, split.address)
            more = [name for name in columns.names if name not in asked.listed]
            first = 0
            for rows in islice(columns.batches(asked.batch_rows), asked.max_batches):
                batch = _batch(columns, rows, asked, first)
                yield replace(batch, left_out={unlisted(n): len(batch.rows) for n in more})
                first += len(rows)
        if asked.max_batches is None:
            refuse_changed(self.files, path, split.etag)

    @contextmanager
    def _opened(self, address: str) -> Iterator[_Columns]:
        form = self.dataset.csv
        with opened_sheet(address, self.files) as sheet:
            rows = sheet.rows(0 if form.skip_lines == "auto" else form.skip_lines)
            first = next(rows, None)
            width = 0 if first is None else max(first[1])
            if isinstance(form.header, tuple) or form.header is False or first is None:
                written = list(form.header) if isinstance(form.header, tuple) else [""] * width
                rows = rows if first is None else chain([first], rows)
            else:
                written = [_text(first[1].get(place + 1)) for place in range(width)]
            yield _Columns(unique_names(written), written, rows)

    def _column(self, name: str, cells: list[Any]) -> SourceColumn:
        """How a column is read: by its cells, as those of JSON."""
        plain = [None if isinstance(cell, ErrorCell) else cell for cell in cells]
        texts, _ = column_of_cells(plain, "")
        declared = np.array([isinstance(cell, str) for cell in plain], np.bool_)
        return column_of_texts(name, texts, Stated.of(self.dataset, name), declared=declared)


def _batch(columns: _Columns, rows: list[Row], asked: RowsAsked, first: int) -> RawBatch:
    kept = [at for at, row in enumerate(rows) if columns.is_row(row)]
    sound = [rows[at] for at in kept]
    read, faults = {}, {}
    for name in asked.columns:
        cells = [_known(cell, asked) for cell in columns.cells(name, sound)]
        convention: NumberConvention | None = asked.conventions.get(name)
        read[name], found = column_of_cells(cells, "", convention)
        if found is not None:
            faults[name] = found
    rejects = tuple(
        Reject(first + at, number, _BESIDE, "; ".join(map(_text, cells.values()))[:_MAX_RAW])
        for at, (number, cells) in enumerate(rows)
        if not columns.is_row((number, cells))
    )
    return RawBatch(read, first + np.array(kept, np.int64), faults, rejects)


_BESIDE = "has a value beside the columns that have names"


def _known(cell: Any, asked: RowsAsked) -> Any:
    """An error that means 'missing' is."""
    return None if isinstance(cell, ErrorCell) and cell.text in asked.missing else cell


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _refuse_wider(columns: _Columns, rows: list[Row], address: str) -> None:
    """Refuse a sheet whose first row is a title, or whatever else has not the names."""
    beside = sum(not columns.is_row(row) for row in rows)
    if 2 * beside > len(rows):
        raise SourceUnreadable(
            f"{address}: the first row has {len(columns.names)} cells, and {beside} of the next "
            f"{len(rows)} rows have more: it does not name the columns",
            remedy="set dataset.csv.skip_lines to the number of rows above the names, or "
            "dataset.csv.header to the names of the columns",
            path=address,
        )
