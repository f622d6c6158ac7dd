"""Folds of a small table: what they hold out, what they say, and that chance is kept out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.datasets import make_classification

from tidemill.config import TrainingConfig, set_params
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.stages.cross_validation import (
    CrossValidation,
    MatrixBlocks,
    mean_error,
    mean_of,
    split_rows,
)
from tidemill.testing.workspaces import copy_workspace, run_here, small_workspace

SCHEMA = TableSchema(
    (Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "string"),), Task.BINARY, ("no", "yes")
)


def objective(X, y, *, params=None, metric="roc_auc", folds=5, **given):
    rows = MatrixBlocks(
        tuple(f"x{i}" for i in range(X.shape[1])), X.astype(np.float32), y.astype(np.int32)
    )
    splits = split_rows(y, n_rows=len(y), folds=folds, seed=3, **given)
    training = TrainingConfig(params={"num_iterations": 40, "num_threads": 1, **(params or {})})
    return CrossValidation(training, rows, splits, SCHEMA, metric, 3)


def test_every_row_is_held_out_as_often_and_never_learnt_beside():
    """Each repeat holds out each row once; classes have like shares."""
    y = np.repeat([0, 1], [270, 30])
    splits = split_rows(y, n_rows=300, folds=5, seed=1)
    assert len(splits) == 15
    held = np.bincount(np.concatenate([held_out for _, held_out in splits]), minlength=300)
    assert (held == 3).all()
    for learnt, held_out in splits:
        assert not set(learnt) & set(held_out)
        assert len(learnt) + len(held_out) == 300
        assert y[held_out].sum() == 6


def test_folds_in_time_learn_what_comes_before():
    """No fold learns a row that is later than one it holds out."""
    times = np.random.default_rng(0).permutation(100)
    splits = split_rows(None, n_rows=100, folds=4, seed=1, times=times)
    assert len(splits) == 4
    for learnt, held_out in splits:
        assert times[learnt].max() < times[held_out].min()


def test_a_fold_that_cannot_learn_all_classes_is_left_out():
    """A class of one row is held out by one fold, which would not know it."""
    y = np.array([0] * 20 + [1] * 20 + [2])
    splits = split_rows(y, n_rows=41, folds=5, seed=1)
    assert splits
    assert all(set(y[learnt]) == {0, 1, 2} for learnt, _ in splits)
    assert split_rows(np.zeros(41), n_rows=41, folds=5, seed=1) == ()
    assert split_rows(None, n_rows=9, folds=5, seed=1) == ()


def test_rounds_are_those_of_the_mean_curve():
    """Not each fold's own best: where few rows judge, those lie anywhere."""
    X, y = make_classification(240, 8, n_informative=4, flip_y=0.2, random_state=1)
    crossed = objective(X, y)
    judged = crossed.judge({})
    curves = []
    for learnt, held_out in crossed.splits:
        fitted, _ = crossed._fold({}, crossed.rows.at(learnt), crossed.rows.at(held_out))
        curves.append([value for _, value in fitted.curve])
    assert {len(curve) for curve in curves} == {40}
    mean = np.mean(curves, axis=0)
    assert judged.rounds == int(mean.argmax()) + 1
    np.testing.assert_allclose(judged.values, np.array(curves)[:, judged.rounds - 1])
    assert judged.value == pytest.approx(mean.max())


def test_the_error_is_larger_than_that_of_independent_folds():
    """Nadeau and Bengio's: repeats do not shrink it to nothing."""
    values = np.random.default_rng(1).normal(size=20)
    assert mean_error(values, 0.25) == pytest.approx(values.std(ddof=1) * (1 / 20 + 0.25) ** 0.5)
    assert np.isnan(mean_error(values[:1], 0.25))
    assert mean_of(np.array([1.0, np.nan, 3.0])) == 2.0


def test_what_is_as_good_as_the_defaults_is_no_lead():
    """Two judgements of the same parameters have no lead; of a crippled one there is one."""
    X, y = make_classification(300, 8, n_informative=4, class_sep=2.0, random_state=1)
    crossed = objective(X, y)
    defaults = crossed.judge({})
    assert crossed.lead(defaults, crossed.judge({})).value == 0
    stump = crossed.judge({"num_leaves": 2, "feature_fraction": 0.2, "learning_rate": 1e-6})
    lead = crossed.lead(defaults, stump)
    assert lead.value > lead.error


def test_a_figure_that_the_learner_cannot_follow_is_that_of_predictions():
    """Accuracy: the mean over folds of what is predicted; rounds still come from the curves."""
    X, y = make_classification(200, 6, random_state=2)
    judged = objective(X, y, metric="accuracy").judge({})
    assert 0.5 < judged.value <= 1
    assert judged.rounds is not None


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    """A small workspace that is reduced, with two folds."""
    asked = ["tuning.folds=2", "tuning.space={}"]
    root = small_workspace(tmp_path_factory.mktemp("folds") / "ws", rows=1500, settings=asked)
    run_here(root, until="reduce")
    return root


def tuned(reduced, folder, *asked, until="tune"):
    root = copy_workspace(reduced, folder / "ws")
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), list(asked)))
    run_here(root, until=until)
    return root, json.loads((root / "models/params.json").read_text())


@pytest.mark.parametrize("trials", [0, 3])
def test_a_small_table_is_judged_by_folds(reduced, tmp_path, trials):
    """tune leaves rounds and an error; train learns so many rounds, uncut by validation rows."""
    root, found = tuned(reduced, tmp_path, f"tuning.trials={trials}", until="train")
    trained = json.loads((root / "models/candidate/training.json").read_text())
    assert found["folds"] == 2
    assert found["error"] > 0
    assert found["trials"] == trials
    assert trained["iterations"] == found["rounds"] <= 12


def test_without_folds_validation_rows_judge(reduced, tmp_path):
    """tuning.folds: 0."""
    _, found = tuned(reduced, tmp_path, "tuning.folds=0")
    assert "folds" not in found
    assert "rounds" not in found
