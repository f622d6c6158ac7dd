"""Small packages outside tidemill, as an installer leaves them: what recipes make."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

__all__ = ["recipe_files", "write_package"]


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
