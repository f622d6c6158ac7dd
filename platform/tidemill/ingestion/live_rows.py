"""Live rows as a source: typed as the model has them, and judged row by row only."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.casting import cast_column, is_text
from tidemill.cells import Cells
from tidemill.config import DatasetConfig
from tidemill.contracts import Split
from tidemill.errors import SchemaMismatch
from tidemill.ingestion.checks.scan_plan import compile_plan
from tidemill.ingestion.checks.suite import Suite
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.odd_cells import invalid_rows, oddities_in, oddities_of
from tidemill.oddities import Oddities
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.spelling import as_known, identifiers
from tidemill.storage import stable_hash

__all__ = [
    "LabelledRows",
    "LiveRows",
    "as_labelled",
    "live_dataset",
    "live_rows",
    "row_wise_suite",
]

EVENT_ID, AT = "event_id", "at"


_IDS = {
    "integer": (ColumnType.NUMERIC, "int64"),
    "number": (ColumnType.NUMERIC, "float64"),
    "boolean": (ColumnType.BOOLEAN, "bool"),
}


def as_labelled(schema: TableSchema, given: Mapping[str, str]) -> TableSchema:
    """What to read of a table of labelled rows that has the columns ``given``.

    The schema's own columns as far as they are there, and ``event_id`` and ``at`` where the table
    has them in place of key and time.

    Parameters
    ----------
    schema : TableSchema
    given : mapping of str to str
        By name the plain type, as of a :class:`tidemill.schema.SourceColumn`.
    """
    columns = [column for column in schema.columns if column.name in given]
    if EVENT_ID in given:
        # As it comes: of a number or a boolean made text, nobody could tell whether it is an id.
        kind, physical = _IDS.get(given[EVENT_ID], (ColumnType.CATEGORICAL, "string"))
        columns.append(Column(EVENT_ID, kind, Purpose.CARRIED, physical))
    if AT in given and AT not in schema.names:
        columns += _at(schema, given)
    return replace(schema, columns=tuple(columns))


def _at(schema: TableSchema, given: Mapping[str, str]) -> list[Column]:
    """How to read ``at``; where the model knows no time an unreadable one costs no row."""
    if schema.time is not None and schema.time.name in given:
        return []
    if schema.time is not None or given[AT] == "datetime":
        return [Column(AT, ColumnType.DATETIME, Purpose.CARRIED, "timestamp[us]")]
    if given[AT] == "text":
        return [Column(AT, ColumnType.CATEGORICAL, Purpose.CARRIED, "string")]
    return []


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows that were read from a file, without those that could not be.

    Parameters
    ----------
    table : pyarrow.Table
    odd : Oddities
        Of all its records, those that were left out too.
    """

    table: pa.Table
    odd: Oddities

    @classmethod
    def of(cls, batch: ParsedBatch, schema: TableSchema, split: Split) -> Self:
        """The readable rows of a batch; ``schema`` is the batch's.

        A label that cannot be read is none of the classes, as one in words would be.
        """
        if schema.task is not Task.REGRESSION:
            others = {k: v for k, v in batch.faults.items() if k != schema.target.name}
            batch = replace(batch, faults=others)
        sound = pa.array(~invalid_rows(batch))
        return cls(batch.table.filter(sound), oddities_of(batch, schema, split))


@dataclass(frozen=True, slots=True)
class LiveRows:
    """Some labelled live rows.

    Parameters
    ----------
    table : pyarrow.Table
        Of the schema's columns and types.
    ids : pyarrow.ChunkedArray or None
        What names each row, as text: the event's id, else the key; None where there is neither.
    left_out : int
        Further rows, whose label is missing or none of the schema's classes, or whose event id is
        missing or none (:func:`tidemill.spelling.identifiers`).
    odd : Oddities
        Of all rows that came; the invalid ones are left out too, and not in ``left_out``.
    times : pyarrow.ChunkedArray or None
        When each row was, in microseconds, null where that is not known; None where no column
        tells it.
    """

    table: pa.Table
    ids: pa.ChunkedArray | None
    left_out: int
    odd: Oddities = field(default_factory=Oddities)
    times: pa.ChunkedArray | None = None


def live_rows(
    batch: pa.RecordBatch | pa.Table | LabelledRows,
    schema: TableSchema,
    known: Mapping[str, Container[str]] | None = None,
) -> LiveRows:
    """Rows of the schema's columns and types, made of events and their truth.

    The key is the event's id (of a whole-number key the number, or for other ids a hash), the
    time is ``at`` unless the event has the column itself, columns that are only carried are
    null. Rows whose label is none of the schema's classes, whose event id is none, or of which a
    cell cannot be read, are left out.

    Parameters
    ----------
    batch : RecordBatch, Table or LabelledRows
        ``event_id`` and ``at``, each where the schema's own key or time column is not there; every
        feature; the target under its name.
    schema : TableSchema
        With its classes.
    known : mapping of str to container of str, optional
        By feature its categories so far: what names one of them is written as it is
        (:func:`tidemill.spelling.known_category`).

    Raises
    ------
    SchemaMismatch
        If a column is missing.

    Notes
    -----
    O(rows of the batch) memory.
    """
    table, before = _plain(batch)
    known = {**(known or {}), schema.target.name: schema.classes}
    cells = {column.name: _column(table, column, schema) for column in schema.columns}
    columns = [_spelled(found.values, known.get(name)) for name, found in cells.items()]
    rows = pa.Table.from_arrays(columns, schema=schema.arrow_schema())
    parsed = _parsed(rows, cells)
    odd = oddities_in(parsed, schema, _where(table))
    target = rows[schema.target.name]
    told = pc.is_valid(target)
    if schema.task is not Task.REGRESSION:
        told = pc.is_in(target.cast(pa.string()), value_set=pa.array(schema.classes))
    ids, times = _ids(table, rows, schema), _times(table, rows, schema)
    if ids is not None and EVENT_ID in table.column_names:
        told = pc.and_(told, pc.is_valid(ids))
    told = pc.and_(pc.fill_null(told, False), pa.array(~invalid_rows(parsed)))
    kept = rows.filter(told)
    ids, times = (None if found is None else found.filter(told) for found in (ids, times))
    return LiveRows(
        kept,
        ids,
        rows.num_rows - odd.invalid - kept.num_rows,
        before.merge(replace(odd, rows=0 if before.rows else rows.num_rows)),
        times,
    )


