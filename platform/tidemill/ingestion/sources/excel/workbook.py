"""Sheets of Excel workbooks of unknown origin: their rows, cell by cell, as a sheet holds them."""

from __future__ import annotations

import datetime as dt
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any
from xml.etree.ElementTree import iterparse

from tidemill.errors import DependencyMissing, SourceUnreadable, TidemillError, UsageError
from tidemill.storage import SourceFiles

__all__ = ["ErrorCell", "Sheet", "is_sheet", "of_sheet", "opened_sheet"]

MAX_RATIO, MAX_UNCHECKED_BYTES = 400, 1 << 26
"""What a workbook may open to where it is smaller, in files of it; what is never a bomb."""
MAX_TEXT_BYTES = 1 << 29
"""Of the texts that all sheets share, which are held."""
_SHEET = re.compile(r"(?P<book>.+\.xls[xm])#(?P<sheet>.+)", re.IGNORECASE)
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class ErrorCell:
    """What stands in a cell whose formula has no value: ``#N/A``, ``#DIV/0!``."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Sheet:
    """An open sheet."""

    name: str
    shown: str
    _worksheet: Any

    def rows(self, skipped: int = 0) -> Iterator[tuple[int, dict[int, Any]]]:
        """The rows that hold something: the number of each, and its cells by number of column.

        Both count from 1, as Excel does. Cells are texts, numbers, truths, times (durations are
        seconds) or errors. Merged cells have their value in the first one. Memory: a row.

        Parameters
        ----------
        skipped : int
            Rows at the top of the sheet that are left out.

        Raises
        ------
        SourceUnreadable
            If the sheet is damaged, or a formula was never computed.
        """
        number, parser = 0, _parser(self._worksheet)
        try:
            with self._worksheet._get_source() as source:
                for number, row in _row_elements(source):
                    parser.row_counter, parser.col_counter = number, 0
                    if number > skipped and (cells := self._cells(row, parser)):
                        yield number, cells
        except TidemillError:
            raise
        except Exception as exc:  # whatever openpyxl makes of a damaged sheet
            raise _damaged(f"{self.shown}, behind row {number}", exc) from exc

    def _cells(self, row: Any, parser: Any) -> dict[int, Any]:
        found = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a time out of bounds is an error of its cell
            parsed = [(element, parser.parse_cell(element)) for element in row]
        for element, cell in parsed:
            value, place = _value(cell), f"{_letters(cell['column'])}{cell['row']}"
            if value is None and _never_computed(element):
                raise SourceUnreadable(
                    f"{self.shown}, cell {place}: a formula without a value, which was never "
                    "computed",
                    remedy="open the workbook in Excel or LibreOffice and save it, or write the "
                    "values themselves",
                    path=self.shown,
                    cell=place,
                )
            if value is not None:
                found[cell["column"]] = value
        return found


def is_sheet(address: str) -> bool:
    """Whether an address names a sheet.

    >>> is_sheet("data/book.xlsx#May"), is_sheet("data/book.xlsx"), is_sheet("a.csv#May")
    (True, False, False)
    """
    return bool(_SHEET.fullmatch(address))


def of_sheet(address: str) -> tuple[str, str]:
    """The workbook's address, and the sheet's name; empty where none is named.

    >>> of_sheet("data/book.xlsx#May"), of_sheet("data/book.xlsx")
    (('data/book.xlsx', 'May'), ('data/book.xlsx', ''))
    """
    found = _SHEET.fullmatch(address)
    return (found["book"], found["sheet"]) if found else (address, "")


@contextmanager
def opened_sheet(address: str, files: SourceFiles) -> Iterator[Sheet]:
    """Open a sheet; where none is named, the only one.

    Raises
    ------
    DependencyMissing
        If openpyxl is not installed.
    SourceUnreadable
        If the workbook is damaged, of another kind, or opens to far more than it holds.
    UsageError
        If it has no such sheet, or several and none is named.

    Notes
    -----
    Memory: the texts that the workbook's sheets share, at most ``MAX_TEXT_BYTES``.
    """
    path, name = of_sheet(address)
    openpyxl = _openpyxl()
    with files.opened(path) as file, _whole(file, files.elsewhere(path)) as content:
        _refuse_other(path, content)
        try:
            book = openpyxl.load_workbook(content, read_only=True, data_only=True, keep_links=False)
        except Exception as exc:  # whatever openpyxl makes of a damaged workbook
            raise _damaged(path, exc) from exc
        try:
            sheets = {sheet.title: sheet for sheet in book.worksheets}
            chosen = _chosen(path, name, list(sheets))
            yield Sheet(chosen, f"{path}#{chosen}", sheets[chosen])
        finally:
            book.close()


def _openpyxl() -> Any:
    try:
        import openpyxl
    except ImportError as exc:
        raise DependencyMissing(
            "Excel's workbooks need the package openpyxl, which is not installed",
            remedy="pip install 'tidemill[excel]'",
            package="openpyxl",
        ) from exc
    return openpyxl


def _chosen(path: str, name: str, sheets: list[str]) -> str:
    if name in sheets or (not name and len(sheets) == 1):
        return name or sheets[0]
    listed = ", ".join(f"{path}#{sheet}" for sheet in sheets)
    said = f"has no sheet {name!r}" if name else f"has {len(sheets)} sheets"
    raise UsageError(
        f"{path} {said}", remedy=f"name one of: {listed}", path=path, sheets=tuple(sheets)
    )


@contextmanager
def _whole(file: IO[bytes], elsewhere: bool) -> Iterator[IO[bytes]]:
    """The file, which is read out of order; of one elsewhere a copy that has no name."""
    if not elsewhere:
        yield file
        return
    with TemporaryFile() as copy:
        while block := file.read(1 << 20):
            copy.write(block)
        yield copy


def _refuse_other(path: str, content: IO[bytes]) -> None:
    """Refuse what is no workbook, or opens to far more than it holds."""
    size = content.seek(0, 2)
    content.seek(0)
    if content.read(4) != _ZIP:
        raise SourceUnreadable(
            f"{path} is no .xlsx workbook: an older .xls, or one with a password",
            remedy="open it in Excel or LibreOffice and save it as .xlsx, without a password",
            path=path,
        )
    if not is_sheet(f"{path}#S"):  # its sheets would have no address
        raise SourceUnreadable(
            f"{path} may be a workbook, but is not named as one",
            remedy="rename it to .xlsx (one with macros: .xlsm), and name that file",
            path=path,
        )
    try:
        parts = zipfile.ZipFile(content).infolist()
    except zipfile.BadZipFile as exc:
        raise _damaged(path, exc) from exc
    opened = sum(part.file_size for part in parts)
    texts = sum(part.file_size for part in parts if "sharedstrings" in part.filename.lower())
    if opened > max(MAX_RATIO * size, MAX_UNCHECKED_BYTES) or texts > MAX_TEXT_BYTES:
        raise SourceUnreadable(
            f"{path} opens to {opened >> 20:,} MB, {texts >> 20:,} MB of them shared texts; the "
            f"file has {size >> 10:,} KB",
            remedy="if it is what it should be, save the sheet as CSV",
            path=path,
            opened=opened,
        )


def _row_elements(source: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Each row of a sheet with its number, one in memory at a time; the file to its end."""
    number, data = 0, None
    for event, element in iterparse(source, ("start", "end")):  # noqa: S314
        tag = element.tag.rpartition("}")[2]
        if tag == "sheetData":
            data = element if event == "start" else None
        if event == "end" and tag == "row" and data is not None:
            number = int(float(element.get("r", number + 1)))
            yield number, element
            data.clear()
        elif event == "end" and data is None:
            element.clear()


