"""The figures are scikit-learn's: exactly, or within the bound that they state."""

import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from tidemill.config import ThresholdConfig
from tidemill.errors import ConfigError, SchemaMismatch
from tidemill.metrics import (
    HIGHER_IS_BETTER,
    STRETCHES,
    BinaryFigures,
    MulticlassFigures,
    RegressionFigures,
    ScoreHistogram,
    baseline_figures,
    class_shares,
    decided_above,
    default_metric,
    figures_of,
    find_threshold,
    improves,
    metric_names,
    no_better_than_dummy,
    standard_errors,
)
from tidemill.profiling import fold
from tidemill.schema import Task

ROUNDING = 1e-12


def binary_case(kind, n, seed):
    rng = np.random.default_rng(seed)
    share = {"rare": 0.004, "saturated": 0.5}.get(kind, 0.3)
    y = (rng.random(n) < share).astype(np.int32)
    logit = rng.normal(size=n) * 1.5 + 2.0 * y - 1
    if kind == "saturated":
        logit *= 30
    scores = 1 / (1 + np.exp(-logit))
    return (np.round(scores, 2) if kind == "tied" else scores), y


@pytest.mark.parametrize("n", [50, 3_000, 100_000])
@pytest.mark.parametrize("kind", ["plain", "rare", "saturated", "tied"])
def test_binary_figures_are_scikit_learns(kind, n):
    """Rank figures within their stated bounds, the others to 1e-12; folded from blocks."""
    scores, y = binary_case(kind, n, seed=7)
    if y.sum() == 0:
        y[0] = 1
    blocks = zip(np.array_split(scores, 7), np.array_split(y, 7), strict=True)
    figures = fold(BinaryFigures.of(s, labels) for s, labels in blocks)
    values = figures.values()
    assert tuple(values) == metric_names(Task.BINARY)
    roc_auc = reference.roc_auc_score(y, scores)
    assert abs(values["roc_auc"] - roc_auc) <= figures.rank_bound + ROUNDING
    precision = reference.average_precision_score(y, scores)
    error = abs(values["average_precision"] - precision)
    assert error <= figures.average_precision_bound + 1e-9
    assert error <= 1e-3
    # The bound must say something: 1 would hold as well.
    assert figures.rank_bound < 1e-4
    assert values["log_loss"] == pytest.approx(reference.log_loss(y, scores), rel=ROUNDING)
    assert values["accuracy"] == pytest.approx(np.mean((scores > 0.5) == y), rel=ROUNDING)
    assert values["f1"] == pytest.approx(reference.f1_score(y, scores > 0.5), rel=ROUNDING)
    assert values["brier"] == pytest.approx(reference.brier_score_loss(y, scores), rel=ROUNDING)
    assert figures.confusion.tolist() == reference.confusion_matrix(y, scores > 0.5).tolist()


def test_true_ties_cost_no_accuracy():
    """Scores of a small tree, thousands of rows a leaf: rank figures exact, bounds zero."""
    scores, y = binary_case("tied", 20_000, seed=8)
    figures = BinaryFigures.of(scores, y)
    assert figures.rank_bound == 0.0
    assert figures.average_precision_bound == 0.0
    values = figures.values()
    assert values["roc_auc"] == pytest.approx(reference.roc_auc_score(y, scores), rel=1e-12)
    assert values["average_precision"] == pytest.approx(
        reference.average_precision_score(y, scores), rel=1e-12
    )


def test_the_bounds_hold_where_all_scores_share_one_bin():
    """The worst case: the order within a bin is lost, and the bounds admit it."""
    scores = 0.5 + np.arange(100) * 1e-12
    ordered = (np.arange(100) >= 50).astype(np.int32)
    errors = []
    for y in (ordered, 1 - ordered):
        figures = BinaryFigures.of(scores, y)
        values = figures.values()
        error = abs(values["roc_auc"] - reference.roc_auc_score(y, scores))
        assert error == pytest.approx(figures.rank_bound)
        precision = reference.average_precision_score(y, scores)
        errors.append(abs(values["average_precision"] - precision))
    # Both orders leave the same histogram: one is the best there is, the other the worst.
    assert figures.average_precision_bound == pytest.approx(max(errors))
    assert max(errors) > 0.1


