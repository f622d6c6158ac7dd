"""What the look meets beside rows, and says of it."""

from __future__ import annotations

from collections import Counter

from tidemill.contracts import Reject
from tidemill.ingestion.sources.batches import ParsedBatch

__all__ = ["LookRemarks"]

_REASONS = 3


class LookRemarks:
    """Columns and lines that are left out, and records that are no rows.

    Memory: a text for each kind.

    >>> import numpy as np, pyarrow as pa
    >>> remarks = LookRemarks()
    >>> bad = Reject(1, 3, "2 fields instead of 1", "a,b")
    >>> rows = ParsedBatch(pa.table({"x": [1, 2, 3]}), np.array([0, 2, 3]), {}, (bad,))
    >>> remarks.add("a.csv", rows)
    >>> remarks.said()
    ('1 of 4 records looked at is no row: 2 fields instead of 1 in 1 (the first: a.csv, line 3)',)
    """

    def __init__(self) -> None:
        self._left_out: dict[str, None] = {}
        self._reasons: Counter[str] = Counter()
        self._rows = 0
        self._first = ""

    def add(self, path: str, batch: ParsedBatch) -> None:
        """Take note of a batch of the file."""
        self._left_out.update(dict.fromkeys(batch.left_out))
        self._rows += len(batch.rows)
        self._reasons.update(reject.reason for reject in batch.rejects)
        if batch.rejects and not self._first:
            self._first = _place(path, batch.rejects[0])

    def said(self) -> tuple[str, ...]:
        """A sentence for each kind."""
        left = tuple(f"{what}: left out" for what in self._left_out)
        bad = self._reasons.total()
        if not bad:
            return left
        why = ", ".join(f"{reason} in {n:,}" for reason, n in self._reasons.most_common(_REASONS))
        are = "is no row" if bad == 1 else "are no rows"
        return (
            *left,
            f"{bad:,} of {bad + self._rows:,} records looked at {are}: {why} "
            f"(the first: {self._first})",
        )


def _place(path: str, reject: Reject) -> str:
    return f"{path}, row {reject.row}" if reject.line is None else f"{path}, line {reject.line}"
