"""How far back the watcher reads: until it has what it looks for, or a bound is reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidemill.ledger import Ledger, Window

__all__ = ["BOUND", "look_back"]

BOUND = 5_000
"""Windows that are read at most; without labels, or in a long run of trouble."""

_PAGE = 500


def look_back(
    ledger: Ledger,
    version: int,
    segment: str | None,
    *,
    first: int,
    enough: Callable[[Sequence[Window]], bool],
) -> list[Window]:
    """Closed windows of a version, newest first: ``first`` of them, and more until enough.

    Parameters
    ----------
    ledger : Ledger
    version : int
    segment : str or None
        None: all segments, the whole traffic too.
    first : int
        Windows of the first page.
    enough : callable
        Asked after each page, with all that was read.
    """
    found: list[Window] = []
    size = first
    while True:
        page = ledger.windows.list(
            limit=size,
            before=found[-1].id if found else None,
            state="closed",
            segment=segment,
            model_version=version,
        )
        found += page
        size = min(_PAGE, BOUND - len(found))
        if not page or size <= 0 or enough(found):
            return found
