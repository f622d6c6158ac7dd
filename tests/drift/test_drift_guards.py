"""What guards harm beside the followed figure: seen where it sees nothing, and no more alarms."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tidemill.config import HarmConfig
from tidemill.drift import (
    HeldOut,
    Performance,
    PerformanceModel,
    measure,
    performance_findings,
    verdict_of,
)
from tidemill.drift.performance.expected_figures import output_counts
from tidemill.drift.performance.familywise import critical_score, lower_correlation
from tidemill.drift.performance.guards import joint_score
from tidemill.drift.performance.standard_errors import standard_error
from tidemill.drift.performance.variation import Variation
from tidemill.metrics import LARGEST, BinaryFigures, RegressionFigures
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

HARM = HarmConfig()
STRICT = HarmConfig(max_loss=0, max_log_loss=0, max_wrong=0, max_rmse=0, max_bias=0)
"""Whatever lies beyond chance is harm: so the rate of false alarms shows."""

LABEL = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
EDGES = tuple(np.linspace(-4, 4, 25).tolist())
NUMBER = Column("y", ColumnType.NUMERIC, Purpose.TARGET, "float64", EDGES)
SCHEMAS = {
    Task.BINARY: TableSchema((LABEL,), Task.BINARY, ("no", "yes")),
    Task.MULTICLASS: TableSchema((LABEL,), Task.MULTICLASS, ("a", "b", "c")),
    Task.REGRESSION: TableSchema((NUMBER,), Task.REGRESSION),
}


def draw(task, rng, rows, *, off=0.0):
    """Scores and truths; ``off``: the truth moves by so much (of a logit) for the same score."""
    if task is Task.BINARY:
        logit = rng.normal(-0.5, 1.5, rows)
        truth = rng.random(rows) < 1 / (1 + np.exp(-logit - off))
        return 1 / (1 + np.exp(-logit)), truth.astype(int)
    if task is Task.MULTICLASS:
        weight = rng.gamma(0.5, size=(rows, 3)) + 1e-3
        scores = weight / weight.sum(axis=1, keepdims=True)
        return scores, (rng.random(rows)[:, None] > scores.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    said = rng.normal(0, 1, rows)
    return said, said + off + rng.normal(0, 0.3 + 0.3 * np.abs(said))


def model_of(task, rng, blocks=24, rows=250):
    parts = [HeldOut.of(SCHEMAS[task], *draw(task, rng, rows)) for _ in range(blocks)]
    return PerformanceModel.fit([(part.outcomes, part.figures) for part in parts])


def window(task, rng, rows, **shape):
    return HeldOut.of(SCHEMAS[task], *draw(task, rng, rows, **shape)).figures


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(0)
    return {task: model_of(task, rng) for task in Task}


@pytest.mark.parametrize("correlation", [-1.0, -0.5, 0.0, 0.6, 0.95])
def test_two_figures_share_one_rate(correlation):
    """The larger of two scores that go together exceeds the common threshold at the rate."""
    rng = np.random.default_rng(1)
    score = critical_score(0.025, 2, {(0, 1): correlation})
    a, b = rng.normal(size=(2, 400_000))
    other = correlation * a + np.sqrt(1 - correlation**2) * b
    assert np.mean(np.maximum(a, other) > score) == pytest.approx(0.025, abs=0.001)


def test_many_figures_exceed_their_common_threshold_at_most_at_the_rate():
    """The bound along a tree of pairs never claims too little, and less than Bonferroni's."""
    rng = np.random.default_rng(2)
    common = rng.normal(size=(1, 200_000))
    scores = 0.8 * common + 0.6 * rng.normal(size=(4, 200_000))
    pairs = {(i, j): 0.64 for j in range(4) for i in range(j)}
    score = critical_score(0.025, 4, pairs)
    assert 0.015 < np.mean(scores.max(axis=0) > score) <= 0.0255
    assert score < critical_score(0.025, 4, {})


