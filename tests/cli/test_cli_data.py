"""look, shards, quarantine: what lies in the workspace."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from tidemill.ingestion.refused_rows import offending
from tidemill.storage import ShardManifest
from tidemill.testing.workspaces import copy_workspace, run_here


def rows_of(path):
    """Key and block of every row of a shard."""
    file = pq.ParquetFile(path)
    for block in range(file.num_row_groups):
        for row, key in enumerate(file.read_row_group(block, columns=["ride_id"])["ride_id"]):
            yield key.as_py(), block, row


def test_look_says_types_and_writes_nothing(finished, copy, cli):
    """look prints each column's type and purpose; the workspace stays as it is."""
    root = copy(finished)
    before = sorted(p for p in root.rglob("*") if p.is_file())
    document = cli("look", "-w", root, "--json").document
    columns = {column["name"]: column for column in document["columns"]}
    assert columns["ride_id"]["purpose"] == "key"
    assert columns["requested_at"]["type"] == "datetime"
    assert columns["cancelled"]["purpose"] == "target"
    assert document["task"] == "binary"
    assert document["left_out"] == {}
    assert sorted(p for p in root.rglob("*") if p.is_file()) == before
    people = cli("look", "-w", root)
    assert people.code == 0
    assert "pickup_zone" in people.out


def test_look_says_what_is_left_out(finished, copy, cli):
    """A dropped column and an empty one are listed with the reason."""
    root = copy(finished)
    (root / "data/raw/rides-2024-02.csv").unlink()
    (root / "data/raw/rides-2024-03.csv").unlink()
    path = root / "data/raw/rides-2024-01.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},never", *(f"{line}," for line in lines)]) + "\n")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("drop: []", "drop: [tolls]"))
    left_out = cli("look", "-w", root, "--json").document["left_out"]
    assert left_out["tolls"] == "dataset.drop"
    assert "no value" in left_out["never"]
    assert "no value" in cli("look", "-w", root).out


def test_shards_list_tells_each_shard(finished, cli):
    """The list is that of the manifest, for machines and for people."""
    shards = ShardManifest.read(finished / "data/shards").shards
    listed = cli("shards", "list", "-w", finished, "--json").document
    assert [(row["shard"], row["role"], row["rows"]) for row in listed] == [
        (s.id, s.role.value, s.file.rows) for s in shards
    ]
    assert "validation" in cli("shards", "list", "-w", finished).out


def test_shards_locate_finds_a_row_where_it_lies(finished, cli):
    """The last row of the test shard is found at its shard, block and row."""
    shard = ShardManifest.read(finished / "data/shards").shards[-1]
    key, block, row = list(rows_of(finished / "data/shards" / shard.file.path))[-1]
    found = cli("shards", "locate", key, "-w", finished, "--json").document
    assert found == {
        "shard": shard.id,
        "role": "test",
        "block": block,
        "row": row,
        "path": shard.file.path,
    }


@pytest.mark.parametrize("key", ["42", "no-number"])
def test_shards_locate_says_that_there_is_no_such_row(key, finished, cli):
    """Exit 2, and where the row may be instead."""
    done = cli("shards", "locate", key, "-w", finished, "--json")
    assert (done.code, done.document["error"]) == (2, "UsageError")
    assert key in done.document["message"]
    assert "quarantine" in done.document["remedy"]


def test_shards_verify(finished, copy, cli):
    """Sound shards end with 0; a lost one with 3 and its name."""
    root = copy(finished)
    assert cli("shards", "verify", "-w", root, "--json").document["problems"] == []
    (root / "data/shards/shard-00001.parquet").unlink()
    done = cli("shards", "verify", "-w", root, "--json")
    assert done.code == 3
    assert done.document["fields"]["table"][0]["path"] == "shard-00001.parquet"
    people = cli("shards", "verify", "-w", root)
    assert people.code == 3
    assert "shard-00001.parquet" in people.err


