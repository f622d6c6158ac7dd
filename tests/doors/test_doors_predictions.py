"""The file of predictions stands whole, or as it was before."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tidemill.errors import StorageFailed
from tidemill.stages.predictions import BLOCK_ROWS, join_parts
from tidemill.storage import BlockWriter, ObjectFile, open_store


@pytest.fixture
def parts(tmp_path):
    """Two parts in a store, of three rows each."""
    store, found = open_store(str(tmp_path / "store")), []
    for first in (0, 3):
        table = pa.table({"row": pa.array(range(first, first + 3)), "score": [0.5, None, 1.0]})
        with (
            store.write("parts") as kept,
            BlockWriter(kept, table.schema, block_rows=BLOCK_ROWS) as writer,
        ):
            writer.write(table)
        found.append(ObjectFile(store, kept.stored.key))
    return found


@pytest.mark.parametrize("name", ["scored.csv", "scored.parquet"])
def test_predictions_are_joined_in_their_order(parts, tmp_path, name):
    """In a folder that is made, without anything beside; what a killed one left is gone too."""
    output = tmp_path / "made" / name
    left = output.parent / f".{name}.new" / "half"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    for _ in range(2):  # again, in the place of the first
        join_parts(parts, output)
    read = pacsv.read_csv if name.endswith("csv") else pq.read_table
    assert read(output)["row"].to_pylist() == list(range(6))
    assert [path.name for path in output.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", ["scored.csv", "scored.parquet"])
def test_a_part_that_cannot_be_read_leaves_the_old_file(parts, tmp_path, name):
    """Whatever was written of the new one is gone."""
    output = tmp_path / "made" / name
    output.parent.mkdir()
    output.write_text("old")

    class Refused(ObjectFile):
        def __init__(self):
            self.size, self._at = parts[1].size, 0

        def readinto(self, buffer):
            raise StorageFailed("refused", remedy="none")

        def __str__(self):
            return "refused"

    with pytest.raises(StorageFailed, match="refused"):
        join_parts([parts[0], Refused()], output)
    assert [path.name for path in output.parent.iterdir()] == [name]
    assert output.read_text() == "old"
