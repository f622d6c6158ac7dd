"""Refused rows for people: each reason with the value that offends, and how often it occurs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

from tidemill.storage import StoreFolder, read_blocks

__all__ = ["count_reasons", "offending", "read_quarantine", "refused_rows"]

_CONDITION = re.compile(r" \(where .*\)$", re.DOTALL)
_EXPECTATION = re.compile(r"expect_\w+\((.*)\)", re.DOTALL)
_BEFORE, _BETWEEN = "the length of ", (" equal to ", " greater than ")


def offending(reason: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a row that a reason is about; the record itself where it is no row.

    >>> offending("fare is not at least 0 (where zone == 'a')", {"fare": -1.0, "zone": "a"})
    {'fare': -1.0}
    >>> offending("broken quoting", {"record": '1,"2'})
    {'record': '1,"2'}
    """
    if set(row) == {"record"}:
        return dict(row)
    said = _CONDITION.sub("", reason).removeprefix(_BEFORE)
    if listed := _EXPECTATION.fullmatch(said):
        return {name: row[name] for name in row if name in listed[1].split(", ")}
    first = max((name for name in row if said.startswith(f"{name} ")), key=len, default=None)
    if first is None:
        return {}
    found = {first: row[first]}
    for name in sorted(row, key=len):
        if any(said.endswith(f"{word}{name}") for word in _BETWEEN):
            found[name] = row[name]
    return found


def refused_rows(folder: StoreFolder) -> Iterator[dict[str, Any]]:
    """Every quarantined row, in the order of the source, with ``offending`` beside ``reasons``.

    Memory: one block.
    """
    for table in _tables(folder):
        for row in table.to_pylist():
            cells = json.loads(row["values"])
            yield {**row, "offending": [offending(why, cells) for why in row["reasons"]]}


def read_quarantine(folder: StoreFolder, *, limit: int) -> list[dict[str, Any]]:
    """The first ``limit`` of :func:`refused_rows`."""
    return list(islice(refused_rows(folder), limit))


def count_reasons(folder: StoreFolder) -> Counter[str]:
    """In how many of all quarantined rows each reason occurs."""
    counts = Counter[str]()
    for table in _tables(folder):
        counts.update(table["reasons"].combine_chunks().flatten().to_pylist())
    return counts


def _tables(folder: StoreFolder) -> Iterator[pa.Table]:
    for name in folder.names():
        if name.endswith(".parquet"):
            yield from read_blocks(folder.file(name))
