"""GET /v1/labelled: rows of every version in the champion's columns, and no row costs another."""

from __future__ import annotations

import pyarrow as pa

from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill_monitor.routes.labelled import labelled_stream

SCHEMA = TableSchema(
    (
        Column("wait", ColumnType.NUMERIC, Purpose.FEATURE, "float32"),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("fare", ColumnType.NUMERIC, Purpose.TARGET, "float64"),
    ),
    Task.REGRESSION,
)


def test_a_value_of_another_type_costs_its_cell():
    """An older version had words where the champion has numbers: the rows beside are whole."""
    rows = pa.record_batch(
        {
            "event_id": ["a", "b", "c"],
            "at": pa.array([0, 0, 0], pa.timestamp("us")),
            "wait": ["1.5", "long", None],
            "zone": [3.0, None, 0.5],
            "truth": ["7", "cheap", "9.5"],
        }
    )
    content = b"".join(labelled_stream([rows], SCHEMA))
    with pa.ipc.open_stream(content) as reader:
        found = reader.read_all().to_pydict()
    assert found["wait"] == [1.5, None, None]
    assert found["zone"] == ["3", None, "0.5"]
    assert found["fare"] == [7.0, None, 9.5]
