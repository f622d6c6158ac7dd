"""Going on from a fitted model: sgd by its weights, LightGBM by adding trees."""

from __future__ import annotations

from functools import cache

import lightgbm
import numpy as np
import pytest
import skops.io

from tidemill.config import TrainingConfig
from tidemill.errors import ConfigError, SchemaMismatch
from tidemill.learners import LEARNERS
from tidemill.learning import fit, predict_scores
from tidemill.learning.continuing import added_models
from tidemill.metrics import HIGHER_IS_BETTER, default_metric, figures_of
from tidemill.profiling import fold
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data
from tidemill.tracking.skopsfile import canonical

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}
EACH = pytest.mark.parametrize(
    "task",
    [
        # As many boosters as classes: seconds.
        pytest.param(task, marks=[pytest.mark.slow] if task is Task.MULTICLASS else [])
        for task in Task
    ],
    ids=str,
)
LEARNER = pytest.mark.parametrize("learner", ["sgd", "lightgbm"])


def blocks(task, rows, *, seed, changed=False):
    """Rows of the world before or after its change: the first column means the opposite."""
    X, y = learning_data(task, rows, seed=seed)
    if changed:
        X[:, 0] = -X[:, 0]
    return ArrayBlocks(X, y, block_rows=512)


def fitted(learner, task, train, held, start=None):
    return fit(
        TrainingConfig(learner=learner), {}, train, held,
        task=task, classes=CLASSES[task], seed=3, start=start,
    ).estimator  # fmt: skip


@cache
def taught(learner, task):
    """A model of the world before its change."""
    return fitted(learner, task, blocks(task, 6000, seed=1), blocks(task, 800, seed=2))


def to_skops(estimator):
    """The bytes that it is stored as."""
    return canonical(skops.io.dumps(estimator))


def stored_and_loaded(estimator, learner):
    """What a registry gives back."""
    return skops.io.loads(to_skops(estimator), trusted=list(LEARNERS[learner].trusted))


def value(estimator, task, rows):
    metric = default_metric(task)
    figures = fold(
        figures_of(task, predict_scores(estimator, X, task), y, classes=CLASSES[task])
        for X, y in rows
    )
    return figures.values()[metric] * (1 if HIGHER_IS_BETTER[metric] else -1)


@EACH
@LEARNER
def test_it_learns_the_new_world_from_few_rows(learner, task):
    """Going on is better in the changed world than before, and repeats byte for byte."""
    old = taught(learner, task)
    start = stored_and_loaded(old, learner)
    before = to_skops(start)
    new = blocks(task, 1200, seed=5, changed=True), blocks(task, 400, seed=6, changed=True)
    further = fitted(learner, task, *new, start=start)

    X, y = learning_data(task, 4000, seed=9)
    X[:, 0] = -X[:, 0]
    judged = ArrayBlocks(X, y)
    assert value(further, task, judged) > value(old, task, judged) + 0.1
    assert to_skops(further) == to_skops(fitted(learner, task, *new, start=start))
    # What it went on from stays what it was.
    assert to_skops(start) == before


@EACH
@LEARNER
def test_it_begins_where_the_model_was(learner, task):
    """In an unchanged world a few further rows leave the figure about where it was."""
    old = taught(learner, task)
    new = blocks(task, 300, seed=5), blocks(task, 300, seed=6)
    further = fitted(learner, task, *new, start=old)
    alone = fitted(learner, task, *new)
    judged = ArrayBlocks(*learning_data(task, 4000, seed=9))
    assert value(further, task, judged) > value(old, task, judged) - 0.03
    if learner == "lightgbm":
        assert value(further, task, judged) > value(alone, task, judged)


@pytest.mark.parametrize("task", list(Task), ids=str)
def test_added_boosters_say_the_sum(task):
    """The joined text's raw scores are the sum of both models'."""
    old = fitted("lightgbm", task, blocks(task, 3000, seed=1), blocks(task, 500, seed=2))
    new = fitted("lightgbm", task, blocks(task, 900, seed=3), blocks(task, 500, seed=4))
    joined = lightgbm.Booster(model_str=added_models(old.model, new.model))
    X, _ = learning_data(task, 700, seed=8)
    parts = [each.booster.predict(X, raw_score=True) for each in (old, new)]
    np.testing.assert_allclose(joined.predict(X, raw_score=True), sum(parts), atol=1e-9)
    assert joined.num_trees() == old.booster.num_trees() + new.booster.num_trees()


def test_a_learner_that_cannot_says_so():
    """hist_gradient_boosting starts from scratch only."""
    task = Task.BINARY
    rows = blocks(task, 600, seed=1)
    start = fitted("hist_gradient_boosting", task, rows, rows)
    with pytest.raises(ConfigError, match="cannot go on"):
        fitted("hist_gradient_boosting", task, rows, rows, start=start)


def test_another_matrix_is_refused():
    """A model of other classes, or of another number of features, is no start."""
    rows = blocks(Task.BINARY, 600, seed=1)
    start = fitted("lightgbm", Task.BINARY, rows, rows)
    three = blocks(Task.MULTICLASS, 600, seed=1)
    with pytest.raises(SchemaMismatch, match="go on"):
        fitted("lightgbm", Task.MULTICLASS, three, three, start=start)
    X, y = learning_data(Task.BINARY, 600, seed=1)
    narrow = ArrayBlocks(X[:, :4], y)
    with pytest.raises(SchemaMismatch, match="6 features"):
        fitted("lightgbm", Task.BINARY, narrow, narrow, start=start)
