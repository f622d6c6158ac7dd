"""The repository, dvc.yaml and the code's revision."""

from __future__ import annotations

import pytest

from tidemill.errors import ConfigError
from tidemill.versioning import (
    Out,
    StageSpec,
    check_dvc_yaml,
    code_revision,
    dvc_document,
    ensure_repo,
    write_dvc_yaml,
)


def config(root, name="config"):
    path = root / ".dvc" / name
    return path.read_text() if path.exists() else ""


def snapshot(root):
    return {p: p.read_bytes() for p in (root / ".dvc").rglob("*") if p.is_file()}


@pytest.mark.parametrize("workspace", ["git", "plain"], indirect=True)
def test_twice_is_once(workspace):
    """The second call changes no file."""
    before = snapshot(workspace)
    ensure_repo(workspace)
    assert snapshot(workspace) == before


def test_git_at_the_top_is_used(workspace, shell):
    """With git, DVC works with it; analytics and autostage are off; the cache is ignored."""
    assert shell(workspace, "dvc", "config", "core.analytics").strip() == "false"
    assert shell(workspace, "dvc", "config", "core.autostage").strip() == "false"
    assert "no_scm" not in config(workspace) + config(workspace, "config.local")
    (workspace / ".dvc/cache").mkdir()
    (workspace / ".dvc/cache/x").touch()
    (workspace / ".dvc/config.local").touch()
    seen = shell(workspace, "git", "status", "--porcelain", "-uall", ".dvc")
    assert "cache" not in seen
    assert "config.local" not in seen


def test_below_the_top_of_git_it_is_not(tmp_path, shell):
    """In a folder of a larger repository DVC works alone, and the larger one stays as it is."""
    shell(tmp_path, "git", "init", "-q")
    root = tmp_path / "inner"
    root.mkdir()
    ensure_repo(root)
    assert "no_scm = true" in config(root, "config.local")
    assert "no_scm" not in config(root)
    assert shell(tmp_path, "git", "diff", "--cached", "--name-only") == ""
    assert "no data or pipelines" in shell(root, "dvc", "status")


@pytest.mark.parametrize("workspace", ["plain"], indirect=True)
def test_git_may_come_later_and_go(workspace, pipeline, shell):
    """git init in a workspace, or a copy without .git: the same stages stay current."""
    pipeline.run(workspace)
    shell(workspace, "git", "init", "-q")
    ensure_repo(workspace)
    assert "no_scm" not in config(workspace, "config.local")
    assert pipeline.run(workspace) == []
    (workspace / ".git").rename(workspace.parent / "gone")
    ensure_repo(workspace)
    assert pipeline.run(workspace) == []
    assert "up to date" in shell(workspace, "dvc", "status")


def test_settings_of_the_users_own_stay(workspace, shell):
    """autostage = true, remotes and comments survive."""
    shell(workspace, "dvc", "config", "core.autostage", "true")
    shell(workspace, "dvc", "remote", "add", "-d", "store", "/tmp/some, where")
    path = workspace / ".dvc/config"
    path.write_text("# mine\n" + path.read_text().replace("analytics = false", ""))
    ensure_repo(workspace)
    assert "# mine" in config(workspace)
    assert shell(workspace, "dvc", "config", "core.autostage").strip() == "true"
    assert shell(workspace, "dvc", "config", "core.analytics").strip() == "false"
    assert "/tmp/some, where" in shell(workspace, "dvc", "remote", "list")


def test_creation_that_was_killed_goes_on(tmp_path, shell):
    """A .dvc without config gets one, and keeps its cache."""
    (tmp_path / ".dvc/cache/files").mkdir(parents=True)
    (tmp_path / ".dvc/cache/files/x").write_text("kept")
    ensure_repo(tmp_path)
    assert (tmp_path / ".dvc/cache/files/x").read_text() == "kept"
    assert "no data or pipelines" in shell(tmp_path, "dvc", "status")


def test_dvc_that_git_ignores_is_told(tmp_path, shell):
    """A .gitignore with .dvc is a configuration error, not a traceback."""
    shell(tmp_path, "git", "init", "-q")
    (tmp_path / ".gitignore").write_text(".dvc\n")
    with pytest.raises(ConfigError, match="ignored"):
        ensure_repo(tmp_path)


