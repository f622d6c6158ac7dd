"""Fits: the plan of rows, early stopping, what reports and refusals do, figures on curves."""

import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier

from tidemill.config import TrainingConfig
from tidemill.contracts import TargetSummary
from tidemill.engines import LocalEngine
from tidemill.errors import BudgetExceeded, ConfigError, ModelUntrusted, TargetUnusable, TooFewRows
from tidemill.learning import fit, importance, predict_scores, summarise_target
from tidemill.learning.predictors import BoosterRegressor
from tidemill.learning.sgd import mini_batches
from tidemill.learning.threads import usable_threads
from tidemill.metrics import figures_of
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data
from tidemill.tracking.skopsfile import canonical

LEARNERS = ("linear", "sgd", "hist_gradient_boosting", "lightgbm", "forest")


def fitted(learner, task=Task.BINARY, params=None, *, train=None, held=None, **options):
    """A fit with short defaults."""
    config = options.pop("config", TrainingConfig(learner=learner))
    classes = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c")}.get(task, ())
    train = train or ArrayBlocks(*learning_data(task, 2000, seed=1))
    held = held or ArrayBlocks(*learning_data(task, 700, seed=1))
    return fit(config, params or {}, train, held, task=task, classes=classes, seed=3, **options)


def to_skops(estimator):
    """The bytes that it is stored as."""
    return canonical(skops.io.dumps(estimator))


def figure(estimator, held, task, metric):
    """A figure of an estimator over blocks, computed at once."""
    X, y = (np.concatenate(parts) for parts in zip(*held, strict=True))
    classes = ("0", "1", "2") if task is Task.MULTICLASS else ("0", "1")
    return figures_of(task, predict_scores(estimator, X, task), y, classes=classes).values()[metric]


@pytest.mark.parametrize(
    "task", [Task.BINARY, pytest.param(Task.MULTICLASS, marks=pytest.mark.slow)]
)
def test_going_on_in_an_overturned_world_learns_it(task):
    """A champion that is sure of the old answers is no worse a start than none."""
    params = {"learning_rate": 0.3, "num_iterations": 200}
    world = [ArrayBlocks(*learning_data(task, rows, seed=1)) for rows in (4000, 1500)]
    champion = fitted("lightgbm", task, params, train=world[0], held=world[1]).estimator
    train, held, proof = (
        ArrayBlocks(-X, y)
        for X, y in (
            learning_data(task, rows, seed=seed) for rows, seed in ((1500, 1), (500, 1), (1500, 2))
        )
    )
    before = figure(champion, proof, task, "log_loss")
    anew = fitted("lightgbm", task, params, train=train, held=held).estimator
    gone_on = fitted("lightgbm", task, params, train=train, held=held, start=champion).estimator
    assert figure(gone_on, proof, task, "log_loss") < before / 4
    assert figure(gone_on, proof, task, "log_loss") < 3 * figure(anew, proof, task, "log_loss")


