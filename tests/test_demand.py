"""`make test-all` demands the servers that its promises name: a skip for want of one fails."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("demands", "said"),
    [
        ([], "2 skipped"),
        (["PostgreSQL"], "1 skipped, 1 error"),
        (["PostgreSQL", "chromium"], "2 errors"),
    ],
)
def test_a_skip_for_want_of_what_is_demanded_fails(tmp_path, demands, said):
    """By the reason's text; other skips are skips."""
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    options = [word for demand in demands for word in ("--demand", demand)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-c", "/dev/null", *options, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert said in done.stdout, done.stdout + done.stderr
    assert (done.returncode != 0) is bool(demands)
