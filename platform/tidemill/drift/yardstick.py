"""A window against the reference: a finding for every feature and test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tidemill.config import DriftConfig
from tidemill.drift.axes import (
    NULL_SHARE,
    Axis,
    CategoryAxis,
    ColumnProfile,
    axis_of,
    cells_of,
    distance_names,
    distances_of,
)
from tidemill.drift.divergences import Counts, chi_p_value, ks_p_value
from tidemill.drift.findings import Finding, Kind
from tidemill.drift.outputs import TRUTH, output_schema
from tidemill.drift.reference import Reference
from tidemill.drift.thresholds import Thresholds, calibrate, compared_columns, rows_for
from tidemill.profiling import CategoryProfile, NumericProfile, Profile

__all__ = ["Yardstick", "compare", "output_gap", "widest_gap"]

# The stated rate is of windows with any drift finding: inputs, outputs and labels share it.
_SPENT: dict[Kind, float] = {"drift": 0.8, "output drift": 0.1, "label drift": 0.1}

_MANY_VALUES = 16

_WORDS = {
    "psi": "PSI",
    "jensen_shannon": "Jensen-Shannon distance",
    "ks": "Kolmogorov-Smirnov statistic",
    "wasserstein": "Wasserstein distance in standard deviations",
    "chi_squared": "Cohen's w",
    NULL_SHARE: "change of the share without a value",
}


class Yardstick:
    """A reference made ready for many windows: merged once, thresholds kept by window size.

    Parameters
    ----------
    reference : Reference
    config : DriftConfig
    seed : int
        The same seed gives the same thresholds.

    Notes
    -----
    Memory: one merged profile, and the thresholds of a few window sizes (two for each
    doubling). Not for use by several threads at once.
    """

    def __init__(self, reference: Reference, config: DriftConfig, seed: int) -> None:
        self.reference, self.config, self.seed = reference, config, seed
        self.merged = reference.merged()
        self.merged_outputs = reference.merged_outputs() if reference.outputs else None
        self._known: dict[tuple[Kind, int], Thresholds] = {}

    def thresholds(self, rows: int, kind: Kind = "drift") -> Thresholds:
        """Thresholds for windows of ``rows`` rows; calibrated once for sizes that are near.

        Raises
        ------
        ConfigError
            If thresholds set by hand name a test that does not exist.
        """
        key = (kind, rows_for(rows))
        if key not in self._known:
            inputs = kind == "drift"
            self._known[key] = calibrate(
                self.reference.blocks if inputs else self.reference.outputs,
                key[1],
                self.config,
                self.seed,
                self.reference.time_ordered,
                columns=self._columns(kind),
                rate=self.config.false_alarm_rate * _SPENT[kind],
                beyond=self.reference.gap if kind == "output drift" else None,
            )
        return self._known[key]

    def findings(
        self, window: Profile, outputs: Profile | None = None, labels: Profile | None = None
    ) -> list[Finding]:
        """All drift findings of a window, flagged or not.

        Parameters
        ----------
        window : Profile
            Of ``reference.live_schema``.
        outputs : Profile, optional
            What the model said in the window: columns of ``output_schema``.
        labels : Profile, optional
            Of the window's rows whose truth is known: the column ``truth``.

        Raises
        ------
        SchemaMismatch
            If a profile has other edges than the reference.
        """
        found = self._of("drift", window, self.merged)
        if self.merged_outputs is not None and outputs is not None:
            found += self._of("output drift", outputs, self.merged_outputs)
        if self.merged_outputs is not None and labels is not None:
            found += self._of("label drift", labels, self.merged_outputs)
        return found

    def _of(self, kind: Kind, window: Profile, known: Profile) -> list[Finding]:
        if not window.rows:
            return []
        limits = self.thresholds(window.rows, kind)
        return _findings(kind, window, known, self._columns(kind), limits)

    def _columns(self, kind: Kind) -> tuple[str, ...]:
        if kind == "drift":
            return compared_columns(self.reference.schema)
        if kind == "label drift":
            return (TRUTH,)
        # A regression says a prediction and no score.
        outputs = output_schema(self.reference.schema).names
        return tuple(name for name in outputs if name != TRUTH)


def output_gap(judged: Profile, serving: Profile) -> dict[str, dict[str, float]]:
    """How far what a serving model says lies from what the judged one says of the same rows.

    Parameters
    ----------
    judged, serving : Profile
        Over ``output_schema``; of rows that both have learnt, or that neither has.

    Returns
    -------
    dict of str to dict of str to float
        By column and test; for :attr:`Reference.gap`.
    """
    gap: dict[str, dict[str, float]] = {}
    for name, known in judged.columns.items():
        if name == TRUTH:
            continue
        axis, now = axis_of(known), serving.columns[name]
        values = distances_of(axis, cells_of(axis, known), cells_of(axis, now)).tolist()
        pairs = zip(distance_names(axis), values, strict=True)
        gap[name] = {test: value for test, value in pairs if math.isfinite(value)}
    return gap


def widest_gap(
    gaps: Iterable[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
    """Of several gaps the largest of each column and test.

    >>> widest_gap([{"score": {"ks": 0.1, "psi": 0.3}}, {"score": {"ks": 0.2}}])
    {'score': {'ks': 0.2, 'psi': 0.3}}
    """
    widest: dict[str, dict[str, float]] = {}
    for gap in gaps:
        for name, tests in gap.items():
            known = widest.setdefault(name, {})
            for test, value in tests.items():
                known[test] = max(value, known.get(test, 0.0))
    return widest


def compare(window: Profile, reference: Reference, thresholds: Thresholds) -> list[Finding]:
    """Drift findings of one window's features; for many windows see :class:`Yardstick`.

    Parameters
    ----------
    window : Profile
        Of ``reference.live_schema``.
    thresholds : Thresholds
        For windows of its size: ``calibrate(reference.blocks, rows_for(window.rows), ...)``.

    Raises
    ------
    SchemaMismatch
        If the window has other edges than the reference.
    """
    columns = compared_columns(reference.schema)
    return _findings("drift", window, reference.merged(), columns, thresholds)


def _findings(
    kind: Kind, window: Profile, known: Profile, columns: Sequence[str], limits: Thresholds
) -> list[Finding]:
    found: list[Finding] = []
    for name in columns:
        if name in window.columns and name in known.columns:
            found += _column(kind, name, known.columns[name], window.columns[name], limits)
    return found


def _column(
    kind: Kind, name: str, known: ColumnProfile, now: ColumnProfile, limits: Thresholds
) -> list[Finding]:
    axis = axis_of(known)
    if isinstance(axis, CategoryAxis) and isinstance(now, CategoryProfile):
        axis = axis.narrowed(now)
    p, q = cells_of(axis, known), cells_of(axis, now)
    values = distances_of(axis, p, q).tolist()
    found = []
    for test, value in zip(distance_names(axis), values, strict=True):
        limit = limits.of(name, test)
        flagged = bool(value > limit)
        change = _change(test, axis, known, now) if flagged else ""
        said = _sentence(kind, name, test, value, limit, change)
        found.append(
            Finding(kind, name, test, value, limit, _p_value(test, value, p, q), flagged, said)
        )
    return found


def _p_value(test: str, value: float, p: Counts, q: Counts) -> float | None:
    if math.isnan(value):
        return None
    p, q = p[:-1], q[:-1]
    if test == "ks":
        return ks_p_value(value, int(p.sum()), int(q.sum()))
    return chi_p_value(p, q) if test == "chi_squared" else None


def _sentence(kind: Kind, name: str, test: str, value: float, limit: float, change: str) -> str:
    who = {"output drift": f"the model's {name}", "label drift": "what turned out"}.get(kind, name)
    if math.isnan(value):
        return f"{who} has no values to compare ({_WORDS[test]})."
    told = f"{_WORDS[test]} {value:.3g}, threshold {limit:.3g}"
    return f"{who} has drifted: {change} ({told})." if change else f"{who} is as usual ({told})."


def _change(test: str, axis: Axis, known: ColumnProfile, now: ColumnProfile) -> str:
    """What a person would see: another typical value, or the share that changed most."""
    if test == NULL_SHARE:
        before, share = (c.nulls / max(c.rows, 1) for c in (known, now))
        return f"{share:.1%} of its rows lack a value, where {before:.1%} did"
    if test in ("ks", "wasserstein") and isinstance(known, NumericProfile):
        assert isinstance(now, NumericProfile)  # noqa: S101 - the axis has checked it
        return _typical(known, now)
    p, q = axis.counts(known), axis.counts(now)
    shares = p / max(p.sum(), 1), q / max(q.sum(), 1)
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    return f"{_bin(axis, most)} made up {shares[0][most]:.1%} and now {shares[1][most]:.1%}"


def _typical(known: NumericProfile, now: NumericProfile) -> str:
    # Of few different values the interpolated median is a value that never occurs.
    if len(known.edges) < _MANY_VALUES:
        return f"its mean is {now.mean:.4g} and was {known.mean:.4g}"
    return f"its median is {now.quantile(0.5):.4g} and was {known.quantile(0.5):.4g}"


def _bin(axis: Axis, at: int) -> str:
    if isinstance(axis, CategoryAxis):
        return repr(axis.names[at]) if at < len(axis.names) else "rare or new categories"
    if not len(axis.edges):
        return "all values"
    if at == 0:
        return f"values below {axis.edges[0]:.4g}"
    if at == len(axis.edges):
        return f"values from {axis.edges[-1]:.4g}"
    return f"values from {axis.edges[at - 1]:.4g} to {axis.edges[at]:.4g}"
