"""What commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import gt
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement, measure_renderables
from rich.table import Table
from rich.text import Text

from tidemill.errors import TidemillError

__all__ = ["Screen", "fitted", "format_value"]

#: Rows of a table that are printed: nobody reads more, and making them readable takes seconds.
_MOST_ROWS = 1_000

_TABLES = ("table", "reasons", "expectations")
"""Fields of errors that are lists of rows."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")

_LONG, _FOLDED = 40, 12
"""Characters of a line that reads well, and of one that can be read."""


class Screen:
    """Prints results (stdout) and notes (stderr), for people or as JSON.

    Parameters
    ----------
    as_json : bool
        Print one JSON document on stdout instead of tables.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False)
        self.err = Console(stderr=True, highlight=False)

    def note(self, text: str) -> None:
        """Say something on stderr."""
        self.err.print(text, markup=False, soft_wrap=True)

    def document(self, document: Any) -> None:
        """Print JSON on stdout."""
        self.out.print_json(json.dumps(document, ensure_ascii=False, default=str))

    def result(self, document: Any, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print ``document`` where JSON is asked for, else ``rows`` as a table."""
        if self.as_json:
            self.document(document)
        elif rows:
            self.table(title, rows)
        else:
            self.note(f"no {title}")

    def facts(self, title: str, facts: Mapping[str, Any]) -> None:
        """Print names and values, one below the other; nothing where JSON is asked for."""
        self.table(title, [{"what": _words(name), "value": facts[name]} for name in facts])

    def table(
        self, title: str, rows: Iterable[Mapping[str, Any]], *, out: Console | None = None
    ) -> None:
        """Print rows of like keys as a table (on stdout); numbers stand right, texts wrap.

        Where there are no rows, or JSON is asked for, nothing is printed. Of more than 1,000 rows
        the first are, and how many follow.
        """
        listed = list(rows)
        left, listed = max(len(listed) - _MOST_ROWS, 0), listed[:_MOST_ROWS]
        if self.as_json or not listed:
            return
        console = out or self.out
        # Texts of the user's data may look like rich's markup, and are none.
        table = Table(
            title=Text(title) if title else None,
            title_justify="left",
            title_style="bold",
            header_style="dim",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        names = list(dict.fromkeys(key for row in listed for key in row))
        columns = [
            [Text(_words(name)), *(Text(format_value(row.get(name))) for row in listed)]
            for name in names
        ]
        measures = [measure_renderables(console, console.options, cells) for cells in columns]
        # Two spaces follow each column, and one goes before the first.
        widths = fitted(measures, console.width - 2 * len(columns) - 1)
        for name, cells, width in zip(names, columns, widths, strict=True):
            numeric = all(_numeric(row.get(name)) for row in listed)
            table.add_column(
                cells[0], justify="right" if numeric else "left", width=width, overflow="fold"
            )
        for row in zip(*(cells[1:] for cells in columns), strict=True):
            table.add_row(*row)
        console.print(table)
        if left:
            console.print(f"and {left:,} more", markup=False)

    def failure(self, error: TidemillError) -> None:
        """Say what failed and what to do about it."""
        if self.as_json:
            self.document(
                {
                    "error": error.code,
                    "message": error.message,
                    "remedy": error.remedy,
                    "fields": dict(error.fields),
                }
            )
        self.err.print("error: ", style="bold red", end="")
        self.err.print(error.message, markup=False, soft_wrap=True)
        for name in _TABLES:
            self.table("", error.fields.get(name) or (), out=self.err)
        self.err.print("remedy: ", style="bold green", end="")
        self.err.print(error.remedy, markup=False, soft_wrap=True)


def fitted(columns: Sequence[Measurement], room: int) -> list[int]:
    """Widths of columns of text that together take no more than ``room`` characters.

    Long texts give way first, as far as a line still reads well; then the short ones wrap
    between their words; then whatever is widest is folded.

    >>> fitted([Measurement(2, 2), Measurement(8, 17), Measurement(8, 120)], 80)
    [2, 17, 61]
    >>> fitted([Measurement(2, 2), Measurement(8, 17), Measurement(8, 120)], 50)
    [2, 8, 40]
    """
    widths = [column.maximum for column in columns]
    for least in (
        [min(column.maximum, _LONG) for column in columns],
        [_LONG if column.maximum > _LONG else column.minimum for column in columns],
        [min(column.minimum, _FOLDED) for column in columns],
    ):
        while sum(widths) > room and any(map(gt, widths, least)):
            widest = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
            widths[widest] -= 1
    return widths


def _words(name: str) -> str:
    return name.replace("_", " ")


def _numeric(value: Any) -> bool:
    if isinstance(value, str):
        return value.replace(".", "", 1).isdigit()
    return isinstance(value, int | float | None)


def format_value(value: Any) -> str:
    """Show a value briefly.

    >>> format_value(1234567), format_value(0.123456), format_value(None), format_value(["a", 2])
    ('1,234,567', '0.1235', '-', 'a; 2')
    >>> format_value("2026-03-01T07:05:09.250000+00:00")
    '2026-03-01 07:05:09Z'
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, list | tuple):
        return "; ".join(format_value(each) for each in value)
    text = str(value)
    if time := _TIME.fullmatch(text):
        day, clock, zone = time.groups(default="")
        return f"{day} {clock}{'Z' if zone == '+00:00' else zone}"
    return text