def test_the_curves_enclose_the_figures():
    """The thinned curves start and end where they should, and their areas are the figures."""
    scores, y = binary_case("plain", 50_000, seed=9)
    figures = BinaryFigures.of(scores, y)
    roc = figures.roc_curve()
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert len(roc.x) <= 1_002
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(figures.values()["roc_auc"], abs=1e-4)
    assert np.all(np.diff(roc.thresholds) < 0)
    pr = figures.precision_recall_curve(points=5_000)
    assert (pr.x[0], pr.y[0], pr.x[-1]) == (0, 1, 1)
    assert pr.y[-1] == pytest.approx(y.mean())
    area = np.sum(np.diff(pr.x) * pr.y[1:])
    assert area == pytest.approx(figures.values()["average_precision"], abs=2e-3)


def test_curve_points_are_where_their_thresholds_say():
    """Rows at or above a threshold give that point's rates, up to one bin."""
    scores, y = binary_case("plain", 5_000, seed=10)
    roc = BinaryFigures.of(scores, y).roc_curve(points=50)
    for x, height, threshold in zip(roc.x[1:], roc.y[1:], roc.thresholds[1:], strict=True):
        chosen = scores >= threshold * (1 - 1e-9)
        assert height == pytest.approx(chosen[y == 1].mean(), abs=2e-3)
        assert x == pytest.approx(chosen[y == 0].mean(), abs=2e-3)


def test_calibration_is_scikit_learns():
    """Mean score and share of positives of ten score ranges."""
    scores, y = binary_case("plain", 20_000, seed=11)
    mean_score, share, rows = BinaryFigures.of(scores, y).calibration(bins=10)
    expected_share, expected_mean = calibration_curve(y, scores, n_bins=10)
    np.testing.assert_allclose(share[rows > 0], expected_share, rtol=1e-12)
    np.testing.assert_allclose(mean_score[rows > 0], expected_mean, rtol=1e-12)
    with pytest.raises(ValueError, match="divide 100"):
        BinaryFigures.of(scores, y).calibration(bins=7)


def test_the_document_of_many_rows_stays_small():
    """A million rows fit into half a megabyte of JSON."""
    scores, y = binary_case("plain", 1_000_000, seed=12)
    assert len(json.dumps(BinaryFigures.of(scores, y).to_json())) < 500_000


def test_scores_at_the_very_ends_have_a_place():
    """Zero, one and denormal probabilities are ranked, and the curves cope without a warning."""
    scores = np.array([0.0, 5e-324, 1e-300, 1e-17, 0.5, 1 - 1e-16, 1.0, 1.0 + 1e-7])
    y = np.array([0, 0, 1, 0, 1, 0, 1, 1], dtype=np.int32)
    with np.errstate(all="raise", under="ignore"):
        figures = BinaryFigures.of(scores, y)
        figures = figures.merge(BinaryFigures.of(scores[:0], y[:0]))
        assert len(figures.roc_curve().x) == len(figures.ranks.bins) + 1
    expected = reference.roc_auc_score(y, scores.clip(0, 1))
    assert figures.values()["roc_auc"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("y", [[], [0, 0], [1, 1]])
def test_one_class_leaves_rank_figures_undefined(y):
    """NaN, not a number that could win a comparison."""
    figures = BinaryFigures.of(np.full(len(y), 0.3), np.array(y, dtype=np.int32))
    assert math.isnan(figures.values()["roc_auc"])
    assert math.isnan(figures.rank_bound)


def multiclass_case(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05]).astype(np.int32)
    logits = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[y]
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True), y


