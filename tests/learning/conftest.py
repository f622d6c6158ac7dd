"""The recipe's package on the path; no learner that one test opened is known to the next."""

from pathlib import Path

import pytest

from tidemill.learners import LEARNERS
from tidemill.testing.packages import recipe_files, write_package

RECIPE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture(autouse=True)
def no_learner_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own learners."""
    monkeypatch.setattr(LEARNERS, "_opened", {})


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The recipe's package as an installer leaves it: the module, its metadata, its entry point."""
    return write_package(tmp_path_factory.mktemp("site"), recipe_files(RECIPE, "A learner"))
