"""Which rows a model has seen, in bounded room: the smallest hashes of distinct rows."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.errors import SchemaMismatch

__all__ = ["RowSketch"]

_EVERY = np.uint64(2**64 - 1)
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class RowSketch:
    """The ``limit`` smallest distinct hashes of rows: up to the largest of them, a complete set.

    Parameters
    ----------
    limit : int
        Hashes kept at most.
    hashes : (k,) uint64
        Ascending and distinct; ``k <= limit``.

    Notes
    -----
    Merges exactly. Memory: 8 bytes a hash, whatever the rows.

    >>> sketch = RowSketch.of(np.array([30, 10, 20, 10], np.uint64), limit=2)
    >>> sketch.hashes.tolist(), int(sketch.below)
    ([10, 20], 20)
    >>> sketch.holds(np.array([10, 15], np.uint64)).tolist()
    [True, False]
    """

    limit: int
    hashes: Hashes

    @classmethod
    def of(cls, hashes: Hashes, limit: int) -> Self:
        """Sketch rows of these hashes; (rows,) uint64."""
        return cls(limit, np.unique(np.asarray(hashes, np.uint64))[:limit])

    @property
    def below(self) -> np.uint64:
        """Of rows with a hash up to this one it is known whether they are among those sketched."""
        return self.hashes[-1] if len(self.hashes) == self.limit else _EVERY

    def holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which of the hashes are kept; (rows,) bool. Those above ``below`` never are."""
        found: npt.NDArray[np.bool_] = np.isin(hashes, self.hashes)
        return found

    def merge(self, other: Self) -> Self:
        """The sketch of both sets of rows, exactly.

        Raises
        ------
        SchemaMismatch
            If the limits differ.
        """
        if self.limit != other.limit:
            raise SchemaMismatch(
                "sketches of different limits cannot be merged",
                remedy="make both with the same limit",
                left=self.limit,
                right=other.limit,
            )
        return self.of(np.concatenate([self.hashes, other.hashes]), self.limit)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact: the hashes little-endian, in base64."""
        text = base64.b64encode(self.hashes.astype("<u8").tobytes()).decode("ascii")
        return {"limit": self.limit, "hashes": text}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not that of hashes.
        """
        content = base64.b64decode(document["hashes"], validate=True)
        return cls(int(document["limit"]), np.frombuffer(content, "<u8").astype(np.uint64))
