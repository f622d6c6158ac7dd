"""Slices on which a model does worst: found where there are, and seldom where there are none."""

import numpy as np
import pytest

from tidemill.errors import SchemaMismatch
from tidemill.metrics import SliceSums, weakest_slices
from tidemill.schema import Task


def _sums(task, seed, *, planted, rows=4_000):
    """20 slices; on the first the scores of a task tell nothing if ``planted``."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 20, rows)
    members = {f"g = {number}": group == number for number in range(20)}
    blind = planted & (group == 0)
    if task is Task.REGRESSION:
        y = rng.normal(size=rows)
        return SliceSums.of(
            members.items(), task, y + rng.normal(size=rows) * np.where(blind, 2, 0.5), y
        )
    odds = rng.normal(size=rows) * 2
    chance = 1 / (1 + np.exp(-odds))
    y = (rng.random(rows) < np.where(blind, 1 - chance, chance)).astype(np.int64)
    if task is Task.MULTICLASS:
        scores = np.column_stack([1 - chance, chance * 0.9, chance * 0.1])
        return SliceSums.of(members.items(), task, scores, y, n_classes=3)
    return SliceSums.of(members.items(), task, chance, y)


@pytest.mark.parametrize("task", list(Task))
def test_a_slice_that_the_model_knows_nothing_of_is_the_weakest(task):
    """Its rows, its loss beside that of the others, and what is left of its own dummy's."""
    found = _sums(task, 0, planted=True)
    weakest = weakest_slices(found, task)[0]
    assert weakest.name == "g = 0"
    assert weakest.rows == int(found.sums[0, 0])
    mean, others = (
        found.sums[0, 1] / weakest.rows,
        found.sums[1:-1, 1].sum() / found.sums[1:-1, 0].sum(),
    )
    root = np.sqrt if task is Task.REGRESSION else np.asarray
    assert weakest.loss == pytest.approx(root(mean))
    assert weakest.others == pytest.approx(root(others))
    assert weakest.loss - weakest.others > 3 * weakest.error > 0
    assert weakest.of_dummy > 1


@pytest.mark.parametrize("task", list(Task))
def test_where_all_slices_are_alike_one_is_seldom_called_weak(task):
    """Of 200 such tables about 10, with all 20 slices of each together."""
    called = sum(
        bool(weakest_slices(_sums(task, seed, planted=False), task)) for seed in range(200)
    )
    assert called <= 20


def test_few_rows_say_nothing():
    """Neither a slice of less than 50 rows, nor one that leaves less than 50 outside."""
    y = np.r_[np.zeros(200), np.full(49, 9.0)]
    inside = np.arange(249) >= 200
    found = SliceSums.of([("few", inside), ("most", ~inside)], Task.REGRESSION, np.zeros(249), y)
    assert weakest_slices(found, Task.REGRESSION) == ()
    more = found.merge(
        SliceSums.of(
            [("few", np.ones(1, bool)), ("most", np.zeros(1, bool))],
            Task.REGRESSION,
            np.zeros(1),
            np.full(1, 8.0),
        )
    )
    assert [weak.name for weak in weakest_slices(more, Task.REGRESSION)] == ["few"]


def test_a_slice_of_one_answer_has_no_dummy_to_be_held_to():
    """A dummy that knows that class has no loss."""
    y = np.r_[np.ones(60, np.int64), np.arange(120) % 2]
    scores = np.where(np.arange(180) < 60, 0.2, np.where(y == 1, 0.9, 0.1))
    found = SliceSums.of([("one class", np.arange(180) < 60)], Task.BINARY, scores, y)
    (weak,) = weakest_slices(found, Task.BINARY)
    assert weak.of_dummy is None


def test_other_slices_do_not_merge():
    """Sums of unlike slices would be of no rows at all."""
    one, other = (
        SliceSums.of([(name, np.ones(1, bool))], Task.REGRESSION, np.ones(1), np.ones(1))
        for name in "ab"
    )
    with pytest.raises(SchemaMismatch):
        one.merge(other)


def test_a_rare_class_raises_no_alarm():
    """Of 3% positives a slice of few rows is not judged; of many, as seldom as is stated."""
    called = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        group, chance = rng.integers(0, 20, 20_000), rng.beta(0.3, 9.7, 20_000)
        y = (rng.random(20_000) < chance).astype(np.int64)
        members = [(f"g = {number}", group == number) for number in range(20)]
        few = [("few", np.arange(20_000) < 200)]
        called += bool(weakest_slices(SliceSums.of(members, Task.BINARY, chance, y), Task.BINARY))
        high = SliceSums.of(few, Task.BINARY, np.where(np.arange(20_000) < 200, 0.9, chance), y)
        assert weakest_slices(high, Task.BINARY) == ()
    assert called <= 20


def test_targets_far_from_nought_keep_their_digits():
    """What is left of a dummy is told of their spread, not of their size."""
    rng = np.random.default_rng(0)
    y = 1.7e9 + rng.normal(size=400)
    inside = np.arange(400) < 100
    scores = y + np.where(inside, 2.0, 0.1) * rng.choice([-1, 1], 400)
    found = SliceSums.of([("first", inside)], Task.REGRESSION, scores, y, center=1.7e9)
    (weak,) = weakest_slices(found, Task.REGRESSION)
    assert weak.of_dummy == pytest.approx(4 / y[inside].var(), rel=1e-3)


def test_losses_that_are_all_equal_make_no_slice_weak():
    """Their differences are rounding."""
    y = np.ones(1_000, np.int64)
    y[::2] = 0
    inside = np.arange(1_000) % 3 == 0
    found = SliceSums.of([("third", inside)], Task.BINARY, np.full(1_000, 0.5), y)
    assert weakest_slices(found, Task.BINARY) == ()
