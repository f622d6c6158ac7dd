"""Growth of the errors is found from means of batches, and the state survives a restart."""

import json

import numpy as np
import pytest

from tidemill.drift import Change, ErrorStream, HeldOut, PerformanceModel, error_of
from tidemill.metrics import LARGEST, BinaryFigures, RegressionFigures
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task


def stream_of(rate=0.1, spread=0.0):
    return ErrorStream(rate, float(np.sqrt(rate * (1 - rate))), spread)


def batches(rng, rate, rows, size):
    return [(size, float((rng.random(size) < rate).mean())) for _ in range(rows // size)]


def fed_until(stream, pairs):
    """Rows fed when a change was found; None if none was."""
    rows = 0
    for size, mean in pairs:
        rows += size
        if stream.feed(size, mean):
            return rows
    return None


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_a_growth_is_found_soon(size):
    """Ten points more errors are proven within some hundred rows, whatever the batches."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        stream = stream_of()
        assert fed_until(stream, batches(rng, 0.1, 10_000, size)) is None
        found = fed_until(stream, batches(rng, 0.2, 5000, size))
        assert found is not None
        assert found <= max(1000, size)


def test_a_steady_stream_stays_quiet():
    """Half a million steady rows without a change."""
    rng = np.random.default_rng(1)
    assert fed_until(stream_of(), batches(rng, 0.1, 500_000, 100)) is None


def test_better_is_no_change():
    """Only growth is looked for."""
    assert fed_until(stream_of(), batches(np.random.default_rng(2), 0.02, 20_000, 100)) is None


def test_the_usual_spread_between_blocks_is_no_change():
    """A stream whose level varies as the held-out blocks did is not accused for it."""
    rng = np.random.default_rng(3)
    pairs = [(500, float(0.1 + rng.normal(0, 0.03))) for _ in range(400)]
    assert fed_until(stream_of(spread=0.03), pairs) is None
    assert fed_until(stream_of(spread=0.0), pairs) is not None


def test_one_wild_batch_is_no_change():
    """A single absurd mean, however large, proves nothing."""
    stream = stream_of()
    for mean in [0.1] * 20 + [1e9] + [0.1] * 20:
        assert stream.feed(100, mean) is None


def test_a_change_says_from_where_to_where():
    """Level before, level since, and since how many rows, as a finding."""
    rng = np.random.default_rng(4)
    stream = stream_of()
    fed_until(stream, batches(rng, 0.1, 20_000, 100))
    for size, mean in batches(rng, 0.3, 3000, 100):
        stream.feed(size, mean)
    change = stream.change
    assert change is not None
    assert change.before == pytest.approx(0.1, abs=0.01)
    assert change.after == pytest.approx(0.3, abs=0.03)
    assert 2500 <= change.rows <= 3500
    finding = change.finding()
    assert finding.flagged
    assert finding.kind == "change"
    assert "3,000" in finding.detail


def test_a_growth_too_small_to_matter_is_not_flagged():
    """Proven on very many rows, and told, but no ground for suspicion."""
    assert not Change(before=0.1, after=0.105, rows=10**6).finding().flagged
    assert Change(before=0.0, after=0.1, rows=100).rise == np.inf


def test_a_change_stands_until_the_errors_come_back():
    """It is found once, stands while the errors stay, ends when they fall, and can be again."""
    rng = np.random.default_rng(5)
    stream = stream_of()
    for size, mean in batches(rng, 0.1, 10_000, 100):
        stream.feed(size, mean)
    told = [stream.feed(*pair) for pair in batches(rng, 0.25, 10_000, 100)]
    assert sum(change is not None for change in told) == 1
    assert stream.change is not None
    for size, mean in batches(rng, 0.1, 3000, 100):
        stream.feed(size, mean)
    assert stream.change is None
    assert fed_until(stream, batches(rng, 0.25, 3000, 100)) is not None


@pytest.mark.parametrize("rows", [3, 700, 5000, 120_000])
def test_a_restart_changes_nothing(rows):
    """Saved and read again at any point, the stream ends in the same state, also past its bound."""
    rng = np.random.default_rng(6)
    pairs = batches(rng, 0.1, rows, 1 if rows < 10 else 100) + batches(rng, 0.2, 5000, 100)
    straight, broken = stream_of(), stream_of()
    for i, pair in enumerate(pairs):
        straight.feed(*pair)
        broken.feed(*pair)
        if i % 37 == 0:
            broken = ErrorStream.from_json(json.loads(json.dumps(broken.to_json())))
            assert broken.change == straight.change
    assert broken.to_json() == straight.to_json()
    assert straight.change is not None


def test_memory_is_bounded():
    """However much is fed, at most a thousand means are kept, and the rows are not forgotten."""
    stream = stream_of()
    for _ in range(5000):
        stream.feed(60, 0.1)
    fed = stream.to_json()["fed"]
    assert len(fed) <= 1000
    assert sum(rows for rows, *_ in fed) == 300_000


def test_small_batches_wait_and_nonsense_is_left_out():
    """Single labels gather until they say something; NaN and no rows are ignored."""
    stream = stream_of()
    for _ in range(49):
        stream.feed(1, 1.0)
    stream.feed(0, 0.5)
    stream.feed(10, float("nan"))
    assert stream.to_json()["fed"] == []
    stream.feed(1, 0.0)
    assert stream.to_json()["fed"] == [[50, pytest.approx(0.98), 0.0]]


def test_the_stream_starts_from_the_held_out_errors():
    """A champion that does worse on live traffic from the first row on is found as well."""
    rng = np.random.default_rng(7)
    target = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
    schema = TableSchema((target,), Task.BINARY, ("no", "yes"))

    def drawn(rows, flipped):
        scores = rng.random(rows)
        truth = (rng.random(rows) < scores) ^ (rng.random(rows) < flipped)
        return scores, truth.astype(int)

    parts = [HeldOut.of(schema, *drawn(500, 0.0)) for _ in range(10)]
    model = PerformanceModel.fit([(part.outcomes, part.figures) for part in parts])
    stream = ErrorStream.of(model)
    assert stream.expected == model.figures["brier"]
    assert any(stream.feed(*error_of(BinaryFigures.of(*drawn(200, 0.4)))) for _ in range(10))


def test_errors_of_figures():
    """Squared error of probabilities, absolute error of numbers, nothing of no rows."""
    assert error_of(BinaryFigures.of(np.array([0.5, 1.0]), np.array([1, 1]))) == (2, 0.125, 0.0)
    assert error_of(RegressionFigures.of(np.array([1.0]), np.array([3.0]))) == (1, 2.0, 0.0)
    two = RegressionFigures.of(np.array([1.0, 1.0]), np.array([2.0, 4.0]))
    assert error_of(two) == (2, 2.0, 1.0)
    assert error_of(BinaryFigures.of(np.array([]), np.array([])))[0] == 0


@pytest.mark.parametrize("wrong", [1e6, -999.0, LARGEST])
def test_one_wrong_truth_is_no_change(wrong):
    """However large the batch: its own noise tells how little one row says; more rows tell it."""
    rng = np.random.default_rng(6)
    said = rng.normal(30, 10, 1000)
    for rows, growth in ((1, None), (400, True)):
        stream = ErrorStream(expected=1.6, noise=1.2, spread=0.0)
        truth = said + rng.normal(0, 2, 1000)
        truth[:rows] += wrong if growth is None else 5.0
        found = stream.feed(*error_of(RegressionFigures.of(said, truth)))
        assert bool(found) is bool(growth)


def test_a_stream_that_was_kept_without_deviations_goes_on():
    """As notes of the ledger had it: pairs, and rows with their sum for what waits."""
    kept = {"expected": 0.1, "noise": 0.3, "spread": 0.0, "fed": [[100, 0.1]], "pending": [40, 8.0]}
    stream = ErrorStream.from_json(kept)
    stream.feed(40, 0.1)
    assert stream.to_json()["fed"] == [[100, 0.1, 0.0], [80, pytest.approx(0.15), 0.0]]
