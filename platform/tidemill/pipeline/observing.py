"""Who is told what happens during a run."""

from __future__ import annotations

from typing import Protocol

from tidemill.pipeline.summary import StageRun

__all__ = ["Observer", "Quiet"]


class Observer(Protocol):
    """Told what happens, for people to see."""

    def stage_started(self, stage: str) -> None:
        """Take note that a stage begins."""

    def stage_progress(self, stage: str, finished: int, total: int) -> None:
        """Take note that ``finished`` of ``total`` items of a map are done."""

    def stage_finished(self, run: StageRun) -> None:
        """Take note of a finished or current stage."""

    def warned(self, text: str) -> None:
        """Take note of what a person should know, of no stage."""


class Quiet:
    """An observer that says nothing."""

    def stage_started(self, stage: str) -> None:
        """Say nothing."""

    def stage_progress(self, stage: str, finished: int, total: int) -> None:
        """Say nothing."""

    def stage_finished(self, run: StageRun) -> None:
        """Say nothing."""

    def warned(self, text: str) -> None:
        """Say nothing."""