def test_few_blocks_share_little():
    """What few pairs seem to have in common is mostly chance: then Bonferroni's threshold holds."""
    rng = np.random.default_rng(3)
    a, c = rng.normal(size=(2, 200, 64))
    b = 0.8 * a + 0.6 * c
    few, many = (np.array([lower_correlation(x[:n], y[:n]) for x, y in zip(a, b, strict=True)])
                 for n in (6, 64))  # fmt: skip
    assert few.mean() < 0.6 < many.mean() < 0.8
    assert np.isnan(lower_correlation(a[0, :3], b[0, :3]))
    score, joint = joint_score(0.025, "roc_auc", ["log_loss"], Variation())
    assert not joint
    assert score == critical_score(0.025, 2, {})
    known = Variation(together={"roc_auc": {"log_loss": 0.9}})
    score, joint = joint_score(0.025, "roc_auc", ["log_loss"], known)
    assert joint
    assert score < critical_score(0.025, 2, {})


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        pytest.param(Task.BINARY, "roc_auc", marks=pytest.mark.slow),
        pytest.param(Task.MULTICLASS, "accuracy", marks=pytest.mark.slow),
        (Task.REGRESSION, "mae"),
    ],
)
def test_all_figures_together_keep_the_one_rate(task, metric):
    """Steady windows, any loss taken for harm: no more are accused than stated."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(3):
        model = model_of(task, rng, blocks=16)
        found += [measure(model, metric, STRICT, figures=window(task, rng, 300)) for _ in range(40)]
    assert all(p.guards and p.joint for p in found)
    # The stated 2.5% and two standard errors of 120 windows.
    assert np.mean([bool(p.accusers) for p in found]) <= 0.05


def sea(rng, rows, boundary):
    """Street & Kim (2001): three features, two decide, a tenth of the labels flipped."""
    x = rng.uniform(0, 10, (rows, 3))
    return x, ((x[:, 0] + x[:, 1] <= boundary) ^ (rng.random(rows) < 0.1)).astype(int)


def test_sea_is_seen_where_the_boundary_moves_and_the_order_stands():
    """Row 12,500: accuracy falls by five points, the ROC AUC not at all: a guard tells."""
    rng = np.random.default_rng(5)
    x, y = sea(rng, 12_500, 8)
    late, truth = sea(rng, 4000, 9)
    learner = LogisticRegression().fit(x[:8000], y[:8000])
    scores = learner.predict_proba(np.concatenate([x, late]))[:, 1]
    schema = SCHEMAS[Task.BINARY]
    parts = [
        HeldOut.of(schema, scores[at], y[at]) for at in np.array_split(np.arange(8000, 12_000), 40)
    ]
    model = PerformanceModel.fit([(p.outcomes, p.figures) for p in parts])
    before = measure(
        model, "roc_auc", HARM, figures=BinaryFigures.of(scores[12_000:12_500], y[12_000:])
    )
    figures = BinaryFigures.of(scores[12_500:], truth)
    after = measure(model, "roc_auc", HARM, figures=figures)
    assert before.accusers == ()
    assert model.figures["accuracy"] - figures.values()["accuracy"] > 0.04
    assert abs(model.figures["roc_auc"] - after.measured) < 0.02
    assert after.harmed is False
    # A linear model is never sure, so that its log loss hardly moves.
    assert after.accusers == ("accuracy",)
    verdict = verdict_of([], after, HARM)
    assert verdict.name == "confirmed harm"
    assert verdict.sentence.startswith("Accuracy fell to 0.8")
    assert "ROC AUC is " in verdict.sentence


def test_predictions_that_are_all_too_high_are_seen(models):
    """A charge that all pay from now on: one-sided errors accuse where RMSE and R2 do not."""
    rng = np.random.default_rng(6)
    figures = window(Task.REGRESSION, rng, 3000, off=-0.17)
    found = measure(models[Task.REGRESSION], "r2", HARM, figures=figures)
    assert found.harmed is False
    assert found.accusers == ("bias",)
    (bias,) = [g for g in found.guards if g.metric == "bias"]
    assert bias.measured == pytest.approx(0.17, abs=0.03)
    assert verdict_of([], found, HARM).sentence.startswith("Mean signed error went to 0.1")
    other_way = window(Task.REGRESSION, rng, 3000, off=0.2)
    assert "bias" in measure(models[Task.REGRESSION], "r2", HARM, figures=other_way).accusers


@pytest.mark.parametrize("metric", ["r2", "rmse", "mae"])
@pytest.mark.parametrize("beyond", [0, 1, 12])
def test_one_label_that_is_far_off_accuses_nobody(models, metric, beyond):
    """A charge of 3,000 among 2,400 rides, whatever else lies outside the histogram of errors."""
    rng = np.random.default_rng(9)
    said, truth = draw(Task.REGRESSION, rng, 2400)
    truth[1 : 1 + beyond] = said[1 : 1 + beyond] + 5.0
    truth[0] = 3000.0
    figures = HeldOut.of(SCHEMAS[Task.REGRESSION], said, truth).figures
    assert measure(models[Task.REGRESSION], metric, HARM, figures=figures).accusers == ()


def test_many_labels_that_are_far_off_accuse(models):
    """A twentieth of the rows is off by more than the histogram of errors holds."""
    rng = np.random.default_rng(10)
    said, truth = draw(Task.REGRESSION, rng, 2400)
    truth[::20] = said[::20] + np.where(np.arange(120) % 2, 6.0, -6.0)
    figures = HeldOut.of(SCHEMAS[Task.REGRESSION], said, truth).figures
    assert "rmse" in measure(models[Task.REGRESSION], "mae", HARM, figures=figures).accusers


def test_a_bias_that_comes_nearer_to_zero_is_no_harm(models):
    """A model that was too high on held-out rows and is right now has not become worse."""
    rng = np.random.default_rng(7)
    parts = [
        HeldOut.of(SCHEMAS[Task.REGRESSION], *draw(Task.REGRESSION, rng, 250, off=-0.3))
        for _ in range(24)
    ]
    model = PerformanceModel.fit([(p.outcomes, p.figures) for p in parts])
    found = measure(model, "mae", HARM, figures=window(Task.REGRESSION, rng, 3000))
    assert found.accusers == ()
    assert (
        "bias"
        in measure(
            model, "mae", HARM, figures=window(Task.REGRESSION, rng, 3000, off=-0.7)
        ).accusers
    )


def test_harder_rows_are_not_worse_answers(models):
    """Rows that the model says to be uncertain have a larger log loss, and no guard accuses."""
    rng = np.random.default_rng(8)
    scores, truth = draw(Task.BINARY, rng, 20_000)
    hard = np.abs(scores - 0.5) < 0.15
    figures = BinaryFigures.of(scores[hard], truth[hard])
    found = measure(models[Task.BINARY], "roc_auc", HARM, figures=figures)
    log_loss, accuracy = found.guards
    assert accuracy.measured < models[Task.BINARY].figures["accuracy"] - 0.1
    assert not accuracy.harmed
    held = models[Task.BINARY].figures["log_loss"]
    assert log_loss.measured > held + 0.1
    assert log_loss.expected == pytest.approx(log_loss.measured, abs=0.02)
    assert not log_loss.harmed
    assert log_loss.acquitted
    among = measure(models[Task.BINARY], "roc_auc", HARM, figures=figures, alike=False)
    assert among.guards[0].expected == held
    assert among.guards[0].harmed


@pytest.mark.parametrize("task", list(Task))
def test_outputs_are_counted_from_figures_as_they_were_profiled(task):
    """The labelled rows' outputs by bin, without another pass over rows."""
    part = HeldOut.of(SCHEMAS[task], *draw(task, np.random.default_rng(9), 4000))
    counted = output_counts(part.figures, part.outcomes.edges)
    assert counted.sum() == 4000
    # Scores that share one of 65,536 bins count as the lowest of them.
    assert np.abs(counted - part.outcomes.rows).sum() <= 4


