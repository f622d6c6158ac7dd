"""Measured figures accuse where they should, and small windows do not."""

from dataclasses import replace

import numpy as np
import pytest

from tidemill.config import HarmConfig
from tidemill.drift import (
    Estimate,
    HeldOut,
    Performance,
    PerformanceModel,
    Trust,
    measure,
    performance_findings,
)
from tidemill.drift.performance import worse_by
from tidemill.metrics import BinaryFigures, RegressionFigures
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

HARM = HarmConfig()
TARGET = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
SCHEMA = TableSchema((TARGET,), Task.BINARY, ("no", "yes"))
FAST = {(500, "accuracy"), (5000, "log_loss")}
"""Each length of a window once; all pairs run under make test-all."""
FARE = Column("fare", ColumnType.NUMERIC, Purpose.TARGET, "float64", (-1.0, 0.0, 1.0))


def draw(rng, rows, noise=0.0):
    """Calibrated scores; with ``noise`` the labels are flipped that often."""
    logit = rng.normal(-0.5, 1.5, rows)
    truth = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return 1 / (1 + np.exp(-logit)), (truth ^ (rng.random(rows) < noise)).astype(int)


def model_of(rng, blocks=30, rows=600, noises=(0.0,)):
    parts = [HeldOut.of(SCHEMA, *draw(rng, rows, noises[i % len(noises)])) for i in range(blocks)]
    return PerformanceModel.fit([(part.outcomes, part.figures) for part in parts])


@pytest.fixture(scope="module")
def model():
    return model_of(np.random.default_rng(0))


def window(rng, rows, noise=0.0):
    return BinaryFigures.of(*draw(rng, rows, noise))


STEADY = [
    pytest.param(rows, metric, marks=[] if (rows, metric) in FAST else pytest.mark.slow)
    for rows in (200, 500, 5000)
    for metric in ("roc_auc", "log_loss", "accuracy", "average_precision")
]


@pytest.mark.parametrize(("rows", "metric"), STEADY)
def test_steady_windows_are_seldom_accused(model, metric, rows):
    """Windows of the same stream: at most the stated 2.5% are accused, small ones too."""
    rng = np.random.default_rng(rows)
    found = [measure(model, metric, HARM, figures=window(rng, rows)) for _ in range(150)]
    assert sum(p.harmed for p in found) <= 0.05 * len(found)
    inside = sum(p.low <= p.held_out <= p.high for p in found)
    assert inside >= 0.9 * len(found)


@pytest.mark.parametrize(
    ("rows", "noise"),
    [(500, 0.25), (2000, 0.1), pytest.param(10_000, 0.08, marks=pytest.mark.slow)],
)
def test_harm_is_found(model, rows, noise):
    """Labels flipped at random: found where the loss is well beyond what chance explains."""
    rng = np.random.default_rng(1)
    found = [measure(model, "roc_auc", HARM, figures=window(rng, rows, noise)) for _ in range(40)]
    assert sum(bool(p.harmed) for p in found) >= 0.9 * len(found)
    assert all(p.loss > 0.03 for p in found if p.harmed)


def test_a_loss_within_bounds_is_no_harm_however_sure(model):
    """On many rows a small loss is certain, and still small."""
    rng = np.random.default_rng(2)
    found = measure(model, "roc_auc", HARM, figures=window(rng, 200_000, 0.02))
    assert found.high < found.held_out
    assert found.harmed is False
    assert found.acquitted


def test_few_labels_tell_nothing(model):
    """Below ``min_labels`` a figure is shown, and nothing is concluded."""
    found = measure(model, "roc_auc", HARM, figures=window(np.random.default_rng(3), 150, 0.5))
    assert found.harmed is None
    assert not found.acquitted
    assert np.isfinite(found.measured)
    assert performance_findings(found, HARM) == []


def test_one_class_tells_nothing(model):
    """A rank figure needs both classes: undefined is not harmed."""
    scores, _ = draw(np.random.default_rng(4), 400)
    found = measure(model, "roc_auc", HARM, figures=BinaryFigures.of(scores, np.zeros(400, int)))
    assert (found.harmed, found.labelled_rows) == (None, 400)


def test_a_stream_that_always_varied_is_accused_less_easily(model):
    """Held-out stretches that differ among themselves widen the band of every window."""
    rng = np.random.default_rng(5)
    moody = model_of(rng, noises=(0.0,) * 8 + (0.2,) * 8)
    assert moody.variation.spread_of("roc_auc", 1000) > 0.03
    as_moody = replace(model, variation=moody.variation)
    figures = window(rng, 1000, 0.13)
    assert measure(model, "roc_auc", HARM, figures=figures).harmed
    assert not measure(as_moody, "roc_auc", HARM, figures=figures).harmed


def test_what_varies_from_block_to_block_averages_out_in_long_windows():
    """Blocks that alternate are alike two by two: only short windows get the wide band."""
    rng = np.random.default_rng(5)
    variation = model_of(rng, noises=(0.0, 0.2)).variation
    assert variation.spread_of("roc_auc", 300) == variation.spread_of("roc_auc", 600) > 0.03
    assert variation.spread_of("roc_auc", 3000) < 0.6 * variation.spread_of("roc_auc", 600)


def test_a_steady_stream_has_no_spread_of_its_own(model):
    """What noise explains is not taken for variation."""
    assert model.variation.spread_of("roc_auc", 600) < 0.01
    assert model.variation.spread_of("log_loss", 600) < 0.02


