"""The sign of a zero, which equals the other: where it stays is as the documentation says."""

import math
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ingestion import tables

CELLS = [1.5, -0.0, 0.0, 2.25, -3.5, 4.0]
LINES = [(repr(cell), "ab"[row % 2]) for row, cell in enumerate(CELLS)]


def write(folder, kind):
    """The same rows; returns the source."""
    if kind == "csv":
        (folder / "t.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in LINES))
    elif kind == "jsonl":
        rows = (f'{{"x": {x}, "y": "{y}"}}\n' for x, y in LINES)
        (folder / "t.jsonl").write_text("".join(rows))
    elif kind == "parquet":
        pq.write_table(pa.table({"x": CELLS, "y": [y for _, y in LINES]}), folder / "t.parquet")
    else:
        with sqlite3.connect(folder / "t.db") as base:
            base.execute("CREATE TABLE t (x REAL, y TEXT)")
            base.executemany("INSERT INTO t VALUES (?, ?)", zip(CELLS, "ababab", strict=True))
        base.close()
        return "sqlite:///t.db#t"
    return f"t.{kind}"


@pytest.mark.parametrize(
    ("kind", "kept"), [("csv", True), ("parquet", True), ("jsonl", False), ("sqlite", False)]
)
def test_a_zero_keeps_its_sign_where_it_comes_as_a_float(tmp_path, kind, kept):
    """Where a number is read by its shortest text there is one zero."""
    _, batches = tables.read(tmp_path, write(tmp_path, kind))
    found = tables.values(batches, "x")
    assert sorted(found) == sorted(CELLS)
    negative = [cell for cell in found if cell == 0 and math.copysign(1, cell) < 0]
    assert len(negative) == kept