def test_multiclass_figures_are_scikit_learns():
    """Macro one-against-rest ROC AUC within its bound, the others to 1e-12."""
    scores, y = multiclass_case(20_000, seed=13)
    blocks = zip(np.array_split(scores, 5), np.array_split(y, 5), strict=True)
    figures = fold(MulticlassFigures.of(s, labels) for s, labels in blocks)
    values = figures.values()
    assert tuple(values) == metric_names(Task.MULTICLASS)
    expected = reference.roc_auc_score(y, scores, multi_class="ovr", average="macro")
    assert abs(values["roc_auc"] - expected) <= figures.rank_bound + ROUNDING
    assert figures.rank_bound < 1e-3
    predicted = scores.argmax(axis=1)
    assert values["log_loss"] == pytest.approx(reference.log_loss(y, scores), rel=ROUNDING)
    assert values["accuracy"] == pytest.approx(reference.accuracy_score(y, predicted), rel=ROUNDING)
    f1 = reference.f1_score(y, predicted, average="macro")
    assert values["f1"] == pytest.approx(f1, rel=ROUNDING)
    brier = reference.brier_score_loss(y, scores, labels=[0, 1, 2, 3])
    assert values["brier"] == pytest.approx(brier, rel=ROUNDING)
    assert figures.confusion.tolist() == reference.confusion_matrix(y, predicted).tolist()


def test_a_class_that_does_not_occur_is_left_out_of_the_means():
    """A test set without the rarest class still has its figures."""
    scores, y = multiclass_case(2_000, seed=14)
    present = y < 3
    values = MulticlassFigures.of(scores[present], y[present]).values()
    aucs = [reference.roc_auc_score(y[present] == k, scores[present, k]) for k in range(3)]
    assert values["roc_auc"] == pytest.approx(np.mean(aucs), abs=1e-3)
    f1 = reference.f1_score(y[present], scores[present].argmax(axis=1), average="macro")
    assert values["f1"] == pytest.approx(f1, rel=ROUNDING)


def test_regression_figures_are_scikit_learns():
    """MAE, RMSE and R2 to 1e-12, on targets far from zero, folded from blocks."""
    rng = np.random.default_rng(15)
    y = rng.normal(5_000, 30, 10_000)
    predictions = y + rng.normal(0, 10, 10_000)
    blocks = zip(np.array_split(predictions, 9), np.array_split(y, 9), strict=True)
    values = fold(RegressionFigures.of(p, t) for p, t in blocks).values()
    assert tuple(values) == metric_names(Task.REGRESSION)
    assert values["mae"] == pytest.approx(reference.mean_absolute_error(y, predictions), rel=1e-12)
    rmse = reference.root_mean_squared_error(y, predictions)
    assert values["rmse"] == pytest.approx(rmse, rel=ROUNDING)
    assert values["r2"] == pytest.approx(reference.r2_score(y, predictions), rel=ROUNDING)
    assert values["bias"] == pytest.approx((predictions - y).mean(), rel=1e-9)


def test_figures_of_before_the_signed_errors_were_kept_can_be_read():
    """Their bias is not known, nor that of anything they are merged with; all else is."""
    rng = np.random.default_rng(16)
    y = rng.normal(0, 1, 50)
    new = RegressionFigures.of(y + 0.5, y)
    document = new.to_json()
    assert document.pop("error_sum") == pytest.approx(25.0)
    old = RegressionFigures.from_json(document)
    assert math.isnan(old.values()["bias"])
    assert math.isnan(old.merge(new).values()["bias"])
    assert old.values()["rmse"] == new.values()["rmse"]
    assert RegressionFigures.from_json(old.to_json()).to_json() == old.to_json()


@pytest.mark.parametrize(
    ("y", "predictions", "r2"), [([3, 3], [3, 3], 1.0), ([3, 3], [3, 4], 0.0), ([3], [3], math.nan)]
)
def test_r2_of_a_constant_target(y, predictions, r2):
    """The convention of scikit-learn."""
    figures = RegressionFigures.of(np.array(predictions), np.array(y))
    assert figures.values()["r2"] == pytest.approx(r2, nan_ok=True)


def test_residuals_and_joint_counts_are_histograms():
    """Every row is in one residual bin and in one cell of target bin by prediction bin."""
    y = np.array([0.0, 5.0, 12.0, 30.0])
    predictions = np.array([1.03, 14.03, 11.03, -90.0])
    figures = RegressionFigures.of(predictions, y, edges=(4.0, 10.0, 24.0))
    expected = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0]]
    assert figures.joint_counts.tolist() == expected
    assert (figures.residual_edges[0], figures.residual_edges[-1]) == (-10.0, 10.0)
    inner, _ = np.histogram(predictions - y, bins=figures.residual_edges)
    assert figures.residual_counts.tolist() == [1, *inner.tolist(), 0]


