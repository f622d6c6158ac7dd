"""Refused rows with all their reasons, where they stand, and what they hold."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.cells import CellFaults
from tidemill.contracts import Reject
from tidemill.ingestion.checks.batch_view import Mask, plain_table
from tidemill.ingestion.sources.batches import ParsedBatch

__all__ = ["QUARANTINE_SCHEMA", "quarantine_table"]

#: ``source``: the file; ``row``: 0-based data row in the file; ``line``: 1-based, where known;
#: ``reasons``: all of them; ``values``: the row as JSON, wrong cells as the source has them.
QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("line", pa.int64()),
        pa.field("reasons", pa.list_(pa.string())),
        pa.field("values", pa.string()),
    ]
)

Indices = npt.NDArray[np.int64]


def quarantine_table(
    batch: ParsedBatch,
    findings: tuple[tuple[str, Indices], ...],
    bad: Mask,
    *,
    source: str,
    first_row: int,
) -> pa.Table:
    """The batch's bad rows and rejected records as quarantine rows, in file order.

    Parameters
    ----------
    batch : ParsedBatch
    findings : tuple of (reason, indices)
    bad : (rows,) bool
    source : str
    first_row : int
        Data rows of the file before this split.

    Returns
    -------
    pyarrow.Table
        With ``QUARANTINE_SCHEMA``; each bad row once.
    """
    indices = np.flatnonzero(bad)
    judged = _table(
        source,
        batch.rows[indices] + first_row,
        pa.nulls(len(indices), pa.int64()),
        _reasons(findings, len(bad), indices),
        row_texts(batch.table.take(pa.array(indices)), _chosen_faults(batch, indices)),
    )
    if not batch.rejects:
        return judged
    both = pa.concat_tables([judged, _rejected(batch.rejects, source, first_row)])
    return both.take(pc.sort_indices(both, sort_keys=[("row", "ascending")]))


def _rejected(rejects: tuple[Reject, ...], source: str, first_row: int) -> pa.Table:
    return _table(
        source,
        np.array([r.row + first_row for r in rejects], np.int64),
        pa.array([r.line for r in rejects], pa.int64()),
        pa.array([[r.reason] for r in rejects], pa.list_(pa.string())),
        pa.array([json.dumps({"record": r.raw}, ensure_ascii=False) for r in rejects], pa.string()),
    )


def _table(
    source: str, rows: Indices, lines: pa.Array, reasons: pa.Array, values: pa.Array
) -> pa.Table:
    sources = pa.array([source], pa.string()).take(pa.array(np.zeros(len(rows), np.int64)))
    return pa.table([sources, pa.array(rows), lines, reasons, values], schema=QUARANTINE_SCHEMA)


def _reasons(findings: tuple[tuple[str, Indices], ...], n: int, indices: Indices) -> pa.Array:
    places = {reason: at for at, reason in enumerate(dict.fromkeys(r for r, _ in findings))}
    pairs = [
        np.column_stack([rows, np.full(len(rows), places[reason], np.int64)])
        for reason, rows in findings
    ]
    if not pairs:
        return pa.array([[]] * len(indices), pa.list_(pa.string()))
    joined = np.unique(np.concatenate(pairs), axis=0)
    offsets = np.searchsorted(joined[:, 0], np.append(indices, n))
    texts = pa.array(list(places), pa.string()).take(pa.array(joined[:, 1]))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts)


def _chosen_faults(batch: ParsedBatch, indices: Indices) -> dict[str, tuple[Indices, list[str]]]:
    chosen = {}
    for name, faults in batch.faults.items():
        chosen[name] = _places(faults, indices)
    return chosen


def _places(faults: CellFaults, indices: Indices) -> tuple[Indices, list[str]]:
    # Every faulty cell is in a bad row, so that all of them are found.
    return np.searchsorted(indices, faults.indices), faults.texts


def row_texts(table: pa.Table, faults: dict[str, tuple[Indices, list[str]]]) -> pa.Array:
    """Each row as a JSON object, (rows,) strings; made column by column.

    >>> row_texts(pa.table({"a": [1, None], "b": ["x", "y"]}), {}).to_pylist()
    ['{"a": 1, "b": "x"}', '{"a": null, "b": "y"}']
    """
    if not table.num_rows:
        return pa.array([], pa.string())
    for name in sorted(faults.keys() - set(table.column_names)):  # read by expressions only
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    pieces: list[Any] = []
    for position, name in enumerate(table.column_names):
        column = plain_table(table.select([name])).column(0).combine_chunks()
        texts = _json_texts(column)
        if name in faults:
            places, raw = faults[name]
            mask = np.zeros(table.num_rows, np.bool_)
            mask[places] = True
            written = pa.array([json.dumps(text, ensure_ascii=False) for text in raw], pa.string())
            texts = pc.replace_with_mask(texts, pa.array(mask), written)
        lead = "{" if position == 0 else ", "
        pieces += [pa.scalar(f"{lead}{json.dumps(name, ensure_ascii=False)}: "), texts]
    return pc.binary_join_element_wise(*pieces, pa.scalar("}"), "")


def _json_texts(column: Any) -> pa.Array:
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_string(array.type):
        encoded = array.dictionary_encode()
        quoted = [json.dumps(text, ensure_ascii=False) for text in encoded.dictionary.to_pylist()]
        texts = pa.array(quoted, pa.string()).take(encoded.indices)
    elif pa.types.is_temporal(array.type):
        iso = pc.strftime(array, format="%Y-%m-%dT%H:%M:%S")
        texts = pc.binary_join_element_wise(pa.scalar('"'), iso, pa.scalar('"'), "")
    else:
        if pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_finite(array), array, pa.scalar(None, array.type))
        texts = array.cast(pa.string())
    return texts.fill_null("null")
