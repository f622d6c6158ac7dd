"""A source that grows, through the doors: what is named, what stays, and what moves rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tidemill.storage import ShardManifest, read_blocks
from tidemill.testing.workspaces import output_hashes, run_here

FRESH = 2_000_000_000
"""Keys from here on are of rides that came later."""


def places(root: Path) -> dict[int, tuple[str, int]]:
    """Role and bucket of each row, by its key."""
    folder = root / "data" / "shards"
    return {
        key: (entry.role.value, entry.bucket)
        for entry in ShardManifest.read(folder).shards
        for key in pa.concat_tables(read_blocks(folder / entry.file.path))["ride_id"].to_pylist()
    }


def arrive(root: Path, name: str, rows: int, *, month: str = "01") -> None:
    """A file of rides of a month of before, under keys of their own."""
    header, *lines = (root / f"data/raw/rides-2024-{month}.csv").read_text().splitlines()
    at = header.split(",").index("ride_id")
    fresh = []
    for line in lines[:rows]:
        cells = line.split(",")
        cells[at] = str(int(cells[at]) % FRESH + FRESH)
        fresh.append(",".join(cells))
    (root / "data" / "raw" / f"{name}.csv").write_text("\n".join([header, *fresh, ""]))


def said(root: Path, stage: str) -> list[str]:
    """What the last run warned of at a stage."""
    stages = json.loads((root / "reports" / "summary.json").read_text())["stages"]
    return next(each for each in stages if each["stage"] == stage).get("warnings", [])


@pytest.fixture
def sharded(blank: Path, copy: Any) -> Path:
    root: Path = copy(blank)
    run_here(root, until="shard")
    return root


def test_rows_that_come_late_move_no_other(sharded, cli):
    """One file more is named and alone is scanned; rows move when that is asked, and then stay."""
    before, first = places(sharded), ShardManifest.read(sharded / "data" / "shards")
    arrive(sharded, "late", 900)
    run = run_here(sharded, until="shard")
    facts = {each.stage: each.result.facts for each in run.stages}
    assert facts["ingest"]["splits_read"] == 1
    assert said(sharded, "ingest")[0] == (
        "3 of 4 splits are as they were; 1 new: data/raw/late.csv"
    )
    after = places(sharded)
    assert {key: after[key] for key in before} == before
    late = {place for key, place in after.items() if key >= FRESH}
    assert {role for role, _ in late} == {"train"}
    kept = ShardManifest.read(sharded / "data" / "shards")
    assert kept.borders == first.key
    assert cli("shards", "verify", "-w", sharded).code == 0  # each row is where its values belong
    again = run_here(sharded, until="shard")
    assert {each.state for each in again.stages} == {"current"}
    told = cli("shards", "rebalance", "-w", sharded, "--json")
    assert told.code == 0
    assert [each["state"] for each in told.document["stages"]] == ["current", "current", "ran"]
    moved = places(sharded)
    assert moved.keys() == after.keys()
    assert moved != after
    drawn = ShardManifest.read(sharded / "data" / "shards")
    assert (drawn.borders, drawn.key == kept.key) == ("", False)  # no lesson is of both
    assert {each.state for each in run_here(sharded, until="shard").stages} == {"current"}
    run_here(sharded, until="shard", force=True)
    assert places(sharded) == moved


@pytest.mark.slow
def test_borders_of_other_settings_do_not_stay(sharded):
    """Though the lock was brought back: shards that stand are those of the other seed."""
    kept = {name: (sharded / name).read_bytes() for name in ("params.yaml", "dvc.lock")}
    settings = (sharded / "params.yaml").read_text().replace("seed: 42", "seed: 7")
    (sharded / "params.yaml").write_text(settings)
    run_here(sharded, until="shard")
    for name, content in kept.items():
        (sharded / name).write_bytes(content)
    arrive(sharded, "late", 900)
    run_here(sharded, until="shard")
    found = places(sharded)
    run_here(sharded, until="shard", force=True)
    assert found == places(sharded)


@pytest.mark.slow
def test_shards_whose_note_is_not_as_it_was_left_are_drawn_anew_with_a_word(sharded):
    """Where no row moves is not known any more; the next run knows it again."""
    before = places(sharded)
    note = sharded / ".tidemill" / "sharded.json"
    note.write_text(note.read_text().replace("0", "1", 1))
    arrive(sharded, "late", 900)
    run_here(sharded, until="shard")
    after = places(sharded)
    assert {key: after[key] for key in before} != before
    assert "sharded.json is not what was written: borders of shards" in said(sharded, "shard")[0]
    arrive(sharded, "later", 90, month="02")
    run_here(sharded, until="shard")
    assert not any("sharded.json" in word for word in said(sharded, "shard"))
    assert {key: place for key, place in places(sharded).items() if key in after} == after


@pytest.mark.slow
def test_dvc_repro_takes_over_as_much(sharded, copy, shell):
    """Changed and vanished files through DVC's door: the bytes of the other door's."""
    other = copy(sharded, "other")
    for root in (sharded, other):
        arrive(root, "late", 900)
        (root / "data" / "raw" / "rides-2024-02.csv").unlink()
        arrive(root, "rides-2024-03", 1800, month="03")
    run_here(other, until="shard")
    shell(sharded, "dvc", "repro", "shard")
    named = "1 new: data/raw/late.csv; 1 changed: data/raw/rides-2024-03.csv; 1 gone: "
    assert f"{named}data/raw/rides-2024-02.csv" in " ".join(said(other, "ingest"))
    assert output_hashes(sharded, "shard") == output_hashes(other, "shard")
