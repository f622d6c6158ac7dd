"""What people see: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.table import Column, Table
from rich.text import Text

from tidemill.errors import TidemillError

if TYPE_CHECKING:  # the pipeline brings every library with it
    from tidemill.pipeline import RunSummary, StageRun

__all__ = ["Screen", "TerminalObserver", "format_value"]

_TABLES = ("table", "reasons", "expectations")
"""Fields of errors that are lists of rows."""


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

    def table(
        self, title: str, rows: Iterable[Mapping[str, Any]], *, out: Console | None = None
    ) -> None:
        """Print rows of like keys as a table (on stdout); numbers stand right."""
        listed = list(rows)
        if not listed:
            return
        # Texts of the user's data may look like rich's markup, and are none.
        table = Table(
            title=Text(title) if title else None,
            title_justify="left",
            title_style="bold",
            header_style="dim",
            box=box.SIMPLE_HEAD,
        )
        columns = list(dict.fromkeys(key for row in listed for key in row))
        for column in columns:
            numeric = all(_numeric(row.get(column)) for row in listed)
            table.add_column(column.replace("_", " "), justify="right" if numeric else "left")
        for row in listed:
            table.add_row(*(Text(format_value(row.get(column))) for column in columns))
        (out or self.out).print(table)

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
            if not self.as_json:
                self.table("", error.fields.get(name) or (), out=self.err)
        self.err.print("remedy: ", style="bold green", end="")
        self.err.print(error.remedy, markup=False, soft_wrap=True)

    def summary(self, summary: RunSummary) -> None:
        """Print what a run did."""
        document = summary.to_json()
        if self.as_json:
            self.document(document)
            return
        self.table(
            "stages",
            [
                {
                    "stage": run.stage,
                    "state": run.state,
                    "seconds": f"{run.seconds:.1f}" if run.state == "ran" else None,
                    "peak MB": round(run.peak_memory_bytes / 1e6) or None,
                }
                for run in summary.stages
            ],
        )
        rows = {k: v for k, v in summary.facts.items() if not isinstance(v, dict | list)}
        self.table("result", [{"what": k.replace("_", " "), "value": v} for k, v in rows.items()])


def _numeric(value: Any) -> bool:
    if isinstance(value, str):
        return value.replace(".", "", 1).isdigit()
    return isinstance(value, int | float | None)


def format_value(value: Any) -> str:
    """Show a value briefly.

    >>> format_value(1234567), format_value(0.123456), format_value(None), format_value(["a", 2])
    ('1,234,567', '0.1235', '-', 'a; 2')
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
    return str(value)


class _Clock(ProgressColumn):
    """Seconds of the whole stage: a stage may map several times, and rich stops at the first."""

    def render(self, task: Task) -> Text:
        seconds = task.fields.get("seconds")
        if seconds is None:
            seconds = task.get_time() - task.fields["began"]
        return Text(f"{seconds:.1f} s", style="progress.elapsed")


class TerminalObserver:
    """A bar per stage on a terminal, plain lines elsewhere.

    Parameters
    ----------
    screen : Screen
    check : callable
        Called at every step; may raise to end the run.
    """

    def __init__(self, screen: Screen, check: Callable[[], None] = lambda: None) -> None:
        self._screen = screen
        self._check = check
        self._live = screen.err.is_terminal
        self._bars = Progress(
            TextColumn("{task.description:<9}", table_column=Column(no_wrap=True, min_width=9)),
            BarColumn(bar_width=16, table_column=Column(min_width=16)),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=5)),
            _Clock(table_column=Column(no_wrap=True, min_width=7, justify="right")),
            TextColumn(
                "[dim]{task.fields[note]}",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=screen.err,
            expand=True,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> TerminalObserver:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bars.stop()

    def stage_started(self, stage: str) -> None:
        """Show the stage."""
        self._check()
        if self._live:
            self._tasks[stage] = self._bars.add_task(
                stage, total=None, note="", began=self._bars.get_time()
            )
        else:
            self._screen.note(f"{stage}: started")

    def stage_progress(self, stage: str, finished: int, total: int) -> None:
        """Move the stage's bar."""
        self._check()
        if self._live and stage in self._tasks:
            self._bars.update(self._tasks[stage], completed=finished, total=total)

    def stage_finished(self, run: StageRun) -> None:
        """Show what the stage said."""
        self._check()
        facts = ", ".join(
            f"{key.replace('_', ' ')} {format_value(value)}"
            for key, value in list(run.result.facts.items())[:4]
        )
        if not self._live:
            text = f"{run.seconds:.1f} s; {facts}" if run.state == "ran" else "current"
            self._screen.note(f"{run.stage}: {text}")
        elif run.stage in self._tasks:
            task = self._tasks[run.stage]
            done = self._bars.tasks[task].total or 1
            self._bars.update(task, completed=done, total=done, note=facts, seconds=run.seconds)
            self._bars.stop_task(task)
        else:
            task = self._bars.add_task(run.stage, total=1, completed=1, note="current", seconds=0.0)
            self._bars.stop_task(task)
        for warning in run.result.warnings:
            self._screen.note(f"warning: {run.stage}: {warning}")
