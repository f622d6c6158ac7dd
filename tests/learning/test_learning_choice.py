"""Strategy, budget, parameters: what is possible, and what is offered instead."""

import pytest

from tidemill.config import TrainingConfig
from tidemill.errors import BudgetExceeded, ConfigError, UsageError
from tidemill.learners import LEARNERS, default_space
from tidemill.learning import choose_strategy, curve_metric
from tidemill.schema import Task


@pytest.mark.parametrize(
    ("learner", "strategy"),
    [
        ("linear", "incremental"),
        ("sgd", "incremental"),
        ("lightgbm", "boosted"),
        ("forest", "boosted"),
        ("hist_gradient_boosting", "in_memory"),
    ],
)
def test_auto_takes_the_learners_own_strategy_and_says_why(learner, strategy):
    """Auto chooses what the learner can do; stating it is the same."""
    for stated in ("auto", strategy):
        config = TrainingConfig(learner=learner, strategy=stated)
        choice = choose_strategy(config, rows=100_000, n_features=30, task=Task.BINARY)
        assert choice.strategy == strategy
        assert learner in choice.why


def test_a_strategy_that_the_learner_lacks_is_refused():
    """The remedy names the learner's own strategy and the learner that has the other."""
    config = TrainingConfig(learner="sgd", strategy="boosted")
    with pytest.raises(ConfigError) as caught:
        choose_strategy(config, rows=100, n_features=3, task=Task.BINARY)
    assert "incremental" in caught.value.remedy
    assert "lightgbm" in caught.value.remedy


@pytest.mark.parametrize(
    ("learner", "budget", "nearest"),
    [
        ("hist_gradient_boosting", 512, "lightgbm"),
        ("hist_gradient_boosting", 64, "linear"),
        ("lightgbm", 64, "linear"),
    ],
)
def test_over_the_budget_the_nearest_learner_that_fits_is_named(learner, budget, nearest):
    """What would not fit is refused before a row is read."""
    config = TrainingConfig(learner=learner, memory_budget_mb=budget)
    with pytest.raises(BudgetExceeded) as caught:
        choose_strategy(config, rows=2_000_000, n_features=30, task=Task.BINARY)
    assert caught.value.fields["nearest"] == nearest
    assert nearest in caught.value.remedy
    needed = caught.value.fields["needed_mb"]
    assert needed > budget
    enough = TrainingConfig(learner=learner, memory_budget_mb=int(needed) + 1)
    choose_strategy(enough, rows=2_000_000, n_features=30, task=Task.BINARY)


def test_more_classes_need_more_memory():
    """A multiclass fit holds scores of every class."""
    config = TrainingConfig(learner="lightgbm", memory_budget_mb=256)
    choose_strategy(config, rows=2_000_000, n_features=30, task=Task.BINARY)
    with pytest.raises(BudgetExceeded):
        choose_strategy(config, rows=2_000_000, n_features=30, task=Task.MULTICLASS, n_classes=20)


def test_an_unknown_learner_has_no_space():
    """The nearest learner is offered."""
    with pytest.raises(UsageError) as caught:
        default_space("lightbgm", Task.BINARY)
    assert caught.value.fields["nearest"] == "lightgbm"


def test_the_followed_figure_is_one_that_the_learner_can_follow():
    """What was asked where possible, else the task's or the learner's own."""
    assert curve_metric("lightgbm", Task.BINARY) == "roc_auc"
    assert curve_metric("lightgbm", Task.BINARY, "brier") == "roc_auc"
    assert curve_metric("sgd", Task.BINARY, "brier") == "brier"
    assert curve_metric("hist_gradient_boosting", Task.REGRESSION) == "r2"
    assert curve_metric("lightgbm", Task.MULTICLASS) == "log_loss"
    assert set(LEARNERS) == {"linear", "sgd", "hist_gradient_boosting", "lightgbm", "forest"}


def test_where_nothing_fits_only_the_budget_can_be_raised():
    """Every learner would need more for ten million features."""
    config = TrainingConfig(learner="sgd", memory_budget_mb=64)
    with pytest.raises(BudgetExceeded) as caught:
        choose_strategy(config, rows=10, n_features=10_000_000, task=Task.REGRESSION)
    assert caught.value.fields["nearest"] is None
    assert caught.value.remedy == "raise training.memory_budget_mb to 154"
