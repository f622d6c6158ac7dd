"""The tutorials' commands run as they are written, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(900)]


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def comparable(line: str) -> str:
    """The line without what differs from run to run: seconds, widths, the last digits."""
    line = re.sub(r"\b\d+\.\d s;", "SECONDS;", line)
    line = re.sub(r"\b0\.\d+\b", lambda found: f"{float(found[0]):.2f}", line)
    return " ".join(re.sub(r"[─━]+", "", line).split())


def run_blocks(page: Path, folder: Path) -> str:
    """Run the sh blocks one after another in one shell; what they print, stderr included."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "platform"),
        "COLUMNS": "200",
        "TERM": "dumb",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(fenced(page, "sh"))],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_own_data(tmp_path: Path) -> None:
    """Every command of own-data.md works, and every line that it shows is printed, in order."""
    if not (DATA / "adult.tar.gz").is_file():
        pytest.skip(f"{DATA / 'adult.tar.gz'} is absent")
    page = ROOT / "docs" / "tutorials" / "own-data.md"
    (tmp_path / "repository").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data").symlink_to(DATA)
    printed = [comparable(line) for line in run_blocks(page, tmp_path / "repository").splitlines()]
    shown = [comparable(line) for text in fenced(page, "text") for line in text.splitlines()]
    assert len([line for line in shown if line]) > 30
    rest = iter(printed)
    for line in filter(None, shown):
        assert line in rest, f"not printed, or not in this place: {line}\n" + "\n".join(printed)
