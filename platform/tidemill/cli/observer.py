"""What people see of a run: a bar per stage on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from tidemill.cli.interrupts import CtrlC
from tidemill.screen import Screen, format_value
from tidemill.storage import Workspace, workspace_lock

if TYPE_CHECKING:  # the pipeline brings every library with it
    from tidemill.pipeline import StageRun

__all__ = ["TerminalObserver", "at_work"]


@contextmanager
def at_work(place: Workspace, screen: Screen, *, wait: float) -> Iterator[TerminalObserver]:
    """Hold the workspace and show what is done in it; Ctrl-C ends that.

    Raises
    ------
    WorkspaceBusy
        If somebody else holds it for longer than ``wait`` seconds.
    """
    with (
        workspace_lock(place, wait_seconds=wait),
        CtrlC() as ctrl_c,
        TerminalObserver(screen, ctrl_c.check) as observer,
    ):
        yield observer


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

    def warned(self, text: str) -> None:
        """Show what is of no stage."""
        self._screen.note(f"warning: {text}")