def _plain(batch: pa.RecordBatch | pa.Table | LabelledRows) -> tuple[pa.Table, Oddities]:
    """The rows as a table, and what was odd about them when they were read."""
    if isinstance(batch, LabelledRows):
        return batch.table, batch.odd
    table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
    return table, Oddities()


def _parsed(rows: pa.Table, cells: Mapping[str, Cells]) -> ParsedBatch:
    return ParsedBatch(
        table=rows,
        rows=np.arange(rows.num_rows),
        faults={name: c.faults for name, c in cells.items() if c.faults is not None},
        rejects=(),
        misfits={name: c.misfits for name, c in cells.items() if c.misfits is not None},
        cut={name: c.cut for name, c in cells.items() if c.cut},
    )


def _where(table: pa.Table) -> Callable[[int], str]:
    """Names a row by its event."""
    if EVENT_ID not in table.column_names:
        return lambda row: f"row {row}"
    ids = table[EVENT_ID]
    return lambda row: f"event {ids[row].as_py()}"


def _spelled(values: pa.Array, known: Container[str] | None) -> pa.Array:
    """Categories and labels as those that are known: 1.0 is the class 1 where no 1.0 is."""
    if known is None or not pa.types.is_dictionary(values.type):
        return values
    return as_known(values, known)


def _ids(events: pa.Table, rows: pa.Table, schema: TableSchema) -> pa.ChunkedArray | None:
    if EVENT_ID in events.column_names:
        return _texts_of(events[EVENT_ID])
    return None if schema.key is None else rows[schema.key.name].cast(pa.string())


def _texts_of(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([identifiers(chunk) for chunk in ids.chunks], pa.string())


def _times(events: pa.Table, rows: pa.Table, schema: TableSchema) -> pa.ChunkedArray | None:
    if schema.time is not None:
        return rows[schema.time.name]
    if AT not in events.column_names:
        return None
    kind = events[AT].type
    if not (is_text(kind) or pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return None
    wanted = pa.timestamp("us")
    return pa.chunked_array([cast_column(at, wanted).values for at in events[AT].chunks], wanted)


def _column(table: pa.Table, column: Column, schema: TableSchema) -> Cells:
    given = column.name
    if given not in table.column_names and column.purpose is Purpose.TIME:
        given = AT
    if given not in table.column_names and column.purpose is Purpose.KEY:
        return Cells(_keys(_whole(table, EVENT_ID, column), column))
    if given not in table.column_names and column.purpose is Purpose.CARRIED:
        return Cells(pa.nulls(table.num_rows, column.arrow_type))
    values = _whole(table, given, column)
    return cast_column(values, column.arrow_type, schema.missing_values)


def _whole(table: pa.Table, name: str, column: Column) -> pa.Array:
    if name not in table.column_names:
        raise SchemaMismatch(
            f"the labelled rows have no column {column.name!r}"
            + (f" and no {name!r}" if name != column.name else ""),
            remedy=f"give the rows with the model's features and their {column.purpose.value}",
            column=column.name,
            available=table.column_names,
        )
    found = table[name]
    if pa.types.is_dictionary(found.type):
        found = found.unify_dictionaries()
    return found.combine_chunks() if found.num_chunks != 1 else found.chunk(0)


def _keys(ids: pa.Array, column: Column) -> pa.Array:
    """Event ids as keys; ids that are no whole numbers get a number of their own."""
    texts = identifiers(ids)
    if column.physical != "int64":
        return texts
    numbers = cast_column(texts, pa.int64()).values
    hashed = (stable_hash(texts) >> np.uint64(1)).astype(np.int64)
    return pc.coalesce(numbers, pa.array(hashed))


def live_dataset(dataset: DatasetConfig, source: str, format_: str) -> DatasetConfig:
    """The dataset section that reads files of :func:`live_rows`: nothing is derived any more."""
    return DatasetConfig(
        name=dataset.name,
        source=source,
        format=format_,
        target=dataset.target,
        task=dataset.task,
        positive=dataset.positive,
        time=dataset.time,
        key=dataset.key,
    )


def row_wise_suite(suite: Suite, schema: TableSchema) -> dict[str, Any]:
    """The part of a suite that judges single rows, as a document.

    What it says of whole tables (counts, means, columns) was meant for the source; live rows are
    few, and drift is why they are here.
    """
    carried = {c.name for c in schema.columns if c.purpose is Purpose.CARRIED}
    rules = {
        rule.index
        for rule in compile_plan(suite, schema).rules
        if not carried & set(rule.expectation.columns)
    }
    entries = [e for i, e in enumerate(suite.document["expectations"]) if i in rules]
    least = {"type": "expect_column_to_exist", "kwargs": {"column": schema.target.name}}
    return {**suite.document, "expectations": entries or [least]}
