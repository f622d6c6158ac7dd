"""What a commit refuses, and what it says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tidemill.errors import ConfigError, IntegrityError, WorkspaceBusy
from tidemill.storage import hash_file
from tidemill.versioning import Versions


@pytest.mark.parametrize("digests", ["dvc", "sha256"])
def test_data_that_changed_during_the_run_are_refused(workspace, pipeline, digests):
    """The lock keeps its last state: changed data are never recorded as the ones read."""
    pipeline.run(workspace)
    lock = (workspace / "dvc.lock").read_bytes()
    with Versions(workspace) as versions:
        if digests == "dvc":
            expected = versions.dep_digests("shard")
        else:
            expected = {"raw.csv": hash_file(workspace / "raw.csv")}
        pipeline.shard(workspace)
        (workspace / "raw.csv").write_text("other\n")
        with pytest.raises(IntegrityError) as caught:
            versions.commit("shard", expected=expected)
        assert "raw.csv" in str(caught.value)
        assert caught.value.fields["stage"] == "shard"
        assert (workspace / "dvc.lock").read_bytes() == lock
        assert not versions.is_current("shard")
        assert versions.repair() == ()


def test_a_file_added_to_a_folder_during_the_run_is_refused(workspace, pipeline):
    """DVC's digest of a folder counts its files."""
    (workspace / "raw").mkdir()
    (workspace / "raw/a.csv").write_text("a\n")
    (workspace / "params.yaml").write_text(pipeline.PARAMS.replace("raw.csv", "raw"))
    with Versions(workspace) as versions:
        expected = versions.dep_digests("shard")
        assert set(expected) == {"raw"}
        pipeline.shard(workspace)
        (workspace / "raw/b.csv").write_text("b\n")
        with pytest.raises(IntegrityError, match="raw changed"):
            versions.commit("shard", expected=expected)
        assert not (workspace / "dvc.lock").exists()


def test_unchanged_data_are_accepted(workspace, pipeline):
    """Digests of both kinds, of what is still there, let the commit through."""
    with Versions(workspace) as versions:
        expected = versions.dep_digests("shard")
        pipeline.shard(workspace)
        versions.commit("shard", expected=expected)
        versions.commit("shard", expected={"raw.csv": hash_file(workspace / "raw.csv")})
        assert versions.is_current("shard")


def test_missing_output_is_refused(workspace, pipeline):
    """A stage that did not leave what it should is not committed."""
    with Versions(workspace) as versions:
        pipeline.shard(workspace)
        (workspace / "data/seen.txt").unlink()
        with pytest.raises(IntegrityError, match=r"seen\.txt"):
            versions.commit("shard")
        assert not (workspace / "dvc.lock").exists()


def test_missing_section_of_params_is_named(workspace, pipeline):
    """DVC needs each section written; the error says how."""
    (workspace / "params.yaml").write_text("dataset: {source: raw.csv}\n")
    with Versions(workspace) as versions:
        pipeline.shard(workspace)
        with pytest.raises(ConfigError, match="sharding") as caught:
            versions.commit("shard")
    assert "{}" in caught.value.remedy


def test_unknown_stage_is_a_configuration_error(workspace, pipeline):
    """A stage that dvc.yaml lacks is told as such."""
    with Versions(workspace) as versions, pytest.raises(ConfigError, match="polish"):
        versions.commit("polish")


HOLD = """
import sys, time
from dvc.repo import Repo
with Repo(sys.argv[1]).lock:
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_another_dvc_process_is_waited_for_by_the_caller(workspace, pipeline):
    """While DVC's lock is held, we are busy: exit code 75, and nothing changed."""
    pipeline.run(workspace)
    lock = (workspace / "dvc.lock").read_bytes()
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with Versions(workspace) as versions, pytest.raises(WorkspaceBusy) as caught:
            versions.commit("shard")
        assert caught.value.exit_code == 75
        assert caught.value.remedy
    finally:
        other.kill()
        other.communicate()
    assert (workspace / "dvc.lock").read_bytes() == lock
    assert pipeline.run(workspace) == []


def test_who_keeps_asking_is_told_of_each_change(workspace, pipeline):
    """Of settings, of the command, of what was noted; and of their coming back."""
    pipeline.run(workspace)
    changes = {
        "params.yaml": lambda text: text.replace("raw.csv", "other.csv"),
        "dvc.yaml": lambda text: text.replace("sort raw", "sort -u raw"),
        "dvc.lock": lambda text: re.sub("md5: [0-9a-f]{32}", f"md5: {'f' * 32}", text),
    }
    with Versions(workspace) as versions:
        for name, changed in changes.items():
            before = (workspace / name).read_text()
            assert versions.is_current("shard"), name
            assert changed(before) != before
            (workspace / name).write_text(changed(before))
            assert not versions.is_current("shard"), name
            (workspace / name).write_text(before)
        assert versions.is_current("shard")
