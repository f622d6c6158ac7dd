"""averaged: shards go through their rows from the same weights, whose mean goes on."""

import copy
from functools import partial

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss

from tidemill.config import TrainingConfig
from tidemill.engines import LocalEngine
from tidemill.errors import TargetUnusable
from tidemill.learning import fit, predict_scores
from tidemill.learning.averaging import averaged_round
from tidemill.learning.sharded import by_shard
from tidemill.metrics import HIGHER_IS_BETTER, figures_of
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data
from tidemill.tracking.skopsfile import canonical

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}
DECIDES = {Task.BINARY: "roc_auc", Task.MULTICLASS: "log_loss", Task.REGRESSION: "r2"}


def sgd(strategy, task=Task.BINARY, *, train=None, params=None, engine=None, **more):
    """A fit by sgd of four shards."""
    train = train or ArrayBlocks(*learning_data(task, 4096, seed=1))
    held = ArrayBlocks(*learning_data(task, 800, seed=2))
    config = TrainingConfig(learner="sgd", strategy=strategy, **more.pop("settings", {}))
    options = {
        "task": task,
        "classes": CLASSES[task],
        "seed": 3,
        "engine": engine or LocalEngine(),
        **more,
    }
    return fit(config, params or {}, train, held, **options)


def to_skops(estimator):
    """The bytes that it is stored as."""
    return canonical(skops.io.dumps(estimator))


@pytest.mark.parametrize(
    ("task", "average"), [*((task, True) for task in Task), (Task.BINARY, False)]
)
def test_it_is_as_good_as_one_process(task, average):
    """No worse by a hundredth of the figure that decides, also where steps are not averaged."""
    X, y = learning_data(task, 3000, seed=99)
    found = []
    for strategy in ("incremental", "averaged"):
        fitted = sgd(strategy, task, params={"average": average, "max_epochs": 10})
        assert fitted.strategy == strategy
        scores = predict_scores(fitted.estimator, X, task)
        found.append(figures_of(task, scores, y, classes=CLASSES[task]).values()[DECIDES[task]])
    gained = found[1] - found[0] if HIGHER_IS_BETTER[DECIDES[task]] else found[0] - found[1]
    assert gained > -0.01


def test_two_workers_leave_the_bytes_of_one_process():
    """What shards come to is summed in their order, wherever they are."""
    with LocalEngine(2) as engine:
        there = sgd("averaged", engine=engine)
        assert to_skops(there.estimator) == to_skops(sgd("averaged").estimator)
        assert there.curve == sgd("averaged").curve


def test_one_shard_is_one_process():
    """With nothing to average it is the same model, byte by byte."""
    train = ArrayBlocks(*learning_data(Task.BINARY, 2000, seed=1), shard_blocks=1000)
    pair = [sgd(strategy, train=train).estimator for strategy in ("incremental", "averaged")]
    assert to_skops(pair[0]) == to_skops(pair[1])


def learn(epochs, estimator, shard):
    """Some epochs of scikit-learn's own, in the rows' order."""
    X, y = (np.concatenate(parts) for parts in zip(*shard, strict=True))
    for _ in range(epochs):
        estimator.partial_fit(X, y, classes=[0, 1])
    return estimator, np.bincount(y, minlength=2)


