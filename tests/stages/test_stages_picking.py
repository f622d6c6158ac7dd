"""What ``training.learner: auto`` picks, and that little is lost by it."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import ReductionConfig, TrainingConfig, TuningConfig
from tidemill.engines import open_engine
from tidemill.errors import BudgetExceeded, ConfigError
from tidemill.features import fit_reducer
from tidemill.learners import AUTO_LEARNERS
from tidemill.learning import fit, predict_scores
from tidemill.metrics import figures_of
from tidemill.schema import Task
from tidemill.settings import Settings
from tidemill.stages import picking
from tidemill.stages.context import StageContext
from tidemill.stages.cross_validation import quarter_splits
from tidemill.storage import Workspace
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.shards import write_shards

OPEN = ReductionConfig(impute="auto", encode="auto", scale="auto")
ALLOWED_REGRET = 0.002


def linear_signal(rng, rows):
    """A sum of columns and categories."""
    X = rng.normal(size=(rows, 8))
    zone = rng.integers(0, 12, rows)
    score = X @ np.linspace(1.0, -1.0, 8) + np.cos(zone * 5.0)
    return X, zone, score + rng.normal(size=rows)


def interactions(rng, rows):
    """Steps and products that no sum of columns tells."""
    X = rng.normal(size=(rows, 8))
    zone = rng.integers(0, 12, rows)
    score = 2.5 * np.sign(X[:, 0] * X[:, 1]) + 2 * (X[:, 2] > 0) * np.cos(zone * 5.0)
    return X, zone, score + rng.normal(size=rows)


def wide_noise(rng, rows):
    """Few of many columns tell anything, by their distance from 0, and most is chance."""
    X = rng.normal(size=(rows, 30))
    zone = rng.integers(0, 4, rows)
    return X, zone, np.abs(X[:, 0]) + np.abs(X[:, 1]) + np.abs(X[:, 2]) + 2 * rng.normal(size=rows)


SHAPES = {
    "few rows, a linear signal": (linear_signal, 3_000),
    "more rows than are probed": (interactions, 12_000),
    "steps and products": (interactions, 3_000),
    "wide and noisy": (wide_noise, 800),
    "tiny": (linear_signal, 150),
}


def table(make, rows, seed):
    X, zone, truth = make(np.random.default_rng([seed, rows]), rows)
    columns = {f"x{at}": pa.array(X[:, at].astype(np.float32)) for at in range(X.shape[1])}
    columns["zone"] = pa.array([f"z{code}" for code in zone]).dictionary_encode()
    return pa.table({**columns, "y": pa.array(truth)})


PICKS = {
    "few rows, a linear signal": "linear",
    "more rows than are probed": "lightgbm",
    "steps and products": "lightgbm",
    "wide and noisy": "forest",
    "tiny": "linear",
}


@pytest.fixture
def context(tmp_path):
    """A context whose shards lie in the test's own folder."""
    with open_engine(Settings(workers=1)) as engine:
        workspace = Workspace.at(tmp_path)
        workspace.shards.mkdir(parents=True)
        yield StageContext(workspace, Settings(workers=1), engine, tracker=None)


