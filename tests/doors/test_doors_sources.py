"""A source of another package whose rows lie in no files goes through every door."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tidemill.config import load_params
from tidemill.formats import FORMATS
from tidemill.pipeline.graph import stage_specs
from tidemill.storage import read_json
from tidemill.testing.workspaces import QUICK, run_here
from tidemill.versioning import dvc_document

OUTSIDE = Path(__file__).parents[1] / "ingestion" / "outside"
SOURCE = "data/source.json"


@pytest.fixture
def outside(monkeypatch):
    """The package is installed, for commands too."""
    monkeypatch.setattr(FORMATS, "_opened", {})
    monkeypatch.syspath_prepend(str(OUTSIDE))
    monkeypatch.setenv("PYTHONPATH", str(OUTSIDE), prepend=":")


def tabled(place: Path, table: str, rows: range) -> None:
    """Add rows to a table of a database."""
    with closing(sqlite3.connect(place)) as base, base:
        base.execute(f"CREATE TABLE IF NOT EXISTS {table} (n, word, y)")
        cells = [(n, ("red", "blue", "green")[n % 3], ("yes", "no")[n * n % 7 % 2]) for n in rows]
        base.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", cells)


@pytest.fixture
def workspace(tmp_path, outside, cli):
    """As init leaves it, of a database."""
    for number, table in enumerate(("first", "second")):
        tabled(tmp_path / "base", table, range(900 * number, 900 * (number + 1)))
    root = tmp_path / "ws"
    settings = [f"--set={each}" for each in (*QUICK, "dataset.format=sqlite")]
    made = ("init", root, "--source", f"sqlite://{tmp_path}/base", "--target", "y", *settings)
    said = cli(*made)
    assert said.code == 0, said.err
    return root


def test_what_is_no_file_is_looked_at_each_time(workspace):
    """DVC cannot hash it: it takes the look for changed, and what look found for the source."""
    params = load_params(workspace)
    assert params.dataset.source == f"sqlite://{workspace.parent}/base"
    stages = dvc_document(stage_specs(params, workspace))["stages"]
    assert "deps" not in stages["look"]
    assert [name for name, stage in stages.items() if "always_changed" in stage] == ["look"]
    assert stages["ingest"]["deps"] == ["data/schema.json", SOURCE, params.ingestion.suite]
    states = []
    for rows in (range(0), range(0), range(1800, 1850)):
        tabled(workspace.parent / "base", "second", rows)
        summary = run_here(workspace, until="ingest")
        states.append([run.state for run in summary.stages])
    assert states == [["ran", "ran"], ["ran", "current"], ["ran", "ran"]]
    found = [split["path"] for split in read_json(workspace / SOURCE)["splits"]]
    assert found == [f"{params.dataset.source}#{table}" for table in ("first", "second")]


@pytest.mark.slow
def test_it_is_learnt_from_scored_and_reproduced(workspace, cli, shell):
    """The whole job, a table scored, and the same by dvc repro: what changed is noticed."""
    assert cli("run", "--direct", "-w", workspace).code == 0
    source, output = load_params(workspace).dataset.source, workspace.parent / "scored.parquet"
    said = cli("score", "-w", workspace, "--input", source, "--output", output)
    assert said.code == 0, said.err
    scored = pq.read_table(output)
    assert scored.num_rows == 1800
    assert scored["source"].unique().to_pylist() == [f"{source}#first", f"{source}#second"]
    again = shell(workspace, "dvc", "repro", "register")
    assert "Running stage 'look'" in again
    assert "Stage 'ingest' didn't change, skipping" in again
    tabled(workspace.parent / "base", "second", range(1800, 1850))
    shell(workspace, "dvc", "repro", "ingest")
    parts = sorted((workspace / "data/validated").glob("*.parquet"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == 1850


@pytest.mark.parametrize("address", ["hdfs://host/x.csv", "rows://host/x"])
def test_an_address_that_nothing_reads_is_told_as_that(address, blank, copy, cli):
    """Not by DVC, which knows some of them, nor as a file that is not there."""
    given = f"--set=dataset.source={address}"
    said = cli("run", "--direct", "-w", copy(blank), "--json", given)
    assert (said.code, said.document["error"]) == (2, "SourceMissing")
    assert f"nothing here reads addresses of {address[: address.index(':')]}://" in said.err