def test_every_row_comes_once_an_epoch_in_a_seeded_order():
    """The plan visits each row once, blocks and rows shuffled, anew each epoch."""
    X = np.arange(1000, dtype=np.float32)[:, None]
    blocks = ArrayBlocks(X, np.arange(1000, dtype=np.int32), block_rows=128)

    def visited(epoch, seed=5, batch_rows=50):
        batches = list(mini_batches(blocks, seed=seed, epoch=epoch, batch_rows=batch_rows))
        assert all(np.array_equal(X[:, 0], y) and len(y) <= batch_rows for X, y in batches)
        return np.concatenate([y for _, y in batches])

    first = visited(1)
    assert sorted(first) == list(range(1000))
    np.testing.assert_array_equal(first, visited(1))
    assert not np.array_equal(first, visited(2))
    assert not np.array_equal(first, visited(1, seed=6))
    firsts = [np.flatnonzero(first // 128 == block)[0] for block in range(8)]
    assert firsts != sorted(firsts)  # the blocks do not come in file order
    assert not np.array_equal(first[:50], np.sort(first[:50]))


def test_sgd_is_partial_fit_over_the_plan():
    """One epoch equals scikit-learn's partial_fit over the same mini-batches."""
    train = ArrayBlocks(*learning_data(Task.BINARY, 2000, seed=1))
    params = {"max_epochs": 1, "batch_rows": 100, "alpha": 1e-3}
    ours = fitted("sgd", params=params, train=train).estimator
    theirs = SGDClassifier(loss="log_loss", alpha=1e-3, average=True, shuffle=False, random_state=3)
    for X, y in mini_batches(train, seed=3, epoch=1, batch_rows=100):
        theirs.partial_fit(X, y, classes=[0, 1])
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)
    np.testing.assert_array_equal(ours.intercept_, theirs.intercept_)


@pytest.mark.parametrize("learner", ["sgd", "lightgbm"])
def test_the_best_step_is_kept_not_the_last(learner):
    """The kept estimator has the curve's best figure on the validation rows."""
    task = Task.BINARY
    X, y = learning_data(task, 400, seed=1)
    noisy = np.where(np.random.default_rng(0).random(len(y)) < 0.35, 1 - y, y)
    train = ArrayBlocks(X, noisy.astype(np.int32))
    held = ArrayBlocks(*learning_data(task, 700, seed=1))
    params = (
        {"max_epochs": 12, "patience": 12, "average": False}
        if learner == "sgd"
        else {"num_iterations": 80, "num_leaves": 31, "min_data_in_leaf": 2}
    )
    result = fitted(learner, task, params, train=train, held=held)
    values = dict(result.curve)
    assert result.n_iterations == max(values, key=values.get)
    assert result.n_iterations < len(values)
    if learner == "lightgbm":
        assert result.estimator.booster.current_iteration() == result.n_iterations
    best = figure(result.estimator, held, task, "roc_auc")
    assert best == pytest.approx(max(values.values()), abs=1e-4)


def test_patience_ends_a_fit_that_no_longer_improves():
    """LightGBM stops the stated rounds after its best; sgd after its patience."""
    boosted = fitted("lightgbm", params={"num_iterations": 400, "early_stopping_rounds": 7})
    assert len(boosted.curve) == boosted.n_iterations + 7
    linear = fitted("sgd", params={"tolerance": 10.0})
    assert len(linear.curve) == 10  # of 20: no patience before ten epochs


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("task", list(Task))
def test_curves_show_the_figure_that_they_name(learner, task):
    """The last or best entry equals the figure of the estimator, computed apart."""
    held = ArrayBlocks(*learning_data(task, 700, seed=1))
    params = {"max_epochs": 3} if learner == "sgd" else {"max_iter": 25}
    result = fitted(learner, task, params, held=held)
    expected = figure(result.estimator, held, task, result.metric)
    shown = dict(result.curve)[result.n_iterations]
    assert shown == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("learner", LEARNERS)
def test_what_a_report_raises_ends_the_fit(learner):
    """A pruner may end a fit; its exception arrives unchanged."""

    class PrunedError(Exception):
        pass

    seen = []

    def report(step, value):
        seen.append((step, value))
        raise PrunedError

    with pytest.raises(PrunedError):
        fitted(learner, report=report)
    assert len(seen) == 1


def test_lightgbm_does_not_depend_on_threads():
    """One thread or three: the same text."""
    train = ArrayBlocks(*learning_data(Task.BINARY, 20_000, seed=1), block_rows=4096)
    one, three = (
        fitted("lightgbm", params={"num_threads": n, "num_iterations": 20}, train=train)
        for n in (1, 3)
    )
    assert one.estimator.model == three.estimator.model


def test_small_fits_take_one_thread_and_large_ones_no_more_than_the_cores():
    """A thread a million values, at least one."""
    cores = len(os.sched_getaffinity(0))
    assert [usable_threads(n) for n in (0, 999_999, 10**12)] == [1, 1, cores]
    assert usable_threads(2_000_000) == min(2, cores)


@pytest.mark.parametrize(
    ("given", "found"),
    [(None, "PASSIVE"), pytest.param("ACTIVE", "ACTIVE", marks=pytest.mark.slow)],
)
def test_waiting_threads_sleep_unless_told_otherwise(given, found):
    """A fit says so before LightGBM is loaded, for OpenMP reads it once."""
    code = """if True:
        import os, sys
        import numpy as np
        from tidemill.config import TrainingConfig
        from tidemill.contracts import TargetSummary
        from tidemill.learning import fit
        from tidemill.schema import Task
        from tidemill.testing.blocks import ArrayBlocks

        class Watch:
            def find_spec(self, name, *_):
                if name == "lightgbm":
                    print(os.environ.get("OMP_WAIT_POLICY"))

        sys.meta_path.insert(0, Watch())
        blocks = ArrayBlocks(np.eye(40, 3, dtype=np.float32), np.arange(40) % 2)
        fit(TrainingConfig(params={"num_iterations": 1}), {}, blocks, blocks,
            task=Task.BINARY, classes=("0", "1"), seed=1)
    """
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"PYTHONPATH": "platform"} | ({"OMP_WAIT_POLICY": given} if given else {})
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[:1] == [found], done.stderr


