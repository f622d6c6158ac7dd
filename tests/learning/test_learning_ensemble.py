"""shard_ensemble: a model a shard, votes by validation, one artifact like any other."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.pipeline import Pipeline

from tidemill.config import TrainingConfig, read_params
from tidemill.engines import LocalEngine
from tidemill.errors import BudgetExceeded, ConfigError, TargetUnusable
from tidemill.features.reducer import Reducer
from tidemill.learners import LEARNERS
from tidemill.learning import check_estimator, choose_strategy, fit, importance, predict_scores
from tidemill.learning.sharded import by_shard
from tidemill.metrics import figures_of
from tidemill.schema import Task
from tidemill.stages.blocks import ReducedBlocks
from tidemill.storage import StoreFolder
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data
from tidemill.tracking import open_candidate, save_candidate
from tidemill.tracking.skopsfile import canonical

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}
NAMES = tuple(f"x{i}" for i in range(6))
SHORT = {
    "sgd": {},
    "lightgbm": {"num_iterations": 30, "num_leaves": 7},
    "hist_gradient_boosting": {"max_iter": 20, "max_leaf_nodes": 7},
}


def ensemble(learner="lightgbm", task=Task.BINARY, *, train=None, held=None, engine=None, **more):
    """A model a shard of four shards, with short defaults."""
    train = train or ArrayBlocks(*learning_data(task, 4096, seed=1))
    held = held or ArrayBlocks(*learning_data(task, 800, seed=2))
    config = TrainingConfig(learner=learner, strategy="shard_ensemble")
    options = {"task": task, "classes": CLASSES[task], "seed": 3, **more}
    return fit(config, SHORT[learner], train, held, engine=engine or LocalEngine(), **options)


def nothing(task):
    """No validation rows."""
    X, y = learning_data(task, 1, seed=1)
    return ArrayBlocks(X[:0], y[:0])


def pipeline(estimator):
    """The estimator behind a reducer that passes six columns through."""
    same = {"fills": [0.0], "means": [0.0], "scales": [1.0], "missing_slot": -1}
    features = [
        {"name": name, "kind": "numeric", "slots": [slot], **same}
        for slot, name in enumerate(NAMES)
    ]
    reducer = Reducer(features, list(NAMES), seen=list(NAMES))
    return Pipeline([("reducer", reducer), ("learner", estimator)])


@pytest.mark.parametrize("task", list(Task), ids=str)
@pytest.mark.parametrize(
    "learner", ["sgd", "lightgbm", pytest.param("hist_gradient_boosting", marks=pytest.mark.slow)]
)
def test_the_votes_of_any_learner_are_one_model(learner, task, tmp_path):
    """Sealed, loaded and asked as any other; it weighs the columns, and knows what it learnt."""
    found = ensemble(learner, task)
    assert len(found.estimator.members) == 4
    assert found.strategy == "shard_ensemble"
    assert found.warnings == ()
    X, y = learning_data(task, 1500, seed=99)
    table = pd.DataFrame(X, columns=list(NAMES))
    digest = save_candidate(pipeline(found.estimator), tmp_path / "a", example=table.head(5))
    loaded = open_candidate(tmp_path / "a").pipeline
    scores = predict_scores(loaded[-1], loaded[0].transform(table), task)
    np.testing.assert_array_equal(scores, predict_scores(found.estimator, X, task))
    assert save_candidate(loaded, tmp_path / "b", example=table.head(5)) == digest
    shares = importance(loaded[-1], NAMES)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["x0"] > 2 * max(shares[name] for name in NAMES[3:])
    figures = figures_of(task, scores, y, classes=CLASSES[task]).values()
    assert {Task.BINARY: figures.get("roc_auc", 0), Task.REGRESSION: figures.get("r2", 0)}.get(
        task, 1 - figures.get("log_loss", 0)
    ) > (0.3 if task is Task.MULTICLASS else 0.85)
    if task is not Task.REGRESSION:
        labels = np.array(CLASSES[task])
        codes = loaded.predict_proba(table).argmax(axis=1)
        np.testing.assert_array_equal(loaded.predict(table), labels[codes])


def test_the_vote_is_the_weighted_mean_of_fits_of_each_shard():
    """A member is what the learner makes of its shard alone; weights are skills, as shares."""
    train = ArrayBlocks(*learning_data(Task.BINARY, 4096, seed=1))
    held = ArrayBlocks(*learning_data(Task.BINARY, 800, seed=2))
    found = ensemble(train=train, held=held).estimator
    alone = [
        fit(
            TrainingConfig(),
            SHORT["lightgbm"],
            shard,
            held,
            task=Task.BINARY,
            classes=("no", "yes"),
            seed=3,
        ).estimator
        for shard in by_shard(train)
    ]
    assert [one.model for one in found.members] == [one.model for one in alone]
    (X, y), skills = learning_data(Task.BINARY, 800, seed=2), []
    share = y.mean()
    dummy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    for one in alone:
        p = one.predict_proba(X)[np.arange(len(y)), y]
        skills.append(1 + np.log(p).mean() / dummy)
    np.testing.assert_allclose(found.weights, np.array(skills) / sum(skills), rtol=1e-9)
    mean = sum(w * one.predict_proba(X) for w, one in zip(found.weights, alone, strict=True))
    np.testing.assert_allclose(found.predict_proba(X), mean, rtol=1e-12)


def test_a_shard_of_another_world_has_no_vote():
    """Labels turned round in one shard: its model says less than a dummy of validation rows."""
    X, y = learning_data(Task.BINARY, 4096, seed=1)
    y[:1024] = 1 - y[:1024]
    found = ensemble(train=ArrayBlocks(X, y)).estimator
    assert found.weights[0] == 0
    assert found.weights[1:].min() > 0.3


def test_members_with_balanced_weights_have_a_vote():
    """A rare class: their probabilities are those without weights, and better than a dummy's."""
    rng = np.random.default_rng(4)

    def rows(count):
        X = rng.normal(size=(count, 6)).astype(np.float32)
        return ArrayBlocks(X, (2 * X[:, 0] + rng.logistic(size=count) > 5).astype(np.int32))

    config = TrainingConfig(learner="linear", strategy="shard_ensemble", class_weight="balanced")
    options = {"task": Task.BINARY, "classes": ("no", "yes"), "seed": 3}
    found = fit(config, {}, rows(8000), rows(2000), engine=LocalEngine(), **options)
    assert found.warnings == ()
    assert found.estimator.weights.min() > 0


