"""Labelled rows as an Arrow stream, batch by batch: the rows that a retraining learns from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import structlog

from tidemill.cells import decoded_type
from tidemill.schema import TableSchema, Task
from tidemill.spelling import categories

__all__ = ["labelled_schema", "labelled_stream"]

_log = structlog.get_logger("tidemill_monitor.labelled")


def labelled_schema(schema: TableSchema) -> pa.Schema:
    """Columns of the stream: event_id, at, the features, and the truth under the target's name.

    Categories are plain text: dictionaries of different batches need not be unified.
    """
    truth = pa.float64() if schema.task is Task.REGRESSION else pa.string()
    features = [pa.field(c.name, decoded_type(c.arrow_type)) for c in schema.features]
    return pa.schema(
        [
            pa.field("event_id", pa.string()),
            pa.field("at", pa.timestamp("us")),
            *features,
            pa.field(schema.target.name, truth),
        ]
    )


def labelled_stream(batches: Iterable[pa.RecordBatch], schema: TableSchema) -> Iterator[bytes]:
    """The Arrow IPC stream of ``batches``, in pieces of one batch each.

    Parameters
    ----------
    batches : iterable of RecordBatch
        From the ledger; of any model version: a feature that a version did not have is null.
    schema : TableSchema
        The champion's.

    Notes
    -----
    Memory: one batch and its bytes.
    """
    wanted = labelled_schema(schema)
    sink = _Sink()
    with pa.ipc.new_stream(sink, wanted) as writer:
        yield sink.taken()
        for batch in batches:
            writer.write_batch(_fitted(batch, wanted, schema.target.name))
            yield sink.taken()
    yield sink.taken()


def _fitted(batch: pa.RecordBatch, wanted: pa.Schema, target: str) -> pa.RecordBatch:
    names = set(batch.schema.names)
    columns = []
    for field in wanted:
        source = "truth" if field.name == target else field.name
        if source in names:
            columns.append(_cast(batch.column(source), field))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _cast(values: pa.Array, field: pa.Field) -> pa.Array:
    """Values of another version's type; what cannot be one of this has no value, and is told."""
    values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    if pa.types.is_string(field.type):
        return categories(values)
    try:
        return values.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        cells = [_cell(value, field.type) for value in values]
    found = pa.concat_arrays(cells)
    _log.warning("values_unfit", column=field.name, rows=found.null_count - values.null_count)
    return found


def _cell(value: pa.Scalar, kind: pa.DataType) -> pa.Array:
    try:
        return pa.array([value.cast(kind)], kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(1, kind)


class _Sink:
    """A file to write to whose content is taken away piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        """Keep the piece until it is taken away."""
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """Nothing to do: pieces wait for who takes them."""

    def close(self) -> None:
        """Nothing to let go of."""

    def taken(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