def test_the_baseline_knows_the_training_prior_only():
    """Constant scores: ROC AUC one half, average precision the prevalence, R2 about zero."""
    y = np.array([0] * 80 + [1] * 20)
    prior = class_shares({"yes": 30, "no": 70}, ("no", "yes"))
    figures = baseline_figures(Task.BINARY, prior, y, classes=("no", "yes"))
    values = figures.values()
    assert (values["roc_auc"], figures.rank_bound) == (0.5, 0.0)
    assert values["average_precision"] == pytest.approx(0.2, rel=1e-12)
    expected = reference.log_loss(y, np.full(100, 0.3))
    assert values["log_loss"] == pytest.approx(expected, rel=1e-12)
    target = np.array([1.0, 2.0, 6.0])
    values = baseline_figures(Task.REGRESSION, 4.0, target, classes=()).values()
    assert values["r2"] == pytest.approx(reference.r2_score(target, [4.0] * 3), rel=1e-12)
    values = baseline_figures(
        Task.MULTICLASS, [0.2, 0.5, 0.3], np.array([0, 1, 2]), classes=("a", "b", "c")
    ).values()
    assert (values["roc_auc"], values["accuracy"]) == (0.5, pytest.approx(1 / 3))


@pytest.mark.parametrize("task", list(Task))
def test_every_figure_has_a_direction_and_every_task_a_default(task):
    """The default figure is one of the task's; each says which way is better, or only tells."""
    assert default_metric(task) in metric_names(task)
    assert set(metric_names(task)) - set(HIGHER_IS_BETTER) <= {"bias"}


@pytest.mark.parametrize(
    ("task", "shares", "metric"),
    [
        (Task.BINARY, (), "roc_auc"),
        (Task.BINARY, (0.95, 0.05), "roc_auc"),
        (Task.BINARY, (0.951, 0.049), "average_precision"),
        (Task.BINARY, (0.01, 0.99), "roc_auc"),
        (Task.MULTICLASS, (0.98, 0.01, 0.01), "log_loss"),
        (Task.REGRESSION, (), "r2"),
    ],
)
def test_the_default_figure_fits_the_shares_of_the_classes(task, shares, metric):
    """Average precision where the positive class is rare; of another rare one it says nothing."""
    assert default_metric(task, shares) == metric


@pytest.mark.parametrize(
    ("metric", "new", "old", "margin", "expected"),
    [
        ("roc_auc", 0.8, 0.8, 0.0, False),
        ("roc_auc", 0.81, 0.8, 0.0, True),
        ("roc_auc", 0.81, 0.8, 0.05, False),
        ("log_loss", 0.3, 0.4, 0.0, True),
        ("log_loss", 0.4, 0.3, 0.0, False),
        ("log_loss", 0.35, 0.4, 0.1, False),
        ("r2", math.nan, 0.1, 0.0, False),
        ("r2", 0.1, math.nan, 0.0, True),
        ("r2", math.nan, math.nan, 0.0, False),
    ],
)
def test_what_counts_as_better(metric, new, old, margin, expected):
    """Strictly better than the margin, in the figure's direction; NaN never wins."""
    assert improves(metric, new, old, margin) is expected


def test_an_unknown_figure_is_refused_with_the_nearest():
    """A misspelt metric names the one that was meant."""
    with pytest.raises(ConfigError, match="roc_acu") as refusal:
        improves("roc_acu", 1.0, 0.0)
    assert refusal.value.fields["nearest"] == "roc_auc"


