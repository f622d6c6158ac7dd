"""Workspaces with a small pipeline, and processes beside them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def pipeline():
    """The module pipeline.py, which lies beside the tests."""
    spec = importlib.util.spec_from_file_location("versioning_pipeline", HERE / "pipeline.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shell():
    """Run a command in a folder; its output, or with check=False the finished process."""

    def shell(folder, *command, check=True):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            env={
                **os.environ,
                "PATH": path,
                "PYTHONPATH": str(HERE.parents[1] / "platform"),
                "DVC_NO_ANALYTICS": "1",
            },
        )
        if not check:
            return done
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return shell


@pytest.fixture
def start(shell):
    """Run pipeline.py in a process of its own."""

    def start(root, *options, check=True):
        return shell("/", sys.executable, str(HERE / "pipeline.py"), str(root), *options,
                     check=check)  # fmt: skip

    return start


@pytest.fixture
def workspace(request, tmp_path, pipeline, shell):
    """A workspace ready to run; ``workspace.param`` says whether it is a git repository."""
    root = tmp_path / "workspace"
    root.mkdir()
    if getattr(request, "param", "git") == "git":
        shell(root, "git", "init", "-q")
    pipeline.make_workspace(root)
    return root
