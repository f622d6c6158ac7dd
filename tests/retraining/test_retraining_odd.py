"""Labelled rows that cannot be read as the model's table was teach nobody, and are told."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from tidemill.cli.champions import _Labelled
from tidemill.config import load_params
from tidemill.engines import LocalEngine
from tidemill.errors import ValidationFailed
from tidemill.ingestion import live_rows
from tidemill.retraining.gathering import gather_rows
from tidemill.retraining.sides import Sides
from tidemill.storage import ShardManifest, StoreFolder, Workspace, read_blocks

CHANGES = {
    3: {"distance_km": "11,0"},
    5: {"distance_km": "far"},
    7: {"ride_id": "M-0001", "distance_km": "3,5"},
    9: {"requested_at": "5/6/2024"},
    11: {"distance_km": "16777217.25"},
    12: {"requested_at": "2024-03-05 10:00:00.1234567"},
    14: {"cancelled": "maybe"},
}


@pytest.fixture
def written(finished, live, tmp_path):
    """Write labelled rows to a CSV file, some cells of which are other texts."""

    def write(changes, rows=200):
        table = live(finished, rows)
        ids = pa.array([str(10_000_000 + number) for number in range(rows)])
        table = table.drop_columns(["event_id", "at"]).append_column("ride_id", ids)
        columns = {}
        for name in table.column_names:
            texts = table[name].cast(pa.string()).to_pylist()
            for row, cells in changes.items():
                texts[row] = cells.get(name, texts[row])
            columns[name] = texts
        path = tmp_path / "labelled.csv"
        pacsv.write_csv(pa.table(columns), path)
        return path

    return write


@pytest.fixture
def gathered(finished, tmp_path):
    """Gather the rows of a file as `tidemill retrain --labelled` does."""

    def gather(path, limit=0.1):
        schema = ShardManifest.read(finished / "data" / "shards").schema
        with LocalEngine(1) as engine:
            rows = _Labelled(Workspace.at(finished), load_params(finished), str(path), engine)
            folder = StoreFolder.at(tmp_path / "rows")
            return gather_rows(rows(), schema, Sides(0.3), folder, max_invalid_fraction=limit)

    return gather


def test_unreadable_rows_are_left_out_counted_and_placed(written, gathered, tmp_path):
    """No cell is taught as missing that was none; what is rounded or cut is taught, and said."""
    path = written(CHANGES)
    with path.open("a") as file:
        file.write("1,2\n")
    said = gathered(path)
    assert (said.unreadable, said.left_out, said.learn + said.proof) == (5, 1, 195)
    found = {(odd["column"], odd["oddity"]): odd for odd in said.odd_cells}
    assert {key: odd["cells"] for key, odd in found.items()} == {
        ("distance_km", "unreadable"): 3,
        ("ride_id", "key lost"): 1,
        ("requested_at", "unreadable"): 1,
        ("distance_km", "rounded"): 1,
        ("requested_at", "cut"): 1,
    }
    first = found["distance_km", "unreadable"]
    assert (first["such_as"], first["first_at"]) == ("11,0", f"{path}, row 3")
    assert any("left out" in text for text in said.said)
    kept = pa.concat_tables(
        block for file in sorted((tmp_path / "rows" / "files").iterdir())
        for block in read_blocks(file)
    )  # fmt: skip
    assert kept["distance_km"].null_count == kept["ride_id"].null_count == 0
    again = gathered(path)  # as after a kill: from its receipt
    assert (again.unreadable, again.odd_cells, again.said) == (5, said.odd_cells, said.said)


def test_above_the_limit_nothing_is_gathered(written, gathered, tmp_path):
    """Decimal commas in more than a tenth of the rows: refused, and no receipt is left."""
    path = written({row: {"distance_km": "11,0"} for row in range(21)})
    with pytest.raises(ValidationFailed, match="21 of 200 rows") as caught:
        gathered(path)
    assert "21 in distance_km (such as '11,0')" in caught.value.message
    assert "ingestion.max_invalid_fraction" in caught.value.remedy
    assert [path for path in (tmp_path / "rows").rglob("*") if path.is_file()] == []
    assert gathered(path, limit=0.2).unreadable == 21


def test_events_that_cannot_be_read_are_named_by_their_id(finished, live):
    """Tables as the monitor gives them, of other types than the model's, follow the same rule."""
    schema = ShardManifest.read(finished / "data" / "shards").schema
    table = live(finished, 5)
    place = table.column_names.index("distance_km")
    table = table.set_column(
        place, "distance_km", pa.array([1.5, float("inf"), 16777217.25, None, 2.5])
    )
    rows = live_rows(table, schema)
    assert rows.table["distance_km"].to_pylist() == [1.5, 16777218.0, None, 2.5]
    assert (rows.left_out, rows.odd.rows, rows.odd.invalid) == (0, 5, 1)
    name = table["event_id"][1].as_py()
    assert rows.odd.sentences()[1].endswith(f"(first 'inf' at event {name})")
