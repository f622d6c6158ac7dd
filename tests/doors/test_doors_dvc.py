"""DVC's own commands between commits, in a workspace as init leaves it."""

from __future__ import annotations

import json

import pytest

from tidemill.config import set_params
from tidemill.testing.workspaces import run_here


def setting(root, assignment: str) -> None:
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), [assignment]))


def commit(root, shell) -> None:
    shell(root, "git", "add", "-A")
    shell(root, "git", "commit", "-qm", "next")


def test_git_keeps_the_figures_and_no_data(finished, shell):
    """What commits are compared by; neither data nor models nor other reports."""
    kept = shell(finished, "git", "ls-files").splitlines()
    assert "reports/metrics.json" in kept
    assert {"params.yaml", "dvc.yaml", "dvc.lock"} <= set(kept)
    assert not [p for p in kept if p.startswith(("data/", "models/", ".tidemill/", "mlflow.db"))]
    assert [p for p in kept if p.startswith("reports/")] == ["reports/metrics.json"]


@pytest.mark.slow
def test_commits_and_experiments_are_compared(finished, copy, shell):
    """metrics diff, plots diff, exp run, exp show."""
    root = copy(finished)
    setting(root, "training.params={num_iterations: 6, learning_rate: 0.3}")
    run_here(root)
    commit(root, shell)
    diff = json.loads(shell(root, "dvc", "metrics", "diff", "HEAD~1", "HEAD", "--json"))
    change = diff["reports/metrics.json"]["test.roc_auc"]
    assert change["old"] != change["new"]
    assert not [name for name in diff["reports/metrics.json"] if "sha256" in name]
    assert "index.html" in shell(root, "dvc", "plots", "diff", "HEAD~1", "HEAD")
    shell(root, "dvc", "exp", "run", "-S", "training.params.num_iterations=5")
    shown = json.loads(shell(root, "dvc", "exp", "show", "--json"))
    assert len(shown) >= 2
    assert "roc_auc" in json.dumps(shown)
