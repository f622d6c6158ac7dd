"""Figures are expected before labels arrive, with bands that hold what is then measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st

from tidemill.drift import Estimate, HeldOut, OutputBins, PerformanceModel, Reconciled, reconcile
from tidemill.drift.outputs import PREDICTION, SCORE, output_schema, outputs_of, scores_of_outputs
from tidemill.drift.performance.expected_figures import expected_figures, groups_of
from tidemill.drift.performance.output_bins import SUMS
from tidemill.drift.performance.standard_errors import standard_error
from tidemill.errors import SchemaMismatch
from tidemill.metrics import BinaryFigures, MulticlassFigures, figures_of
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.testing.partials import PartialContract

EDGES = tuple(np.linspace(-4, 4, 25).tolist())


def schema_of(task):
    kind = (
        Column("y", ColumnType.NUMERIC, Purpose.TARGET, "float64", EDGES)
        if task is Task.REGRESSION
        else Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
    )
    classes = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c")}.get(task, ())
    return TableSchema((kind,), task, classes)


def draw(task, rng, rows, shift=0.0, worse=0.0):
    """Scores and truths of ``rows`` rows; calibrated unless ``worse``."""
    if task is Task.BINARY:
        logit = rng.normal(shift, 1.5, rows) - 0.5
        truth = rng.random(rows) < 1 / (1 + np.exp(-logit * (1 - worse)))
        return 1 / (1 + np.exp(-logit)), truth.astype(np.int32)
    if task is Task.MULTICLASS:
        weight = rng.gamma(0.5 + shift, size=(rows, 3)) + 1e-3
        scores = weight / weight.sum(axis=1, keepdims=True)
        drawn = (rng.random(rows)[:, None] > scores.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        return scores, drawn.astype(np.int32)
    said = rng.normal(shift, 1.0, rows)
    return said, said + rng.normal(0, 0.3 + 0.3 * np.abs(said) + worse, rows)


def held_out(task, rng, blocks=30, rows=600, **shape):
    schema = schema_of(task)
    return [HeldOut.of(schema, *draw(task, rng, rows, **shape)) for _ in range(blocks)]


def model_of(task, rng):
    return PerformanceModel.fit([(b.outcomes, b.figures) for b in held_out(task, rng)])


class TestBinaryOutcomesLaws(PartialContract):
    relative, absolute = 1e-12, 1e-12

    def rows(self):
        return st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), max_size=30)

    def of(self, rows):
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return OutputBins.of(Task.BINARY, table[:, 0], table[:, 1].astype(int), edges=(0.2, 0.5))


class TestHeldOutLaws(PartialContract):
    relative, absolute = 1e-9, 1e-6

    def rows(self):
        number = st.floats(-1e3, 1e3)
        return st.lists(st.tuples(number, number), max_size=20)

    def of(self, rows):
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return HeldOut.of(schema_of(Task.REGRESSION), table[:, 0], table[:, 1])


@pytest.mark.parametrize("task", list(Task))
def test_held_out_rows_are_expected_to_do_as_they_did(task):
    """On the held-out rows themselves the estimate is the measured figure."""
    rng = np.random.default_rng(3)
    blocks = held_out(task, rng)
    model = PerformanceModel.fit([(b.outcomes, b.figures) for b in blocks])
    outputs = blocks[0].outputs
    for block in blocks[1:]:
        outputs = outputs.merge(block.outputs)
    told = [n for n in model.figures if np.isfinite(model.estimate(outputs, n).value)]
    silent = {"roc_auc", "f1"} if task is Task.MULTICLASS else set()
    assert set(model.figures) - set(told) == silent
    for name in told:
        assert model.estimate(outputs, name).value == pytest.approx(model.figures[name], abs=1e-9)


@pytest.mark.parametrize(
    ("task", "metric", "shift"),
    [
        pytest.param(Task.BINARY, "roc_auc", 0.0, marks=pytest.mark.slow),
        (Task.BINARY, "roc_auc", 1.0),
        pytest.param(Task.BINARY, "average_precision", 0.8, marks=pytest.mark.slow),
        pytest.param(Task.BINARY, "accuracy", -0.8, marks=pytest.mark.slow),
        (Task.BINARY, "log_loss", 1.0),
        pytest.param(Task.BINARY, "f1", 0.5, marks=pytest.mark.slow),
        (Task.MULTICLASS, "log_loss", 0.3),
        (Task.MULTICLASS, "accuracy", 0.3),
        (Task.REGRESSION, "mae", 1.0),
        (Task.REGRESSION, "rmse", 0.5),
        (Task.REGRESSION, "r2", 0.0),
    ],
)
def test_bands_hold_the_truth_while_outputs_mean_what_they_meant(task, metric, shift):
    """Windows whose inputs moved, and whose concept did not, are foretold: 95% lie inside."""
    rng = np.random.default_rng(11)
    model, schema = model_of(task, rng), schema_of(task)
    inside, windows = 0, 40
    for _ in range(windows):
        window = HeldOut.of(schema, *draw(task, rng, 500, shift=shift))
        estimate = model.estimate(window.outputs, metric)
        inside += estimate.low <= window.figures.values()[metric] <= estimate.high
    assert inside >= 0.85 * windows


@pytest.mark.parametrize(("task", "metric"), [(Task.BINARY, "accuracy"), (Task.REGRESSION, "mae")])
def test_harder_rows_are_expected_to_go_worse(task, metric):
    """More rows of the kind that went badly: the estimate says so before any label."""
    rng = np.random.default_rng(5)
    model, schema = model_of(task, rng), schema_of(task)
    scores, truth = draw(task, rng, 4000)
    hard = np.abs(scores - 0.5) < 0.25 if task is Task.BINARY else np.abs(scores) > 1.2
    estimate = model.estimate(HeldOut.of(schema, scores[hard], truth[hard]).outputs, metric)
    measured = figures_of(
        task, scores[hard], truth[hard], classes=schema.classes, edges=schema.target.edges
    ).values()[metric]
    assert abs(measured - model.figures[metric]) > 0.1
    assert estimate.value == pytest.approx(measured, abs=0.04)
    assert not estimate.low <= model.figures[metric] <= estimate.high


@pytest.mark.parametrize("shift", [-1.0, -0.5, 0.5, 1.0])
def test_rare_positives_are_told_although_their_scores_share_a_bin(shift):
    """Nearly all scores below 0.05: the order inside the bin is known from held-out rows."""
    rng = np.random.default_rng(8)
    parts = held_out(Task.BINARY, rng, rows=2000, shift=-4.5)
    model = PerformanceModel.fit([(part.outcomes, part.figures) for part in parts])
    window = HeldOut.of(schema_of(Task.BINARY), *draw(Task.BINARY, rng, 30_000, shift=-4.5 + shift))
    estimate = model.estimate(window.outputs, "roc_auc")
    assert estimate.value == pytest.approx(window.figures.values()["roc_auc"], abs=0.06)
    assert estimate.low <= model.figures["roc_auc"] <= estimate.high


def test_a_changed_concept_does_not_show_before_labels():
    """What the same output means has changed: the estimate cannot know, and does not pretend."""
    rng = np.random.default_rng(7)
    model = model_of(Task.BINARY, rng)
    window = HeldOut.of(schema_of(Task.BINARY), *draw(Task.BINARY, rng, 3000, worse=0.9))
    estimate = model.estimate(window.outputs, "roc_auc")
    assert estimate.low <= model.figures["roc_auc"] <= estimate.high
    assert window.figures.values()["roc_auc"] < estimate.low


def test_small_windows_have_wide_bands():
    """The fewer rows, the less is claimed."""
    rng = np.random.default_rng(1)
    model = model_of(Task.BINARY, rng)
    errors = [
        model.estimate(
            HeldOut.of(schema_of(Task.BINARY), *draw(Task.BINARY, rng, rows)).outputs, "roc_auc"
        ).standard_error
        for rows in (50, 500, 5000)
    ]
    assert errors[0] > 2 * errors[1] > 2 * errors[2]


def test_outputs_where_no_held_out_row_lay_are_told():
    """A share of rows beyond all that was seen is reported with the estimate."""
    rng = np.random.default_rng(6)
    model = model_of(Task.REGRESSION, rng)
    rows = np.concatenate([rng.normal(0, 1, 300), np.full(100, -3.9)])
    window = HeldOut.of(schema_of(Task.REGRESSION), rows, rows)
    assert model.estimate(window.outputs, "mae").unseen == pytest.approx(0.25, abs=0.01)


def test_what_cannot_be_told_is_nan():
    """No rows, no scores, or a figure that the sums do not hold: NaN, not a guess."""
    rng = np.random.default_rng(2)
    model, schema = model_of(Task.MULTICLASS, rng), schema_of(Task.MULTICLASS)
    window = HeldOut.of(schema, *draw(Task.MULTICLASS, rng, 100))
    assert np.isnan(model.estimate(window.outputs, "roc_auc").value)
    empty = Profile.of(outputs_of(schema, np.empty((0, 3))), output_schema(schema))
    assert np.isnan(model.estimate(empty, "log_loss").value)


def test_outputs_on_other_edges_are_refused():
    """Bins of another schema would be read as something else."""
    model = model_of(Task.REGRESSION, np.random.default_rng(0))
    other = TableSchema(
        (Column("y", ColumnType.NUMERIC, Purpose.TARGET, "float64", (0.0,)),), Task.REGRESSION
    )
    window = HeldOut.of(other, np.zeros(5), np.zeros(5))
    with pytest.raises(SchemaMismatch, match="edges"):
        model.estimate(window.outputs, "mae")


def test_without_held_out_rows_there_is_no_model():
    """Nothing is invented where nothing was held out."""
    with pytest.raises(SchemaMismatch, match="held-out"):
        PerformanceModel.fit([])


@pytest.mark.parametrize("task", list(Task))
def test_the_model_travels_as_json(task):
    """Through JSON text it is the same model, to the last bit."""
    model = model_of(task, np.random.default_rng(9))
    text = json.dumps(model.to_json(), allow_nan=False)
    again = PerformanceModel.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    metric = {Task.BINARY: "roc_auc", Task.MULTICLASS: "log_loss"}.get(task, "r2")
    counts = model.sums[0]
    assert again.estimate_counts(counts, metric) == model.estimate_counts(counts, metric)


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        *((Task.BINARY, m) for m in ("roc_auc", "average_precision", "log_loss", "accuracy", "f1")),
        *((Task.MULTICLASS, m) for m in ("log_loss", "accuracy")),
        *((Task.REGRESSION, m) for m in ("mae", "rmse", "r2")),
    ],
)
def test_standard_errors_are_those_of_repeated_samples(task, metric):
    """The analytic standard error is the spread of the figure over independent samples."""
    rng = np.random.default_rng(4)
    schema = schema_of(task)
    drawn = [
        figures_of(task, *draw(task, rng, 500), classes=schema.classes, edges=schema.target.edges)
        for _ in range(250)
    ]
    spread = np.std([figures.values()[metric] for figures in drawn])
    told = np.mean([standard_error(figures, metric) for figures in drawn])
    assert told == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize("metric", ["roc_auc", "brier", "f1"])
def test_standard_errors_of_many_classes_are_bounds(metric):
    """Where classes cannot be told apart the standard error is at least the true one."""
    rng = np.random.default_rng(4)
    drawn = [MulticlassFigures.of(*draw(Task.MULTICLASS, rng, 400)) for _ in range(150)]
    spread = np.std([figures.values()[metric] for figures in drawn])
    told = np.mean([standard_error(figures, metric) for figures in drawn])
    assert 0.9 * spread < told < 4 * spread


def test_stored_outputs_become_scores_again():
    """Two classes exactly; more with the rest shared; a missing score counts as certain."""
    binary, three = schema_of(Task.BINARY), schema_of(Task.MULTICLASS)
    scores = np.array([0.2, 0.5, 0.9])
    assert scores_of_outputs(outputs_of(binary, scores), binary).tolist() == scores.tolist()
    table = outputs_of(three, np.array([[0.2, 0.7, 0.1]]))
    assert scores_of_outputs(table, three).tolist() == [pytest.approx([0.15, 0.7, 0.15])]
    bare = table.set_column(table.schema.get_field_index(SCORE), SCORE, [[None]])
    assert scores_of_outputs(bare.cast(table.schema), three).tolist() == [[0.0, 1.0, 0.0]]
    strange = table.set_column(table.schema.get_field_index(PREDICTION), PREDICTION, [["d"]])
    assert scores_of_outputs(strange, three).tolist() == [pytest.approx([1 / 3] * 3)]


#: Figures of two sets of held-out rows, as code told them that took one set at a time.
KNOWN = {
    Task.BINARY: {
        "roc_auc": [0.6566615722509354, 0.47771022775249666],
        "average_precision": [1.5283765243301135, 21.077359376183413],
        "log_loss": [0.9780346700886418, 2.192258984864897],
        "accuracy": [0.9830207304320016, 0.5206016417553606],
        "f1": [0.9953546592865395, 0.9274477898017964],
        "brier": [1.6187422720181404, 4.622532871891186],
    },
    Task.MULTICLASS: {
        "roc_auc": [np.nan, np.nan],
        "log_loss": [2.564054957747002, 3.2751803442170817],
        "accuracy": [2.517971686843091, 2.9605747933018036],
        "f1": [np.nan, np.nan],
        "brier": [2.4876542490698696, 3.249367069152227],
    },
    Task.REGRESSION: {
        "mae": [2.1394364939091766, 3.5566889870506015],
        "rmse": [1.2311302713606773, 1.746695089627491],
        "r2": [np.nan, 0.9986023246929657],
        "bias": [1.6187422720181404, 4.622532871891186],
    },
}


@pytest.mark.parametrize("task", list(Task))
def test_many_sets_of_held_out_rows_are_told_as_each_alone(task):
    """To the last bit, groups without rows and figures that are not defined included."""
    rng = np.random.default_rng(3)
    held = rng.random((9, len(SUMS[task]), 37)) * 50
    held[::2, 0] = np.floor(held[::2, 0] * (rng.random((5, 37)) < 0.6))
    held[3, 1:3] = 0.0
    if task is Task.REGRESSION:
        held[1:, 4] *= 1000  # the target varies, but in the first
    counts, inside = np.floor(rng.random(37) * 30), rng.random(37)
    together = expected_figures(task, held, counts, inside)
    for number, alone in enumerate(held):
        for name, value in expected_figures(task, alone, counts, inside).items():
            assert together[name].shape == (9,)
            np.testing.assert_array_equal(together[name][number], value)
    first_two = {name: values[:2].tolist() for name, values in together.items()}
    np.testing.assert_equal(first_two, KNOWN[task])


def test_groups_have_enough_rows_wherever_rows_are():
    """Joined neighbours hold thirty held-out rows each, if there are so many at all."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        rows = rng.integers(0, 40, rng.integers(1, 30)).astype(float)
        groups = groups_of(rows)
        held = np.bincount(groups, weights=rows)
        assert (np.diff(groups) >= 0).all()
        assert held.min() >= min(30, rows.sum())


