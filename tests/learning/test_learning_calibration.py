"""Probabilities set right: chosen by measure, stored as plain numbers, and nothing else moved."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, softmax
from sklearn.pipeline import Pipeline

from tidemill.config import ThresholdConfig, TrainingConfig
from tidemill.contracts import Fit
from tidemill.errors import ConfigError
from tidemill.features.reducer import Reducer
from tidemill.learning import (
    Calibration,
    calibrated_fit,
    check_estimator,
    fit,
    predict_scores,
    require_threshold,
    threshold_of,
)
from tidemill.learning.calibrated import IsotonicClassifier, ThresholdClassifier
from tidemill.learning.calibrating import find_calibration
from tidemill.learning.operating import find_operating
from tidemill.metrics import BinaryFigures
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.tracking import open_candidate, save_candidate


class Told:
    """A classifier whose probabilities are those in its columns, distorted."""

    def __init__(self, distort):
        self.distort = distort

    def predict_proba(self, X):
        """Two columns of the first, or all columns."""
        if X.shape[1] > 1:
            return self.distort(X.astype(np.float64))
        said = self.distort(X[:, 0].astype(np.float64))
        return np.column_stack([1 - said, said])


def binary(rows, seed=0, centre=-2.0):
    """True probabilities (rows, 1), and what came of them."""
    rng = np.random.default_rng(seed)
    chance = expit(rng.normal(centre, 1.5, rows)).astype(np.float32)
    return chance[:, None], (rng.random(rows) < chance).astype(np.int64)


def found(distort, rows=20_000, how="auto", seed=0):
    """What is chosen for a distortion, by rows in uneven blocks."""
    X, y = binary(rows, seed)
    return find_calibration(Told(distort), ArrayBlocks(X, y, block_rows=701), Task.BINARY, how)


def test_true_probabilities_stay():
    """None wins unless it is surely beaten."""
    assert found(lambda p: p).kind == "none"
    for seed in range(8):
        assert found(lambda p: p, rows=400, seed=seed).kind == "none"


def test_a_logistic_distortion_is_taken_back_by_platt():
    """To the true probabilities, within a few thousandths; the order of rows stands."""
    chosen = found(lambda p: expit(0.5 * logit(p) + 1.0))
    assert chosen.kind == "platt"
    X, y = binary(50_000, seed=5)
    fitted = chosen.applied(Told(lambda p: expit(0.5 * logit(p) + 1.0)))
    said = fitted.predict_proba(X)[:, 1]
    assert np.abs(said - X[:, 0]).mean() < 0.01
    assert said.mean() == pytest.approx(y.mean(), abs=0.005)
    before, after = chosen.log_loss
    assert before > after + 0.05
    assert chosen.average_precision[0] == pytest.approx(chosen.average_precision[1], abs=1e-9)
    np.testing.assert_allclose(chosen.binary(expit(0.5 * logit(X[:, 0]) + 1.0)), said, atol=1e-5)


def test_a_distortion_that_is_no_logistic_is_taken_back_by_steps():
    """Isotonic is taken where Platt's curve is surely beaten; what its ties cost is told."""
    distort = lambda p: np.where(p < 0.3, 0.1 * p, p)  # noqa: E731
    chosen = found(distort)
    assert chosen.kind == "isotonic"
    assert (np.diff(chosen.scores) > 0).all()
    assert (np.diff(chosen.shares) >= 0).all()
    X, y = binary(50_000, seed=5)
    figures = [
        BinaryFigures.of(one.predict_proba(X)[:, 1], y).values()
        for one in (Told(distort), chosen.applied(Told(distort)))
    ]
    assert figures[1]["log_loss"] < figures[0]["log_loss"] - 0.05
    assert figures[1]["brier"] < figures[0]["brier"]
    assert "average precision" in chosen.said
    ours = [one["average_precision"] for one in figures]
    assert ours[0] - ours[1] == pytest.approx(
        chosen.average_precision[0] - chosen.average_precision[1], abs=0.01
    )


