"""JSON lines to columns of texts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.ingestion.casting import cast_texts
from tidemill.ingestion.parsed import CellFaults, Reject
from tidemill.ingestion.raw import RawBatch
from tidemill.ingestion.records import RecordBlock, cut_records
from tidemill.ingestion.splits import Split
from tidemill.ingestion.streams import text_blocks

__all__ = ["read_json_members", "read_json_rows"]

_MAX_RAW = 500


class _Number(str):
    """A number as it is written; JSON's numbers beyond float64 keep their digits."""

    __slots__ = ()


def read_json_rows(
    split: Split,
    root: Path,
    *,
    wanted: dict[str, pa.DataType],
    null_values: Collection[str],
    batch_rows: int,
    whole: bool = True,
) -> Iterator[RawBatch]:
    """Yield the split's objects, ``batch_rows`` lines at a time; see ``read_csv_rows``.

    A line that is no JSON object is rejected; an absent member is null; nested values are
    texts of JSON.
    """
    blocks = cut_records(
        text_blocks(split, root, encoding="utf-8", whole=whole),
        delimiter=",",
        quote="",
        batch_rows=batch_rows,
        path=split.path,
    )
    first_row = 0
    for block in blocks:
        objects, bad = _objects(block)
        rejects = tuple(
            Reject(first_row + i, block.line(i), reason, _shown(block.record(i)))
            for i, reason in sorted(bad.items())
        )
        keep = np.ones(len(block.starts), bool)
        keep[list(bad)] = False
        columns, faults = _columns(objects, wanted, null_values)
        yield RawBatch(columns, first_row + np.flatnonzero(keep), faults, rejects)
        first_row += len(block.starts)


def _objects(block: RecordBlock) -> tuple[list[dict[str, Any]], dict[int, str]]:
    objects: list[dict[str, Any]] = []
    bad: dict[int, str] = {}
    for index in range(len(block.starts)):
        try:
            value = json.loads(block.record(index), parse_float=_Number, parse_int=_Number)
        except UnicodeDecodeError:
            bad[index] = "not valid UTF-8 text"
        except (ValueError, RecursionError) as exc:
            bad[index] = f"not valid JSON: {exc}"
        else:
            if isinstance(value, dict):
                objects.append(value)
            else:
                bad[index] = "not a JSON object"
    return objects, bad


def _columns(
    objects: list[dict[str, Any]], wanted: dict[str, pa.DataType], null_values: Collection[str]
) -> tuple[dict[str, pa.Array], dict[str, CellFaults]]:
    columns: dict[str, pa.Array] = {}
    faults: dict[str, CellFaults] = {}
    for name, kind in wanted.items():
        texts = pa.array([_text(value.get(name)) for value in objects], pa.string())
        if pa.types.is_dictionary(kind):
            columns[name] = texts.dictionary_encode()
        elif pa.types.is_string(kind):
            columns[name] = texts
        else:
            columns[name], found = cast_texts(texts, kind, null_values)
            if found is not None:
                faults[name] = found
    return columns, faults


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        # A lone surrogate is valid JSON and no text.
        return None if value is None else value.encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):  # NaN and Infinity, which Python's reader accepts
        return str(value)
    return json.dumps(value, ensure_ascii=True)


def _shown(record: bytes) -> str:
    return record[: 4 * _MAX_RAW].decode(errors="replace")[:_MAX_RAW]


def read_json_members(split: Split, root: Path, *, rows: int) -> tuple[str, ...]:
    """The members of the first ``rows`` objects, in the order in which they first appear."""
    blocks = cut_records(
        text_blocks(split, root, encoding="utf-8", whole=False),
        delimiter=",",
        quote="",
        batch_rows=rows,
        path=split.path,
    )
    block = next(blocks, None)
    objects = [] if block is None else _objects(block)[0]
    return tuple(dict.fromkeys(name for value in objects for name in value))
