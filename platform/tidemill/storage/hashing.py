"""Hashes that never change: of files, of documents, of rows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.storage.atomic import storage_errors

__all__ = [
    "hash_bytes",
    "hash_file",
    "hash_files",
    "hash_json",
    "salted_hash",
    "stable_hash",
    "stable_row_hash",
]

_NULL = np.uint64(0x9E3779B97F4A7C15)


def hash_bytes(content: bytes) -> str:
    """SHA-256 of ``content``, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; reads in bounded pieces."""
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each file in a folder, by name, in order."""
    with storage_errors(folder):
        return {path.name: hash_file(path) for path in sorted(folder.iterdir())}


def hash_json(document: Any) -> str:
    """SHA-256 of the canonical JSON of ``document``.

    >>> hash_json({"b": 1, "a": 2}) == hash_json({"a": 2, "b": 1})
    True
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hash_bytes(text.encode())


def stable_hash(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Hash each value to 64 bits, the same on every machine and in every version.

    Equal values of the integer types hash alike, as do those of the float types, of strings
    and dictionaries of strings, and times by their microseconds. Null has a hash of its own.

    Returns
    -------
    (rows,) uint64

    Notes
    -----
    Numbers go through the splitmix64 finaliser (Steele, Lea & Flood, 2014), strings through
    pandas' SipHash. O(rows of the batch) memory.

    >>> import pyarrow as pa
    >>> int(stable_hash(pa.array([1]))[0]) == int(stable_hash(pa.array([1], pa.int16()))[0])
    True
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    kind = array.type
    if pa.types.is_dictionary(kind):
        hashed = stable_hash(array.dictionary)
        codes = pc.fill_null(array.indices, 0).to_numpy(zero_copy_only=False)
        result = hashed[codes] if len(hashed) else np.full(len(array), _NULL, np.uint64)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = array.dictionary_encode()
        texts = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
        hashed = (
            pd.util.hash_array(texts, categorize=False) if len(texts) else np.empty(0, np.uint64)
        )
        codes = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
        result = hashed[codes] if len(hashed) else np.full(len(array), _NULL, np.uint64)
    elif pa.types.is_floating(kind):
        numbers = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False).astype(np.float64)
        numbers = np.where(np.isnan(numbers), np.nan, numbers + 0.0)
        result = _mix(numbers.view(np.uint64))
    else:
        if pa.types.is_temporal(kind):
            array = array.cast(pa.timestamp("us")).cast(pa.int64())
        whole = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        result = _mix(whole.astype(np.int64).view(np.uint64))
    if array.null_count:
        missing = array.is_null().to_numpy(zero_copy_only=False)
        result = np.where(missing, _NULL, result)
    return np.ascontiguousarray(result, dtype=np.uint64)


def stable_row_hash(batch: pa.RecordBatch | pa.Table) -> npt.NDArray[np.uint64]:
    """Hash each row over all columns, in column order, to 64 bits; (rows,) uint64."""
    state = np.zeros(batch.num_rows, np.uint64)
    for column in batch.columns:
        state = _mix(state * np.uint64(31) + stable_hash(column))
    return state


def salted_hash(hashes: npt.NDArray[np.uint64], salt: str) -> npt.NDArray[np.uint64]:
    """Hash hashes again, so that what is decided by the result is independent of the first.

    Parameters
    ----------
    hashes : (rows,) uint64
    salt : str
        Names the decision, e.g. ``"holdout:42"``.

    Returns
    -------
    (rows,) uint64, distinct wherever ``hashes`` are
    """
    digest = hashlib.blake2b(salt.encode(), digest_size=8).digest()
    return _mix(_mix(hashes) ^ np.uint64(int.from_bytes(digest, "little")))


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
