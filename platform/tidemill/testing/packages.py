"""Small packages outside tidemill, as an installer leaves them: what recipes make."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

__all__ = ["check_scores", "recipe_files", "run_installed", "write_package"]


def recipe_files(page: Path, heading: str) -> dict[str, str]:
    """The files of a recipe: the fenced blocks under ``heading`` that a line names."""
    recipe = page.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^`([\w.]+)`[^\n]*:\n\n```\w+\n(.*?)^```", recipe, re.DOTALL | re.MULTILINE)
    return dict(found)


def write_package(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the modules, and the metadata and entry points that their pyproject.toml asks for.

    Raises
    ------
    ValueError
        If setuptools would refuse it: of several modules it wants to be told which to install.
    """
    document = tomllib.loads(files["pyproject.toml"])
    if len([name for name in files if name.endswith(".py")]) > 1 and not document.get("tool"):
        raise ValueError("pyproject.toml names no tool.setuptools.py-modules")
    for name, text in files.items():
        (folder / name).write_text(text)
    project = document["project"]
    stem = project["name"].replace("-", "_")
    metadata = folder / f"{stem}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"].items()
    lines = [f"[{group}]\n{name} = {at}\n" for group, rows in points for name, at in rows.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return folder


def run_installed(package: Path, root: Path, *words: str) -> None:
    """Run a command in the workspace ``root`` where a package is installed; it must end with 0."""
    path = os.pathsep.join([str(package), *filter(None, sys.path)])
    done = subprocess.run(  # noqa: S603 - what the test says
        [sys.executable, "-m", "tidemill", *words, "-w", str(root)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stderr}")


def check_scores(package: Path, root: Path) -> None:
    """A file of the workspace is scored by its model where the package is installed."""
    source, out = next((root / "data" / "raw").iterdir()), root.with_name("scores.parquet")
    run_installed(package, root, "score", "--input", str(source), "--output", str(out))
    if out.stat().st_size < 1000:
        raise AssertionError(f"{out} holds no scores")