def sharded(context, rows):
    """The table as four training shards."""
    ends = [len(rows) * at // 4 for at in range(5)]
    parts = [rows.slice(a, b - a) for a, b in itertools.pairwise(ends)]
    return write_shards(context.workspace.shards, parts, block_rows=500)


def pick(context, manifest, reduction=OPEN, **training):
    found, _ = picking.pick_learner(
        context,
        manifest,
        reduction=reduction,
        training=TrainingConfig(learner="auto", **training),
        tuning=TuningConfig(),
        seed=1,
    )
    return found


def proven(context, manifest, learner, rows, fresh):
    """R² on fresh rows of a fit of most rows that the others stop."""
    reducer, _ = fit_reducer(
        manifest, context.shards, OPEN.for_learner(learner), engine=context.engine
    )
    X, y, cut = reducer.transform(rows), rows["y"].to_numpy(), len(rows) * 9 // 10
    fitted = fit(
        TrainingConfig(learner=learner),
        {},
        ArrayBlocks(X[:cut], y[:cut]),
        ArrayBlocks(X[cut:], y[cut:]),
        task=Task.REGRESSION,
        classes=(),
        seed=1,
    )
    scores = predict_scores(fitted.estimator, reducer.transform(fresh), Task.REGRESSION)
    return figures_of(Task.REGRESSION, scores, fresh["y"].to_numpy(), classes=()).values()["r2"]


@pytest.mark.parametrize("shape", list(SHAPES))
def test_little_is_lost_by_the_pick(shape, context):
    """On fresh rows the picked learner is not behind the best candidate by more than .002."""
    make, count = SHAPES[shape]
    rows, fresh = table(make, count, 1), table(make, 20_000, 2)
    manifest = sharded(context, rows)
    found = pick(context, manifest)
    assert found.learner == PICKS[shape]
    truth = {name: proven(context, manifest, name, rows, fresh) for name in AUTO_LEARNERS}
    assert max(truth.values()) - truth[found.learner] <= ALLOWED_REGRET
    assert found.why.startswith(f"{found.learner}: better than ")


def test_the_same_rows_give_the_same_pick(context):
    """All that is left of it: figures, costs and words."""
    manifest = sharded(context, table(linear_signal, 600, 1))
    found = pick(context, manifest)
    assert found == pick(context, manifest)
    assert [one.learner for one in found.candidates] == list(AUTO_LEARNERS)
    assert all(one.seconds > 0 and one.value < 1 for one in found.candidates)


def test_what_does_not_fit_is_refused_with_the_reason(context):
    """Where missing values are kept, linear is no choice."""
    manifest = sharded(context, table(interactions, 600, 1))
    kept = pick(context, manifest, ReductionConfig(impute="none", encode="ordinal", scale="none"))
    assert "needs every value" in kept.candidates[0].refused
    assert kept.candidates[0].value is None


def test_a_budget_that_trees_exceed_leaves_linear(context, monkeypatch):
    """The refusal tells what was needed; where nothing fits, the error says why of each."""
    from tidemill.learning.boosting import LightGbmLearner

    manifest = sharded(context, table(interactions, 600, 1))
    monkeypatch.setattr(LightGbmLearner, "needed_bytes", lambda *_: 10**9)
    found = pick(context, manifest, memory_budget_mb=64)
    assert found.learner == "linear"
    assert [bool(one.refused) for one in found.candidates] == [False, True, True]
    assert "needs about 954 MB" in found.why
    only_trees = ReductionConfig(impute="none", encode="ordinal", scale="none")
    with pytest.raises(BudgetExceeded, match="linear: needs every value"):
        pick(context, manifest, only_trees, memory_budget_mb=64)


def test_rows_too_few_for_folds_are_not_compared(context):
    """Three rows tell nothing, and the sentence says so."""
    found = pick(context, sharded(context, table(linear_signal, 8, 1)))
    assert found.learner == "lightgbm"
    assert "too few" in found.why


def test_the_probe_is_bounded_and_spread(context, monkeypatch):
    """Whatever rows there are: so many, from the first shard to the last."""
    monkeypatch.setattr(picking, "_PROBE_ROWS", 100)
    monkeypatch.setattr(picking, "_PROBE_BLOCKS", 10)
    rows = table(linear_signal, 20_000, 1)
    manifest = sharded(context, rows)
    reducer, _ = fit_reducer(
        manifest, context.shards, OPEN.for_learner("linear"), engine=context.engine
    )
    matrices, y, times = picking._probe(context, manifest, {"one": reducer})
    assert matrices["one"].shape == (100, len(reducer.get_feature_names_out()))
    assert times is None
    place = {value: at for at, value in enumerate(rows["y"].to_pylist())}
    at = [place[value] for value in y.tolist()]
    assert at == sorted(at)
    assert at[0] < 2_000
    assert at[-1] > 17_500


def test_a_reducer_of_a_named_learner_is_not_taken_for_picked(context):
    """The stages after it say what to run."""
    context.workspace.reducer.mkdir(parents=True)
    with pytest.raises(ConfigError, match="made for a learner that was named") as caught:
        picking.picked(context.workspace, TrainingConfig(learner="auto"))
    assert caught.value.remedy == "run: tidemill run"
    found = pick(context, sharded(context, table(linear_signal, 300, 1)))
    found.save(context.workspace.reducer)
    assert picking.picked(context.workspace, TrainingConfig(learner="auto")).learner == "linear"
    told = json.loads((context.workspace.reducer / picking.PICK).read_text())
    assert told["why"] == found.why
    assert picking.picked(context.workspace, TrainingConfig(learner="sgd")).learner == "sgd"


def test_a_quarter_that_lacks_a_class_is_not_learnt():
    """Of a rare class every fourth row may have none: then nothing is expected of more rows."""
    y = np.zeros(4_000, np.int64)
    y[1:20:4] = 1
    splits = [(np.arange(3_000), np.arange(3_000, 4_000))]
    assert quarter_splits(splits, y, Task.BINARY) == ()
    y[::40] = 1
    ((learnt, held_out),) = quarter_splits(splits, y, Task.BINARY)
    assert (len(learnt), len(held_out)) == (750, 1_000)
    assert quarter_splits(splits, y.astype(float), Task.REGRESSION)
