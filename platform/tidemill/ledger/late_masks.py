"""Which rows of a batch came after their window was closed: a bit a row, kept with the batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Mask", "pack_mask", "unpack_mask"]

Mask = npt.NDArray[np.bool_]


def pack_mask(mask: Mask) -> bytes | None:
    """A bit a row; None where no row is late.

    >>> unpack_mask(pack_mask(np.array([False, True, False])), 3).tolist()
    [False, True, False]
    >>> pack_mask(np.array([False])) is None
    True
    """
    return np.packbits(mask).tobytes() if mask.any() else None


def unpack_mask(bits: bytes | None, rows: int) -> Mask:
    """Which rows are late, (rows,); of a batch of which nothing is known none is."""
    if bits is None:
        return np.zeros(rows, np.bool_)
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=rows).astype(np.bool_)