@pytest.fixture(scope="module")
def two_workers():
    with LocalEngine(2) as engine:
        yield engine


@pytest.mark.parametrize(
    "learner",
    [pytest.param(each, marks=pytest.mark.slow if each != "lightgbm" else []) for each in LEARNERS],
)
def test_a_worker_process_learns_the_same_with_one_thread(two_workers, learner):
    """In a worker a fit takes one thread, and the estimator's bytes are the same."""
    found = two_workers.map(_fit_and_count, [learner, learner], label="fits")
    assert found == [(1, to_skops(_small_fit(learner)))] * 2


def _small_fit(learner):
    params = {"max_epochs": 2} if learner == "sgd" else {"max_iter": 10}
    return fitted(learner, params=params).estimator


def _fit_and_count(learner):
    return usable_threads(), to_skops(_small_fit(learner))


def test_lightgbm_does_not_depend_on_the_cut():
    """Blocks of 300 rows or one block: the same text."""
    data = learning_data(Task.REGRESSION, 3000, seed=1)
    texts = {
        fitted(
            "lightgbm", Task.REGRESSION, train=ArrayBlocks(*data, block_rows=rows)
        ).estimator.model
        for rows in (300, 1024, 5000)
    }
    assert len(texts) == 1


def test_lightgbm_holds_one_block_at_a_time_and_reads_twice():
    """Bins are found in one pass and filled in another; no pass goes back and forth."""
    train = ArrayBlocks(*learning_data(Task.BINARY, 2000, seed=1), block_rows=256)
    fitted("lightgbm", train=train)
    assert train.reads == [*range(8), *range(8)]


def test_sgd_regression_learns_whatever_the_unit():
    """The target's scale and offset come back out of the weights."""
    X, y = learning_data(Task.REGRESSION, 2000, seed=1)
    for scale, offset in ((1e-6, 0.0), (1.0, 0.0), (1e6, 1e9)):
        train = ArrayBlocks(X, scale * (y - 1000.0) + offset)
        held = ArrayBlocks(X, scale * (y - 1000.0) + offset)
        result = fitted("sgd", Task.REGRESSION, train=train, held=held)
        assert figure(result.estimator, held, Task.REGRESSION, "r2") > 0.9


@pytest.mark.parametrize("learner", ["hist_gradient_boosting", "lightgbm"])
def test_boosting_learns_from_gaps_and_sgd_refuses_them(learner):
    """NaN is a value for trees; linear models name the remedy."""
    X, y = learning_data(Task.BINARY, 2000, seed=1)
    X[::3, 5] = np.nan
    train = ArrayBlocks(X, y)
    assert fitted(learner, train=train).n_iterations >= 1
    with pytest.raises(ConfigError) as caught:
        fitted("sgd", train=train)
    assert "reduction.impute" in caught.value.remedy


@pytest.mark.parametrize(
    ("learner", "params"),
    [
        ("sgd", {"alpha": -1.0}),
        ("sgd", {"loss": "hinge"}),
        ("sgd", {"max_epochs": -1}),
        ("hist_gradient_boosting", {"max_iter": "many"}),
        ("lightgbm", {"num_leaves": 1}),
        ("lightgbm", {"num_iterations": 0}),
    ],
)
def test_impossible_values_are_configuration_errors(learner, params):
    """What the library refuses is said in our words, with its own as the cause."""
    with pytest.raises(ConfigError) as caught:
        fitted(learner, params=params)
    assert "training.params" in str(caught.value)


