"""A sampler and a pruner of another package: CONTRIBUTING's recipe, the suites and a whole run."""

import json
from pathlib import Path

import pytest

from tidemill.config import params_schema, read_params
from tidemill.errors import ConfigError, UsageError
from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.testing.packages import check_scores, recipe_files, run_installed, write_package
from tidemill.testing.searchers import PrunerContract, SamplerContract
from tidemill.testing.workspaces import small_workspace
from tidemill.tracking import open_candidate

RECIPE = Path(__file__).parents[2] / "CONTRIBUTING.md"
SOURCE = "dataset: {source: a, target: y}\n"


@pytest.fixture(autouse=True)
def none_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own."""
    for table in (SAMPLERS, PRUNERS):
        monkeypatch.setattr(table, "_opened", {})


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The recipe's package as an installer leaves it."""
    files = recipe_files(RECIPE, "A sampler, a pruner")
    return write_package(tmp_path_factory.mktemp("site"), files)


@pytest.fixture
def installed(package, monkeypatch):
    """The package is on the path."""
    monkeypatch.syspath_prepend(str(package))


@pytest.mark.usefixtures("installed")
class TestGolden(SamplerContract):
    """It keeps the contract, found by its entry point."""

    sampler = "golden"


@pytest.mark.usefixtures("installed")
class TestQuartile(PrunerContract):
    """It keeps the contract, found by its address."""

    pruner = "golden:QuartilePruner"


def test_they_are_settings_like_any_other(installed):
    """By name and by address; a wrong name is refused; the schema for editors has them."""
    for sampler, pruner in (
        ("golden", "quartile"),
        ("golden:GoldenSampler", "golden:QuartilePruner"),
    ):
        tuning = f"tuning: {{sampler: '{sampler}', pruner: '{pruner}'}}"
        assert read_params(SOURCE + tuning).tuning.pruner == pruner
    for wrong in ("sampler: goldn", "pruner: quartil", "pruner: hyperband"):
        with pytest.raises(ConfigError, match="there is no such"):
            read_params(f"{SOURCE}tuning: {{{wrong}}}")
    with pytest.raises(UsageError, match="is no sampler: it lacks enumerates"):
        read_params(f"{SOURCE}tuning: {{sampler: 'golden:QuartilePruner'}}")
    properties = json.dumps(params_schema()["$defs"]["TuningConfig"])
    assert '"golden"' in properties
    assert '"quartile"' in properties


def test_settings_of_before_are_named_as_before():
    """A pruner that nobody stated is not part of what keys are made of."""
    assert "pruner" not in read_params(SOURCE).tuning.model_dump(mode="json")


@pytest.mark.slow
def test_they_go_through_a_whole_run(package, tmp_path):
    """Searched with them, trained, registered and asked for scores, where they are installed."""
    root = small_workspace(tmp_path / "ws", rows=4000)
    given = ("tuning.sampler=golden", "tuning.pruner=quartile", "tuning.trials=6")
    sets = [word for setting in given for word in ("--set", setting)]
    run_installed(package, root, "run", "--direct", *sets)
    found = json.loads((root / "models" / "params.json").read_text())
    assert found["trials"] == 6
    check_scores(package, root)
    assert open_candidate(root / "models" / "candidate" / "model").digest, "it needs no sampler"
