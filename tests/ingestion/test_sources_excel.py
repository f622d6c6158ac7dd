"""Sheets of Excel's workbooks: every value as the sheet holds it, and what is refused."""

from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.datetime import MAC_EPOCH
from tests.ingestion import tables

from tidemill.config import DatasetConfig
from tidemill.errors import (
    DependencyMissing,
    SchemaMismatch,
    SourceUnreadable,
    UsageError,
)
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.excel.workbook import ErrorCell, opened_sheet
from tidemill.pipeline.source import source_deps
from tidemill.storage import SourceFiles
from tidemill.testing.sources import Rows, SourceContract


def write(path: Path, sheets: dict[str, list[list[Any]]], *, mac: bool = False) -> None:
    """A workbook, cell by cell."""
    book = openpyxl.Workbook(write_only=True)
    if mac:
        book.epoch = MAC_EPOCH
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


def patched(path: Path, part: str, old: str, new: str) -> None:
    """The workbook with another text in one of its files."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in before.namelist():
            content = before.read(entry).decode()
            if entry == part:
                assert old in content
                content = content.replace(old, new)
            after.writestr(entry, content)
    path.write_bytes(out.getvalue())


AT = dt.datetime.fromisoformat("2024-02-29T09:30:15")
SHEET = "xl/worksheets/sheet1.xml"
RIDES = [["n", "y"], *([n, ("late", "kept")[n % 2]] for n in range(40))]


@pytest.mark.slow
class TestExcel(SourceContract):
    """A sheet keeps the contract; a row that is none has a value too many."""

    format = "excel"

    def write(self, folder: Path, name: str, rows: Rows) -> None:
        write(folder / f"{name}.xlsx", {"Rides": [["word", "number"], *map(list, rows)]})

    def spoil(self, folder: Path, name: str, row: int) -> bool:
        book = openpyxl.load_workbook(folder / f"{name}.xlsx")
        book["Rides"].cell(row + 2, 4, "a note")
        book.save(folder / f"{name}.xlsx")
        return True


def cells(path: Path) -> list[tuple[int, dict[int, Any]]]:
    """The rows of the only sheet."""
    with opened_sheet(path.name, SourceFiles(path.parent)) as sheet:
        return list(sheet.rows())


@pytest.mark.parametrize("mac", [False, True], ids=["1900", "1904"])
def test_values_are_those_that_the_sheet_holds(tmp_path: Path, mac: bool) -> None:
    """Texts, numbers, truths, days, times and durations, in both of Excel's calendars."""
    row = ["007", 7, 0.1, True, dt.date(2024, 2, 29), AT]
    row += [dt.time(9, 30), dt.timedelta(hours=30), " x ", None]
    write(tmp_path / "a.xlsx", {"S": [row]}, mac=mac)
    ((_, found),) = cells(tmp_path / "a.xlsx")
    assert list(found.values()) == [
        *row[:4],
        dt.datetime.combine(AT, dt.time()),
        AT,
        "09:30:00",
        108_000.0,
        " x ",
    ]


def test_columns_are_typed_by_their_cells(tmp_path: Path) -> None:
    """As JSON's are: a number that stands as text is one; days are days, errors are faults."""
    rows = [
        [f"{n:03}", n, n / 4, n % 2 == 0, dt.date(2024, 1, 1 + n % 28), ("a", "b")[n % 2]]
        for n in range(60)
    ]
    rows[7][2] = rows[9][2] = "#DIV/0!"
    write(tmp_path / "a.xlsx", {"S": [["code", "n", "x", "flag", "day", "y"], *rows]})
    found, batches = tables.read(tmp_path, "a.xlsx", types={"code": "categorical"})
    kinds = {c.name: c.physical for c in found.schema.columns}
    assert kinds == {
        "code": "dictionary",
        "n": "float32",
        "x": "float32",
        "flag": "bool",
        "day": "timestamp[us]",
        "y": "dictionary",
    }
    assert tables.values(batches, "code") == [row[0] for row in rows]
    assert tables.values(batches, "flag") == [row[3] for row in rows]
    assert [day.date() for day in tables.values(batches, "day")] == [row[4] for row in rows]
    assert batches[0].faults["x"].texts == ["#DIV/0!"] * 2
    assert batches[0].faults["x"].indices.tolist() == [7, 9]
    _, batches = tables.read(tmp_path, "a.xlsx", missing_values=["", "#DIV/0!"])
    assert not batches[0].faults
    assert tables.values(batches, "x")[6:10] == [1.5, None, 2.0, None]


