"""Two doors, one state: stages run in this process, and DVC's own commands beside them."""

from __future__ import annotations

import pytest

both = pytest.mark.parametrize("workspace", ["git", "plain"], indirect=True)
CLEAN = "Data and pipelines are up to date."


@both
def test_dvc_sees_what_was_run_in_process(workspace, pipeline, shell, monkeypatch, capfd):
    """After an in-process run dvc status is clean and dvc repro runs nothing; DVC is silent."""
    monkeypatch.chdir("/")
    assert pipeline.run(workspace) == ["shard", "train"]
    assert pipeline.run(workspace) == []
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert CLEAN in shell(workspace, "dvc", "status")
    out = shell(workspace, "dvc", "repro")
    assert "Running stage" not in out
    assert out.count("didn't change, skipping") == 2


@both
def test_run_sees_what_dvc_ran(workspace, pipeline, shell):
    """After dvc repro every stage is current in process, and the bytes are the same."""
    pipeline.run(workspace)
    before = {p: p.read_bytes() for p in workspace.rglob("*.txt") if ".dvc" not in p.parts}
    lock = (workspace / "dvc.lock").read_text()
    shell(workspace, "dvc", "repro", "--force")
    assert pipeline.run(workspace) == []
    assert {p: p.read_bytes() for p in before} == before
    assert (workspace / "dvc.lock").read_text() == lock


def test_a_changed_section_reruns_only_what_depends_on_it(workspace, pipeline):
    """training belongs to train; sharding to shard, whose output here stays the same."""
    pipeline.run(workspace)
    params = workspace / "params.yaml"
    params.write_text(pipeline.PARAMS.replace("depth: 3", "depth: 4"))
    assert pipeline.run(workspace) == ["train"]
    params.write_text(pipeline.PARAMS.replace("n: 1", "n: 2").replace("depth: 3", "depth: 4"))
    assert pipeline.run(workspace) == ["shard"]
    with pipeline.Versions(workspace) as versions:
        assert versions.is_current("train")


def test_new_data_and_lost_or_edited_outputs_are_noticed(workspace, pipeline):
    """A stage is not current if its source changed or an output is gone or was edited."""
    pipeline.run(workspace)
    (workspace / "models/model.txt").unlink()
    assert pipeline.run(workspace) == ["train"]
    (workspace / "metrics.json").write_text("{}\n")
    assert pipeline.run(workspace) == ["train"]
    (workspace / "raw.csv").write_text("c\na\nb\nd\n")
    assert pipeline.run(workspace) == ["shard", "train"]


def test_an_open_repository_sees_later_changes(workspace, pipeline):
    """One Versions object serves a whole run: it does not remember old files."""
    with pipeline.Versions(workspace) as versions:
        assert not versions.is_current("shard")
        assert versions.dataset_version() is None
        pipeline.shard(workspace)
        versions.commit("shard")
        assert versions.is_current("shard")
        first = versions.dataset_version()
        assert first == versions.output_version("shard", "data/shards")
        assert first.endswith(".dir")
        (workspace / "raw.csv").write_text("x\n")
        assert not versions.is_current("shard")
        pipeline.shard(workspace)
        versions.commit("shard")
        assert versions.dataset_version() not in (None, first)
        assert versions.output_version("train", "models/model.txt") is None


def test_push_and_pull_through_a_local_remote(workspace, pipeline, shell, tmp_path):
    """A clone without data gets the outputs from the remote and is current at once."""
    pipeline.run(workspace)
    shell(workspace, "dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    shell(workspace, "git", "add", "-A")
    shell(workspace, "git", "commit", "-qm", "one")
    shell(workspace, "dvc", "push")
    clone = tmp_path / "clone"
    shell(tmp_path, "git", "clone", "-q", str(workspace), str(clone))
    assert not (clone / "data/shards").exists()
    pipeline.ensure_repo(clone)
    shell(clone, "dvc", "pull")
    assert (clone / "data/shards/0.txt").read_text() == "a\nb\nc\n"
    assert (clone / "models/model.txt").read_text() == "3\n"
    (clone / "data/seen.txt").write_text("seen\n")
    assert pipeline.run(clone) == []


def test_an_earlier_version_of_the_data_comes_back(workspace, pipeline, shell):
    """git checkout and dvc checkout bring back shards, model and dataset version."""
    pipeline.run(workspace)
    shell(workspace, "git", "add", "-A")
    shell(workspace, "git", "commit", "-qm", "one")
    with pipeline.Versions(workspace) as versions:
        first = versions.dataset_version()
    (workspace / "raw.csv").write_text("z\ny\n")
    pipeline.run(workspace)
    with pipeline.Versions(workspace) as versions:
        assert versions.dataset_version() != first
    shell(workspace, "git", "commit", "-qam", "two")
    shell(workspace, "git", "checkout", "-q", "HEAD~1")
    shell(workspace, "dvc", "checkout")
    assert (workspace / "data/shards/0.txt").read_text() == "a\nb\nc\n"
    assert pipeline.run(workspace) == []
    with pipeline.Versions(workspace) as versions:
        assert versions.dataset_version() == first
    (workspace / "models/model.txt").unlink()
    assert pipeline.run(workspace) == ["train"]
    assert (workspace / "models/model.txt").read_text() == "3\n"
    assert shell(workspace, "git", "status", "--porcelain", "dvc.lock") == ""
