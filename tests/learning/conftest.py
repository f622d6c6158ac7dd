"""The recipe's package on the path; no learner that one test opened is known to the next."""

import re
import tomllib
from pathlib import Path

import pytest

from tidemill.learners import LEARNERS

RECIPE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture(autouse=True)
def no_learner_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own learners."""
    monkeypatch.setattr(LEARNERS, "_opened", {})


def recipe_files() -> dict[str, str]:
    """The files of the recipe for a learner, as CONTRIBUTING.md has them."""
    recipe = RECIPE.read_text().partition("## A learner")[2].partition("\n## ")[0]
    found = re.findall(r"^`([\w.]+)`[^\n]*:\n\n```\w+\n(.*?)^```", recipe, re.DOTALL | re.MULTILINE)
    return dict(found)


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The recipe's package as an installer leaves it: the module, its metadata, its entry point."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in recipe_files().items():
        (folder / name).write_text(text)
    project = tomllib.loads(recipe_files()["pyproject.toml"])["project"]
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
