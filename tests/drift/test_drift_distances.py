"""Distances from profiles are those of exact computations on the rows."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from tidemill.drift.axes import KEPT_CATEGORIES, CategoryAxis, NumericAxis, axis_of
from tidemill.drift.divergences import area_between, chi_p_value, ks_p_value
from tidemill.drift.reference import _frame
from tidemill.errors import SchemaMismatch
from tidemill.profiling import CategoryProfile, NumericProfile

RNG = np.random.default_rng(0)
PAIRS = {
    "normal, moved": (RNG.normal(size=60_000), RNG.normal(0.2, 1, 5_000)),
    "normal, wider": (RNG.normal(size=60_000), RNG.normal(0, 1.3, 5_000)),
    "exponential": (RNG.exponential(1, 60_000), RNG.exponential(1.2, 5_000)),
    "uniform, moved out of range": (RNG.random(60_000), RNG.random(5_000) + 0.1),
    "counts": (RNG.poisson(3, 60_000), RNG.poisson(3.4, 5_000)),
    "the same": (RNG.normal(size=60_000), RNG.normal(size=700)),
}


def between(test, reference, window):
    """One distance of a window's column from the reference's, as a window is judged."""
    axis = _axis(reference, window)
    values = axis.values(axis.counts(reference), axis.counts(window))
    return float(values[axis.tests.index(test)])


def chi_chance(reference, window):
    """The chance of so large a difference of categories."""
    axis = _axis(reference, window)
    return chi_p_value(axis.counts(reference), axis.counts(window))


def _axis(reference, window):
    axis = axis_of(reference)
    return axis.narrowed(window) if isinstance(axis, CategoryAxis) else axis


def _edges(values):
    cuts = np.unique(np.quantile(values, np.arange(1, 33) / 33))
    return cuts[cuts > values.min()]


@pytest.fixture(params=list(PAIRS), ids=list(PAIRS))
def pair(request):
    """Raw rows of both sides, and their profiles."""
    before, now = PAIRS[request.param]
    edges = _edges(before)
    return before, now, NumericProfile.of(before, edges), NumericProfile.of(now, edges)


def test_jensen_shannon_is_scipys_on_the_binned_rows(pair):
    """The distance of the shares equals SciPy's to rounding."""
    _, _, p, q = pair
    assert between("jensen_shannon", p, q) == pytest.approx(
        jensenshannon(p.counts, q.counts, base=2)
    )


def test_psi_is_its_formula_with_half_a_row_more_in_each_bin(pair):
    """PSI equals the textbook sum over smoothed shares, the relative entropy both ways."""
    _, _, p, q = pair
    one, two = p.counts + 0.5, q.counts + 0.5
    both_ways = stats.entropy(one, two) + stats.entropy(two, one)
    assert between("psi", p, q) == pytest.approx(both_ways)


def test_ks_is_scipys_on_binned_rows_and_near_it_on_raw_rows(pair):
    """Exact for rows that are told apart by their bin only; below the raw by one bin at most."""
    before, now, p, q = pair
    binned = [np.searchsorted(p.edges, rows, side="right") for rows in (before, now)]
    exact = stats.ks_2samp(*binned, method="asymp")
    found = between("ks", p, q)
    assert found == pytest.approx(exact.statistic)
    raw = stats.ks_2samp(before, now, method="asymp").statistic
    one_bin = max((p.counts / p.count).max(), (q.counts / q.count).max())
    assert found - 1e-12 <= raw <= found + one_bin
    assert raw - found < 0.02


def test_ks_p_value_is_the_asymptotic_one(pair):
    """The p-value agrees with SciPy's where it is neither 0 nor 1, and rejects as it does."""
    before, now, p, q = pair
    binned = [np.searchsorted(p.edges, rows, side="right") for rows in (before, now)]
    exact = stats.ks_2samp(*binned, method="asymp").pvalue
    found = ks_p_value(between("ks", p, q), p.count, q.count)
    assert found == pytest.approx(exact, rel=0.15, abs=1e-9)
    assert (found < 0.05) == (exact < 0.05)


