"""Drafts of numbers, booleans and times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.config import ReductionConfig
from tidemill.contracts import EncodedColumn
from tidemill.features.calendar import PARTS
from tidemill.features.drafts import Draft, pooled, settled
from tidemill.profiling import CategoryProfile, NumericProfile

__all__ = ["draft_boolean", "draft_datetime", "draft_numeric"]

_ALL_MISSING = "all values are missing"


def draft_numeric(name: str, profile: NumericProfile, config: ReductionConfig) -> Draft:
    """A number: imputed, scaled. Median is the histogram's, exact to the width of a bin."""
    present = profile.rows - profile.nulls
    if not present:
        return _nothing(name, "numeric")
    fill: float | None = {
        "mean": profile.mean,
        "median": profile.quantile(0.5) if config.impute == "median" else 0.0,
        "zero": 0.0,
        "none": None,
    }[config.impute]
    spread = math.sqrt(profile.m2 / present)
    if fill is not None:
        fill = settled(fill, spread)
    mean, variance = _imputed(present, profile.mean, profile.m2 / present, profile.nulls, fill)
    constant = profile.minimum == profile.maximum and (
        not profile.nulls or fill in (None, profile.minimum) or config.impute == "mean"
    )
    column = EncodedColumn(name, mean, variance, _constant(constant))
    return _draft(name, "numeric", [column], [fill], profile.rows, profile.nulls, config)


def draft_boolean(name: str, profile: CategoryProfile, config: ReductionConfig) -> Draft:
    """0 and 1, not scaled; ``mean`` imputes the share of true, ``median`` the more frequent."""
    counts = np.array([profile.counts.get(label, 0) for label in ("false", "true")])
    present = int(counts.sum())
    if not present:
        return _nothing(name, "boolean")
    share, spread = pooled(np.array([0.0, 1.0]), counts)
    median = 0.5 if counts[0] == counts[1] else float(counts[1] > counts[0])
    fills: dict[str, float | None] = {"mean": share, "median": median, "zero": 0.0, "none": None}
    fill = fills[config.impute]
    mean, variance = _imputed(present, share, spread, profile.nulls, fill)
    constant = not counts.all() and (not profile.nulls or fill in (None, share))
    column = EncodedColumn(name, mean, variance, _constant(constant))
    unscaled = config.model_copy(update={"scale": "none"})
    return _draft(name, "boolean", [column], [fill], profile.rows, profile.nulls, unscaled)


def draft_datetime(
    name: str,
    profile: NumericProfile,
    counts: Mapping[str, npt.NDArray[np.int64]],
    config: ReductionConfig,
) -> Draft:
    """Calendar parts as numbers; ``counts`` says how often each value of each part occurs."""
    if profile.rows == profile.nulls:
        return _nothing(name, "datetime")
    columns, fills = [], []
    for part, occurring in counts.items():
        values = PARTS[part][0] + np.arange(PARTS[part][1], dtype=np.float64)
        center, spread = pooled(values, occurring)
        fill = _part_fill(config.impute, values, occurring, center)
        mean, variance = _imputed(int(occurring.sum()), center, spread, profile.nulls, fill)
        constant = np.count_nonzero(occurring) == 1 and (
            not profile.nulls or fill in (None, center)
        )
        columns.append(EncodedColumn(f"{name}.{part}", mean, variance, _constant(constant)))
        fills.append(fill)
    draft = _draft(name, "datetime", columns, fills, profile.rows, profile.nulls, config)
    draft.feature["parts"] = list(counts)
    return draft


def _part_fill(
    impute: str, values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], mean: float
) -> float | None:
    if impute == "median":
        return float(values[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])
    return {"mean": settled(mean, 1.0), "zero": 0.0, "none": None}[impute]


def _imputed(
    present: int, mean: float, variance: float, nulls: int, fill: float | None
) -> tuple[float, float]:
    """Mean and variance once ``nulls`` rows hold ``fill``; without a fill they do not count."""
    if fill is None or not nulls:
        return mean, variance
    rows = present + nulls
    between = present * nulls / rows**2 * (mean - fill) ** 2
    return (present * mean + nulls * fill) / rows, variance * present / rows + between


def _constant(constant: bool) -> str:
    return "all values are equal" if constant else ""


def _nothing(name: str, kind: str) -> Draft:
    flaw = EncodedColumn(name, 0.0, 0.0, _ALL_MISSING)
    return Draft({"name": name, "kind": kind, "slots": [0]}, (flaw,))


def _draft(
    name: str,
    kind: str,
    columns: list[EncodedColumn],
    fills: list[float | None],
    rows: int,
    nulls: int,
    config: ReductionConfig,
) -> Draft:
    scales = [math.sqrt(column.variance) or 1.0 for column in columns]
    standard = config.scale == "standard"
    feature: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "slots": list(range(len(columns))),
        "fills": fills,
        "means": [
            settled(c.mean, s) if standard else 0.0 for c, s in zip(columns, scales, strict=True)
        ],
        "scales": [settled(s, s) if standard else 1.0 for s in scales],
        "missing_slot": -1,
    }
    if config.indicator and nulls:
        share = nulls / rows
        feature["missing_slot"] = len(columns)
        columns = [*columns, EncodedColumn(f"{name}.missing", share, share * (1 - share))]
    return Draft(feature, tuple(columns))