@pytest.mark.parametrize(
    ("task", "scores", "y"),
    [
        (Task.BINARY, np.zeros((3, 2)), np.zeros(3)),
        (Task.BINARY, np.zeros(2), np.zeros(3)),
        (Task.BINARY, np.array([0.1, np.nan]), np.zeros(2)),
        (Task.BINARY, np.array([0.1, 1.5]), np.zeros(2)),
        (Task.MULTICLASS, np.zeros((3, 2)), np.zeros(3)),
        (Task.MULTICLASS, np.zeros(3), np.zeros(3)),
        (Task.MULTICLASS, np.full((2, 3), 0.3), np.array([0, 3])),
        (Task.MULTICLASS, np.full((2, 3), np.nan), np.array([0, 1])),
        (Task.REGRESSION, np.zeros(2), np.zeros(3)),
        (Task.REGRESSION, np.array([np.inf, 0.0]), np.zeros(2)),
    ],
)
def test_scores_that_do_not_fit_are_refused(task, scores, y):
    """Wrong shapes, codes without a score and diverged models do not become figures."""
    with pytest.raises(SchemaMismatch) as refusal:
        figures_of(task, scores, y, classes=("a", "b", "c"))
    assert refusal.value.remedy


KINDS_OF_DECISIONS = {
    "one class of two": (Task.BINARY, [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1], "is decided 'a'"),
    "the rarer class of two": (Task.BINARY, [0.6, 0.7, 0.8, 0.9], [0, 0, 0, 1], "is decided 'b'"),
    "as often wrong as one answer": (Task.BINARY, [0.1, 0.6, 0.2, 0.6], [0, 0, 0, 1], "0.7500"),
    "two classes": (Task.BINARY, [0.1, 0.2, 0.3, 0.6], [0, 0, 0, 1], ""),
    "of one class nobody can tell": (Task.BINARY, [0.1, 0.2], [0, 0], ""),
    "no rows": (Task.BINARY, [], [], ""),
    "one class of three": (
        Task.MULTICLASS,
        [[0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.0, 0.9, 0.1]],
        [0, 1, 2],
        "is decided 'b'",
    ),
    "three classes": (Task.MULTICLASS, np.eye(3) * 0.7 + 0.1, [0, 1, 2], ""),
    "the mean": (Task.REGRESSION, [2.0, 2.0, 2.0], [1.0, 2.0, 3.0], "R2 0.0000"),
    "worse than the mean": (Task.REGRESSION, [9.0, 2.0, 2.0], [1.0, 2.0, 3.0], "R2 -"),
    "near": (Task.REGRESSION, [1.5, 2.0, 2.5], [1.0, 2.0, 3.0], ""),
    "one row": (Task.REGRESSION, [1.5], [1.0], ""),
}


@pytest.mark.parametrize("kind", KINDS_OF_DECISIONS)
def test_decisions_that_one_answer_for_all_rows_would_match_are_called_so(kind):
    """Whatever the ranks are worth; silent where they are worth more, or nobody can tell."""
    task, scores, y, said = KINDS_OF_DECISIONS[kind]
    classes = () if task is Task.REGRESSION else ("a", "b", "c")[: 2 + (task is Task.MULTICLASS)]
    edges = np.linspace(0, 4, 65)
    figures = figures_of(task, np.array(scores), np.array(y), classes=classes, edges=edges)
    found = no_better_than_dummy(figures, classes)
    assert said in found
    assert bool(found) == bool(said)


def test_the_standard_error_is_what_other_rows_show():
    """Of ROC AUC, log loss and accuracy: the spread over tables drawn anew, within a quarter."""
    rng = np.random.default_rng(5)

    def parts():
        for _ in range(STRETCHES):
            y = rng.integers(0, 2, 200)
            scores = 1 / (1 + np.exp(-(y - 0.5 + rng.normal(size=200))))
            yield BinaryFigures.of(scores, y)

    drawn = [list(parts()) for _ in range(60)]
    spread = {
        name: np.std([fold(tables).values()[name] for tables in drawn], ddof=1)
        for name in ("roc_auc", "log_loss", "accuracy")
    }
    told = [standard_errors(tables) for tables in drawn[:20]]
    for name, size in spread.items():
        assert np.mean([errors[name] for errors in told]) == pytest.approx(size, rel=0.25)


def test_rows_alike_in_a_stretch_are_no_independent_ones():
    """Each stretch has an offset of its own: rows taken as independent would hide it."""
    rng = np.random.default_rng(5)
    offsets = rng.normal(size=STRETCHES)
    parts = [RegressionFigures.of(np.full(500, at), np.zeros(500)) for at in offsets]
    error = standard_errors(parts)["bias"]
    assert error == pytest.approx(offsets.std(ddof=1) / STRETCHES**0.5)