@pytest.mark.parametrize("average", [True, False])
def test_the_weights_are_the_mean_by_rows(average):
    """Of three shards of 512, 512 and 76 rows, all from the same start, which stays as it was."""
    blocks = ArrayBlocks(*learning_data(Task.BINARY, 1100, seed=1), shard_blocks=2)
    start, _ = learn(2, SGDClassifier(loss="log_loss", average=average, shuffle=False), blocks)
    before = start.coef_.copy()
    found, counts = averaged_round(partial(learn, 1), start, by_shard(blocks), LocalEngine())
    np.testing.assert_array_equal(start.coef_, before)
    assert counts.sum() == 1100
    begun = copy.deepcopy(start)
    if average:  # of this round's steps alone
        begun.average = int(start.t_)
    alone = [learn(1, copy.deepcopy(begun), one)[0] for one in by_shard(blocks)]
    assert (found.t_, found.average) == (start.t_ + 1100, average)
    share = np.array([512, 512, 76]) / 1100
    for name in ("coef_", "intercept_"):
        parts = [np.asarray(getattr(one, name), float) for one in alone]
        mean = sum(w * part for w, part in zip(share, parts, strict=True))
        np.testing.assert_allclose(getattr(found, name), mean, rtol=1e-6)
    further, _ = averaged_round(partial(learn, 1), found, by_shard(blocks), LocalEngine())
    assert np.abs(further.coef_ - found.coef_).max() < np.abs(found.coef_ - before).max() * 3


@pytest.mark.parametrize("shards", [5, 20])
def test_the_probabilities_of_small_shards_are_sound(shards):
    """A thousand rows a shard and fewer: within a twentieth of what the true weights have."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=12) / 2

    def rows(count):
        X = rng.normal(size=(count, 12)).astype(np.float32)
        return X, (X @ weights + rng.logistic(size=count) > 0).astype(np.int32)

    (X, y), held, (proof, truth) = (rows(count) for count in (5000, 1000, 4000))
    config = TrainingConfig(learner="sgd", strategy="averaged")
    options = {"task": Task.BINARY, "classes": ("no", "yes"), "seed": 1, "metric": "log_loss"}
    train = ArrayBlocks(X, y, block_rows=125, shard_blocks=40 // shards)
    found = fit(config, {}, train, ArrayBlocks(*held), engine=LocalEngine(), **options)
    scores = predict_scores(found.estimator, proof, Task.BINARY)
    best = log_loss(truth, 1 / (1 + np.exp(-proof @ weights)))
    assert log_loss(truth, scores) < best + 0.05


@pytest.mark.parametrize("strategy", ["averaged", "incremental"])
def test_probabilities_worse_than_a_dummys_are_said(strategy):
    """By the log loss, whatever the figure that the fit follows."""
    X, y = learning_data(Task.BINARY, 400, seed=1)
    y[::3] = 1 - y[::3]
    held = ArrayBlocks(X, y)
    wild = sgd(strategy, train=held, params={"alpha": 1e-7, "max_epochs": 1}, metric="roc_auc")
    assert "times the log loss of a dummy's" in wild.warnings[0]
    assert sgd(strategy).warnings == ()


def test_a_shard_of_one_class_takes_part():
    """Classes are looked for in all shards together."""
    X, y = learning_data(Task.BINARY, 2048, seed=1)
    order = np.argsort(y, kind="stable")
    sorted_rows = ArrayBlocks(X[order], y[order])
    proof, truth = learning_data(Task.BINARY, 1500, seed=99)
    fitted = sgd("averaged", train=sorted_rows, settings={"class_weight": "balanced"})
    scores = predict_scores(fitted.estimator, proof, Task.BINARY)
    assert figures_of(Task.BINARY, scores, truth, classes=("no", "yes")).values()["roc_auc"] > 0.9
    with pytest.raises(TargetUnusable):
        sgd("averaged", train=ArrayBlocks(X, np.zeros(2048, np.int32)))


def test_it_goes_on_from_a_model():
    """One more round over few rows leaves a good model good."""
    start = sgd("averaged", Task.REGRESSION)
    few = ArrayBlocks(*learning_data(Task.REGRESSION, 40, seed=5), block_rows=10, shard_blocks=2)
    held = learning_data(Task.REGRESSION, 1500, seed=99)
    further = sgd("averaged", Task.REGRESSION, train=few, start=start.estimator, rounds=1)
    values = [
        figures_of(Task.REGRESSION, one.estimator.predict(held[0]), held[1], classes=()).values()
        for one in (start, further)
    ]
    assert values[1]["r2"] > values[0]["r2"] - 0.02
