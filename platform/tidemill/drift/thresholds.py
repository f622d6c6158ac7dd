"""Thresholds that healthy windows cross at a stated rate, over all features together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.config import DriftConfig
from tidemill.drift.axes import (
    NULL_SHARE,
    CategoryAxis,
    NumericAxis,
    axis_of,
    cells_of,
    distance_names,
    distances_of,
)
from tidemill.drift.resampling import ResamplingPlan
from tidemill.errors import ConfigError, nearest
from tidemill.profiling import CategoryProfile, Profile, fold
from tidemill.profiling.floats import from_document, to_document
from tidemill.schema import ColumnType, Purpose, TableSchema

__all__ = [
    "CALIBRATION",
    "TESTS",
    "Thresholds",
    "calibrate",
    "compared_columns",
    "floors",
    "rows_for",
]

Floats = npt.NDArray[np.float64]

CALIBRATION = 3
"""Of the way that thresholds are found: kept ones of another number are found anew."""

# Of the bounded distances: beyond this all are as far apart as can be.
_ALMOST_ONE = 0.999

TESTS = tuple(dict.fromkeys((*NumericAxis.tests, *CategoryAxis.tests, NULL_SHARE)))


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """What each distance of a window of ``rows`` rows is held to.

    Parameters
    ----------
    rows : int
        Rows of the windows that these are for.
    rate : float
        Share of healthy windows with any distance beyond its threshold.
    values : dict of str to dict of str to float
        By column and test.
    resamples : int
        Windows drawn from training to find them.
    """

    rows: int
    rate: float
    values: dict[str, dict[str, float]]
    resamples: int

    def of(self, feature: str, test: str) -> float:
        """The threshold; infinity for what was not calibrated."""
        return self.values.get(feature, {}).get(test, math.inf)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        values = {
            feature: {test: to_document(value) for test, value in tests.items()}
            for feature, tests in self.values.items()
        }
        return {
            "rows": self.rows,
            "rate": self.rate,
            "values": values,
            "resamples": self.resamples,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        values = {
            feature: {test: from_document(value) for test, value in tests.items()}
            for feature, tests in document["values"].items()
        }
        return cls(document["rows"], document["rate"], values, document["resamples"])


def compared_columns(schema: TableSchema) -> tuple[str, ...]:
    """The features whose distribution is compared: all but times and text keys.

    A live window always lies later than training, so the times in it, and any column that
    counts time, always differ; that is the calendar, not drift.
    """
    return tuple(
        c.name
        for c in schema.columns
        if c.purpose is Purpose.FEATURE and c.type is not ColumnType.DATETIME
    )


def floors(config: DriftConfig) -> dict[str, float]:
    """The smallest effect worth a finding, by test: ``min_effect`` on each test's own scale.

    For small differences PSI is ``8 ln 2 d**2`` and Cohen's w ``sqrt(8 ln 2) d``, where ``d``
    is the Jensen-Shannon distance; two normal distributions so far apart differ by as many
    standard deviations (Wasserstein), and by ``0.94 d`` in Kolmogorov and Smirnov's statistic.
    The share of rows without a value must change by ``d``.
    """
    d, stretch = config.min_effect, math.sqrt(8 * math.log(2))
    return {
        "psi": (stretch * d) ** 2,
        "jensen_shannon": d,
        "ks": d * stretch / math.sqrt(2 * math.pi),
        "wasserstein": stretch * d,
        "chi_squared": stretch * d,
        NULL_SHARE: d,
    }


def rows_for(rows: int) -> int:
    """The window size to calibrate for: at most ``rows``, so that thresholds err on high.

    Two sizes for each doubling, so that a few thresholds serve windows of all sizes.

    >>> [rows_for(n) for n in (1000, 1023, 1024, 1500, 5000)]
    [724, 724, 1024, 1448, 4096]
    """
    return math.floor(2 ** (math.floor(2 * math.log2(max(rows, 1))) / 2))


def calibrate(
    blocks: Sequence[Profile],
    rows: int,
    config: DriftConfig,
    seed: int,
    time_ordered: bool,
    *,
    columns: Iterable[str] | None = None,
    rate: float | None = None,
    beyond: Mapping[str, Mapping[str, float]] | None = None,
) -> Thresholds:
    """Find thresholds that windows of ``rows`` rows like training cross at the stated rate.

    Stretches of consecutive blocks of about the window's length are compared with the rest of
    training; where blocks are larger than the window, its rows are drawn from theirs. So are
    windows drawn from all of training, and of categories windows with some that training did
    not meet by chance (each column for its part of the rate); the largest threshold holds.
    Every distance is told in standard deviations of its own resamples (without the one it is
    told for), the largest over all features and tests is taken of each resample, and the
    threshold lies where at most ``rate`` of these maxima do (Westfall and Young, 1993).
    ``config.min_effect`` is a floor, ``config.thresholds`` wins over everything.

    Parameters
    ----------
    blocks : sequence of Profile
        Of one schema, in time order where ``time_ordered``.
    rows : int
        Rows of the window; see :func:`rows_for`.
    columns : iterable of str, optional
        What is judged (:func:`compared_columns`); all by default.
    rate : float, optional
        Instead of ``config.false_alarm_rate``.
    beyond : mapping, optional
        By column and test, what healthy windows differ from these blocks by besides chance.

    Raises
    ------
    ConfigError
        If ``config.thresholds`` names a test that does not exist.

    Notes
    -----
    Memory: 400 to 464 resamples x bins for one column, and x tests for all of them.
    """
    _require_known(config)
    share = config.false_alarm_rate if rate is None else rate
    whole = fold(blocks)
    names = tuple(whole.columns if columns is None else columns)
    rng = np.random.default_rng(seed)
    # A few dozen stretches say how much windows of this length wander, but tell chance only
    # roughly; draws from all of training tell it well.
    plans = (
        ResamplingPlan.of(blocks, rows, rng, time_ordered=time_ordered),
        ResamplingPlan.by_chance(len(blocks)),
    )
    limits = []
    for plan in plans:
        found = {name: _resampled(name, blocks, whole, rows, plan, rng) for name in names}
        limits.append(_limits(found, share, plan))
    limits.append(_unmet_limits(names, blocks, whole, rows, share, rng))
    values = {
        name: _settled(
            name, [by[name] for by in limits if name in by], config, (beyond or {}).get(name, {})
        )
        for name in names
    }
    return Thresholds(rows, share, values, sum(len(plan.chosen) for plan in plans))


def _resampled(
    name: str,
    blocks: Sequence[Profile],
    whole: Profile,
    rows: int,
    plan: ResamplingPlan,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Each test's distances of all resamples of one column."""
    known = whole.columns[name]
    axis = axis_of(known)
    cells = np.stack([cells_of(axis, block.columns[name]) for block in blocks])
    rest, window = plan.windows(cells, rows, rng)
    return dict(zip(distance_names(axis), distances_of(axis, rest, window), strict=True))


