"""MLflow used as docs/tracking.md shows, and then the whole life of the model goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tidemill.config import set_params
from tidemill.testing.tcp_ports import free_ports
from tidemill.testing.workspaces import run_here

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tracking.md"
LEFT = "registered_model_meta"


def fenced(language):
    """The page's blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def workspace(finished, copy, monkeypatch):
    """A workspace with a champion and new rides beside it, as one's working folder."""
    root = copy(finished)
    rides = [pd.read_csv(path, nrows=40) for path in sorted((root / "data/raw").iterdir())]
    pd.concat(rides).drop(columns="cancelled").to_csv(root / "new_rides.csv", index=False)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def python(monkeypatch):
    """Runs the page's Python in this process; gives its names."""
    import mlflow

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")  # remembered, and put back
        monkeypatch.delenv(name)
    names = {}

    def run():
        for block in fenced("python"):
            exec(block, names)
        return names

    yield run
    mlflow.set_tracking_uri(None)


def go_on(root, cli):
    """Score, run to a promotion, roll back; every door says what lies beside the model."""
    scored = cli("score", "--input", "data/raw", "--output", "scored.parquet", "-w", root)
    assert scored.code == 0, scored.err
    assert f"{LEFT} lies beside" in scored.err
    assert "can be deleted from" in scored.err
    params = root / "params.yaml"
    wanted = ["training.params.num_iterations=40", "registration.min_improvement=0.0"]
    params.write_text(set_params(params.read_text(), wanted))
    summary = run_here(root)
    assert summary.facts["promoted"] is True
    (registered,) = [r.result for r in summary.stages if r.stage == "register"]
    assert any(LEFT in warning for warning in registered.warnings)
    back = cli("rollback", "-w", root)
    assert back.code == 0, back.err
    assert LEFT in back.err


@pytest.mark.slow
def test_python_of_the_page_and_then_the_whole_life(workspace, python, cli):
    """Every load that the page shows works on a table as pandas reads it, and breaks nothing."""
    found = python()
    assert len(found["predictions"]) == len(found["chances"]) == len(found["rows"]) == 120
    assert "int64" in set(map(str, found["rows"].dtypes))
    assert Path(found["folder"], "MLmodel").is_file()
    assert list(workspace.glob(f"mlartifacts/**/{LEFT}"))
    go_on(workspace, cli)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_commands_of_the_page_and_then_the_whole_life(workspace, cli):
    """`mlflow models predict` and `serve` answer from the champion, and it goes on."""
    (script,) = fenced("sh")
    (port,) = free_ports(1)
    python = "\n".join(fenced("python"))
    end = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"
    lines = [end, f"{sys.executable} - <<'PAGE'\n{python}\nPAGE", script.replace("5001", str(port))]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = re.findall(r'\{"predictions": \[(.*?)\]\}', done.stdout, re.DOTALL)
    assert [answer.count(",") + 1 for answer in answers] == [120, 5], done.stdout
    go_on(workspace, cli)
    again = run_here(workspace, force=True)  # and back to the one that was rolled back
    assert (again.facts["version"], again.facts["promoted"]) == (2, True)