def test_quarantine_show_tells_position_and_reasons(finished, cli):
    """Rows come with file, row, reasons and values; --limit bounds them."""
    rows = cli("quarantine", "show", "-w", finished, "--limit", 1000, "--json").document
    total = sum(pq.read_metadata(p).num_rows for p in (finished / "data/quarantine").iterdir())
    assert len(rows) == total > 3
    first = rows[0]
    lines = (finished / first["source"]).read_text().splitlines()
    assert str(json.loads(first["values"])["ride_id"]) == lines[first["row"] + 1].split(",")[0]
    assert len(cli("quarantine", "show", "-w", finished, "--limit", 2, "--json").document) == 2
    assert first["reasons"][0] in cli("quarantine", "show", "-w", finished).out


@pytest.fixture(scope="module")
def odd_rows(finished, tmp_path_factory):
    """A workspace with odd cells in four rows, ingested; nobody changes it."""
    root = copy_workspace(finished, tmp_path_factory.mktemp("odd") / "ws")
    path = root / "data/raw/rides-2024-03.csv"
    header, *lines = path.read_text().splitlines()
    names = header.split(",")
    changes = (("distance_km", '"far"'), ("distance_km", '"fär, away"'), ("requested_at", "[/red]"))
    for at, (name, word) in enumerate(changes):
        cells = lines[at].split(",")
        cells[names.index(name)] = word
        lines[at] = ",".join(cells)
    lines[3] = 'broken "line'
    path.write_text("\n".join([header, *lines]) + "\n")
    run_here(root, until="ingest")
    return root


def test_quarantine_show_puts_the_value_beside_its_reason(odd_rows, cli):
    """On screen, as JSON and as CSV, which has every row; with counts over all of them."""
    root = odd_rows
    rows = cli("quarantine", "show", "-w", root, "--limit", 10_000, "--json").document
    said = Counter(why for row in rows for why in row["reasons"])
    found = [
        (why, cells)
        for row in rows
        for why, cells in zip(row["reasons"], row["offending"], strict=True)
    ]
    assert ("distance_km is not a number", {"distance_km": "fär, away"}) in found
    assert any(cells.get("record") == 'broken "line' for _, cells in found)
    assert all(cells for why, cells in found if why != "target is missing")

    counts = cli("quarantine", "show", "-w", root, "--counts", "--json").document
    assert {row["reason"]: row["rows"] for row in counts} == said
    assert said["distance_km is not a number"] >= 2

    listed = cli("quarantine", "show", "-w", root, "--csv").out
    table = list(csv.DictReader(io.StringIO(listed)))
    assert len(table) == sum(said.values())
    (away,) = [line for line in table if line["value"] == "fär, away"]
    assert (away["column"], away["row"]) == ("distance_km", "1")
    assert json.loads(away["values"])["distance_km"] == "fär, away"

    shown = cli("quarantine", "show", "-w", root, "--limit", 10_000).out
    assert "fär, away" in shown
    assert "reasons" in shown


@pytest.mark.parametrize(
    ("reason", "columns"),
    [
        ("the length of a b is not at most 3", {"a b"}),
        ("a is not greater than or equal to a b", {"a", "a b"}),
        ("a b is not equal to a", {"a", "a b"}),
        ("a is missing", {"a"}),
        ("expect_multicolumn_sum_to_equal(a, is) (where a > 1)", {"a", "is"}),
        ("is is not one of 'a', 'b'", {"is"}),
        ("target is missing", set()),
    ],
)
def test_a_reason_names_its_cells(reason, columns):
    """The longest name that fits, the second of a pair, the columns of an expectation."""
    assert set(offending(reason, {"a": 1, "a b": None, "is": "x"})) == columns


def test_texts_that_look_like_markup_are_printed_as_they_are(odd_rows, cli):
    """A value such as [/red] in the user's data is text, not rich's markup."""
    shown = cli("quarantine", "show", "-w", odd_rows, "--limit", 1000)
    assert shown.code == 0
    assert "[/red]" in shown.out


@pytest.mark.parametrize(
    "command", [["shards", "list"], ["shards", "verify"], ["quarantine", "show"], ["look"]]
)
def test_a_folder_that_is_no_workspace_is_said(command, tmp_path, cli):
    """Each command ends with an error of ours and a remedy, and leaves nothing."""
    done = cli(*command, "-w", tmp_path, "--json")
    assert done.code == 2
    assert done.document["error"] == "WorkspaceMissing"
    assert list(tmp_path.iterdir()) == []