def test_errors_and_formulas_are_what_excel_computed(tmp_path: Path) -> None:
    """An error is one, a formula its value; one that was never computed is told by its cell."""
    write(tmp_path / "a.xlsx", {"S": [["x", "z"], [1, 2]]})
    patched(
        tmp_path / "a.xlsx",
        SHEET,
        '<c r="A2" t="n"><v>1</v></c>',
        '<c r="A2" t="e"><f>NA()</f><v>#N/A</v></c>',
    )
    patched(
        tmp_path / "a.xlsx",
        SHEET,
        '<c r="B2" t="n"><v>2</v></c>',
        '<c r="B2"><f>A1</f><v>2.5</v></c>',
    )
    assert cells(tmp_path / "a.xlsx")[1] == (2, {1: ErrorCell("#N/A"), 2: 2.5})
    patched(tmp_path / "a.xlsx", SHEET, "<f>A1</f><v>2.5</v>", "<f>A1</f>")
    with pytest.raises(SourceUnreadable, match=r"a\.xlsx#S, cell B2: a formula without") as caught:
        cells(tmp_path / "a.xlsx")
    assert "save it" in caught.value.remedy
    patched(tmp_path / "a.xlsx", SHEET, "<f>A1</f>", "<v>2,5</v>")
    with pytest.raises(SourceUnreadable, match=r"a\.xlsx#S, behind row 2 cannot be read"):
        cells(tmp_path / "a.xlsx")


def test_empty_and_merged_cells_are_missing_and_empty_rows_are_none(tmp_path: Path) -> None:
    """A row number is that of the sheet where a row is rejected, else that of the data."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for at, row in enumerate(RIDES[:20], start=3):
        for column, value in enumerate(row, start=1):
            sheet.cell(at + (at > 10), column, value)
    sheet.merge_cells("A14:A15")
    sheet.cell(18, 4, "a note")
    book.save(tmp_path / "a.xlsx")
    _, (batch,) = tables.read(tmp_path, "a.xlsx#Sheet")
    assert batch.rows.tolist() == [*range(13), *range(14, 19)]
    assert batch.table["n"].to_pylist() == [*range(10), None, *range(11, 13), *range(14, 19)]
    (reject,) = batch.rejects
    assert (reject.row, reject.line, reject.raw) == (13, 18, "13; kept; a note")


def test_a_sheet_is_named_where_there_are_several(tmp_path: Path) -> None:
    """By FILE#SHEET; without one the only sheet; and of several files the sheet in each."""
    for name, first in (("a", 0), ("b", 100)):
        rows = [["n", "y"], *([first + n, "kept" if n % 2 else "late"] for n in range(40))]
        write(tmp_path / f"{name}.xlsx", {"Notes": [["read me"]], "Mai 24": rows})
    _, batches = tables.read(tmp_path, "*.xlsx#Mai 24")
    assert tables.values(batches, "n") == [*range(40), *range(100, 140)]
    for source, said in (("a.xlsx", "has 2 sheets"), ("a.xlsx#May", "has no sheet 'May'")):
        with pytest.raises(UsageError, match=said) as caught:
            tables.read(tmp_path, source)
        assert "a.xlsx#Notes, a.xlsx#Mai 24" in caught.value.remedy
    # DVC has no file of that name to hash: look asks each time.
    assert source_deps(DatasetConfig(source="a.xlsx#Mai 24", target="y"), tmp_path) == ()
    assert source_deps(DatasetConfig(source="a.xlsx", target="y"), tmp_path) == ("a.xlsx",)


