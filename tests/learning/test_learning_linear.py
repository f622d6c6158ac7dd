"""linear: the optimum that scikit-learn finds on all rows at once, by passes over blocks."""

from typing import ClassVar

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_info, threadpool_limits

from tidemill.config import TrainingConfig
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError
from tidemill.learners import uncalibrated
from tidemill.learning import fit, predict_scores
from tidemill.learning.curvature import Curvature, Standardised, curvature_of, deviations_of
from tidemill.learning.descent import Penalty, lbfgs, newton
from tidemill.learning.linear import LinearLearner
from tidemill.schema import Task
from tidemill.testing.bad_engines import PlainEngine
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data
from tidemill.tracking.skopsfile import canonical

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}


def linear(train, task=Task.BINARY, params=None, *, held=None, engine=None, **settings):
    """A fit, with validation rows where they are given."""
    none = ArrayBlocks(np.empty((0, len(train.names))), np.zeros(0, np.int32))
    config = TrainingConfig(learner="linear", **settings)
    options = {"task": task, "classes": CLASSES[task], "seed": 3, "engine": engine}
    return fit(config, params or {}, train, held or none, **options)


def table(task, rows=4000, *, seed=5):
    """Columns of many kinds: of other units, far from zero, correlated, constant, one-hot."""
    X, y = learning_data(task, rows, seed=seed)
    rng = np.random.default_rng(seed)
    hot = np.eye(3, dtype=np.float32)[rng.integers(0, 3, rows)]
    far = 500 + 3 * X[:, :1] + rng.normal(size=(rows, 1))
    close = X[:, 1:2] + 0.01 * rng.normal(size=(rows, 1))
    made = [X, hot, far, close, np.full((rows, 1), 7.0), 1e-4 * X[:, 2:3]]
    return np.concatenate(made, axis=1).astype(np.float32), y


def spread_rows(task, rows=4000, **options):
    """The same in shards of four blocks."""
    return ArrayBlocks(*table(task, rows), block_rows=256, **options)


def objective(estimator, X, y, task, alpha, ratio):
    """What is minimised, at a fitted model, as the documentation states it."""
    X = X.astype(np.float64)
    if task is Task.REGRESSION:
        loss = np.mean((y - estimator.predict(X)) ** 2) / 2
    else:
        loss = log_loss(y, estimator.predict_proba(X), labels=range(len(CLASSES[task])))
    w = estimator.coef_
    return loss + alpha * ((1 - ratio) / 2 * np.sum(w**2) + ratio * np.sum(np.abs(w)))


def stated(task, rows, alpha, ratio):
    """scikit-learn's own for the same objective, to the end."""
    if task is Task.REGRESSION:
        if ratio:
            return ElasticNet(alpha=alpha, l1_ratio=ratio, max_iter=100_000, tol=1e-10)
        return Ridge(alpha=alpha * rows)
    solver = "saga" if ratio else "newton-cholesky"
    most = 20_000 if ratio else 200
    return LogisticRegression(
        C=1 / (alpha * rows), l1_ratio=ratio, solver=solver, max_iter=most, tol=1e-9
    )


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("task", list(Task), ids=str)
def test_it_is_the_optimum_of_all_rows(task, ratio):
    """No worse than scikit-learn on the concatenation by a millionth of the objective."""
    X, y = learning_data(task, 4000, seed=5)
    alpha = 0.01
    ours = linear(ArrayBlocks(X, y), task, {"alpha": alpha, "l1_ratio": ratio})
    theirs = stated(task, len(y), alpha, ratio).fit(X.astype(np.float64), y)
    found, best = (objective(one, X, y, task, alpha, ratio) for one in (ours.estimator, theirs))
    assert found <= best * (1 + 1e-6)
    assert not ours.warnings
    little = 2e-3 * np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.estimator.coef_, theirs.coef_, atol=little)
    if ratio == 1.0:
        np.testing.assert_array_equal(ours.estimator.coef_ == 0, np.abs(theirs.coef_) < 1e-12)


@pytest.mark.parametrize("task", list(Task), ids=str)
def test_columns_of_any_unit_and_copies_of_each_other_do_not_matter(task):
    """Without settings it is LogisticRegression() and Ridge(), also of columns not scaled."""
    X, y = table(task)
    ours = linear(ArrayBlocks(X, y), task).estimator
    theirs = stated(task, len(y), 1 / len(y), 0.0).fit(X.astype(np.float64), y)
    found, best = (objective(one, X, y, task, 1 / len(y), 0.0) for one in (ours, theirs))
    assert found <= best * (1 + 1e-6)


