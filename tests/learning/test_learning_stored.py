"""A model's text and trees are checked before native code follows their numbers."""

import lightgbm
import numpy as np
import pytest

from tidemill.config import TrainingConfig
from tidemill.errors import ModelUntrusted
from tidemill.learning import fit
from tidemill.learning.boostertext import checked_booster, count_features
from tidemill.learning.predictors import BoosterClassifier
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data


@pytest.fixture(scope="module")
def booster():
    """A small binary model on three features, one with gaps."""
    X = np.random.default_rng(0).normal(size=(400, 3))
    y = X[:, 1] > 0
    X[::9, 0] = np.nan
    settings = {"objective": "binary", "verbosity": -1, "num_leaves": 4, "deterministic": True}
    return X, lightgbm.train(settings, lightgbm.Dataset(X, y), 3)


def altered(text, name, change):
    """The text with one line of its first tree (or its head) changed, its sizes made right."""
    head, *trees = text.split("Tree=")
    place = 1 if f"\n{name}=" in trees[0] else 0
    parts = [head, *trees]
    lines = parts[place].split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{name}="))
    lines[at] = f"{name}={change(lines[at].partition('=')[2])}"
    parts[place] = "\n".join(lines)
    body = "Tree=".join(parts)
    sizes = [len(f"Tree={t.split('end of trees')[0]}") for t in body.split("Tree=")[1:]]
    lines = body.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("tree_sizes="))
    if name != "tree_sizes":
        lines[at] = "tree_sizes=" + " ".join(map(str, sizes))
    return "\n".join(lines)


def first(value):
    """Another first value."""
    return lambda line: " ".join([str(value), *line.split(" ")[1:]])


WRONG = {
    "a feature out of bounds": ("split_feature", first(3)),
    "a negative feature": ("split_feature", first(-1)),
    "a child out of bounds": ("left_child", first(99)),
    "a leaf out of bounds": ("left_child", first(-99)),
    "a child that is its parent": ("left_child", first(0)),
    "two parents": ("right_child", lambda line: line.replace(line.split(" ")[-1], "-1")),
    "a split by categories": ("decision_type", first(1)),
    "no finite threshold": ("threshold", first("1e999")),
    "no number": ("threshold", first("abc")),
    "no finite leaf": ("leaf_value", first("1e400")),
    "too few leaves": ("leaf_value", lambda line: line.rpartition(" ")[0]),
    "too many counts": ("internal_count", lambda line: f"{line} 1"),
    "more leaves than values": ("num_leaves", lambda _: "131072"),
    "no leaves": ("num_leaves", lambda _: "0"),
    "categories": ("num_cat", lambda _: "1"),
    "linear leaves": ("is_linear", lambda _: "1"),
    "another objective": ("objective", lambda _: "multiclass num_class:1000000"),
    "more classes": ("num_class", lambda _: "1000"),
    "more trees each": ("num_tree_per_iteration", lambda _: "2"),
    "more features": ("max_feature_idx", lambda _: "9999999"),
    "other sizes": ("tree_sizes", first(10)),
    "no sizes": ("tree_sizes", lambda _: ""),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_a_text_that_does_not_hold_together_is_refused(booster, what):
    """LightGBM itself would read out of bounds, walk for ever or answer something else."""
    name, change = WRONG[what]
    text = altered(booster[1].model_to_string(), name, change)
    with pytest.raises(
        ValueError, match=r"tree|classes|objective|feature|number|model|could not|invalid"
    ):
        checked_booster(text, 2)
    with pytest.raises(ModelUntrusted):  # whoever loads it, MLflow's own loaders too
        BoosterClassifier(text, ["no", "yes"]).predict(np.zeros((1, 3)))


def test_the_checked_part_predicts_the_same(booster):
    """What is cut off (settings, importances) changes no prediction; an untouched text passes."""
    X, model = booster
    text = altered(model.model_to_string(), "shrinkage", lambda line: line)
    part = checked_booster(text, 2)
    assert part.endswith("end of trees\n")
    assert count_features(text) == 3
    found = lightgbm.Booster(model_str=part)
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    np.testing.assert_array_equal(
        found.feature_importance("gain"), model.feature_importance("gain")
    )


def test_a_tree_of_one_leaf_passes():
    """Where nothing can be learnt LightGBM writes trees without splits."""
    data = lightgbm.Dataset(np.zeros((30, 2)), np.arange(30.0))
    model = lightgbm.train({"objective": "regression", "verbosity": -1}, data, 1)
    part = checked_booster(model.model_to_string(), 0)
    assert lightgbm.Booster(model_str=part).predict(np.zeros((1, 2))) == pytest.approx(14.5)


def test_a_split_between_missing_and_all_other_values_passes():
    """LightGBM writes its threshold as infinite."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 1))
    X[rng.random(2000) < 0.3] = np.nan
    y = 3.0 * np.isnan(X[:, 0]) + rng.normal(size=2000) / 10
    settings = {"objective": "regression", "verbosity": -1, "num_leaves": 2}
    model = lightgbm.train(settings, lightgbm.Dataset(X, y), 3)
    text = model.model_to_string()
    assert "threshold=inf" in text
    found = lightgbm.Booster(model_str=checked_booster(text, 0))
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    for other in ("-inf", "nan", "infinity"):
        with pytest.raises(ValueError, match=r"tree|finite"):
            checked_booster(altered(text, "threshold", lambda _, o=other: o), 0)


def test_trees_that_should_be_averaged_do_not_add_up():
    """A forest's text is no booster's, and the other way."""
    X, y = learning_data(Task.BINARY, 500, seed=1)
    rows = ArrayBlocks(X, y)
    for learner, averaged in (("forest", True), ("lightgbm", False)):
        text = fit(
            TrainingConfig(learner=learner),
            {"num_iterations": 3},
            rows,
            rows,
            task=Task.BINARY,
            classes=("no", "yes"),
            seed=3,
        ).estimator.model
        assert checked_booster(text, 2, averaged=averaged)
        with pytest.raises(ValueError, match="averaged"):
            checked_booster(text, 2, averaged=not averaged)
