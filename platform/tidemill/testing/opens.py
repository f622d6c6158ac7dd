"""Which files this process opens: told by the interpreter, whoever opens them and however."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["opened_files"]

_watching: list[list[tuple[str, int]]] = []


@contextmanager
def opened_files() -> Iterator[list[tuple[str, int]]]:
    """Path and flags of each file that is opened in the block, by name; descriptors are left out.

    A file without a name is opened by its folder, with ``os.O_TMPFILE``.
    """
    _listen()
    opened: list[tuple[str, int]] = []
    _watching.append(opened)
    try:
        yield opened
    finally:
        _watching.remove(opened)


@cache
def _listen() -> None:
    # What listens can't be taken away again.
    sys.addaudithook(_note)


def _note(event: str, told: tuple[object, ...]) -> None:
    if event == "open" and _watching and not isinstance(told[0], int):
        path, flags = told[0], told[2]
        for opened in _watching:
            opened.append((str(path), int(str(flags))))
