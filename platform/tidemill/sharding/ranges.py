"""Ranges of a column: an order for every type, cuts that balance rows, cuts as text."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["balanced_cuts", "bucket_of", "cuts_from_text", "hash_cuts", "ordered", "to_texts"]

_HASHES = 1 << 64


def ordered(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as int64 (whole numbers, booleans, times in microseconds), float64 or string.

    NaN becomes null. Categories are ordered by their text.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return array.cast(pa.string())
    if pa.types.is_floating(kind):
        real = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(real), pa.scalar(None, pa.float64()), real)
    if pa.types.is_temporal(kind):
        array = array.cast(pa.timestamp("us"))
    return array.cast(pa.int64())


def balanced_cuts(sample: pa.Array, buckets: int) -> pa.Array:
    """Inner boundaries of at most ``buckets`` ranges with about equal numbers of rows.

    Parameters
    ----------
    sample : pyarrow.Array
        Ordered values of sampled rows, in any order; nulls do not count.
    buckets : int

    Returns
    -------
    pyarrow.Array
        Ascending, distinct, all above the smallest value, so that no range is empty; fewer
        than ``buckets - 1`` where single values hold more than their share.

    >>> balanced_cuts(pa.array([5, 1, 4, 2, 3, 6]), 3).to_pylist()
    [3, 5]
    """
    known = sample.drop_null()
    values = known.take(pc.sort_indices(known))
    if not len(values):
        return values
    picked = values.take(pa.array([len(values) * i // buckets for i in range(1, buckets)], "int64"))
    distinct = pc.unique(picked)
    return distinct.filter(pc.greater(distinct, values[0]))


def hash_cuts(buckets: int) -> pa.Array:
    """Inner boundaries of ``buckets`` equal ranges of the 64-bit hash space."""
    return pa.array([_HASHES * i // buckets for i in range(1, buckets)], pa.uint64())


def bucket_of(values: pa.Array | pa.ChunkedArray, cuts: pa.Array) -> npt.NDArray[np.int64]:
    """Number of cuts at or below each value; nulls go to the last bucket; (rows,) int64.

    >>> bucket_of(pa.array([0, 3, 4, None]), pa.array([3, 5])).tolist()
    [0, 1, 1, 2]
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_string(array.type):
        found = _text_buckets(array, cuts)
    else:
        numbers = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
        found = np.searchsorted(cuts.to_numpy(zero_copy_only=False), numbers, side="right")
    if array.null_count:
        found[array.is_null().to_numpy(zero_copy_only=False)] = len(cuts)
    return found.astype(np.int64, copy=False)


def to_texts(values: pa.Array, physical: str) -> tuple[str, ...]:
    """Ordered values as text that :func:`cuts_from_text` reads back exactly."""
    if physical == "timestamp[us]":
        return tuple(np.datetime_as_string(values.to_numpy().astype("datetime64[us]")).tolist())
    if pa.types.is_floating(values.type):
        return tuple(repr(value) for value in values.to_pylist())
    return tuple(str(value) for value in values.to_pylist())


def cuts_from_text(texts: tuple[str, ...], physical: str) -> pa.Array:
    """Read what :func:`to_texts` wrote (``physical``: an Arrow type name, or ``hash``).

    Raises
    ------
    ValueError
        If a text is not of that type.
    """
    if physical == "hash":
        return pa.array([int(text) for text in texts], pa.uint64())
    if physical in ("string", "dictionary"):
        return pa.array(texts, pa.string())
    if physical in ("float32", "float64"):
        return pa.array([float(text) for text in texts], pa.float64())
    if physical == "timestamp[us]":
        return pa.array([microseconds(text) for text in texts], pa.int64())
    words = {"true": 1, "false": 0}
    return pa.array([int(words.get(text.lower(), text)) for text in texts], pa.int64())


def microseconds(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time; one with an offset is taken to UTC.

    >>> microseconds("1970-01-01T00:00:01")
    1000000
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return int((np.datetime64(moment, "us") - np.datetime64(0, "us")).astype(np.int64))


def _text_buckets(array: pa.Array, cuts: pa.Array) -> npt.NDArray[np.int64]:
    # Arrow sorts texts in C++ and stably: put before the values, a cut comes before its equals,
    # so that the cuts met so far number the bucket.
    order = pc.sort_indices(pa.concat_arrays([cuts, array])).to_numpy(zero_copy_only=False)
    is_cut = order < len(cuts)
    found = np.empty(len(order), np.int64)
    found[order] = np.cumsum(is_cut)
    return found[len(cuts) :]
