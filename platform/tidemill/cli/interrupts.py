"""Ctrl-C that holds: a library that swallows KeyboardInterrupt does not make us go on."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["CtrlC"]


class CtrlC:
    """Notes that Ctrl-C was pressed, and raises KeyboardInterrupt again at the next step.

    Imports that are tried and given up, and callbacks whose errors are ignored, can swallow
    the first one. What Python cannot raise (errors of half-made objects) is not told from then
    on. Outside the main thread it does nothing.
    """

    def __init__(self) -> None:
        self._pressed = False
        self._before: Any = None

    def __enter__(self) -> CtrlC:
        if _in_main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._pressed and _in_main_thread():
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._pressed = True
        # What was being made when it came complains as it goes, after the last word of ours.
        sys.unraisablehook = _unheard
        raise KeyboardInterrupt


def _unheard(_: sys.UnraisableHookArgs) -> None:
    """Say nothing."""


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
