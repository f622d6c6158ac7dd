"""The contract of a learner, as tests that a new one inherits.

::

    class TestMine(LearnerContract):
        learner = "mine"
"""

# ruff: noqa: S101
from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import numpy as np
import pytest
import skops.io

from tidemill.config import Scalar, TrainingConfig
from tidemill.errors import ConfigError
from tidemill.learning import (
    LEARNERS,
    TRUSTED_TYPES,
    Fit,
    default_space,
    fit,
    predict_scores,
    to_skops,
)
from tidemill.metrics import HIGHER_IS_BETTER, figures_of
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks

__all__ = ["LearnerContract", "learning_data"]

_CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}
_DECIDES = {Task.BINARY: "roc_auc", Task.MULTICLASS: "log_loss", Task.REGRESSION: "r2"}
_CHANCE = {Task.BINARY: 0.5, Task.MULTICLASS: math.log(3), Task.REGRESSION: 0.0}
_CLEARLY = {Task.BINARY: 0.3, Task.MULTICLASS: 0.3, Task.REGRESSION: 0.5}
_TASKS = pytest.mark.parametrize("task", list(Task), ids=str)


def learning_data(
    task: Task, rows: int, *, seed: int, shuffled: bool = False
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A matrix (rows, 6) and a target that depends on three of its columns."""
    rng = np.random.default_rng([seed, rows])
    X = rng.normal(size=(rows, 6)).astype(np.float32)
    signal = 2.0 * X[:, 0] - 1.5 * X[:, 1] + 0.7 * X[:, 2]
    noisy = signal.astype(np.float64) + 0.5 * rng.normal(size=rows)
    if task is Task.REGRESSION:
        y: np.ndarray[Any, Any] = 1000.0 + 40.0 * noisy
    elif task is Task.BINARY:
        y = (noisy > 0.8).astype(np.int32)
    else:
        y = np.digitize(noisy, [-1.2, 1.2]).astype(np.int32)
    return X, rng.permutation(y) if shuffled else y


class LearnerContract:
    """What every learner promises; ``learner`` is its name in ``LEARNERS``."""

    learner: ClassVar[str]
    params: ClassVar[dict[str, Scalar]] = {}

    @classmethod
    def config(cls, **settings: Any) -> TrainingConfig:
        """The training section for this learner."""
        return TrainingConfig(learner=cls.learner, **settings)

    @classmethod
    @functools.cache
    def fitted(cls, task: Task, shuffled: bool = False) -> Fit:
        """A fit, made once for all tests of the class."""
        return cls.fit_again(task, shuffled=shuffled)

    @classmethod
    def fit_again(cls, task: Task, *, shuffled: bool = False, **settings: Any) -> Fit:
        """A fit on 2,000 rows in blocks of 512."""
        train, held = (
            ArrayBlocks(*learning_data(task, rows, seed=1, shuffled=shuffled), block_rows=512)
            for rows in (2000, 800)
        )
        return fit(
            cls.config(**settings),
            cls.params,
            train,
            held,
            task=task,
            classes=_CLASSES[task],
            seed=7,
        )

    def figure(self, fitted: Fit, task: Task) -> float:
        """How much better than chance on fresh rows; 0 is chance, more is better."""
        X, y = learning_data(task, 1500, seed=99)
        scores = predict_scores(fitted.estimator, X, task)
        metric = _DECIDES[task]
        value = figures_of(task, scores, y, classes=_CLASSES[task]).values()[metric]
        return (value - _CHANCE[task]) * (1 if HIGHER_IS_BETTER[metric] else -1)

    @_TASKS
    def test_beats_the_baseline_clearly(self, task: Task) -> None:
        """On data with a signal the figure is far above chance."""
        assert self.figure(self.fitted(task), task) > _CLEARLY[task]

    @_TASKS
    def test_shuffled_targets_teach_nothing(self, task: Task) -> None:
        """Trained on shuffled targets, it is no better than chance."""
        assert self.figure(self.fitted(task, shuffled=True), task) < 0.1

    @_TASKS
    def test_equal_fits_give_equal_bytes(self, task: Task) -> None:
        """Two fits of the same job leave the same predictions, curve and stored state."""
        first, second = self.fitted(task), self.fit_again(task)
        assert first.curve == second.curve
        assert first.n_iterations == second.n_iterations
        X, _ = learning_data(task, 500, seed=3)
        np.testing.assert_array_equal(
            predict_scores(first.estimator, X, task), predict_scores(second.estimator, X, task)
        )
        assert to_skops(first.estimator) == to_skops(second.estimator)

    @_TASKS
    def test_survives_skops_trusting_only_the_listed_types(self, task: Task) -> None:
        """Stored by skops and loaded with the listed types alone, it predicts the same."""
        estimator = self.fitted(task).estimator
        stored = to_skops(estimator)
        unknown = skops.io.get_untrusted_types(data=stored)
        assert set(unknown) <= set(TRUSTED_TYPES[self.learner])
        loaded = skops.io.loads(stored, trusted=unknown)
        X, _ = learning_data(task, 500, seed=3)
        np.testing.assert_array_equal(
            predict_scores(loaded, X, task), predict_scores(estimator, X, task)
        )
        np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))

    @pytest.mark.parametrize("task", [Task.BINARY, Task.MULTICLASS], ids=str)
    def test_predicts_the_labels(self, task: Task) -> None:
        """``classes_`` and ``predict`` speak in labels, in the order of the codes."""
        estimator = self.fitted(task).estimator
        assert tuple(estimator.classes_.tolist()) == _CLASSES[task]
        X, y = learning_data(task, 1500, seed=99)
        predicted = estimator.predict(X)
        assert np.mean(predicted == np.array(_CLASSES[task])[y]) > 0.75
        codes = estimator.predict_proba(X).argmax(axis=1)
        np.testing.assert_array_equal(predicted, np.array(_CLASSES[task])[codes])

    def test_balanced_weights_raise_the_rare_class(self) -> None:
        """Balanced, the rarer class gets more probability than without."""
        X, _ = learning_data(Task.BINARY, 1500, seed=99)
        plain, balanced = (
            predict_scores(self.fit_again(Task.BINARY, class_weight=how).estimator, X, Task.BINARY)
            for how in ("none", "balanced")
        )
        assert balanced.mean() > plain.mean() + 0.01

    @_TASKS
    def test_the_curve_has_an_entry_a_step(self, task: Task) -> None:
        """The curve counts steps from 1 and holds the kept iteration."""
        fitted = self.fitted(task)
        steps = [step for step, _ in fitted.curve]
        assert steps == list(range(1, len(steps) + 1))
        assert 1 <= fitted.n_iterations <= len(steps)
        assert fitted.strategy == LEARNERS[self.learner].strategy

    def test_fits_without_validation_rows(self) -> None:
        """Without validation rows nothing stops early and the fit still stands."""
        task = Task.BINARY
        train = ArrayBlocks(*learning_data(task, 3000, seed=1))
        none = ArrayBlocks(np.empty((0, 6)), np.empty(0, np.int32))
        fitted = fit(
            self.config(), self.params, train, none, task=task, classes=("no", "yes"), seed=7
        )
        assert fitted.curve == ()
        assert self.figure(fitted, task) > _CLEARLY[task]

    def test_an_unknown_parameter_is_refused_with_the_nearest(self) -> None:
        """A misspelt parameter is named together with the one that was meant."""
        known = next(iter(default_space(self.learner, Task.BINARY)))
        with pytest.raises(ConfigError) as caught:
            self.fit_again(Task.BINARY, params={known + "x": 1})
        assert caught.value.fields["nearest"] == known
        assert known in caught.value.remedy

    @_TASKS
    def test_its_space_names_its_parameters(self, task: Task) -> None:
        """Every parameter of the default space is one that the learner knows."""
        space = default_space(self.learner, task)
        assert set(space) <= set(LEARNERS[self.learner].defaults)
        for entry in space.values():
            assert set(entry) <= {"low", "high", "log", "step", "choices"}
