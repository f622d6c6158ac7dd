"""Every partial of metrics obeys the laws of merging."""

import numpy as np
import pytest
from hypothesis import strategies as st

from tidemill.errors import SchemaMismatch
from tidemill.metrics import (
    BinaryFigures,
    MulticlassFigures,
    RegressionFigures,
    ScoreHistogram,
    SliceSums,
    baseline_figures,
    figures_from_json,
)
from tidemill.schema import Task
from tidemill.testing.partials import PartialContract

# Ties, the ends, both zeros, and neighbours that share a bin.
SCORES = st.floats(0, 1) | st.sampled_from([0.0, -0.0, 1.0, 0.5, 0.5 + 1e-9, 0.25, 1e-300])


class TestScoreHistogramLaws(PartialContract):
    def rows(self):
        return st.lists(st.tuples(SCORES, st.booleans()), max_size=40)

    def of(self, rows):
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return ScoreHistogram.of(table[:, 0], table[:, 1] == 1)


class TestBinaryFiguresLaws(PartialContract):
    relative, absolute = 1e-12, 1e-12

    def rows(self):
        return st.lists(st.tuples(SCORES, st.integers(0, 1)), max_size=30)

    def of(self, rows):
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return BinaryFigures.of(table[:, 0], table[:, 1].astype(np.int32))


class TestMulticlassFiguresLaws(PartialContract):
    relative, absolute = 1e-12, 1e-12

    def rows(self):
        weights = st.tuples(*[st.integers(0, 5)] * 3).filter(any)
        return st.lists(st.tuples(weights, st.integers(0, 2)), max_size=15)

    def of(self, rows):
        weights = np.array([row[0] for row in rows], dtype=np.float64).reshape(-1, 3)
        scores = weights / weights.sum(axis=1, keepdims=True)
        return MulticlassFigures.of(scores, np.array([row[1] for row in rows], dtype=np.int32))


class TestRegressionFiguresLaws(PartialContract):
    relative, absolute = 1e-9, 1e-6

    def rows(self):
        number = st.floats(-1e3, 1e3)
        return st.lists(st.tuples(number, number), max_size=30)

    def of(self, rows):
        table = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return RegressionFigures.of(table[:, 0], table[:, 1], edges=(-5.0, 0.0, 20.0))


class TestSliceSumsLaws(PartialContract):
    relative, absolute = 1e-9, 1e-9

    def rows(self):
        return st.lists(st.tuples(SCORES, st.integers(0, 1), st.integers(0, 2)), max_size=30)

    def of(self, rows):
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        members = {"a = 0": table[:, 2] == 0, "a = 1": table[:, 2] == 1, "b": table[:, 0] > 0.3}
        return SliceSums.of(members.items(), Task.BINARY, table[:, 0], table[:, 1].astype(np.int32))


@pytest.mark.parametrize(
    ("task", "prior", "y", "classes"),
    [
        (Task.BINARY, [0.3, 0.7], [0, 1, 1], ("no", "yes")),
        (Task.MULTICLASS, [0.2, 0.5, 0.3], [0, 2, 1], ("a", "b", "c")),
        (Task.REGRESSION, 2.5, [1.0, 2.0, 9.0], ()),
    ],
)
def test_any_figures_can_be_read_from_their_document(task, prior, y, classes):
    """The document says of which kind it is."""
    figures = baseline_figures(task, prior, np.array(y), classes=classes)
    again = figures_from_json(figures.to_json())
    assert type(again) is type(figures)
    assert again.to_json() == figures.to_json()


def test_figures_of_different_things_do_not_merge():
    """Numbers of classes and target edges must agree."""
    two, three = (MulticlassFigures.of(np.full((1, k), 1 / k), np.array([0])) for k in (2, 3))
    with pytest.raises(SchemaMismatch, match="2 and 3 classes"):
        two.merge(three)
    fine, coarse = (RegressionFigures.of(np.ones(1), np.ones(1), e) for e in ((1.0, 2.0), (1.0,)))
    with pytest.raises(SchemaMismatch, match="edges"):
        fine.merge(coarse)