def _unmet_limits(
    names: Sequence[str],
    blocks: Sequence[Profile],
    whole: Profile,
    rows: int,
    rate: float,
    rng: np.random.Generator,
) -> dict[str, dict[str, float]]:
    """Limits of each column of categories where those that nobody met may come.

    That has a long tail, which would raise the limits of all columns together: each column is
    held to its own part of the rate.
    """
    plan = ResamplingPlan.with_unmet(len(blocks))
    limits: dict[str, dict[str, float]] = {}
    for name in names:
        if isinstance(whole.columns[name], CategoryProfile):
            found = {name: _resampled(name, blocks, whole, rows, plan, rng)}
            limits |= _limits(found, rate / len(names), plan)
    return limits


def _limits(
    found: Mapping[str, Mapping[str, Floats]], rate: float, plan: ResamplingPlan
) -> dict[str, dict[str, float]]:
    keys = [(name, test) for name, tests in found.items() for test in tests]
    if not keys:
        return {}
    matrix = np.stack([_even(test, found[name][test]) for name, test in keys])
    mean, spread, largest = _standardised(matrix)
    limit = mean + _quantile(largest, rate, plan) * spread
    limits: dict[str, dict[str, float]] = {name: {} for name in found}
    for (name, test), value in zip(keys, limit.tolist(), strict=True):
        limits[name][test] = _uneven(test, value)
    return limits


