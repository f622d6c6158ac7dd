"""Rows out of an Arrow stream that nobody vouches for."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.cells import decoded_type
from tidemill_monitor.intake.column_readers import FieldReader
from tidemill_monitor.intake.messages import declared_bytes
from tidemill_monitor.intake.plans import IntakePlan
from tidemill_monitor.intake.record_reading import extra_problem, finish, first_few
from tidemill_monitor.intake.row_faults import Fault, Sorted
from tidemill_monitor.problems import Problem

__all__ = ["read_arrow", "read_stream"]

MAX_MESSAGES = 2_000


def read_arrow(
    body: bytes | bytearray, plan: IntakePlan, *, max_rows: int, max_bytes: int
) -> Sorted:
    """Sort the rows of an Arrow stream into good ones and faults.

    Parameters
    ----------
    body : bytes
        Arrow IPC stream: flat columns named as the fields of ``plan``.
    max_rows, max_bytes : int
        Of all batches together; bytes as they would be without compression.

    Raises
    ------
    Problem
        400 if it is no valid stream; 413 beyond a limit.
    """
    table = read_stream(body, max_rows=max_rows, max_bytes=max_bytes)
    rows = np.arange(table.num_rows, dtype=np.int64)
    faults: list[Fault] = []
    known: Mapping[str, FieldReader] = {**plan.head, **plan.features}
    for name in first_few(name for name in table.schema.names if name not in known):
        field, code, detail = extra_problem(name)
        faults.append(Fault(field, code, detail, rows))
    arrays: dict[str, Any] = {}
    for name, cells in known.items():
        if name in table.schema.names:
            values = table.column(name).combine_chunks()
            arrays[name], found = cells.read_arrow(values)
            faults.extend(found)
            continue
        arrays[name] = cells.read([None] * len(rows))[0]
        if name in plan.features and name != plan.time and len(rows):
            faults.append(Fault(name, "missing", "the stream must have this column", rows))
    return finish(len(rows), plan, arrays, rows, faults)


def read_stream(body: bytes | bytearray, *, max_rows: int, max_bytes: int) -> Any:
    """The table of an Arrow stream, every offset and index in it checked."""
    try:
        _look_through(body, max_bytes)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            _check_schema(reader.schema)
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > max_rows:
                    raise Problem(
                        413,
                        "TooManyRows",
                        "Too many rows",
                        f"a request may have {max_rows} rows; send several",
                        max_rows=max_rows,
                    )
                batch.validate(full=True)
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, ValueError, struct.error, OSError, KeyError, TypeError) as exc:
        raise Problem(
            400,
            "ArrowInvalid",
            "Not a valid Arrow stream",
            f"the Arrow stream cannot be read ({type(exc).__name__})",
        ) from exc


def _look_through(body: bytes | bytearray, max_bytes: int) -> None:
    """Add up what the messages say they open to, before anything is opened."""
    reader = pa.MessageReader.open_stream(pa.py_buffer(body))
    total = 0
    for number, message in enumerate(reader):
        total += declared_bytes(message.metadata, message.body)
        if total > max_bytes or number >= MAX_MESSAGES:
            raise Problem(
                413,
                "BodyTooLarge",
                "Too large",
                f"a stream may open to {max_bytes} bytes in {MAX_MESSAGES} messages",
                max_bytes=max_bytes,
            )


def _check_schema(schema: Any) -> None:
    names = schema.names
    if len(set(names)) < len(names):
        raise Problem(400, "ArrowInvalid", "Not a valid Arrow stream", "two columns have one name")
    for field in schema:
        kind = decoded_type(field.type)
        if pa.types.is_timestamp(kind):
            str(kind.tz)  # a zone whose name is no UTF-8 is told by an error
        plain = pa.types.is_primitive(kind) or pa.types.is_null(kind)
        if not (plain or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            # Lists, views, runs and the like can stand for far more than the bytes they are in.
            raise pa.ArrowInvalid("a column's type is not flat")
