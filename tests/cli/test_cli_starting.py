"""init, sample, suite draft, and the command line itself."""

from __future__ import annotations

import json

import pytest

import tidemill
from tidemill.config import load_params
from tidemill.samples import write_sample
from tidemill.testing.workspaces import run_here

COMMANDS = [
    [],
    ["init"],
    ["sample"],
    ["look"],
    ["run"],
    ["stage"],
    ["score"],
    ["up"],
    ["links"],
    ["shards"],
    ["shards", "list"],
    ["shards", "locate"],
    ["shards", "verify"],
    ["quarantine"],
    ["quarantine", "show"],
    ["suite"],
    ["suite", "draft"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(command, cli):
    """Every command explains itself and ends with 0."""
    done = cli(*command, "--help")
    assert done.code == 0
    assert "Usage:" in done.out
    assert len(done.out.splitlines()) > 5


def test_version(cli):
    """--version says the version."""
    assert cli("--version").out.strip() == f"tidemill {tidemill.__version__}"


@pytest.mark.parametrize(
    "command", [["rnu"], ["run", "--drect"], ["init", "ws"], ["sample", "--rows", "0"]]
)
def test_wrong_usage_ends_with_2(command, cli):
    """Unknown commands and options, missing and impossible values: exit 2, said on stderr."""
    done = cli(*command)
    assert done.code == 2
    assert done.out == ""
    assert "Usage" in done.err


def test_an_unknown_stage_is_refused_with_the_nearest(tmp_path, cli):
    """Of all stages of the workspace, the user's own among them: params.yaml names these."""
    (tmp_path / "params.yaml").write_text("dataset: {source: a.csv, target: y}\n")
    done = cli("stage", "trian", "-w", tmp_path, "--json")
    assert (done.code, done.document["error"]) == (2, "UsageError")
    assert "'train'" in done.document["remedy"]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_sample_writes_monthly_files(file_format, tmp_path, cli):
    """As many files as months, in the format asked for, the same bytes for the same seed."""
    arguments = ["--rows", 900, "--months", 2, "--seed", 5, "--format", file_format, "--json"]
    done = cli("sample", "-o", tmp_path / "a", *arguments)
    assert done.document["rows"] == 900
    names = [f"rides-2024-0{month}.{file_format}" for month in (1, 2)]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == names
    assert done.document["files"] == [str(tmp_path / "a" / name) for name in names]
    cli("sample", "-o", tmp_path / "b", *arguments)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.fixture
def table(tmp_path):
    """A source of two files."""
    write_sample(tmp_path / "table", rows=800, months=2, seed=3)
    return tmp_path / "table"


def test_init_makes_a_workspace_that_runs(table, tmp_path, cli):
    """params.yaml, its schema, dvc.yaml, the suite; and the first stages run in it."""
    root = tmp_path / "new" / "ws"
    done = cli(
        "init", root, "--source", table, "--target", "fare_total", "--time", "requested_at",
        "--key", "ride_id", "--set", "tuning.trials=0", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.document["task"] == "regression"
    params = load_params(root)
    assert (params.dataset.target, params.dataset.key) == ("fare_total", "ride_id")
    assert (params.dataset.name, params.tuning.trials) == ("ws", 0)
    assert "/dvc_plots/" in (root / ".gitignore").read_text().splitlines(), "what DVC draws"
    made = {p.name for p in root.iterdir()}
    assert made >= {"params.yaml", "params.schema.json", "dvc.yaml", ".dvc", "expectations"}
    suite = json.loads((root / "expectations" / "suite.json").read_text())
    assert len(suite["expectations"]) == done.document["expectations"] > 30
    facts = run_here(root, until="shard").facts
    assert facts["rows_read"] == 800
    assert facts["rows_valid"] > 700


def test_init_without_time_or_key(table, tmp_path, cli):
    """A table without time and key gets a stratified hold-out."""
    done = cli("init", tmp_path / "ws", "--source", table, "--target", "cancelled", "--json")
    assert done.code == 0
    params = load_params(tmp_path / "ws")
    assert (params.dataset.time, params.dataset.key) == (None, None)
    assert params.sharding.holdout.by == "stratified"


def test_init_refuses_a_workspace(table, tmp_path, cli):
    """An existing params.yaml, or suite, is not written over."""
    root = tmp_path / "ws"
    arguments = ["init", root, "--source", table, "--target", "cancelled", "--json"]
    assert cli(*arguments).code == 0
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    done = cli(*arguments)
    assert (done.code, done.document["error"]) == (2, "UsageError")
    assert "already" in done.document["message"]
    (root / "params.yaml").unlink()
    done = cli(*arguments)
    assert (done.code, done.document["error"]) == (2, "UsageError")
    assert "suite.json" in done.document["message"]
    del before[root / "params.yaml"]
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("change", "code", "error"),
    [
        ({"--target": "canceled"}, 2, "ColumnMissing"),
        ({"--source": "nowhere"}, 2, "SourceMissing"),
        ({"--time": "pickup_zone"}, 2, "ConfigError"),
        ({"--set": "tuning.trails=1"}, 2, "ConfigError"),
        ({"--set": "trials"}, 2, "ConfigError"),
    ],
)
def test_a_failed_init_leaves_nothing_behind(change, code, error, table, tmp_path, cli):
    """Neither a new folder, nor new files in one that was there."""
    there = tmp_path / "there"
    there.mkdir()
    (there / "notes.txt").write_text("mine")
    given = {"--source": table, "--target": "cancelled", **change}
    options = [word for option in given.items() for word in option]
    for folder in (tmp_path / "deep" / "new", there):
        done = cli("init", folder, *options, "--json")
        assert (done.code, done.document["error"]) == (code, error), done.err
        assert "dataset.source" not in done.out, "the option --source was wrong"
    assert not (tmp_path / "deep").exists()
    assert [p.name for p in there.iterdir()] == ["notes.txt"]


def test_an_init_that_fails_late_leaves_nothing_behind(table, tmp_path, cli):
    """A broken dvc.yaml of the user's own is met last: the rest is taken away again."""
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "dvc.yaml").write_text("stages: [\n")
    done = cli("init", tmp_path / "ws", "--source", table, "--target", "cancelled", "--json")
    assert (done.code, done.document["error"]) == (2, "ConfigError")
    assert [p.name for p in (tmp_path / "ws").iterdir()] == ["dvc.yaml"]


def test_suite_draft(table, tmp_path, cli):
    """A suite is replaced only when --force is given; the same data give the same suite."""
    root = tmp_path / "ws"
    cli("init", root, "--source", table, "--target", "cancelled")
    suite = root / "expectations" / "suite.json"
    drafted = suite.read_bytes()
    done = cli("suite", "draft", "-w", root)
    assert done.code == 2
    assert "--force" in done.err
    suite.write_text("{}")
    assert cli("suite", "draft", "-w", root, "--force").code == 0
    assert suite.read_bytes() == drafted