UNITS = [1e-40, 1e-30, 1e-20, 1e-12, 1e-9, 1e-4, 1e9, 1e30]


@pytest.mark.parametrize(
    ("wide", "alpha", "units"),
    [
        (False, None, UNITS),
        (False, 0.1, UNITS),
        pytest.param(True, 0.1, [1e-30, 1e-9, 1e30], marks=pytest.mark.slow),
    ],
    ids=["newton", "newton, much alpha", "lbfgs"],
)
@pytest.mark.parametrize("task", list(Task), ids=str)
def test_a_column_of_any_unit_leaves_the_others_their_weights(task, wide, alpha, units):
    """One that is tiny or huge beside plain ones: scikit-learn's optimum, and no warning."""
    rows = 300 if wide else 2000
    more = (290 if task is Task.MULTICLASS else 710) if wide else 0
    X, y = learning_data(task, rows, seed=5)
    noise = np.random.default_rng(3).normal(size=(rows, more)).astype(np.float32)
    X = np.concatenate([X[:, :4], noise], axis=1)
    given = {} if alpha is None else {"alpha": alpha}
    alpha = 1 / rows if alpha is None else alpha
    for unit in units:
        table = X.copy()
        table[:, 2] = X[:, 2].astype(np.float64) * unit
        ours = linear(ArrayBlocks(table, y), task, given)
        near = X.astype(np.float64)  # beyond these nothing of the optimum depends on the unit
        near[:, 2] *= np.clip(unit, 1e-6, 1e6)
        theirs = stated(task, rows, alpha, 0.0).fit(near, y)
        best = objective(theirs, near, y, task, alpha, 0.0)
        found = objective(ours.estimator, table, y, task, alpha, 0.0)
        assert found == pytest.approx(best, rel=1e-6), unit
        assert not ours.warnings


def test_many_weights_come_to_the_optimum_by_lbfgs():
    """Where a Hessian would cost too much, more passes lead to the same."""
    X, y = learning_data(Task.BINARY, 400, seed=5)
    noise = np.random.default_rng(3).normal(size=(400, 720)).astype(np.float32)
    X = np.concatenate([X, noise], axis=1)
    ours = linear(ArrayBlocks(X, y), params={"alpha": 0.02})
    theirs = LogisticRegression(C=1 / 8.0, tol=1e-9, max_iter=1000).fit(X.astype(np.float64), y)
    found, best = (objective(o, X, y, Task.BINARY, 0.02, 0.0) for o in (ours.estimator, theirs))
    assert found <= best * (1 + 1e-6)
    assert ours.n_iterations > 5  # not Newton's


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("task", list(Task), ids=str)
def test_both_ways_down_end_at_one_place(task, ratio):
    """Newton's steps and L-BFGS's, with and without weights that are to be zero."""
    X, y = learning_data(task, 1000, seed=5)
    classes, outputs = len(CLASSES[task]), 3 if task is Task.MULTICLASS else 1
    at = Standardised.by(deviations_of(ArrayBlocks(X, y), n_classes=classes))

    def measure(weights, *, second):
        options = {"n_classes": classes, "second": second}
        return curvature_of(ArrayBlocks(X, y), at, weights.reshape(outputs, 7), **options)

    free = np.tile([0.02] * 6 + [0.0], outputs)
    penalty = Penalty(ratio * free, (1 - ratio) * free)
    ends = [
        way(measure, np.zeros(7 * outputs), penalty, tolerance=1e-8, most=500)
        for way in (newton, lbfgs)
    ]
    losses = [measure(e.weights, second=False).loss / 1000 + penalty.of(e.weights) for e in ends]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert all(end.converged for end in ends)


def test_columns_that_lean_on_each_other_take_few_sweeps():
    """With an L1 share too: of forty columns of eight directions, the optimum in no time."""
    rng = np.random.default_rng(0)
    X, y = learning_data(Task.BINARY, 1000, seed=5)
    X = np.concatenate([X, X @ rng.normal(size=(6, 40)) + 0.02 * rng.normal(size=(1000, 40))], 1)
    X = X.astype(np.float32)
    mixed, ridge = (
        linear(ArrayBlocks(X, y), params={"alpha": 1e-5, "l1_ratio": ratio}).estimator
        for ratio in (0.5, 0.0)
    )
    found, other = (objective(one, X, y, Task.BINARY, 1e-5, 0.5) for one in (mixed, ridge))
    assert found <= other
    theirs = stated(Task.BINARY, len(y), 1e-5, 0.5).set_params(max_iter=2000, tol=1e-6)
    theirs.fit(X.astype(np.float64), y)
    assert found <= objective(theirs, X, y, Task.BINARY, 1e-5, 0.5) * (1 + 1e-6)


