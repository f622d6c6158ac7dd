"""A blocked Bloom filter: says of most ids, without looking, that a segment lacks them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BITS_PER_ID", "add_to_filter", "empty_filter", "may_contain"]

BITS_PER_ID = 12
_BLOCK_BITS = 512
_PROBES = 7
_NINE_BITS = np.uint64(_BLOCK_BITS - 1)

Filter = npt.NDArray[np.uint8]
Words64 = npt.NDArray[np.uint64]


def empty_filter(rows: int) -> Filter:
    """A filter for so many ids: 12 bits each, in whole blocks of 64 bytes."""
    blocks = max(1, -(-rows * BITS_PER_ID // _BLOCK_BITS))
    return np.zeros(blocks * _BLOCK_BITS // 8, np.uint8)


def add_to_filter(bits: Filter, high: Words64, low: Words64) -> None:
    """Note ids, in place; best many at a time, ascending.

    Notes
    -----
    The block follows from the upper half of ``high``, so that ascending ids fill the filter
    from left to right and only the stretch they touch is unpacked.
    """
    if not len(high):
        return
    block = _blocks(bits, high)
    first, last = int(block[0]), int(block[-1])
    if first > last or (block[1:] < block[:-1]).any():
        first, last = int(block.min()), int(block.max())
    stretch = slice(first * _BLOCK_BITS // 8, (last + 1) * _BLOCK_BITS // 8)
    flags = np.unpackbits(bits[stretch])
    base = (block - first) * _BLOCK_BITS
    for probe in range(_PROBES):
        flags[base + _offsets(low, probe)] = 1
    bits[stretch] = np.packbits(flags)


def may_contain(bits: Filter, high: Words64, low: Words64) -> npt.NDArray[np.bool_]:
    """Whether ids may have been noted: never wrongly False; wrongly True for 1 in 100 or fewer.

    Notes
    -----
    Putze, Sanders & Singler (2007): all probes of an id fall into one cache line.

    >>> bits = empty_filter(2)
    >>> ids = np.array([5, 2**63], np.uint64)
    >>> add_to_filter(bits, ids, ids)
    >>> may_contain(bits, ids, ids)
    array([ True,  True])
    """
    base = _blocks(bits, high) * _BLOCK_BITS
    left = np.arange(len(high))
    for probe in range(_PROBES):
        at = base[left] + _offsets(low[left], probe)
        set_ = (bits[at >> 3] >> (7 - (at & 7)).astype(np.uint8)) & 1
        left = left[set_.astype(np.bool_)]
        if not len(left):
            break
    found = np.zeros(len(high), np.bool_)
    found[left] = True
    return found


def _blocks(bits: Filter, high: Words64) -> npt.NDArray[np.int64]:
    n_blocks = np.uint64(len(bits) * 8 // _BLOCK_BITS)
    return (((high >> np.uint64(32)) * n_blocks) >> np.uint64(32)).astype(np.int64)


def _offsets(low: Words64, probe: int) -> npt.NDArray[np.int64]:
    return ((low >> np.uint64(9 * probe)) & _NINE_BITS).astype(np.int64)
