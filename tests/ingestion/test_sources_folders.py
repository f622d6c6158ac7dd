"""Columns that stand in the names of folders, as Hive, Spark and DuckDB write them."""

from __future__ import annotations

from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine, open_engine
from tidemill.errors import SchemaMismatch
from tidemill.ingestion.first_look.look import look_result
from tidemill.ingestion.sources.listing import SourceListing, list_source
from tidemill.ingestion.sources.reading import read_split
from tidemill.samples import write_sample
from tidemill.schema import TableSchema
from tidemill.settings import Settings
from tidemill.storage import Workspace
from tidemill.testing.workspaces import run_here

ROWS = "x,y\n1,0\n2,1\n3,0\n"


def put(root, *places, text=ROWS):
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)


def columns(root, source=".", **settings):
    """Every column that is read, over all splits, and the listing."""
    dataset = DatasetConfig.model_validate({"source": source, "target": "y", **settings})
    listing = list_source(dataset, root, LocalEngine())
    assert SourceListing.from_json(listing.to_json()) == listing
    schema = look_result(dataset, listing, root).schema
    read = [
        batch.table
        for split in listing.splits
        for batch in read_split(split, schema, dataset, listing, root, batch_rows=2)
    ]
    return pa.concat_tables(read).to_pydict(), listing


def look_at(root, source):
    """The schema of a source."""
    dataset = DatasetConfig.model_validate({"source": source, "target": "y"})
    return look_result(dataset, list_source(dataset, root, LocalEngine()), root).schema


def test_each_file_has_its_folders_cells(tmp_path):
    """Of the types of texts in CSV: numbers, times, categories."""
    put(tmp_path, "year=2023/zone=A/a.csv", "year=2023/zone=B/b.csv", "year=2024/zone=A/c.csv")
    found, listing = columns(tmp_path)
    assert listing.folders == ("year", "zone")
    assert found["year"] == [2023] * 6 + [2024] * 3
    assert found["zone"] == list("AAABBBAAA")
    assert found["x"] == [1, 2, 3] * 3


def test_cells_are_unquoted_and_may_be_missing(tmp_path):
    """%20 is a blank; Hive's word for no value is none, and so is a text of missing_values."""
    put(tmp_path, "zone=New%20Town%2FEast/a.csv", "zone=__HIVE_DEFAULT_PARTITION__/b.csv")
    put(tmp_path, "zone=NA/c.csv")
    found, _ = columns(tmp_path)
    assert found["zone"] == [None] * 3 + ["New Town/East"] * 3 + [None] * 3


def test_duckdb_writes_what_is_read(tmp_path):
    """Every row of a partitioned table, as DuckDB itself finds it again."""
    duckdb.sql(
        "COPY (SELECT i AS x, i % 2 AS y, DATE '2024-01-01' + (i % 3)::INT AS day, "
        "CASE WHEN i % 5 = 0 THEN NULL ELSE 'zone ' || (i % 5) END AS zone FROM range(60) t(i)) "
        f"TO '{tmp_path}/t' (FORMAT parquet, PARTITION_BY (day, zone))"
    )
    found, _ = columns(tmp_path, source="t")
    rows = sorted(zip(found["x"], map(str, found["day"]), map(str, found["zone"]), strict=True))
    expected = duckdb.sql(
        f"FROM read_parquet('{tmp_path}/t/**/*.parquet', hive_partitioning=true) "
        "SELECT x, day, zone ORDER BY x"
    ).fetchall()
    assert rows == [
        (x, f"{day} 00:00:00", "None" if "HIVE" in str(z) else str(z)) for x, day, z in expected
    ]


def test_a_column_of_the_files_is_theirs(tmp_path):
    """What a folder says of it is passed over."""
    put(tmp_path, "x=7/a.csv", "x=8/b.csv")
    found, listing = columns(tmp_path)
    assert listing.folders == ()
    assert found["x"] == [1, 2, 3] * 2


@pytest.mark.parametrize("source", ["d/run=1", "d/run=1/*.csv", "d/run=1/a.csv", "d/run=*/a.csv"])
def test_a_part_of_a_table_is_named_by_itself(tmp_path, source):
    """Folders NAME=VALUE right above what is named belong to it; others above do not."""
    put(tmp_path, "x=9/plain/d/run=1/a.csv")
    found, listing = columns(tmp_path, source=f"x=9/plain/{source}")
    assert listing.folders == ("run",)
    assert found["x"] == [1, 2, 3]
    known = TableSchema.from_json(look_at(tmp_path, "x=9/plain/d").to_json())
    assert [c.name for c in known.source] == ["x", "y", "run"]


def test_a_workspace_may_be_such_a_folder(tmp_path):
    """Its own name is above addresses that are relative to it."""
    root = tmp_path / "run=7"
    put(root, "a.csv")
    found, listing = columns(root)
    assert listing.folders == ("run",)
    assert found.get("run", [7] * 3) == [7] * 3


@pytest.mark.parametrize("file", ["zone=c.csv", "zone=B.csv"])
def test_a_files_own_name_says_nothing(tmp_path, file):
    """Only folders' names do."""
    put(tmp_path, f"zone=A/{file}", "zone=B/b.csv")
    assert columns(tmp_path)[0]["zone"] == list("AAABBB")


@pytest.mark.parametrize("name", ["pick-up", "a.b", "pick up", "ü", "1"])
def test_any_name_is_a_column(tmp_path, name):
    """Quoted as cells are."""
    put(tmp_path, f"{quote(name)}=A/a.csv", f"{quote(name)}=B/b.csv")
    assert columns(tmp_path)[0][name] == list("AAABBB")


def test_a_file_below_no_such_folder_is_refused(tmp_path):
    """By its name and the column's; one more folder in a later file is passed over."""
    put(tmp_path, "year=2023/a.csv", "year=2024/more=1/b.csv")
    assert columns(tmp_path)[1].folders == ("year",)
    put(tmp_path, "zzz/c.csv")
    with pytest.raises(SchemaMismatch, match=r"zzz/c\.csv lies below no folder year=.*a\.csv does"):
        columns(tmp_path)


def test_it_can_be_derived_from_dropped_and_typed(tmp_path):
    """As any other column."""
    put(tmp_path, "year=2023/m=01/a.csv", "year=2024/m=02/b.csv")
    found, _ = columns(
        tmp_path, derive={"age": "2030 - year"}, drop=["year"], types={"m": "categorical"}
    )
    assert found["age"] == [7.0] * 3 + [6.0] * 3
    assert found["m"] == ["01"] * 3 + ["02"] * 3
    assert "year" not in found


@pytest.mark.slow
def test_equal_files_in_other_folders_are_other_rows(tmp_path):
    """A whole run: what is kept of one file by its content is not taken for the other's."""
    write_sample(tmp_path / "flat", rows=1500, months=1, seed=7)
    text = next((tmp_path / "flat").glob("*.csv")).read_text()
    put(tmp_path / "ws/data/raw", "area=north/a.csv", "area=south/a.csv", text=text)
    root = tmp_path / "ws"
    with open_engine(Settings(workers=1)) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data/raw"),
            target="cancelled",
            time=None,
            key=None,
            assignments=[],
            engine=engine,
        )
    run_here(root, until="shard")
    tables = [pq.read_table(path) for path in sorted((root / "data/validated").glob("*.parquet"))]
    areas = np.concatenate([table["area"].to_numpy(zero_copy_only=False) for table in tables])
    assert sorted(set(areas.tolist())) == ["north", "south"]
    assert (areas == "north").sum() == (areas == "south").sum()