class Told(LocalEngine):
    """Notes what an item of a map is said to hold."""

    def map(self, function, items, *, item_bytes=None, **how):
        self.item_bytes = item_bytes
        return super().map(function, items, item_bytes=item_bytes, **how)


def test_the_engine_is_told_what_the_fit_of_a_shard_holds():
    """Of the largest, by the learner: a worker without the room refuses it, and is not killed."""
    train = ArrayBlocks(*learning_data(Task.BINARY, 3500, seed=1))
    with Told() as engine:
        ensemble(train=train, engine=engine)
    largest = max(sum(shard.rows) for shard in by_shard(train))
    assert engine.item_bytes == LEARNERS["lightgbm"]().needed_bytes("boosted", largest, 6, 1)


@pytest.mark.slow
def test_two_workers_leave_the_bytes_of_one_process():
    """The result does not depend on the engine; each worker reads its shard and the validation."""
    here = ensemble().estimator
    with LocalEngine(2) as engine:
        there = ensemble(engine=engine).estimator
    assert canonical(skops.io.dumps(here)) == canonical(skops.io.dumps(there))


def test_what_travels_with_a_shard_does_not_grow_with_shards(tmp_path):
    """Of a store apart each part has its hashes: a shard carries its own."""
    sizes = []
    for count in (2, 200):
        parts = [f"{number:05d}" for number in range(count)]
        blocks = ReducedBlocks(
            StoreFolder.at(tmp_path),
            NAMES,
            tuple((part, 0, 10) for part in parts),
            "int32",
            hashes={part: {"x": "0" * 64, "y": "1" * 64} for part in parts},
        )
        assert blocks.take([1]).hashes == {"00001": blocks.hashes["00001"]}
        sizes += [len(pickle.dumps(shard)) for shard in by_shard(blocks)]
    assert len(set(sizes)) == 1


def test_without_validation_rows_votes_weigh_by_rows():
    """As in a refit: the last shard is half as long as the first."""
    train = ArrayBlocks(*learning_data(Task.REGRESSION, 1536, seed=1))
    found = ensemble("sgd", Task.REGRESSION, train=train, held=nothing(Task.REGRESSION), rounds=2)
    np.testing.assert_allclose(found.estimator.weights, [2 / 3, 1 / 3])
    assert found.n_iterations == 2
    assert found.warnings == ()