@pytest.mark.parametrize("learner", LEARNERS)
def test_one_class_or_no_rows_are_refused(learner):
    """There is nothing to tell apart."""
    X, _ = learning_data(Task.BINARY, 500, seed=1)
    with pytest.raises(TargetUnusable):
        fitted(learner, train=ArrayBlocks(X, np.zeros(500, np.int32)))
    with pytest.raises(TooFewRows):
        fitted(learner, train=ArrayBlocks(X[:0], np.zeros(0, np.int32)))


def test_over_the_budget_nothing_is_read():
    """The estimate comes first."""
    train = ArrayBlocks(np.zeros((700_000, 6)), np.zeros(700_000, np.int32), block_rows=100_000)
    config = TrainingConfig(learner="hist_gradient_boosting", memory_budget_mb=64)
    with pytest.raises(BudgetExceeded):
        fitted("hist_gradient_boosting", config=config, train=train)
    assert train.reads == []


def test_configured_parameters_win_over_tuned_ones():
    """training.params are the user's word."""
    config = TrainingConfig(learner="lightgbm", params={"n_estimators": 3})
    result = fitted("lightgbm", params={"num_iterations": 9, "num_leaves": 5}, config=config)
    assert len(result.curve) == 3
    assert "[num_leaves: 5]" in result.estimator.model


def test_the_target_is_summarised_whatever_the_cut():
    """Counts are exact; mean and deviation as numpy's; weights as scikit-learn's balanced."""
    _, y = learning_data(Task.REGRESSION, 1000, seed=2)
    X = np.zeros((1000, 1))
    summary = summarise_target(ArrayBlocks(X, y, block_rows=77), Task.REGRESSION, ())
    assert summary.mean == pytest.approx(y.mean(), rel=1e-12)
    assert summary.std == pytest.approx(y.std(), rel=1e-12)
    codes = (np.arange(1000) % 10 == 0).astype(np.int32)
    counted = summarise_target(ArrayBlocks(X, codes), Task.BINARY, ("a", "b"))
    assert counted == TargetSummary(counts=(900, 100))
    np.testing.assert_allclose(counted.class_weights(), [1000 / 1800, 5.0])


def test_a_known_target_saves_the_pass():
    """With the target's summary given, sgd reads each block once an epoch."""
    train = ArrayBlocks(*learning_data(Task.REGRESSION, 2000, seed=1), block_rows=500)
    known = TargetSummary(mean=1000.0, std=100.0)
    fitted("sgd", Task.REGRESSION, {"max_epochs": 1}, train=train, target=known)
    assert sorted(train.reads) == [0, 1, 2, 3]


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("task", list(Task))
def test_importance_points_at_what_matters(learner, task):
    """Shares sum to 1 and the two columns with the signal lead."""
    shares = importance(fitted(learner, task).estimator, tuple("abcdef"))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert sorted(shares, key=shares.get)[-2:] == ["b", "a"]


def test_a_model_that_is_no_text_of_lightgbm_is_refused():
    """An altered text is an error of ours, with a remedy."""
    with pytest.raises(ModelUntrusted):
        BoosterRegressor("tree\nnot a model").predict(np.zeros((1, 2)))


def test_lightgbm_says_nothing_of_its_own(capfd):
    """Too few rows for a split: no line of LightGBM's on the screen, in whatever thread."""
    tiny = ArrayBlocks(*learning_data(Task.BINARY, 20, seed=1))

    def fit_and_predict():
        estimator = fitted("lightgbm", train=tiny, held=tiny).estimator
        estimator.predict_proba(np.zeros((1, 6)))

    fit_and_predict()
    thread = threading.Thread(target=fit_and_predict)
    thread.start()
    thread.join()
    assert capfd.readouterr() == ("", "")


def test_lightgbm_messages_are_kept_for_those_who_ask(caplog):
    """They go to the logger ``lightgbm`` at level debug."""
    caplog.set_level(logging.DEBUG, "lightgbm")
    tiny = ArrayBlocks(*learning_data(Task.BINARY, 20, seed=1))
    # A thread of its own: the library says it only in a thread that has not fitted before.
    thread = threading.Thread(target=fitted, args=("lightgbm",), kwargs={"train": tiny})
    thread.start()
    thread.join()
    assert "no meaningful features" in caplog.text