def test_few_labels_one_class_and_lacking_scores_tell_nothing(models):
    """No guard concludes where the rows are no sample, or the score is none."""
    rng = np.random.default_rng(10)
    scores, truth = draw(Task.BINARY, rng, 3000, off=3.0)
    model = models[Task.BINARY]
    few = measure(model, "roc_auc", HARM, figures=BinaryFigures.of(scores[:150], truth[:150]))
    assert (few.measurable, few.accusers, few.guards[0].harmed) == (False, (), None)
    positives = truth == 1
    one = BinaryFigures.of(scores[positives], truth[positives])
    assert measure(model, "roc_auc", HARM, figures=one).guards == ()
    certain = BinaryFigures.of((scores > 0.5) * 1.0, truth)
    assert measure(model, "roc_auc", HARM, figures=certain).guards == ()


def test_guards_can_be_switched_off(models):
    """null in params.yaml: that figure accuses nobody, and costs the others no rate."""
    off = HarmConfig(max_log_loss=None, max_wrong=None, max_rmse=None, max_bias=None)
    rng = np.random.default_rng(11)
    for task, metric in ((Task.BINARY, "roc_auc"), (Task.REGRESSION, "mae")):
        assert measure(models[task], metric, off, figures=window(task, rng, 500)).guards == ()