def test_what_nobody_foresees_is_said():
    """No member beats a dummy: votes by rows, and a warning."""
    X, y = learning_data(Task.REGRESSION, 2048, seed=1)
    held = ArrayBlocks(X[:500], y[:500] - 5000)
    found = ensemble("sgd", Task.REGRESSION, train=ArrayBlocks(X, y), held=held)
    np.testing.assert_allclose(found.estimator.weights, [0.5, 0.5])
    assert "no model of a shard is better than a dummy" in found.warnings[0]


def test_a_shard_that_teaches_nothing_alone_is_left_out_and_named():
    """One class only: the others vote. Where all are so, it is an error."""
    X, y = learning_data(Task.BINARY, 3072, seed=1)
    y[:1024] = 0
    found = ensemble(train=ArrayBlocks(X, y))
    assert len(found.estimator.members) == 2
    assert found.warnings[0].startswith("1 of 3 shards teach nothing by themselves and are left")
    assert "(1024 rows): 00000: the training rows hold fewer than two classes" in found.warnings[0]
    with pytest.raises(TargetUnusable, match="none of 3 shards"):
        ensemble(train=ArrayBlocks(X, np.zeros(3072, np.int32)))


def test_a_class_that_a_shard_lacks():
    """LightGBM and sgd learn without it; scikit-learn's boosting would make no tree for it."""
    X, y = learning_data(Task.MULTICLASS, 3072, seed=1)
    y[:1024][y[:1024] == 2] = 1
    train = ArrayBlocks(X, y)
    for learner, members in (("lightgbm", 3), ("sgd", 3), ("hist_gradient_boosting", 2)):
        found = ensemble(learner, Task.MULTICLASS, train=train)
        assert len(found.estimator.members) == members
        assert found.estimator.predict_proba(X[:5]).shape == (5, 3)
    assert "needs rows of every class, and of 'b' there are none" in found.warnings[0]


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda e: e.weights.__setitem__(0, np.nan), "weights"),
        (lambda e: e.weights.__setitem__(0, -0.5), "weights"),
        (lambda e: setattr(e, "weights", e.weights[1:]), "weights"),
        (lambda e: setattr(e, "members", []), "no members"),
        (lambda e: setattr(e, "members", [copy.copy(e)]), "one learner"),
        (lambda e: setattr(e.members[1], "labels", ["yes", "no"]), "other classes"),
        (lambda e: setattr(e.members[1], "n_jobs", 10**9), "threads"),
        (lambda e: setattr(e, "members", e.members[:1] + ["x"] * 3), "one learner"),
    ],
)
def test_a_damaged_ensemble_is_refused(break_it, says):
    """Each member is checked as it would be alone, and the weights are shares."""
    estimator = copy.deepcopy(ensemble().estimator)
    check_estimator(estimator, 6)
    break_it(estimator)
    with pytest.raises(ValueError, match=says):
        check_estimator(estimator, 6)


def test_it_cannot_be_gone_on_from():
    """From scratch: what each member would go on with is not said."""
    start = ensemble().estimator
    with pytest.raises(ConfigError, match="an ensemble of lightgbm cannot go on") as caught:
        ensemble(start=start)
    assert "from scratch" in caught.value.remedy


def test_the_budget_is_that_of_the_largest_shard():
    """What is too much for one fit is a fit a shard, by the learner's own strategy."""
    rows = {"rows": 10**7, "n_features": 30, "task": Task.BINARY}
    config = TrainingConfig(learner="hist_gradient_boosting")
    with pytest.raises(BudgetExceeded):
        choose_strategy(config, **rows)
    spread = replace_strategy(config)
    choice = choose_strategy(spread, **rows, shard_rows=500_000)
    assert (choice.strategy, choice.member) == ("shard_ensemble", "in_memory")
    assert "a model a shard" in choice.why
    with pytest.raises(BudgetExceeded):
        choose_strategy(spread, **rows)


def replace_strategy(config):
    """The same, as an ensemble."""
    return config.model_copy(update={"strategy": "shard_ensemble"})


def test_a_strategy_that_the_learner_lacks_is_refused_where_it_is_read():
    """Before any work; the message names those that it has."""
    text = "dataset: {source: a, target: y}\ntraining: {learner: sgd, strategy: boosted}\n"
    with pytest.raises(ConfigError, match=r"sgd cannot learn boosted; use one of auto, increm"):
        read_params(text)
    read_params(text.replace("boosted", "shard_ensemble"))