def test_too_few_stretches_tell_no_error():
    """Nineteen: infinite, and none of no rows."""
    parts = [RegressionFigures.of(np.ones(5), np.zeros(5))] * (STRETCHES - 1)
    assert standard_errors(parts)["bias"] == math.inf
    assert standard_errors([]) == {}


def _worths(scores, y, threshold):
    called = scores > threshold
    true = int((called & (y == 1)).sum())
    false = int(called.sum()) - true
    missed = int((y == 1).sum()) - true
    precision = true / (true + false) if true + false else 0.0
    return precision, true / (true + missed), 2 * true / (2 * true + false + missed), false, missed


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["plain", "tied", "rare"])
def test_a_threshold_is_the_best_of_all(kind, seed):
    """By trying each score: no other has more F1, recall at the precision, or less cost."""
    scores, y = binary_case(kind, 600, seed)
    scores, y[:5] = scores.round(3).clip(0.001), 1  # scores that are nearer share a bin
    ranks = ScoreHistogram.of(scores, y == 1)
    every = [_worths(scores, y, t) for t in (0.0, *np.unique(scores))]

    def reached(rule):
        return _worths(scores, y, find_threshold(ranks, rule))

    assert reached("f1")[2] == pytest.approx(max(one[2] for one in every))
    for least in (0.1, 0.6, 0.9, 1.0):
        found, able = reached(ThresholdConfig(precision=least)), [e for e in every if e[0] >= least]
        if able:
            assert found[0] >= least
            assert found[1] == pytest.approx(max(one[1] for one in able))
        else:
            assert found[0] == pytest.approx(max(one[0] for one in every))
        found, able = reached(ThresholdConfig(recall=least)), [e for e in every if e[1] >= least]
        assert found[1] >= least
        assert found[0] == pytest.approx(max(one[0] for one in able))
    for costs in ((1, 1), (1, 20), (7, 1)):
        cost = [
            costs[0] * one[3] + costs[1] * one[4]
            for one in (reached(ThresholdConfig(costs=costs)), *every)
        ]
        assert cost[0] == min(cost)


@pytest.mark.parametrize(
    "given", [{}, {"recall": 0.5, "precision": 0.5}, {"recall": 0}, {"costs": [1]}]
)
def test_what_is_wanted_of_a_threshold_is_one_thing(given):
    """Neither none nor two, and no share of nothing."""
    with pytest.raises(ValueError, match=r"recall|precision|costs"):
        ThresholdConfig(**given)


def test_figures_follow_the_threshold_that_decides():
    """Accuracy, F1, precision and recall; ranks and losses do not. It is kept, and not mixed."""
    scores, y = binary_case("plain", 3_000, 3)
    plain, own = BinaryFigures.of(scores, y), BinaryFigures.of(scores, y, 0.2)
    assert own.values()["f1"] == pytest.approx(reference.f1_score(y, scores > 0.2))
    assert own.values()["accuracy"] == pytest.approx(reference.accuracy_score(y, scores > 0.2))
    precision, recall = decided_above(own.ranks, 0.2)
    assert own.operating() == {
        "threshold": 0.2,
        "precision": pytest.approx(precision),
        "recall": pytest.approx(recall),
    }
    assert plain.operating()["recall"] < recall
    for name in ("roc_auc", "log_loss", "brier", "average_precision"):
        assert own.values()[name] == plain.values()[name]
    again = BinaryFigures.from_json(json.loads(json.dumps(own.to_json())))
    assert again.merge(own).operating() == own.operating()
    assert "threshold" not in plain.to_json()
    low = BinaryFigures.of(scores, y, 0.05)  # finds nearly all, and is right for few
    assert low.values()["accuracy"] < 1 - y.mean()
    assert no_better_than_dummy(low, ("no", "yes")) == ""
    assert no_better_than_dummy(BinaryFigures.of(scores, y, 1e-9), ("no", "yes"))
    with pytest.raises(SchemaMismatch, match=r"above 0\.2 and above 0\.5"):
        own.merge(plain)
