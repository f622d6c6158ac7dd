"""Drafts of categories: which are kept, and how they are written down."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tidemill.config import ReductionConfig
from tidemill.contracts import EncodedColumn
from tidemill.features.drafts import Draft, pooled, settled
from tidemill.profiling import CategoryProfile

__all__ = ["draft_categories", "frequent"]

_MISSING = "(missing)"
_RARE = "(rare)"


def frequent(
    counts: Sequence[int], *, rows: int, min_frequency: float, max_categories: int
) -> list[bool]:
    """Which categories keep a column of their own.

    The rule is that of scikit-learn's ``OneHotEncoder``: those rarer than
    ``min_frequency * rows`` go, then the rarest until ``max_categories`` columns remain, the
    rare bucket among them; of equally frequent ones the earlier goes first.

    >>> frequent([5, 1, 3, 3], rows=12, min_frequency=0.1, max_categories=3)
    [True, False, False, True]
    """
    kept = np.asarray(counts, np.int64) >= min_frequency * rows
    # The bucket counts even where it would be empty: scikit-learn's rule.
    if int(kept.sum()) + 1 > max_categories:
        order = np.argsort(np.asarray(counts), kind="stable")
        kept[order[: len(order) - (max_categories - 1)]] = False
    return [bool(keep) for keep in kept]


def draft_categories(name: str, profile: CategoryProfile, config: ReductionConfig) -> Draft:
    """One-hot columns with a rare bucket, or one column of ordinal codes.

    Where a column has more categories than the profile counts, those that it does not count
    are rare.
    """
    if profile.rows == profile.nulls:
        flaw = EncodedColumn(name, 0.0, 0.0, "all values are missing")
        return Draft({"name": name, "kind": "one_hot", "slots": [0]}, (flaw,), rare=0)
    return (_one_hot if config.encode == "one_hot" else _ordinal)(name, profile, config)


def _one_hot(name: str, profile: CategoryProfile, config: ReductionConfig) -> Draft:
    # What is missing is a category like any other, after those with a name.
    counts: dict[str | None, int] = dict(profile.counts.items())
    if profile.nulls:
        counts[None] = profile.nulls
    keep = frequent(
        list(counts.values()),
        rows=profile.rows,
        min_frequency=config.min_frequency,
        max_categories=config.max_categories,
    )
    kept = {label: counts[label] for label, yes in zip(counts, keep, strict=True) if yes}
    slots = {label: slot for slot, label in enumerate(kept)}
    columns = [
        _indicator(f"{name}={_MISSING if label is None else label}", count, profile.rows)
        for label, count in kept.items()
    ]
    rare_rows = profile.rows - sum(kept.values())
    rare_slot = len(kept) if rare_rows else -1
    if rare_rows:
        columns.append(_indicator(f"{name}={_RARE}", rare_rows, profile.rows))
    labels = [label for label in kept if label is not None]
    feature = {
        "name": name,
        "kind": "one_hot",
        "labels": labels,
        "slots": [slots[label] for label in labels],
        "rare_slot": rare_slot,
        "missing_slot": slots.get(None, rare_slot),
    }
    return Draft(feature, tuple(columns), rare=_rare_categories(profile, len(labels)))


def _ordinal(name: str, profile: CategoryProfile, config: ReductionConfig) -> Draft:
    keep = frequent(
        list(profile.counts.values()),
        rows=profile.rows,
        min_frequency=config.min_frequency,
        max_categories=config.max_categories,
    )
    kept = [label for label, yes in zip(profile.counts, keep, strict=True) if yes]
    kept.sort(key=lambda label: (-profile.counts[label], label))
    counts = [profile.counts[label] for label in kept]
    rare = profile.rows - profile.nulls - sum(counts)
    nulls = 0 if config.impute == "none" else profile.nulls
    codes = np.arange(len(kept) + 2, dtype=np.float64)
    mean, variance = pooled(codes, np.array([*counts, rare, nulls]))
    scale = math.sqrt(variance) or 1.0
    if config.scale == "standard":
        codes = (codes - settled(mean, scale)) / settled(scale, scale)
    values = codes.tolist()
    occurring = [*counts, rare, nulls]
    flaw = "all values are equal" if sum(count > 0 for count in occurring) < 2 else ""
    feature = {
        "name": name,
        "kind": "ordinal",
        "labels": kept,
        "slots": [0],
        "values": values[:-2],
        "rare_value": values[-2],
        "missing_value": None if config.impute == "none" else values[-1],
    }
    column = EncodedColumn(name, mean, variance, flaw)
    return Draft(feature, (column,), rare=_rare_categories(profile, len(kept)))


def _indicator(name: str, count: int, rows: int) -> EncodedColumn:
    share = count / rows
    flaw = "all values are equal" if count == rows else ""
    return EncodedColumn(name, share, share * (1 - share), flaw)


def _rare_categories(profile: CategoryProfile, kept: int) -> int:
    return max(round(profile.n_distinct) - kept, 0)