STAGE = StageSpec(
    "train",
    "tidemill stage train",
    deps=("models/reducer", "data/shards"),
    outs=(
        Out("models/candidate"),
        Out("data/v", persist=True, cache=False),
        Out("m.json", cache=False, kind="metric"),
        Out("roc.png", cache=False, kind="plot"),
    ),
    params=("training", "seed"),
)


def test_document_says_what_the_stage_says():
    """Deps, outs with flags, metrics, plots and params; entries that are empty are left out."""
    assert dvc_document([STAGE, StageSpec("x", "y")]) == {
        "stages": {
            "train": {
                "cmd": "tidemill stage train",
                "deps": ["data/shards", "models/reducer"],
                "params": ["seed", "training"],
                "outs": ["models/candidate", {"data/v": {"persist": True, "cache": False}}],
                "metrics": [{"m.json": {"cache": False}}],
                "plots": [{"roc.png": {"cache": False}}],
            },
            "x": {"cmd": "y"},
        }
    }


def test_written_is_equal_and_written_once(tmp_path):
    """What was written has no differences; writing again leaves the file alone."""
    document = dvc_document([STAGE])
    assert check_dvc_yaml(tmp_path, document) == ["dvc.yaml is missing"]
    assert write_dvc_yaml(tmp_path, document)
    assert check_dvc_yaml(tmp_path, document) == []
    text = (tmp_path / "dvc.yaml").read_text()
    (tmp_path / "dvc.yaml").write_text(text + "# a comment of mine\n")
    assert not write_dvc_yaml(tmp_path, document)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tidemill stage train", "tidemill stage tain", "cmd is 'tidemill stage tain'"),
        ("- data/shards", "- data/shads", "deps lacks data/shards"),
        ("- data/shards", "- data/shards\n      - extra", "deps has extra"),
        ("persist: true", "persist: false", "outs: data/v has"),
        ("- training", "", "params lacks training"),
        ("metrics:", "artifacts:", "metrics lacks m.json"),
        ("  train:", "  strain:", "stage train is missing"),
    ],
)
def test_each_difference_is_named(tmp_path, old, new, words):
    """A change of any part of a stage is told, with stage, part and entry."""
    document = dvc_document([STAGE])
    write_dvc_yaml(tmp_path, document)
    text = (tmp_path / "dvc.yaml").read_text()
    assert old in text
    (tmp_path / "dvc.yaml").write_text(text.replace(old, new, 1))
    differences = check_dvc_yaml(tmp_path, document)
    assert any(words in difference for difference in differences), differences


def test_stages_of_the_users_own_are_no_difference(tmp_path):
    """The graph says what must be there, not what else may be."""
    document = dvc_document([STAGE])
    write_dvc_yaml(tmp_path, document)
    with (tmp_path / "dvc.yaml").open("a") as file:
        file.write("  mine:\n    cmd: echo\n")
    assert check_dvc_yaml(tmp_path, document) == []


def test_broken_dvc_yaml_is_refused(tmp_path):
    """No YAML: ConfigError that says how to get it back."""
    (tmp_path / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ConfigError) as caught:
        check_dvc_yaml(tmp_path, dvc_document([STAGE]))
    assert "delete dvc.yaml" in caught.value.remedy


def test_code_revision(tmp_path, shell):
    """None without git or commit; the commit; -dirty with changed tracked files."""
    assert code_revision(tmp_path) is None
    shell(tmp_path, "git", "init", "-q")
    assert code_revision(tmp_path) is None
    for name in ("code.py", "dvc.lock"):
        (tmp_path / name).write_text("1")
    shell(tmp_path, "git", "add", "-A")
    shell(tmp_path, "git", "commit", "-qm", "one")
    commit = shell(tmp_path, "git", "rev-parse", "HEAD").strip()
    assert code_revision(tmp_path) == commit
    (tmp_path / "dvc.lock").write_text("2")
    (tmp_path / "new.txt").write_text("2")
    assert code_revision(tmp_path) == commit
    (tmp_path / "code.py").write_text("2")
    assert code_revision(tmp_path) == f"{commit}-dirty"