def _parser(worksheet: Any) -> Any:
    """What knows how a cell is written: its types, formats of times, the epoch."""
    from openpyxl.worksheet._reader import WorkSheetParser

    book = worksheet.parent
    return WorkSheetParser(
        None,
        worksheet._shared_strings,
        data_only=True,
        epoch=book.epoch,
        date_formats=book._date_formats,
        timedelta_formats=book._timedelta_formats,
    )


def _value(cell: dict[str, Any]) -> Any:
    value = cell["value"]
    if cell["data_type"] == "e" and value is not None:
        return ErrorCell(str(value))
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, dt.time) else None if value == "" else value


def _never_computed(element: Any) -> bool:
    parts = {part.tag.rpartition("}")[2] for part in element}
    return "f" in parts and "v" not in parts


def _letters(column: int) -> str:
    """As Excel calls a column.

    >>> [_letters(number) for number in (1, 26, 27, 703)]
    ['A', 'Z', 'AA', 'AAA']
    """
    said = ""
    while column:
        column, rest = divmod(column - 1, 26)
        said = chr(65 + rest) + said
    return said


def _damaged(place: str, exc: Exception) -> SourceUnreadable:
    said = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    return SourceUnreadable(
        f"{place} cannot be read as a workbook: {said}",
        remedy="open it in Excel or LibreOffice and save it again, or take it out of the source",
        path=place,
    )