def test_other_rows_are_not_worse_answers(model):
    """Rows that are all alike have no ranks to get right: a low figure alone accuses nobody."""
    rng = np.random.default_rng(12)
    scores, truth = draw(rng, 60_000)
    alike = (scores > 0.08) & (scores < 0.16)
    found = measure(model, "roc_auc", HARM, figures=BinaryFigures.of(scores[alike], truth[alike]))
    assert found.loss > 0.2
    assert found.high < found.held_out
    assert found.harmed is False
    assert found.mixed
    window = HeldOut.of(SCHEMA, scores[alike], truth[alike])
    told = model.estimate(window.outputs, "roc_auc")
    foreseen = measure(model, "roc_auc", HARM, estimate=told)
    assert foreseen.estimated < found.held_out - 0.2
    assert not foreseen.suspected


@pytest.mark.slow
def test_many_slices_share_one_chance_of_a_false_accusation(model):
    """What one window alone would be accused for, one of forty slices is not."""
    rng = np.random.default_rng(6)
    found = [window(rng, 300, 0.08) for _ in range(60)]
    alone = sum(bool(measure(model, "roc_auc", HARM, figures=f).harmed) for f in found)
    among = sum(
        bool(measure(model, "roc_auc", HARM, figures=f, comparisons=40).harmed) for f in found
    )
    assert among < alone


def test_predictions_without_scores_are_held_to_accuracy(model):
    """Certain predictions have no ranks worth comparing: the share of right answers is."""
    scores, truth = draw(np.random.default_rng(7), 2000)
    found = measure(model, "roc_auc", HARM, figures=BinaryFigures.of((scores > 0.5) * 1.0, truth))
    assert found.metric == "accuracy"
    assert found.harmed is False


def test_losses_have_the_unit_of_max_loss():
    """Absolute for shares and ranks, relative for figures in the target's unit."""
    assert worse_by("accuracy", 0.9, 0.85) == pytest.approx(0.05)
    assert worse_by("log_loss", 0.4, 0.5) == pytest.approx(0.1)
    assert worse_by("rmse", 10.0, 12.0) == pytest.approx(0.2)
    assert worse_by("rmse", 0.0, 1.0) == np.inf
    assert worse_by("r2", 0.5, 0.6) == pytest.approx(-0.1)


def test_a_regressor_is_measured_relatively():
    """A mean error a third larger is harm, in whatever unit."""
    rng = np.random.default_rng(8)
    schema = TableSchema((FARE,), Task.REGRESSION)

    def drawn(rows, scale):
        said = rng.normal(0, 1, rows)
        return said, said + rng.normal(0, scale, rows)

    parts = [HeldOut.of(schema, *drawn(500, 0.01)) for _ in range(10)]
    model = PerformanceModel.fit([(part.outcomes, part.figures) for part in parts])
    for metric in ("mae", "rmse"):
        for scale, harmed in ((0.01, False), (0.0133, True)):
            figures = RegressionFigures.of(*drawn(2000, scale), edges=FARE.edges)
            found = measure(model, metric, HARM, figures=figures)
            assert found.harmed is harmed, (metric, scale)


def test_an_estimate_accuses_only_beyond_its_band(model):
    """The loss must exceed what is allowed, and the held-out figure lie outside the band."""
    held = model.figures["roc_auc"]
    for loss, error, suspected in ((0.05, 0.01, True), (0.05, 0.05, False), (0.02, 0.001, False)):
        told = Estimate("roc_auc", held - loss, error, 1000, 0.0)
        assert measure(model, "roc_auc", HARM, estimate=told).suspected is suspected


def test_an_estimate_that_is_not_trusted_is_silent(model):
    """Unseen outputs, a habit of missing, or the setting: shown, and nothing concluded."""
    held = model.figures["roc_auc"]
    told = Estimate("roc_auc", held - 0.1, 0.01, 1000, 0.0)
    strange = Estimate("roc_auc", held - 0.1, 0.01, 1000, 0.5)
    misled = Trust("roc_auc", windows=5, bias=-0.08, inside=0.0, widening=1.0)
    wide = Trust("roc_auc", windows=5, bias=0.0, inside=0.5, widening=8.0)
    assert measure(model, "roc_auc", HARM, estimate=told).suspected
    assert measure(model, "roc_auc", HARM, estimate=strange).suspected is None
    assert measure(model, "roc_auc", HARM, estimate=told, trust=misled).suspected is None
    assert measure(model, "roc_auc", HARM, estimate=told, trust=wide).suspected is False
    off = HarmConfig(estimate=False)
    assert np.isnan(measure(model, "roc_auc", off, estimate=told).estimated)


def test_performance_becomes_findings(model):
    """The measured and the estimated loss, each against the allowed one."""
    rng = np.random.default_rng(9)
    told = Estimate("roc_auc", model.figures["roc_auc"] - 0.01, 0.01, 2000, 0.0)
    found = measure(model, "roc_auc", HARM, figures=window(rng, 2000, 0.3), estimate=told)
    told = {(f.kind, f.test): f for f in performance_findings(found, HARM)}
    assert told["performance", "roc_auc"].flagged
    assert told["performance", "log_loss"].flagged
    assert not told["estimate", "roc_auc"].flagged
    assert told["performance", "roc_auc"].value == found.loss
    assert told["performance", "roc_auc"].threshold == HARM.max_loss
    assert told["performance", "log_loss"].threshold == HARM.max_log_loss


def test_performance_travels_as_json(model):
    """Nothing told is null, and comes back as it was."""
    rng = np.random.default_rng(10)
    full = measure(model, "roc_auc", HARM, figures=window(rng, 500))
    assert Performance.from_json(full.to_json()).measured == full.measured
    bare = Performance("roc_auc", 0.8)
    document = bare.to_json()
    assert document["measured"] is None
    assert document["harmed"] is None
    assert Performance.from_json(document).to_json() == document