def test_an_estimate_that_proved_wrong_is_trusted_less():
    """Misses widen further bands; a habit of being too rosy takes the estimate's voice away."""
    told = Estimate("roc_auc", 0.80, 0.01, 1000, 0.0)
    fair = reconcile([Reconciled(told, 0.80 + 0.01 * e) for e in (-1, 0.5, 1, -0.5)])
    once = reconcile([Reconciled(told, 0.80)] * 9 + [Reconciled(told, 0.75, 0.02)])
    habit = reconcile([Reconciled(told, 0.72, 0.05)] * 6)
    assert fair.widening == 1.0
    assert 1.0 < once.widening < habit.widening
    assert once.doubt(0.03, 0.8) == ""
    assert habit.doubt(0.03, 0.8) == "over 6 windows it was off by 0.080 on average"
    assert habit.bias == pytest.approx(0.08)
    assert habit.inside == 0.0


def test_one_window_that_contradicts_an_estimate_takes_its_voice_until_labels_agree_again():
    """At once, however many agreed before; not for a miss within chance or below harm's limit."""
    told = Estimate("roc_auc", 0.80, 0.01, 1000, 0.0)
    good = [Reconciled(told, 0.80, 0.02)] * 30
    denied = [*good, Reconciled(told, 0.20, 0.02)]
    said = "the newest window with labels showed 0.200, estimated at 0.800"
    assert reconcile(denied).doubt(0.03, 0.8) == said
    assert reconcile(denied[-1:]).doubt(0.03, 0.8) == said
    assert reconcile([*denied, *good]).doubt(0.03, 0.8) == ""
    chance = Reconciled(told, 0.74, 0.03)
    small = Reconciled(replace(told, standard_error=0.001), 0.78, 0.001)
    assert reconcile([*good, chance]).doubt(0.03, 0.8) == ""
    assert reconcile([*good, small]).doubt(0.03, 0.8) == ""
    gloomy = Reconciled(replace(told, value=0.4), 0.8, 0.02)
    assert "estimated at 0.400" in reconcile([*good, gloomy]).doubt(0.03, 0.8)
    relative = Estimate("rmse", 10.0, 0.1, 1000, 0.0)
    assert reconcile([Reconciled(relative, 10.9, 0.1)]).doubt(0.1, 10.0) == ""
    assert reconcile([Reconciled(relative, 11.1, 0.1)]).doubt(0.1, 10.0) != ""


def test_bias_has_the_sign_of_optimism_whatever_the_figure():
    """Above zero is too rosy, for figures that fall with quality as for those that rise."""
    told = Estimate("mae", 1.0, 0.1, 1000, 0.0)
    assert reconcile([Reconciled(told, 1.5)]).bias == pytest.approx(0.5)
    assert reconcile([Reconciled(told, float("nan"))]).windows == 0


def test_the_error_of_accuracy_is_that_of_the_decisions():
    """At the threshold by which they were taken."""
    rng = np.random.default_rng(0)
    scores = rng.beta(0.3, 9.7, 5_000)
    y = (rng.random(5_000) < scores).astype(np.int64)
    for threshold in (0.5, 0.01):
        figures = BinaryFigures.of(scores, y, threshold)
        right = figures.values()["accuracy"]
        expected = np.sqrt(right * (1 - right) / 5_000)
        assert standard_error(figures, "accuracy") == pytest.approx(expected)