def test_a_choice_is_judged_on_rows_that_it_was_not_made_from():
    """Steps fit any rows: of scores that tell nothing they are no gain, and are not taken."""
    rng = np.random.default_rng(1)
    X = rng.uniform(0.2, 0.4, (600, 1)).astype(np.float32)
    y = (rng.random(600) < 0.3).astype(np.int64)
    chosen = find_calibration(
        Told(lambda p: np.full_like(p, 0.3) + 1e-3 * p), ArrayBlocks(X, y), Task.BINARY, "isotonic"
    )
    assert chosen.log_loss[1] > chosen.log_loss[0]


def test_many_classes_get_a_temperature():
    """Overconfident by 2: the slope is one half."""
    rng = np.random.default_rng(3)
    logs = rng.normal(size=(20_000, 4))
    truth = softmax(logs, axis=1)
    y = (truth.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1).astype(np.int64)
    blocks = ArrayBlocks(truth.astype(np.float32), y, block_rows=999)
    sharp = Told(lambda p: softmax(2 * np.log(p), axis=1))
    sharp.classes_ = np.array(list("abcd"))
    chosen = find_calibration(sharp, blocks, Task.MULTICLASS, "auto")
    assert chosen.kind == "temperature"
    assert chosen.slope == pytest.approx(0.5, rel=0.05)
    X = truth.astype(np.float32)
    assert np.abs(chosen.applied(sharp).predict_proba(X) - truth).max() < 0.05
    assert find_calibration(Told(lambda p: p), blocks, Task.MULTICLASS, "auto").kind == "none"


def test_one_that_does_not_fit_the_task_is_refused_and_one_without_rows_is_told():
    """Never in silence."""
    X, y = binary(100)
    blocks = ArrayBlocks(X, y)
    with pytest.raises(ConfigError, match=r"training\.calibration: temperature") as caught:
        find_calibration(Told(lambda p: p), blocks, Task.BINARY, "temperature")
    assert "platt or isotonic" in caught.value.remedy
    few = ArrayBlocks(X[:8], y[:8])
    fitted, chosen = calibrated_fit(
        Fit(Told(lambda p: p), "boosted", "roc_auc"),
        few,
        Task.BINARY,
        TrainingConfig(calibration="platt"),
    )
    assert chosen == Calibration()
    assert "too few" in fitted.warnings[0]


ISOTONIC = {"scores": (0.1, 0.4, 0.9), "shares": (0.0, 0.2, 0.2)}