def test_references_of_before_the_guards_load_and_say_what_they_lack(models):
    """What they know guards; what they do not is told with the window, and flags nothing."""
    rng = np.random.default_rng(12)
    document = json.loads(json.dumps(models[Task.REGRESSION].to_json()))
    document.pop("dummy")
    document["variation"].pop("together")
    document["sums"] = [sums[:5] for sums in document["sums"]]
    for known in (document["figures"], document["noise"]):
        known.pop("bias")
    old = PerformanceModel.from_json(document)
    found = measure(old, "mae", HARM, figures=window(Task.REGRESSION, rng, 2000, off=-2.0))
    assert [g.metric for g in found.guards] == ["rmse"]
    assert found.unguarded == ("bias",)
    assert not found.joint
    told = {f.test: f for f in performance_findings(found, HARM)}
    assert not told["bias"].flagged
    assert "is not guarded" in told["bias"].detail
    assert "share of the rate alone" in told["rmse"].detail

    document = json.loads(json.dumps(models[Task.BINARY].to_json()))
    dummy = document.pop("dummy")
    assert PerformanceModel.from_json(document).dummy == pytest.approx(dummy)
    document = json.loads(json.dumps(models[Task.MULTICLASS].to_json()))
    document.pop("dummy")
    found = measure(
        PerformanceModel.from_json(document),
        "accuracy",
        HARM,
        figures=window(Task.MULTICLASS, rng, 500),
    )
    assert found.unguarded == ("log_loss",)


def test_guards_travel_as_json(models):
    """Guards come back as they were; a document of before there were any has none."""
    rng = np.random.default_rng(13)
    full = measure(models[Task.REGRESSION], "mae", HARM, figures=window(Task.REGRESSION, rng, 500))
    document = json.loads(json.dumps(full.to_json(), allow_nan=False))
    assert Performance.from_json(document).to_json() == full.to_json()
    for name in ("guards", "joint", "unguarded"):
        document.pop(name)
    assert Performance.from_json(document).guards == ()


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
@pytest.mark.parametrize("wrong", [50.0, 1e6, LARGEST])
def test_one_wrong_truth_accuses_nobody(models, metric, wrong):
    """A row of six hundred, far off or as far as it may be: its neighbours' verdict stands."""
    rng = np.random.default_rng(9)
    said, truth = draw(Task.REGRESSION, rng, 600)
    truth[7] = wrong
    figures = HeldOut.of(SCHEMAS[Task.REGRESSION], said, truth).figures
    found = measure(models[Task.REGRESSION], metric, HARM, figures=figures)
    assert (found.harmed, found.accusers) == (False, ())
    assert [figures.values()[metric]] == [found.measured]
    json.dumps(found.to_json())


def test_many_larger_errors_accuse_as_ever(models):
    """A tenth of the rows off by three standard errors of the model is harm by RMSE."""
    rng = np.random.default_rng(10)
    said, truth = draw(Task.REGRESSION, rng, 600)
    truth[::10] += 3 * np.where(np.arange(60) % 2, 1, -1)
    figures = HeldOut.of(SCHEMAS[Task.REGRESSION], said, truth).figures
    found = measure(models[Task.REGRESSION], "mae", HARM, figures=figures)
    assert "rmse" in found.accusers


def test_the_noise_of_squares_is_that_of_the_rows():
    """Of an RMSE it is told by the errors' fourth powers; older figures have their histogram."""
    rng = np.random.default_rng(11)
    said, truth = draw(Task.REGRESSION, rng, 500)
    truth[:6] += (40.0, 1.0, 3.0, 8.0, -9.0, 5.0)
    figures = RegressionFigures.of(said, truth, EDGES)
    squares = (said - truth) ** 2
    expected = squares.std() / np.sqrt(500) / (2 * np.sqrt(squares.mean()))
    assert standard_error(figures, "rmse") == pytest.approx(expected)
    kept = {k: v for k, v in figures.to_json().items() if k != "fourth_error_sum"}
    older = RegressionFigures.from_json(kept)
    assert np.isnan(older.fourth_error_sum)
    assert 0 < standard_error(older.merge(figures), "rmse") < np.inf
    assert standard_error(RegressionFigures.of(said * 1e90, truth, EDGES), "rmse") == np.inf