def test_balanced_weights_are_scikit_learns():
    """Rows weigh by the share of their class."""
    X, y = learning_data(Task.BINARY, 4000, seed=5)
    fitted = linear(ArrayBlocks(X, y), params={"alpha": 1e-3}, class_weight="balanced")
    ours = uncalibrated(fitted.estimator)
    theirs = LogisticRegression(C=1 / 4.0, class_weight="balanced", tol=1e-10)
    theirs.fit(X.astype(np.float64), y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-3)


def test_how_rows_are_cut_does_not_matter():
    """Blocks and shards change a sum's rounding alone."""
    X, y = table(Task.MULTICLASS)
    at_once, cut = (
        linear(ArrayBlocks(X, y, block_rows=rows, shard_blocks=2), Task.MULTICLASS).estimator
        for rows in (4000, 96)
    )
    scores = [predict_scores(one, X, Task.MULTICLASS) for one in (at_once, cut)]
    np.testing.assert_allclose(*scores, atol=1e-6)


@pytest.mark.parametrize("task", list(Task), ids=str)
def test_workers_leave_the_bytes_of_one_process(task):
    """Sums are merged in the order of the shards, wherever they are taken."""
    train, held = spread_rows(task), spread_rows(task, 800)
    here = linear(train, task, held=held)
    with LocalEngine(2) as engine:
        there = linear(train, task, held=held, engine=engine, strategy="merged")
    stored = [canonical(skops.io.dumps(one.estimator)) for one in (here, there)]
    assert stored[0] == stored[1]
    assert here.curve == there.curve


def test_few_passes_reach_the_optimum_of_many_rows():
    """The first steps are taken on a sample; of all rows there are three passes, and one."""
    X, y = learning_data(Task.BINARY, 800_000, seed=5)
    train = ArrayBlocks(X, y, block_rows=50_000)
    ours = linear(train)
    assert len(train.reads) < 6 * 16
    theirs = LogisticRegression(tol=1e-9).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(ours.estimator.coef_, theirs.coef_, rtol=1e-3)


def test_a_class_of_one_block_is_learnt_all_the_same():
    """A sample of blocks that lacks a class is no place to begin: it would cost many passes."""
    X, y = learning_data(Task.BINARY, 700_000, seed=5)
    first, second = np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:300]
    chosen = np.concatenate([first[:1000], second, first[1000:]])
    X, y = X[chosen, :2], y[chosen]
    train = ArrayBlocks(X, y, block_rows=1000)
    ours = linear(train).estimator
    assert len(train.reads) < 20 * len(train.rows)
    theirs = LogisticRegression(tol=1e-9, max_iter=1000).fit(X.astype(np.float64), y)
    assert objective(ours, X, y, Task.BINARY, 1 / len(y), 0.0) <= (1 + 1e-6) * objective(
        theirs, X, y, Task.BINARY, 1 / len(y), 0.0
    )


def test_least_squares_take_one_pass():
    """One tells where columns and target lie, then each block is read once."""
    train = spread_rows(Task.REGRESSION)
    linear(train, Task.REGRESSION)
    assert len(train.reads) == 2 * 16


def test_classes_that_a_line_tells_apart_have_an_end():
    """Without a penalty there is no optimum: the fit ends, says so, and answers."""
    X, _ = learning_data(Task.BINARY, 500, seed=1)
    y = (X[:, 0] > 0).astype(np.int32)
    fitted = linear(ArrayBlocks(X, y), params={"alpha": 0.0, "max_iterations": 5})
    assert "had not come to its optimum after 5 iterations" in fitted.warnings[0]
    scores = predict_scores(fitted.estimator, X, Task.BINARY)
    assert np.mean((scores > 0.5) == y) > 0.99
    further = linear(ArrayBlocks(X, y), params={"alpha": 0.0})
    assert np.isfinite(further.estimator.coef_).all()


def test_numbers_that_overflow_are_refused():
    """Rather than a model of NaN."""
    X, y = learning_data(Task.BINARY, 500, seed=1)
    X[3, 2] = np.inf
    with pytest.raises(ConfigError, match=r"reduction\.scale|large"):
        linear(ArrayBlocks(X, y))


