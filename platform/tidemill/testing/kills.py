"""A process that kills itself at a chosen change of a file, to see what it leaves."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

__all__ = ["Changes"]

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Changes:
    """Counts the changes of files below a folder that this very process makes from now on.

    A change is an opening for writing, a rename, link or removal, or a new folder; it is counted
    just before it is done. There is no end to the counting: an audit hook stays.

    Parameters
    ----------
    root : str
    kill_at : int or None
        Kill the process, as ``kill -9`` does, at this change.
    kill_past : str or None
        Kill it at the next change after a file whose path ends so got its name.
    """

    def __init__(
        self, root: str, *, kill_at: int | None = None, kill_past: str | None = None
    ) -> None:
        self.seen = 0
        self._root = root
        self._process = os.getpid()
        self._kill_at, self._kill_past = kill_at, kill_past
        self._armed = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not _is_change(event, arguments) or os.getpid() != self._process:
            return
        if not str(arguments[0]).startswith(self._root):
            return
        self.seen += 1
        if self._armed or self.seen == self._kill_at:
            os.kill(self._process, signal.SIGKILL)
        self._armed = (
            self._kill_past is not None
            and event == "os.rename"
            and str(arguments[1]).endswith(self._kill_past)
        )


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & _WRITING)
    return event in _CHANGES