def _even(test: str, values: Floats) -> Floats:
    """A distance on a scale on which it wanders evenly.

    PSI grows with the square of what the others grow with. The bounded ones are bent towards
    their end, so that no threshold lies beyond it.
    """
    if test in ("jensen_shannon", "ks"):
        bent: Floats = np.arctanh(np.minimum(values, _ALMOST_ONE))
        return bent
    return np.sqrt(values) if test == "psi" else values


def _uneven(test: str, value: float) -> float:
    """The distance at ``value`` of the scale of :func:`_even`."""
    if test in ("jensen_shannon", "ks"):
        return math.tanh(value)
    return value**2 if test == "psi" else value


def _standardised(matrix: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean and spread of each row, and of each column the largest of its scores.

    The score of a value is told by the mean and spread of the *others*, as a live window's
    will be; else the most extreme would look tame.
    """
    known = ~np.isnan(matrix)
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, matrix, 0.0).sum(axis=1, keepdims=True) / n
    off = np.where(known, matrix - mean, 0.0)
    total = (off**2).sum(axis=1, keepdims=True)
    others = np.maximum(total - off**2 * n / np.maximum(n - 1, 1), 0.0)
    spread = np.sqrt(others / np.maximum(n - 2, 1))
    score = np.where(spread > 0, off * n / np.maximum(n - 1, 1) / np.where(spread, spread, 1), 0.0)
    whole = np.sqrt(total / np.maximum(n - 1, 1))
    return mean[:, 0], whole[:, 0], score.max(axis=0)


def _quantile(largest: Floats, rate: float, plan: ResamplingPlan) -> float:
    """The score that at most ``rate`` of healthy windows exceed.

    The order statistic for which that holds of one more exchangeable window (conformal
    prediction). Where there are too few independent stretches for it, the largest seen is
    stretched as a normal tail would from the share that they can tell to the share asked.
    """
    n = len(largest)
    ordered = np.sort(largest)
    rank = math.ceil((n + 1) * (1 - rate))
    seen = float(ordered[min(rank, n) - 1])
    told = 1 / (min(plan.distinct, n) + 1)
    if rank <= n and told <= rate:
        return seen
    return max(seen, float(ordered[-1]) * _tail(rate) / _tail(told))


def _tail(share: float) -> float:
    from statistics import NormalDist

    # At most a third of the windows are told by two stretches: never divide by nothing.
    return NormalDist().inv_cdf(1 - min(share, 1 / 3))


def _settled(
    name: str,
    limits: Sequence[Mapping[str, float]],
    config: DriftConfig,
    beyond: Mapping[str, float],
) -> dict[str, float]:
    """The largest limit or the floor, and what lies beyond chance; by hand before all."""
    least = floors(config)
    by_hand = {**config.thresholds.get("*", {}), **config.thresholds.get(name, {})}
    settled = {
        test: float(np.nanmax([*(by[test] for by in limits), least[test]])) for test in limits[0]
    }
    return {
        test: by_hand.get(test, _farther(test, value, beyond.get(test, 0.0)))
        for test, value in settled.items()
    }


def _farther(test: str, value: float, beyond: float) -> float:
    """The triangle's other two sides, on the scale on which a test's distance is one."""
    if not (math.isfinite(value) and beyond > 0):
        return value
    if test in ("jensen_shannon", "ks"):
        return min(value + beyond, 1.0)
    even = _even(test, np.array([value, beyond]))
    return _uneven(test, float(even.sum()))


def _require_known(config: DriftConfig) -> None:
    for feature, tests in config.thresholds.items():
        for test in tests:
            if test not in TESTS:
                close = nearest(test, TESTS)
                raise ConfigError(
                    f"monitoring.drift.thresholds: {feature!r} names the test {test!r}, "
                    "which does not exist",
                    remedy=(f"did you mean {close!r}? " if close else "")
                    + f"use one of: {', '.join(TESTS)}",
                    test=test,
                    feature=feature,
                )
