"""What the commands print: results on stdout, everything else on stderr, as in tidemill's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Screen"]


class Screen:
    """Prints results for people, or as one JSON document.

    Parameters
    ----------
    as_json : bool
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

    def table(self, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print rows of like keys; none, and it says so."""
        if not rows:
            self.note(f"no {title}")
            return
        # Texts of others may look like rich's markup, and are none.
        table = Table(
            title=Text(title),
            title_justify="left",
            title_style="bold",
            header_style="dim",
            box=box.SIMPLE_HEAD,
        )
        columns = list(dict.fromkeys(name for row in rows for name in row))
        for column in columns:
            table.add_column(column.replace("_", " "))
        for row in rows:
            table.add_row(*(Text(_shown(row.get(column))) for column in columns))
        self.out.print(table)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