def test_a_class_that_no_row_shows_gets_no_chance():
    """Others are told apart all the same."""
    X, y = learning_data(Task.BINARY, 2000, seed=1)
    options = {"task": Task.MULTICLASS, "classes": ("a", "b", "never"), "seed": 1}
    rows = ArrayBlocks(X, y)
    fitted = fit(TrainingConfig(learner="linear"), {}, rows, rows, engine=PlainEngine(), **options)
    assert predict_scores(fitted.estimator, X, Task.MULTICLASS)[:, 2].max() < 0.01


@pytest.mark.parametrize("task", list(Task), ids=str)
@pytest.mark.parametrize("late", [1e-3, 1e5, 1e9])
def test_a_column_that_varies_late_costs_no_other(task, late):
    """What the first blocks show of a column is not what it is."""
    X, y = learning_data(task, 4000, seed=5)
    X[:1000, 4] = 0.0
    X[1000:, 4] = late * np.abs(X[1000:, 4])
    X = X.astype(np.float32)
    ours = linear(ArrayBlocks(X, y), task).estimator
    scale = np.append(np.ones(4), [1 / late, 1.0])
    theirs = stated(task, len(y), 1 / len(y), 0.0).fit(X * scale, y)
    theirs.coef_ = theirs.coef_ * scale
    found, best = (objective(one, X, y, task, 1 / len(y), 0.0) for one in (ours, theirs))
    assert found <= best * (1 + 1e-5)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_the_target_does_not_matter(unit, ratio):
    """The same weights in another unit, those that are zero among them."""
    X, y = learning_data(Task.REGRESSION, 2000, seed=5)
    plain, other = (
        linear(ArrayBlocks(X, y * by), Task.REGRESSION, {"alpha": alpha, "l1_ratio": ratio})
        for by, alpha in ((1.0, 0.1), (unit, 0.1 * unit**ratio))
    )
    np.testing.assert_allclose(other.estimator.coef_ / unit, plain.estimator.coef_, rtol=1e-6)
    np.testing.assert_allclose(other.estimator.intercept_ / unit, plain.estimator.intercept_)


def test_a_step_that_is_too_long_is_halved():
    """Of sqrt(1 + w^2), whose Newton steps lead away from beyond 1, the least is found."""

    def measure(weights, *, second):
        (w,) = weights
        root = np.sqrt(1.0 + w * w)
        return Curvature(1.0, root, np.array([w / root]), np.array([[root**-3]]))

    free, ways = Penalty(np.zeros(1), np.zeros(1)), []
    found = newton(
        measure,
        np.array([3.0]),
        free,
        tolerance=1e-9,
        most=50,
        stepped=lambda _, weights: ways.append(abs(weights[0])),
    )
    assert found.converged
    assert abs(found.weights[0]) < 1e-4
    assert max(ways) < 3


def test_steps_that_were_too_few_are_said():
    """L-BFGS that is cut short has not come to the optimum."""
    X, y = learning_data(Task.BINARY, 400, seed=5)
    X = np.concatenate([X, np.random.default_rng(3).normal(size=(400, 720))], axis=1)
    fitted = linear(ArrayBlocks(X, y), params={"alpha": 1e-6, "max_iterations": 4})
    assert "had not come to its optimum after 4 iterations" in fitted.warnings[0]


def test_sums_are_taken_in_one_thread():
    """As in an engine's workers: else bytes would depend on where a fit runs."""

    class Watching(ArrayBlocks):
        seen: ClassVar[set] = set()

        def read(self, block):
            blas = [one for one in threadpool_info() if one["user_api"] == "blas"]
            self.seen.update(one["num_threads"] for one in blas)
            return super().read(block)

    with threadpool_limits(2, user_api="blas"):
        linear(Watching(*learning_data(Task.BINARY, 1000, seed=5)))
    assert Watching.seen == {1}


def test_its_memory_is_the_hessians():
    """A few of them, whatever the rows; of the gradient alone where there is none."""
    needed = LinearLearner().needed_bytes
    assert needed("incremental", 10**9, 700, 1) > 2 * 8 * 700**2
    assert needed("incremental", 10**9, 10_000, 1) < 100 * 8 * 10_000


def test_a_loss_that_no_step_lowers_ends_the_descent():
    """Rather than to halve steps that nothing can come of, step after step."""
    measured = []

    def measure(weights, *, second):
        measured.append(weights)
        return Curvature(1.0, 1.0, np.ones(1), np.ones((1, 1)))

    free = Penalty(np.zeros(1), np.zeros(1))
    found = newton(measure, np.zeros(1), free, tolerance=1e-9, most=100)
    assert (found.steps, found.weights.tolist()) == (1, [0.0])
    assert len(measured) < 50