def test_a_title_above_the_names_is_told(tmp_path: Path) -> None:
    """With the setting that leaves it out, or names the columns."""
    write(tmp_path / "a.xlsx", {"S": [["Rides of May"], *RIDES]})
    with pytest.raises(SourceUnreadable, match="does not name the columns") as caught:
        tables.read(tmp_path, "a.xlsx")
    assert "dataset.csv.skip_lines" in caught.value.remedy
    _, batches = tables.read(tmp_path, "a.xlsx", csv={"skip_lines": 1})
    assert tables.values(batches, "n") == [n for n, _ in RIDES[1:]]
    _, batches = tables.read(tmp_path, "a.xlsx", csv={"skip_lines": 2, "header": ["k", "y"]})
    assert tables.values(batches, "k") == [n for n, _ in RIDES[1:]]


def test_sheets_may_have_their_columns_in_any_order(tmp_path: Path) -> None:
    """By their names; one that lacks a column is told."""
    write(tmp_path / "a.xlsx", {"S": RIDES})
    write(tmp_path / "b.xlsx", {"S": [[*reversed(row), "more"] for row in RIDES]})
    _, batches = tables.read(tmp_path, "*.xlsx")
    assert tables.values(batches, "n") == [n for n, _ in RIDES[1:]] * 2
    assert batches[-1].left_out == {"cells of 'more', which is no column that look found": 40}
    write(tmp_path / "c.xlsx", {"S": [[row[0]] for row in RIDES]})
    with pytest.raises(SchemaMismatch, match=r"c\.xlsx#S lacks the columns y"):
        tables.read(tmp_path, "*.xlsx")


def test_what_is_no_sound_workbook_is_refused(tmp_path: Path) -> None:
    """Another kind, a damaged one, and one that opens to far more than it holds."""
    path = tmp_path / "a.xlsx"
    write(path, {"S": RIDES})
    sound = path.read_bytes()
    (tmp_path / "a.dat").write_bytes(sound)
    with pytest.raises(SourceUnreadable, match="is not named as one") as caught:
        cells(tmp_path / "a.dat")
    assert "rename it to .xlsx" in caught.value.remedy
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    with pytest.raises(SourceUnreadable, match=r"older \.xls, or one with a password"):
        cells(path)
    for damaged in (sound[: len(sound) // 2], sound.replace(b"PK\x01\x02", b"PK\x01\x03")):
        path.write_bytes(damaged)
        with pytest.raises(SourceUnreadable, match="cannot be read as a workbook"):
            cells(path)
    with zipfile.ZipFile(io.BytesIO(sound)) as book:
        entry = book.getinfo(SHEET)
    middle = entry.header_offset + 30 + len(SHEET) + entry.compress_size // 2
    path.write_bytes(sound[:middle] + bytes([sound[middle] ^ 64]) + sound[middle + 1 :])
    with pytest.raises(SourceUnreadable):
        cells(path)
    path.write_bytes(sound)
    patched(path, SHEET, "<sheetData>", " " * (1 << 27) + "<sheetData>")
    with pytest.raises(SourceUnreadable, match=r"opens to 128 MB.*the file has \d+ KB"):
        cells(path)


def test_entities_that_blow_up_are_refused(tmp_path: Path) -> None:
    """A text of a few bytes stays one."""
    write(tmp_path / "a.xlsx", {"S": RIDES})
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 20}">' for n in range(8))
    patched(
        tmp_path / "a.xlsx",
        SHEET,
        "<worksheet",
        f'<!DOCTYPE w [<!ENTITY e0 "x">{entities}]><worksheet',
    )
    patched(tmp_path / "a.xlsx", SHEET, "<t>late</t>", "<t>&e8;</t>")
    with pytest.raises(SourceUnreadable, match="cannot be read as a workbook"):
        cells(tmp_path / "a.xlsx")


def test_a_missing_package_is_told_by_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    write(tmp_path / "a.xlsx", {"S": RIDES})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DependencyMissing, match="openpyxl") as caught:
        tables.read(tmp_path, "a.xlsx")
    assert caught.value.remedy == "pip install 'tidemill[excel]'"


def test_the_format_is_known_by_the_name(tmp_path: Path) -> None:
    """In folders too, whatever its letters."""
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw" / "May.XLSX", {"S": RIDES})
    _, batches = tables.read(tmp_path, "raw")
    assert tables.values(batches, "n") == [n for n, _ in RIDES[1:]]
    assert FORMATS["excel"].suffixes == (".xlsx", ".xlsm")
