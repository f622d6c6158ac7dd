"""What was not read as it came, of one batch: counted by column, with the first places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.cells import CellFaults
from tidemill.contracts import Split
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.oddities import OddCells, Oddities, Oddity
from tidemill.profiling import CategoryProfile
from tidemill.schema import TableSchema
from tidemill.spelling import as_known

__all__ = ["invalid_rows", "never_seen", "oddities_in", "oddities_of"]


def invalid_rows(batch: ParsedBatch) -> npt.NDArray[np.bool_]:
    """Rows with a cell that could not be read, (rows,) bool."""
    found = np.zeros(len(batch.rows), np.bool_)
    for faults in batch.faults.values():
        found[faults.indices] = True
    return found


def oddities_of(
    batch: ParsedBatch,
    schema: TableSchema,
    split: Split,
    seen: Mapping[str, CategoryProfile] | None = None,
) -> Oddities:
    """Count the cells of a batch that were not read as they came.

    Parameters
    ----------
    schema : TableSchema
        Of the batch.
    seen : mapping of column to CategoryProfile, optional
        The categories of training rows; those of other columns are not told.

    Notes
    -----
    O(rows) memory.
    """

    def where(index: int) -> str:
        return f"{split.address}, row {split.first_row + int(batch.rows[index])}"

    found = oddities_in(batch, schema, where, seen)
    without = _without_key(batch, schema)
    if len(without):
        assert schema.key is not None  # noqa: S101
        odd = OddCells.of(without.tolist(), where, lambda _: None)
        found = replace(found, cells={**found.cells, (schema.key.name, Oddity.NO_KEY): odd})
    return found


def _without_key(batch: ParsedBatch, schema: TableSchema) -> npt.NDArray[np.int64]:
    """Rows whose key is missing, and not for being none."""
    if schema.key is None or schema.key.name not in batch.table.column_names:
        return np.empty(0, np.int64)
    name = schema.key.name
    absent = batch.table[name].is_null().to_numpy()
    lost = batch.faults.get(name)
    return np.setdiff1d(np.flatnonzero(absent), [] if lost is None else lost.indices)


def oddities_in(
    batch: ParsedBatch,
    schema: TableSchema,
    where: Callable[[int], str],
    seen: Mapping[str, CategoryProfile] | None = None,
) -> Oddities:
    """The same of rows of any origin; ``where`` says of a row of the table which one it is."""
    key = None if schema.key is None else schema.key.name
    cells: dict[tuple[str, Oddity], OddCells] = {}
    for name, faults in batch.faults.items():
        oddity = Oddity.KEY_LOST if name == key else Oddity.UNREADABLE
        cells[name, oddity] = _told(faults, where)
    for name, misfits in batch.misfits.items():
        cells[name, Oddity.ROUNDED] = _told(misfits, where)
    for name, cut in batch.cut.items():
        cells[name, Oddity.CUT] = OddCells(cut)
    for name, profile in (seen or {}).items():
        if name in batch.table.column_names:
            new = never_seen(batch.table[name], profile)
            if len(new.indices):
                cells[name, Oddity.NEVER_SEEN] = _told(new, where)
    lines = len(batch.rejects)
    return Oddities(
        rows=len(batch.rows) + lines,
        invalid=int(invalid_rows(batch).sum()) + lines,
        lines=lines,
        cells=cells,
    )


def never_seen(values: pa.ChunkedArray, seen: CategoryProfile) -> CellFaults:
    """Cells of a dictionary of texts whose category is not in ``seen``.

    What names a category that is known (3.0 where there is a 3) is that category.
    """
    rows, texts, start = [np.empty(0, np.int64)], [], 0
    for chunk in values.chunks:
        encoded = as_known(chunk, seen.counts)
        names = [name or "" for name in encoded.dictionary.to_pylist()]
        lacking = np.append(seen.lacks(names), False)
        if lacking.any():
            codes = encoded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
            found = np.flatnonzero(lacking[codes])
            rows.append(found + start)
            texts += [names[code] for code in codes[found].tolist()]
        start += len(chunk)
    return CellFaults(np.concatenate(rows), texts)


def _told(faults: CellFaults, where: Callable[[int], str]) -> OddCells:
    rows = faults.indices.tolist()
    texts = dict(zip(rows, faults.texts, strict=True))
    return OddCells.of(rows, where, texts.__getitem__)
