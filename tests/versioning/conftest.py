"""Workspaces with a small pipeline, and processes beside them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tidemill.testing.shells import forking_shell, plain_shell

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def pipeline():
    """The module pipeline.py, which lies beside the tests."""
    spec = importlib.util.spec_from_file_location("versioning_pipeline", HERE / "pipeline.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _surroundings():
    """The environment of a plain shell."""
    with plain_shell(PYTHONPATH=str(HERE.parents[1] / "platform")):
        yield


@pytest.fixture(scope="session")
def shell(tmp_path_factory):
    """Run a command in a folder; its output, or with check=False the finished process."""
    with forking_shell(tmp_path_factory.getbasetemp()) as run:
        yield run


@pytest.fixture
def start(shell):
    """Run pipeline.py in a process of its own."""

    def start(root, *options, check=True):
        return shell("/", "forked-python", HERE / "pipeline.py", root, *options, check=check)

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
