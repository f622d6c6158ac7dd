"""`make test-all` demands the servers that its promises name: a skip for want of one fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SKIPPED = """
import pytest

@pytest.fixture
def server():
    pytest.skip("PostgreSQL's initdb is not installed")

def test_by_fixture(server): ...

@pytest.mark.skipif(True, reason="needs chromium")
def test_by_mark(): ...
"""


def test_a_skip_for_want_of_what_is_demanded_fails(tmp_path):
    """By the reason's text; other skips are skips."""
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "conftest", "-c", "/dev/null"]
    done = subprocess.run(
        [*command, "--demand", "PostgreSQL", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert "1 skipped, 1 error" in done.stdout, done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
