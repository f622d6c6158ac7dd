"""A cell or line of a table is polluted: its values come back, or the line is told."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import SourceEmpty, SourceUnreadable, TidemillError
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.csv_rows import read_csv_rows
from tidemill.ingestion.sources.listing import list_source
from tidemill.storage import SourceFiles

HEADER = ["day", "n", "code", "kind", '"text"', '"url"', "note"]
KINDS = ["Boots", '"Pillow, wooden"', "Men's Hat", '"Boots, 10"" wide"']
# As in tables of shops: whole columns are quoted, others where they must be; the last is empty.
TABLE = [
    HEADER,
    *(
        [
            f"{i + 1:02}/01/2018",
            str(i % 4),
            f"MG-{8769 + i}",
            KINDS[i % 4],
            f'"soft, warm, no. {i}"' if i % 3 else '"light"',
            f'"https://x.com/{i}.html"',
            "",
        ]
        for i in range(9)
    ),
]


def text_of(table: list[list[str]], between: str = ",", end: str = "\n") -> str:
    return "".join(between.join(row) + end for row in table)


TRUTH = list(csv.reader(io.StringIO(text_of(TABLE))))
NAMES, ROWS = tuple(TRUTH[0]), [tuple(row) for row in TRUTH[1:]]


def with_row(at: int, row: list[str], between: str = ",") -> str:
    lines = text_of(TABLE).split("\n")[:-1]
    return "\n".join([*lines[:at], between.join(row), *lines[at + 1 :]]) + "\n"


def polluted_cells(rows: range) -> Iterator[tuple[str, str]]:
    """A separator more or less, a quote more, at every place; another separator in one row."""
    for at in rows:
        row = TABLE[at]
        for place in range(len(row)):
            yield f"more {at} {place}", with_row(at, [*row[:place], "", *row[place:]])
            quoted = [*row[:place], '"' + row[place], *row[place + 1 :]]
            yield f"quote {at} {place}", with_row(at, quoted)
            if place:
                joined = [*row[: place - 1], row[place - 1] + row[place], *row[place + 1 :]]
                yield f"less {at} {place}", with_row(at, joined)
        yield f"other separator {at}", with_row(at, row, ";")


def read(root: Path, text: str) -> tuple[tuple[str, ...], list[tuple[str, ...]], int, Counter[str]]:
    """Names, rows as texts, how many lines were refused, and what was left out."""
    (root / "a.csv").write_bytes(text.encode())
    dataset = DatasetConfig(source="a.csv", target="n", missing_values=())
    listing = list_source(dataset, root, LocalEngine())
    names = tuple(column.name for column in listing.columns)
    rows: list[tuple[str, ...]] = []
    refused, left_out = 0, Counter[str]()
    assert listing.written is not None
    for batch in read_csv_rows(
        listing.splits[0],
        SourceFiles(root),
        dialect=CsvDialect(**listing.written),
        names=names,
        wanted=dict.fromkeys(names, pa.string()),
        batch_rows=1000,
    ):
        rows += zip(*(batch.columns[name].to_pylist() for name in names), strict=True)
        refused += len(batch.rejects)
        left_out.update(batch.left_out)
    return names, rows, refused, left_out


def check(root: Path, kind: str, text: str, truth: list[tuple[str, ...]]) -> None:
    """Each row is right or told, in order; a table that is refused is so for a true reason."""
    try:
        names, rows, refused, left_out = read(root, text)
    except SourceEmpty:
        raise AssertionError(f"{kind}: it has rows") from None
    except SourceUnreadable as error:
        if "line 1 " not in str(error) or not error.remedy:
            raise
        return
    except TidemillError as error:
        raise AssertionError(f"{kind}: {error}") from error
    assert names == NAMES, kind
    kept = iter(truth)
    assert all(row in kept for row in rows), kind
    assert len(rows) + refused >= len(truth), kind
    assert refused or left_out or rows == truth


def test_no_polluted_cell_is_silently_wrong(tmp_path: Path) -> None:
    """In the header, the first rows and the last."""
    for kind, text in [*polluted_cells(range(3)), *polluted_cells(range(9, 10))]:
        check(tmp_path, kind, text, ROWS)


@pytest.mark.slow
def test_no_polluted_cell_of_any_row_is_silently_wrong(tmp_path: Path) -> None:
    """Everywhere."""
    for kind, text in polluted_cells(range(len(TABLE))):
        check(tmp_path, kind, text, ROWS)


def requoted(change: Callable[[str], str]) -> list[list[str]]:
    """The table with its quoted cells changed."""
    return [[change(c[1:-1]) if c.startswith('"') else c for c in row] for row in TABLE]


SINGLE = requoted(lambda text: f"'{text}'")
BACKSLASH = requoted(lambda text: '"' + text.replace('""', '\\"') + '"')
UNESCAPED = requoted(lambda text: '"' + text.replace('""', '"') + '"')
WHOLE = {
    "as it is": text_of(TABLE),
    "no end": text_of(TABLE)[:-1],
    "two ends": text_of(TABLE) + "\n",
    "returns": text_of(TABLE, end="\r"),
    "both": text_of(TABLE, end="\r\n"),
    "semicolon": text_of(TABLE, ";"),
    "tab": text_of(TABLE, "\t"),
    "bar": text_of(TABLE, "|"),
    "comma and blank": text_of(TABLE, ", "),
    "two headers": text_of([HEADER, *TABLE]),
    "three headers": text_of([[h.strip('"') for h in HEADER], HEADER, *TABLE]),
    "preamble": text_of([["PREAMBLE", *[""] * 6], [""] * 7, *TABLE]),
    "title": "PREAMBLE\n\n" + text_of(TABLE),
    "declared": "sep=;\n" + text_of(TABLE, ";"),
    "backslash": text_of(BACKSLASH),
}
TOLD = {
    "single quotes": text_of(SINGLE),
    "not escaped": text_of(UNESCAPED),
    "footnote": text_of(TABLE) + "FOOTNOTE\n",
    "narrower table": text_of(TABLE) + text_of([row[:6] for row in TABLE]),
    "wider table": text_of(TABLE) + text_of([[*row, "x"] for row in TABLE]),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_table_that_is_written_otherwise_is_read(tmp_path: Path, kind: str) -> None:
    """Every cell and every row."""
    names, rows, refused, _ = read(tmp_path, WHOLE[kind])
    assert (names, rows, refused) == (NAMES, ROWS, 0)


@pytest.mark.parametrize("kind", TOLD)
def test_a_table_that_cannot_be_read_whole_is_told(tmp_path: Path, kind: str) -> None:
    """What is read is right."""
    try:
        names, rows, refused, _ = read(tmp_path, TOLD[kind])
    except SourceUnreadable as error:
        if "line " not in str(error):
            raise
    else:
        assert names == NAMES
        assert refused
        assert set(rows) <= set(ROWS)


def test_blanks_as_separators_are_read_where_fields_are_sound(tmp_path: Path) -> None:
    """Rows with blanks in unquoted fields are refused by line."""
    try:
        names, rows, refused, _ = read(tmp_path, text_of(TABLE, " "))
    except SourceUnreadable as error:
        if "line " not in str(error):
            raise
    else:
        assert (names, len(rows) + refused) == (NAMES, len(ROWS))
        assert set(rows) <= set(ROWS)
        assert refused


def test_joined_tables_are_one(tmp_path: Path) -> None:
    """The header in their midst is left out and counted."""
    names, rows, refused, left_out = read(tmp_path, text_of(TABLE) * 2)
    assert (names, rows, refused) == (NAMES, ROWS * 2, 0)
    assert left_out == {"lines repeat the header": 1}
