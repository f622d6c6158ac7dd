"""A learner of another package: CONTRIBUTING's recipe, through the suite and a whole run."""

import json

import pytest

from tidemill.config import TrainingConfig, params_schema, read_params
from tidemill.errors import BudgetExceeded, ConfigError, ModelUntrusted, UsageError
from tidemill.learners import LEARNERS, uncalibrated
from tidemill.learning import choose_strategy
from tidemill.schema import Task
from tidemill.testing.learners import LearnerContract
from tidemill.testing.packages import check_scores, run_installed
from tidemill.testing.workspaces import small_workspace
from tidemill.tracking import open_candidate

SOURCE = "dataset: {source: a, target: y}\n"


@pytest.fixture
def installed(package, monkeypatch):
    """The package is on the path."""
    monkeypatch.syspath_prepend(str(package))
    return package


@pytest.mark.usefixtures("installed")
class TestRecipe(LearnerContract):
    """It keeps the contract, found by its entry point."""

    learner = "straight_lines"


def test_it_is_a_setting_like_any_other(installed):
    """By name and by address; its parameters are checked; the schema for editors has them."""
    for name in ("straight_lines", "straight_lines:StraightLines"):
        assert read_params(f"{SOURCE}training: {{learner: '{name}'}}").training.learner == name
        with pytest.raises(ConfigError, match="did you mean 'penalty'"):
            read_params(f"{SOURCE}training: {{learner: '{name}', params: {{penalti: 1}}}}")
    rules = params_schema()["$defs"]["TrainingConfig"]
    assert "straight_lines" in rules["properties"]["learner"]["anyOf"][0]["enum"]
    assert "penalty" in json.dumps(rules["allOf"])


def test_one_that_is_no_learner_is_refused_by_what_it_lacks(tmp_path, monkeypatch):
    """An address that leads nowhere, or to something else."""
    (tmp_path / "half_a_learner.py").write_text("class Half:\n    strategies = ('in_memory',)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    wrong = {"half_a_learner:Half": "lacks spread, rounds", "half_a_learner:Other": "nothing"}
    for name, words in wrong.items():
        with pytest.raises(UsageError, match=words):
            read_params(f"{SOURCE}training: {{learner: '{name}'}}")


@pytest.mark.slow
def test_it_goes_through_a_whole_run(package, tmp_path, monkeypatch):
    """Searched, trained, judged, refitted, registered and asked for scores; and its model is
    refused by name where the package is not installed.
    """
    empty = ["training.params={}", "tuning.space={}"]
    root = small_workspace(tmp_path / "ws", rows=4000, settings=empty)
    settings = (
        "training.learner=straight_lines",
        "reduction={impute: mean, encode: one_hot, scale: standard}",
    )
    sets = [word for setting in settings for word in ("--set", setting)]
    run_installed(package, root, "run", "--direct", *sets)
    training = json.loads((root / "models" / "candidate" / "training.json").read_text())
    assert (training["learner"], training["strategy"]) == ("straight_lines", "in_memory")
    # Its own defaults are one of the trials, and may be the best.
    assert json.loads((root / "models" / "params.json").read_text())["trials"] == 2
    assert set(training["params"]) <= {"penalty"}
    model = root / "models" / "candidate" / "model"
    assert "straight-lines==1.0" in (model / "requirements.txt").read_text()
    check_scores(package, root)
    with pytest.raises(ModelUntrusted, match="not allowed"):
        open_candidate(model)
    monkeypatch.syspath_prepend(str(package))
    assert uncalibrated(open_candidate(model).pipeline[-1]).coef_.size
    assert "straight_lines" in LEARNERS


def test_over_the_budget_another_learner_is_offered(installed):
    """Ours to a user of the package's, and the package's where it needs most of what is allowed."""
    config = TrainingConfig(learner="straight_lines", memory_budget_mb=1024)
    with pytest.raises(BudgetExceeded) as caught:
        choose_strategy(config, rows=10_000_000, n_features=30, task=Task.BINARY)
    assert caught.value.fields["nearest"] == "lightgbm"
    config = TrainingConfig(learner="hist_gradient_boosting", memory_budget_mb=4000)
    with pytest.raises(BudgetExceeded) as caught:
        choose_strategy(config, rows=10_000_000, n_features=30, task=Task.BINARY)
    assert caught.value.fields["nearest"] == "straight_lines"


TWO_WAYS = """
from tidemill.learning.sgd import SgdLearner
from tidemill.schema import Task

class TwoWays(SgdLearner):
    strategies = ("in_memory", "incremental")
    metrics = {Task.REGRESSION: ("r2",)}

    def needed_bytes(self, strategy, rows, n_features, n_outputs):
        return 8 * rows * n_features if strategy == "in_memory" else 8 * n_features
"""


def test_auto_takes_the_first_strategy_that_fits(tmp_path, monkeypatch):
    """One that was asked for is held to the budget, and the other offered; a target that it does
    not learn is refused with those who do.
    """
    (tmp_path / "two_ways.py").write_text(TWO_WAYS)
    monkeypatch.syspath_prepend(str(tmp_path))
    few, many = (
        {"rows": rows, "n_features": 30, "task": Task.REGRESSION} for rows in (1000, 10**7)
    )
    config = TrainingConfig(learner="two_ways:TwoWays", memory_budget_mb=64)
    assert choose_strategy(config, **few).strategy == "in_memory"
    assert choose_strategy(config, **many).strategy == "incremental"
    with pytest.raises(ConfigError, match="does not learn binary"):
        choose_strategy(config, **{**few, "task": Task.BINARY})
    asked = config.model_copy(update={"strategy": "in_memory"})
    with pytest.raises(BudgetExceeded):
        choose_strategy(asked, **many)