def test_wasserstein_is_near_scipys_on_raw_rows(pair):
    """Within 0.03 standard deviations of the exact distance of the raw rows."""
    before, now, p, q = pair
    exact = stats.wasserstein_distance(before, now) / before.std()
    assert between("wasserstein", p, q) == pytest.approx(exact, abs=0.03)


def test_the_area_between_lines_that_cross_is_that_of_both_triangles():
    """Two distribution functions that change places inside a bin."""
    apart, widths = np.array([0.5, -0.5]), np.ones(3)
    assert area_between(apart, widths) == pytest.approx(0.25 + 2 * 0.125 + 0.25)
    assert area_between(np.abs(apart), widths) == pytest.approx(0.25 + 0.5 + 0.25)


def test_one_outlier_does_not_hide_a_shift_nor_make_one():
    """A fare of 429,490 stretches neither the scale nor the last bin."""
    before = RNG.normal(12, 4, 50_000)
    edges = _edges(before)
    soiled = NumericProfile.of(np.append(before, 429_490.2), edges)
    moved = NumericProfile.of(RNG.normal(14, 4, 5_000), edges)
    same = NumericProfile.of(np.append(RNG.normal(12, 4, 5_000), 429_490.2), edges)
    assert between("wasserstein", soiled, moved) == pytest.approx(0.5, abs=0.05)
    assert between("wasserstein", soiled, same) < 0.05


def test_chi_squared_is_scipys():
    """Statistic and p-value equal those of the table of counts, without correction."""
    p = CategoryProfile.of({"a": 5000, "b": 300, "c": 70, "gone": 9}, rows=5379)
    q = CategoryProfile.of({"a": 480, "b": 41, "c": 12, "new": 3}, rows=536)
    table = [[5000, 300, 70, 9, 0], [480, 41, 12, 0, 3]]
    exact = stats.chi2_contingency(table, correction=False)
    found = between("chi_squared", p, q)
    n, m = 5379, 536
    assert found**2 * n * m / (n + m) == pytest.approx(exact.statistic)
    assert chi_chance(p, q) == pytest.approx(exact.pvalue)


def test_categories_jensen_shannon_and_psi_are_exact():
    """The shares of the categories, those never seen in a bin of their own."""
    p = CategoryProfile.of({"a": 50, "b": 30}, rows=80)
    q = CategoryProfile.of({"a": 5, "b": 10, "new": 5, "newer": 5}, rows=25)
    one, two = [50, 30, 0], [5, 10, 10]
    assert between("jensen_shannon", p, q) == pytest.approx(jensenshannon(one, two, base=2))
    smoothed = np.add(one, 0.5), np.add(two, 0.5)
    expected = stats.entropy(*smoothed) + stats.entropy(*smoothed[::-1])
    assert between("psi", p, q) == pytest.approx(expected)


def test_the_effect_size_does_not_grow_with_the_rows():
    """Ten times the rows give the same value and a smaller p-value."""
    p = CategoryProfile.of({"a": 500_000, "b": 500_000}, rows=1_000_000)
    few = CategoryProfile.of({"a": 520, "b": 480}, rows=1000)
    many = CategoryProfile.of({"a": 52_000, "b": 48_000}, rows=100_000)
    effect = between("chi_squared", p, few)
    assert between("chi_squared", p, many) == pytest.approx(effect, rel=0.01)
    assert chi_chance(p, many) < 1e-10 < 0.05 < chi_chance(p, few)


def test_rare_categories_share_one_bin():
    """Beyond the fifty most frequent, categories are compared together."""
    counts = {f"c{i:03d}": 1000 - i for i in range(200)}
    axis = CategoryAxis.of(CategoryProfile.of(counts, rows=sum(counts.values())))
    assert axis.names == tuple(f"c{i:03d}" for i in range(KEPT_CATEGORIES))
    found = axis.counts(CategoryProfile.of({"c000": 2, "c199": 3, "unheard of": 4}, rows=10))
    assert found[0] == 2
    assert found[-1] == 7
    assert found.sum() == 9  # one row of the ten is null


