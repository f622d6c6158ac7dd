"""Settings of ``dataset.csv`` that would help with a file: each is tried on its head first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tidemill.config import CsvFormat
from tidemill.contracts import Split
from tidemill.errors import DataRefused, TidemillError
from tidemill.ingestion.sources.column_names import unique_names
from tidemill.ingestion.sources.delimited.dialect import find_dialect, head_lines, read_head
from tidemill.ingestion.sources.delimited.head_layout import common_width
from tidemill.storage import SourceFiles

__all__ = ["setting_that_names", "setting_that_reads"]

_DELIMITERS = (",", ";", "\t", "|", " ", ":")
_LINES = 20
_MOST = 0.5


def setting_that_reads(stated: CsvFormat, encoding: str, head: bytes, path: str) -> str:
    """What to set so that most records of a head are rows; "" if nothing that was tried does."""
    best, most = "", _MOST
    for change in _changes():
        share = _share_of_rows(_changed(stated, change), encoding, head, path)
        if share > most:
            best, most = _as_settings(change), share
    return best


def setting_that_names(
    column: str, stated: CsvFormat, split: Split, encoding: str, files: SourceFiles
) -> str:
    """What to set so that a line which holds ``column`` is the header, and which line that is."""
    head = read_head(split, files, encoding)
    texts = head.decode(errors="replace").split("\n")[:_LINES]
    held = [number for number, text in enumerate(texts) if column in text]
    changes: list[dict[str, Any]] = [{"skip_lines": number, "header": True} for number in held]
    if held:
        marks = sorted(
            {m for m in texts[held[0]] if not (m.isalnum() or m in "\"'\r_-") and m < "\x7f"}
        )
        delimiters = dict.fromkeys(("auto", *_DELIMITERS, *marks))
        changes += [{"delimiter": delimiter} for delimiter in delimiters]
    for change in changes:
        line = _line_of(column, _changed(stated, change), encoding, head, split.address)
        if line:
            return f"line {line} of {split.address} has it: set {_as_settings(change)}; or "
    return ""


def _changes() -> Iterator[dict[str, Any]]:
    for quote in ('"', "", "'"):
        yield {"quote": quote}
    yield {"escape": "\\"}
    for delimiter in _DELIMITERS:
        yield {"delimiter": delimiter}
    yield {"delimiter": "auto", "quote": "auto", "escape": "auto"}
    for lines in range(1, _LINES):
        yield {"skip_lines": lines}


def _changed(stated: CsvFormat, change: dict[str, Any]) -> CsvFormat:
    return stated.model_copy(update=change)


def _share_of_rows(stated: CsvFormat, encoding: str, head: bytes, path: str) -> float:
    """The share of records that are rows, of those behind the header."""
    try:
        dialect = find_dialect(stated, encoding, head, path)
    except TidemillError:
        return 0.0
    lines = head_lines(head, dialect, path)
    width = common_width(lines)[0]
    if dialect.header:
        width = len((lines and lines[0].fields) or ()) + dialect.trailing
        lines = lines[1:]
    rows = sum(line.fields is not None and len(line.fields) == width for line in lines)
    return rows / len(lines) if lines and width > 1 else 0.0


def _line_of(column: str, stated: CsvFormat, encoding: str, head: bytes, path: str) -> int:
    """The header's line if it names ``column``, or 0."""
    try:
        dialect = find_dialect(stated, encoding, head, path)
    except DataRefused:
        return 0
    lines = head_lines(head, dialect, path)
    if not dialect.header or not lines or lines[0].fields is None:
        return 0
    return lines[0].line if column in unique_names(list(lines[0].fields)) else 0


def _as_settings(change: dict[str, Any]) -> str:
    return " and ".join(f"dataset.csv.{name}: {json.dumps(v)}" for name, v in change.items())