@pytest.fixture(scope="module")
def logistic():
    """A learner's own models, without and with balanced weights, and what they were fitted on."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3)).astype(np.float32)
    blocks = ArrayBlocks(X, (X[:, 0] + rng.normal(size=500) > 1).astype(np.int64))
    models = [
        fit(
            TrainingConfig(learner="linear", class_weight=how),
            {},
            blocks,
            blocks.take(()),
            task=Task.BINARY,
            classes=("no", "yes"),
            seed=0,
        ).estimator
        for how in ("none", "balanced")
    ]
    return models, X


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration("platt", 2.0, (0.0, -1.0)),
        Calibration("isotonic", **ISOTONIC),
        Calibration(threshold=0.15),
        Calibration("platt", 2.0, (0.0, -1.0), threshold=0.3),
        Calibration("isotonic", threshold=0.1, **ISOTONIC),
    ],
    ids=lambda one: f"{one.kind} above {one.threshold}",
)
def test_a_calibrated_model_is_sealed_and_answers_the_same(logistic, calibration, tmp_path):
    """Also one with balanced weights beneath, and its document gives it back."""
    models, X = logistic
    assert Calibration.of_model(calibration.noted()) == calibration
    table = pd.DataFrame(X, columns=list("abc"))
    for inner in models:
        model = Pipeline([("reducer", _reducer()), ("learner", calibration.applied(inner))])
        save_candidate(model, tmp_path / "model", example=table.head(3))
        loaded = open_candidate(tmp_path / "model").pipeline
        expected = calibration.binary(predict_scores(inner, X, Task.BINARY))
        np.testing.assert_allclose(loaded.predict_proba(table)[:, 1], expected, atol=1e-12)
        decided = expected > calibration.threshold
        assert loaded.predict(table).tolist() == np.where(decided, "yes", "no").tolist()
        assert threshold_of(loaded[-1]) == calibration.threshold


@pytest.mark.parametrize(
    ("calibration", "spoilt", "said"),
    [
        (Calibration("platt", 2.0, (0.0, -1.0)), {"slope": -1.0}, "slope"),
        (Calibration("platt", 2.0, (0.0, -1.0)), {"offsets": np.array([0.0, np.nan])}, "offsets"),
        (Calibration("isotonic", **ISOTONIC), {"shares": np.array([0.2, 0.1, 0.3])}, "falls"),
        (Calibration("isotonic", **ISOTONIC), {"shares": np.array([0.0, 0.1, 1.3])}, "leaves"),
        (Calibration("isotonic", **ISOTONIC), {"scores": np.array([0.2])}, "finite numbers"),
        (Calibration(threshold=0.3), {"threshold": 1.0}, "inside 0 and 1"),
        (Calibration(threshold=0.3), {"threshold": float("nan")}, "inside 0 and 1"),
        (Calibration(threshold=0.3), {"threshold": "0.3"}, "inside 0 and 1"),
    ],
)
def test_a_stored_curve_that_is_none_is_refused(logistic, calibration, spoilt, said):
    """Before anything is predicted."""
    made = calibration.applied(logistic[0][0])
    check_estimator(made, 3)
    with pytest.raises(ValueError, match=said):
        check_estimator(made.set_params(**spoilt), 3)


def test_a_threshold_over_another_is_refused(logistic):
    """Which of the two decides could not be told."""
    inner = Calibration(threshold=0.3).applied(logistic[0][0])
    with pytest.raises(ValueError, match="over another one"):
        check_estimator(ThresholdClassifier(inner, 0.2), 3)
    curve = IsotonicClassifier(inner, np.array([0.1, 0.9]), np.array([0.1, 0.9]))
    with pytest.raises(ValueError, match="set right the same way"):
        check_estimator(curve, 3)


@pytest.mark.parametrize(
    ("rows", "positive", "wanted", "said"),
    [
        (500, 0.5, ThresholdConfig(precision=1.0), "no threshold has a precision of 1 "),
        (40, 0.1, "f1", " validation rows of a class chose it"),
        (40, 0.0, "f1", "of one class only: it stays at 0.5"),
        (500, 0.5, 0.3, None),
    ],
)
def test_a_threshold_that_is_unsure_says_so(logistic, rows, positive, wanted, said):
    """The precision that is nowhere, few rows of a class, or none."""
    models, X = logistic
    y = np.zeros(rows, np.int64)
    y[: round(positive * rows)] = 1
    y = np.random.default_rng(1).permutation(y)
    y[predict_scores(models[0], X[:rows], Task.BINARY).argmax()] = 0
    blocks = ArrayBlocks(X[:rows], y, block_rows=37)
    found, told = find_operating(models[0], blocks, Task.BINARY, wanted)
    assert 0 < found < 1
    assert [said in one for one in told] == ([] if said is None else [True])


@pytest.mark.parametrize(
    ("task", "rows", "wanted", "said"),
    [
        (Task.MULTICLASS, 100, 0.3, "a multiclass target has no threshold"),
        (Task.BINARY, 0, "f1", "sharding.holdout.validation is 0"),
    ],
)
def test_a_threshold_that_nothing_can_choose_is_refused(task, rows, wanted, said):
    """Before anything is fitted, with a remedy."""
    with pytest.raises(ConfigError, match=said):
        require_threshold(wanted, task, rows)
    require_threshold(0.5, task, rows)


def _reducer():
    """Passes three columns through."""
    same = {"fills": [0.0], "means": [0.0], "scales": [1.0], "missing_slot": -1}
    features = [
        {"name": name, "kind": "numeric", "slots": [slot], **same}
        for slot, name in enumerate("abc")
    ]
    return Reducer(features, list("abc"), seen=list("abc"))