def test_more_categories_than_a_profile_counts():
    """A window of 30,000 categories is compared in those that it could count, exactly."""
    limit = 10_000
    many = {f"z{i}": 1 for i in range(30_000)}
    p = CategoryProfile.of({f"z{i}": 100 - i for i in range(60)}, rows=4230)
    q = CategoryProfile.of({**many, "z0": 500}, rows=30_499, limit=limit)
    assert not q.complete
    axis = CategoryAxis.of(p).narrowed(q)
    assert 0 < len(axis.names) < KEPT_CATEGORIES
    for name, n in zip(axis.names, axis.counts(q), strict=False):
        assert n == (500 if name == "z0" else 1)  # none is taken as gone because not counted
    assert axis.counts(q).sum() == 30_499
    assert 0 < between("jensen_shannon", p, q) <= 1


def test_nothing_to_compare_is_not_a_number():
    """A column without values has no distance to anything."""
    p = NumericProfile.of(np.arange(100.0), (50.0,))
    empty = NumericProfile.of(np.full(5, np.nan), (50.0,))
    assert all(
        math.isnan(between(test, p, empty)) for test in ("psi", "jensen_shannon", "wasserstein")
    )
    assert math.isnan(between("ks", empty, p))
    none = CategoryProfile.of({}, rows=4)
    assert math.isnan(between("chi_squared", CategoryProfile.of({"a": 3}, rows=3), none))


def test_rows_that_never_overlap_are_as_far_apart_as_can_be():
    """Jensen-Shannon and Kolmogorov-Smirnov reach 1, for numbers and for categories."""
    p = NumericProfile.of(np.zeros(40), (0.5,))
    q = NumericProfile.of(np.ones(40), (0.5,))
    assert between("jensen_shannon", p, q) == pytest.approx(1.0)
    assert between("ks", p, q) == 1.0
    a, b = (CategoryProfile.of({name: 40}, rows=40) for name in "ab")
    assert between("jensen_shannon", a, b) == pytest.approx(1.0)


def test_arrays_of_counts_give_what_one_row_gives():
    """Many resamples at once are the same numbers as one after another."""
    axis = NumericAxis.of(NumericProfile.of(PAIRS["normal, moved"][0], (-1.0, 0.0, 1.0)))
    p, q = RNG.integers(0, 50, (2, 7, 4))
    together = axis.values(p, q)
    alone = np.stack([axis.values(p[i], q[i]) for i in range(7)], axis=1)
    np.testing.assert_allclose(together, alone)


def test_other_edges_are_refused():
    """A window that was profiled with another schema is no window of this reference."""
    p, q = (NumericProfile.of(np.arange(10.0), (edge,)) for edge in (3.0, 4.0))
    with pytest.raises(SchemaMismatch, match="different histograms"):
        between("jensen_shannon", p, q)
    with pytest.raises(SchemaMismatch, match="different"):
        axis_of(p).counts(CategoryProfile.of({"a": 1}, rows=1))
    with pytest.raises(SchemaMismatch, match="different types"):
        CategoryAxis(("a",)).counts(p)


@pytest.mark.parametrize("low", [0.0, -np.finfo(float).max])
def test_numbers_that_no_square_holds_keep_the_distances_of_their_bins(low):
    """Of the largest floats Wasserstein may say nothing; none warns."""
    rows = np.concatenate([np.arange(80.0), [np.finfo(float).max] * 20, [low] * 20])
    reference, window = (NumericProfile.of(part, (10.0, 50.0)) for part in (rows, rows[40:]))
    axis = axis_of(reference)
    with np.errstate(all="raise"):
        found = dict(zip(axis.tests, axis.values(reference.counts, window.counts), strict=True))
    assert not math.isinf(found.pop("wasserstein"))
    assert all(value > 0 for value in found.values())


def test_a_reference_has_no_edge_beyond_the_largest_float():
    """Its document holds no infinity, and nothing lies outside on that side."""
    profile = NumericProfile.of(np.array([1.0, 2.0, np.finfo(float).max]), (2.0,))
    (framed,) = _frame([profile])
    assert framed.edges.tolist() == [1.0, 2.0]
    assert framed.counts.tolist() == [0, 1, 2]
