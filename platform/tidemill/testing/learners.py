"""The contract of a learner, as tests that a new one inherits.

::

    class TestMine(LearnerContract):
        learner = "mine"

``tidemill.testing.bad_learners`` has, for each of them, a learner that it fails.
"""

# ruff: noqa: S101
from __future__ import annotations

import functools
import io
import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.pipeline import Pipeline

from tidemill.config import TrainingConfig, read_params
from tidemill.contracts import Fit, Learner, Scalar
from tidemill.errors import ConfigError, TargetUnusable
from tidemill.features.reducer import Reducer
from tidemill.learners import LEARNERS, default_space, parameter_names, uncalibrated
from tidemill.learning import fit, importance, predict_scores
from tidemill.metrics import HIGHER_IS_BETTER, figures_of
from tidemill.schema import Task
from tidemill.testing.bad_engines import PlainEngine
from tidemill.testing.blocks import ArrayBlocks
from tidemill.tracking import open_candidate, save_candidate
from tidemill.tracking.skopsfile import canonical, read_pipeline

__all__ = ["LearnerContract", "learning_data"]

_COLUMNS = tuple(f"x{i}" for i in range(6))
_CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}
_DECIDES = {Task.BINARY: "roc_auc", Task.MULTICLASS: "log_loss", Task.REGRESSION: "r2"}
_CHANCE = {Task.BINARY: 0.5, Task.MULTICLASS: math.log(3), Task.REGRESSION: 0.0}
_CLEARLY = {Task.BINARY: 0.3, Task.MULTICLASS: 0.3, Task.REGRESSION: 0.5}
_TASKS = pytest.mark.parametrize("task", list(Task), ids=str)
_HEAVY = "sklearn lightgbm mlflow optuna pandas scipy torch xgboost catboost"
_LOOK = (
    "import sys; from tidemill.learners import LEARNERS; LEARNERS[sys.argv[1]]; "
    f"print(sorted(set('{_HEAVY}'.split()) & set(sys.modules)))"
)


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
    """What every learner promises; ``learner`` is its name, or its address ``module:Name``."""

    learner: ClassVar[str]
    params: ClassVar[dict[str, Scalar]] = {}

    @classmethod
    def kind(cls) -> type[Learner]:
        """The learner's class."""
        return LEARNERS[cls.learner]

    @classmethod
    def tasks(cls, *wanted: Task) -> list[Task]:
        """Those of the tasks (default: all) that it learns; where there are none, a skip."""
        found = [task for task in wanted or Task if task in cls.kind().metrics]
        return found or pytest.skip(f"{cls.learner} does not learn it")

    @classmethod
    @functools.cache
    def fitted(cls, task: Task, shuffled: bool = False) -> Fit:
        """A fit, made once for all tests of the class."""
        return cls.fit_again(task, shuffled=shuffled)

    @classmethod
    def fit_again(
        cls,
        task: Task,
        *,
        rows: int = 2000,
        shuffled: bool = False,
        gaps: bool = False,
        start: Any = None,
        rounds: int | None = None,
        **settings: Any,
    ) -> Fit:
        """A fit on rows in blocks of 512, with settings of ``training``."""
        cls.tasks(task)
        (X, y), held = (
            learning_data(task, count, seed=1, shuffled=shuffled) for count in (rows, 800)
        )
        if gaps:
            X[::3, 5] = np.nan
        return fit(
            TrainingConfig(learner=cls.learner, **settings),
            cls.params,
            ArrayBlocks(X, y, block_rows=512),
            ArrayBlocks(*held, block_rows=512),
            task=task,
            classes=_CLASSES[task],
            seed=7,
            start=start,
            rounds=rounds,
            engine=PlainEngine(),
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
        stored, again = (canonical(skops.io.dumps(one.estimator)) for one in (first, second))
        assert stored == again

    @_TASKS
    def test_a_sealed_model_answers_the_same(self, task: Task, tmp_path: Path) -> None:
        """Saved, sealed, loaded and asked as a candidate is; saved again it has the same digest."""
        model = _pipeline(self.fitted(task).estimator)
        X, _ = learning_data(task, 500, seed=3)
        table = pd.DataFrame(X, columns=list(_COLUMNS))
        digest = save_candidate(model, tmp_path / "model", example=table.head(5))
        loaded = open_candidate(tmp_path / "model").pipeline
        np.testing.assert_array_equal(
            predict_scores(loaded[-1], loaded[0].transform(table), task),
            predict_scores(self.fitted(task).estimator, X, task),
        )
        np.testing.assert_array_equal(loaded.predict(table), model.predict(table))
        assert save_candidate(loaded, tmp_path / "again", example=table.head(5)) == digest

    @_TASKS
    def test_a_damaged_model_is_refused_or_answers(self, task: Task) -> None:
        """Whichever stored number is lost: it is refused, or answers with finite numbers."""
        X, _ = learning_data(task, 500, seed=3)
        for content in _damaged(skops.io.dumps(_pipeline(self.fitted(task).estimator))):
            try:
                loaded = read_pipeline(content)
            except ValueError:
                continue
            assert np.isfinite(predict_scores(loaded[-1], X, task)).all()

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
        """Balanced, what is learnt gives the rarer class more than without."""
        plain, balanced = (
            predict_scores(uncalibrated(fitted.estimator), X, Task.BINARY)
            for fitted, X, _ in self._weighed()
        )
        assert balanced.mean() > plain.mean() + 0.01

    def test_balanced_weights_leave_probabilities_true(self) -> None:
        """What the weights moved is taken back: the log loss is hardly more than without."""
        plain, balanced = (
            figures_of(Task.BINARY, predict_scores(fitted.estimator, X, Task.BINARY), y, classes=())
            for fitted, X, y in self._weighed()
        )
        assert balanced.values()["log_loss"] < plain.values()["log_loss"] + 0.05

    def _weighed(self) -> Iterator[tuple[Fit, np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        X, y = learning_data(Task.BINARY, 1500, seed=99)
        for how in ("none", "balanced"):
            yield self.fit_again(Task.BINARY, class_weight=how), X, y

    @_TASKS
    def test_the_curve_has_an_entry_a_step(self, task: Task) -> None:
        """The curve counts steps from 1 and holds the kept iteration."""
        fitted = self.fitted(task)
        steps = [step for step, _ in fitted.curve]
        assert steps == list(range(1, len(steps) + 1))
        assert 1 <= fitted.n_iterations <= len(steps)
        assert fitted.metric in self.kind().metrics[task]

    @pytest.mark.parametrize("balanced", [False, True])
    def test_fits_without_validation_rows(self, balanced: bool) -> None:
        """Without validation rows nothing stops early and the fit still stands."""
        task = self.tasks()[0]
        weight = "balanced" if balanced else "none"
        fitted = fit(
            TrainingConfig(learner=self.learner, class_weight=weight),
            self.params,
            ArrayBlocks(*learning_data(task, 3000, seed=1)),
            ArrayBlocks(np.empty((0, 6)), learning_data(task, 1, seed=1)[1][:0]),
            task=task,
            classes=_CLASSES[task],
            seed=7,
        )
        assert fitted.curve == ()
        assert self.figure(fitted, task) > _CLEARLY[task]

    def test_every_strategy_fits_and_says_so(self) -> None:
        """Each of its strategies can be asked for, and needs no less memory for more rows."""
        task, learner = self.tasks()[0], self.kind()()
        for strategy in (*learner.strategies, *learner.spread):
            assert self.fit_again(task, strategy=strategy).strategy == strategy
            few, many = (learner.needed_bytes(strategy, rows, 30, 3) for rows in (1, 10**9))
            assert 0 <= few <= many

    def test_its_parameters_hold_together(self) -> None:
        """Defaults and searched values are allowed, names are one each; others are refused."""
        parameters, known = self.kind().parameters, parameter_names(self.learner)
        assert self.kind().rounds in parameters
        assert len(known) == sum(1 + len(one.aliases) for one in parameters.values())
        for name, one in parameters.items():
            assert one.takes(one.default), name
            assert set(one.search) <= {"low", "high", "log", "step", "choices"}
            found = [one.search[k] for k in ("low", "high") if k in one.search]
            assert all(one.takes(value) for value in [*found, *one.search.get("choices", ())]), name
        for task in self.tasks():
            assert set(default_space(self.learner, task)) <= set(parameters)
            assert self.fitted(task).n_iterations >= 1
        with pytest.raises(ConfigError) as caught:
            self.fit_again(self.tasks()[0], params={self.kind().rounds + "x": 1})
        assert caught.value.fields["nearest"] == self.kind().rounds

    def test_says_the_truth_of_missing_values(self) -> None:
        """It learns from them, or refuses them; params.yaml is held to what it says."""
        task = self.tasks()[0]
        text = f"dataset: {{source: a, target: y}}\ntraining: {{learner: '{self.learner}'}}\n"
        asked = text + "reduction: {impute: none}"
        if self.kind().takes_missing:
            read_params(asked)
            assert self.fit_again(task, gaps=True).n_iterations >= 1
            return
        with pytest.raises(ConfigError, match=r"reduction\.impute"):
            read_params(asked)
        with pytest.raises(ConfigError) as caught:
            self.fit_again(task, gaps=True)
        assert "reduction.impute" in caught.value.remedy

    def test_one_class_is_refused(self) -> None:
        """There is nothing to tell apart."""
        task = self.tasks(Task.BINARY, Task.MULTICLASS)[0]
        rows = ArrayBlocks(learning_data(task, 500, seed=1)[0], np.zeros(500, np.int32))
        with pytest.raises(TargetUnusable):
            fit(
                TrainingConfig(learner=self.learner),
                self.params,
                rows,
                rows,
                task=task,
                classes=_CLASSES[task],
                seed=7,
            )

    def test_goes_on_from_where_it_was(self) -> None:
        """One more round on few rows leaves a good model good, where it says that it can go on."""
        task = self.tasks()[0]
        start = self.fitted(task)
        few: dict[str, Any] = {"rows": 40, "rounds": 1}
        if not self.kind().continues:
            with pytest.raises(ConfigError, match="cannot go on"):
                self.fit_again(task, start=start.estimator, **few)
            return
        further = self.fit_again(task, start=start.estimator, **few)
        fresh = self.figure(self.fit_again(task, **few), task)
        was = self.figure(start, task)
        assert self.figure(further, task) > (was + fresh) / 2
        assert was > fresh

    @_TASKS
    def test_weighs_the_columns(self, task: Task) -> None:
        """Shares of all columns, that of the strongest above those of mere noise."""
        estimator = self.fitted(task).estimator
        shares = importance(estimator, _COLUMNS)
        assert tuple(shares) == _COLUMNS
        assert min(shares.values()) >= 0
        assert shares["x0"] > 2 * max(shares[name] for name in _COLUMNS[3:])

    def test_its_facts_are_light(self) -> None:
        """Whoever reads params.yaml imports it: no heavy library comes along."""
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _LOOK, self.learner],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "[]"


def _pipeline(estimator: Any) -> Pipeline:
    """The estimator behind a reducer that passes six columns through."""
    same = {"fills": [0.0], "means": [0.0], "scales": [1.0], "missing_slot": -1}
    features = [
        {"name": name, "kind": "numeric", "slots": [slot], **same}
        for slot, name in enumerate(_COLUMNS)
    ]
    reducer = Reducer(features, list(_COLUMNS), seen=list(_COLUMNS))
    return Pipeline([("reducer", reducer), ("learner", estimator)])


def _damaged(content: bytes) -> Iterator[bytes]:
    """The stored pipeline, each time with the last number of another array lost."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for name, data in entries.items():
        array = np.load(io.BytesIO(data)) if name.endswith(".npy") else np.empty(0, np.int8)
        if array.dtype.kind != "f" or not array.size:
            continue
        lost, target = io.BytesIO(), io.BytesIO()
        array.flat[-1] = np.nan
        np.save(lost, array)
        with zipfile.ZipFile(target, "w") as archive:
            for other, kept in entries.items():
                archive.writestr(other, lost.getvalue() if other == name else kept)
        yield canonical(target.getvalue())
