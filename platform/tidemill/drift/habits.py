"""How a column behaved in training, block by block: what a live window may do unremarked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from tidemill.drift.axes import Axis, ColumnProfile, axis_of, hash_categories
from tidemill.drift.divergences import Counts
from tidemill.profiling import CategoryProfile, NumericProfile

__all__ = [
    "MARGIN",
    "MIN_VALUES",
    "Habit",
    "location",
    "one_value",
    "scale_factor",
    "size_of",
    "unseen",
]

MIN_VALUES = 30
MARGIN = 1.5
"""A block of training may have strayed so much already; a window is given half as much more."""

Shares = npt.NDArray[np.float64]

# Medians within so much of the quartiles' distance around zero say nothing of the unit.
_CENTRED = 0.25
# So many values outside the training range make means and standard deviations worth a word.
_TOLD_BY_MOMENTS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Habit:
    """A column over all of training, and the most that one block of it strayed.

    Parameters
    ----------
    whole : NumericProfile or CategoryProfile
    axis : NumericAxis or CategoryAxis
    nulls, unseen, outside : float
        The largest share of a block's rows: without a value; with a category that no other
        block has; beyond the range of the other blocks (at most: whole bins are counted).
    factor : float
        The largest ratio between a block's typical value and that of all rows.
    stuck : bool
        Whether to stand still is usual: blocks had one value only, not all of them the same, or
        one within the range. At an end of it (a count that had to fill, a dry week) or of a
        category stillness says nothing of other values.
    fullest : (bins,) float64
        Of each bin of the axis, the largest share of a block's values that lay in it.
    likeness : (bins,) float64
        Of each bin, how much more alike rows of one block are than rows of different blocks: 0
        not at all, 1 wholly (intraclass correlation); of one that training left empty that of
        the fullest.
    block_values : float
        Values of a block, on average.
    """

    whole: ColumnProfile
    axis: Axis
    nulls: float
    unseen: float
    outside: float
    factor: float
    stuck: bool
    fullest: Shares
    likeness: Shares
    block_values: float

    @classmethod
    def of(cls, whole: ColumnProfile, blocks: Sequence[ColumnProfile]) -> Self:
        """The habit of a column with these blocks."""
        axis = axis_of(whole)
        counts = np.stack([axis.counts(block) for block in blocks])
        return cls(
            whole=whole,
            axis=axis,
            nulls=max(_null_share(block) for block in blocks),
            unseen=_only_there(whole, blocks),
            outside=_beyond_others(blocks),
            factor=max(_strayed(whole, block) for block in blocks),
            stuck=_often_stands(whole, _constant_at(blocks)),
            fullest=_fullest(counts),
            likeness=_likeness(counts),
            block_values=float(counts.sum(axis=1).mean()),
        )

    def and_lately(self, recent: Sequence[ColumnProfile]) -> Self:
        """The habit, widened by what the feed has grown into: windows that were not broken."""
        if not recent:
            return self
        counts = np.stack([self.axis.counts(window) for window in recent])
        return replace(
            self,
            nulls=max(self.nulls, *(_null_share(window) for window in recent)),
            factor=max(self.factor, *(_strayed(self.whole, window) for window in recent)),
            stuck=self.stuck or len(_constant_at(recent)) > 1,
            fullest=np.maximum(self.fullest, _fullest(counts)),
        )

    def often_constant(self, window: ColumnProfile) -> bool:
        """Whether the one value of a window was almost all there was in some block before.

        Half as much again as in the block that had most of it would be all rows. An outer bin of
        numbers is no value: what lies in it may be anything.
        """
        at = int(np.argmax(self.axis.counts(window)))
        if isinstance(window, NumericProfile) and at in (0, len(self.fullest) - 1):
            return False
        return bool(MARGIN * self.fullest[at] >= 1.0)

    def chance_of_one_value(self, window: ColumnProfile) -> float:
        """How likely all values of a window fall into the bin that they are in, by chance.

        Rows that resemble their neighbours in time count for fewer: the design effect of
        Kish (1965). If a block's rows are alike because they come in runs (one rate a day), a
        window shorter than a block holds fewer runs still, perhaps one: then it says nothing. A
        value beyond the training range counts as one more bin, as likely as another.
        """
        seen, known = self.axis.counts(window), self.axis.counts(self.whole)
        at, n = int(np.argmax(seen)), int(seen.sum())
        share = float(known[at] / max(known.sum(), 1))
        if isinstance(window, NumericProfile) and at in (0, len(seen) - 1):
            share = max(share, 1 / (1 + int(np.count_nonzero(known))))
        alike = float(self.likeness[at])
        runs = max(n / max(alike * self.block_values, 1.0), 1.0)
        return float(share ** min(n / (1 + (n - 1) * alike), runs))


def one_value(column: ColumnProfile) -> bool:
    """Whether all values are the same; not known of more than 10,000 categories."""
    if isinstance(column, NumericProfile):
        return column.minimum == column.maximum
    return column.complete and len(column.counts) == 1


def location(column: NumericProfile) -> tuple[float, float]:
    """Median and distance between the quartiles; NaN without values."""
    return column.quantile(0.5), column.quantile(0.75) - column.quantile(0.25)


def scale_factor(known: NumericProfile, now: NumericProfile) -> float:
    """By what factor typical values are larger (or, below 1, smaller); 1 where none is told.

    The ratio of the medians, if the spread goes the same way by at least its root: values
    that merely move keep their spread, another unit does not. The ratio of the spreads
    where medians lie about zero; the spread has changed only if both the standard deviation
    and the distance of the quartiles have. Means and standard deviations, which are exact,
    where most values, known or new, lie in the outer bins, which tell no quantiles; so too of
    a column that has half its values in one bin, where quartiles are guesses, if at least a
    twentieth lies outside; else nothing is told of it.
    """
    if min(known.count, now.count) < MIN_VALUES:
        return 1.0
    (middle, spread), (middle_now, spread_now) = location(known), location(now)
    ratio, wider = _ratio(middle_now, middle), _ratio(now.std, known.std)
    outside, in_one_bin = now.counts[0] + now.counts[-1], 2 * known.counts.max() > known.count
    far = 2 * outside > now.count or 2 * (known.counts[0] + known.counts[-1]) > known.count
    if far or (in_one_bin and outside >= _TOLD_BY_MOMENTS * now.count):
        ratio = _ratio(now.mean, known.mean)
    elif in_one_bin:
        return 1.0
    else:
        wider = _nearer_to_one(wider, _ratio(spread_now, spread))
    if abs(middle) < _CENTRED * spread:
        return wider or 1.0
    return _same_way(ratio, wider)


def _nearer_to_one(a: float, b: float) -> float:
    if not a or not b:
        return a or b
    return 1.0 if (a - 1) * (b - 1) <= 0 else min(a, b, key=size_of)


def _same_way(ratio: float, wider: float) -> float:
    """The ratio of typical values, if the spread went with it."""
    if not ratio:
        return 1.0
    together = not wider or (
        (wider - 1) * (ratio - 1) > 0 and size_of(wider) ** 2 >= size_of(ratio)
    )
    return ratio if together else 1.0


def unseen(known: CategoryProfile, now: CategoryProfile) -> tuple[float, str]:
    """Share of a window's values with categories never seen, and the most frequent of them.

    Exact while both have at most 10,000 categories; beyond, the share among those whose
    hash both counted, which is a uniform sample of categories.
    """
    bound = min((t for t in (known.threshold, now.threshold) if t is not None), default=None)
    counts = now.counts
    if bound is not None and counts:
        names = tuple(counts)
        hashes = hash_categories(names)
        counts = {n: counts[n] for n, h in zip(names, hashes, strict=True) if h <= bound}
    new = {name: n for name, n in counts.items() if name not in known.counts}
    share = sum(new.values()) / max(sum(counts.values()), 1)
    return share, max(sorted(new), key=lambda name: new[name], default="")


def _only_there(whole: ColumnProfile, blocks: Sequence[ColumnProfile]) -> float:
    if not isinstance(whole, CategoryProfile):
        return 0.0
    shares = []
    for block in blocks:
        assert isinstance(block, CategoryProfile)  # noqa: S101 - blocks merged into whole
        counted = {c: n for c, n in block.counts.items() if c in whole.counts}
        alone = sum(n for c, n in counted.items() if whole.counts[c] == n)
        shares.append(alone / max(sum(counted.values()), 1))
    return max(shares) if len(blocks) > 1 else 0.0


def _beyond_others(blocks: Sequence[ColumnProfile]) -> float:
    numeric = [b for b in blocks if isinstance(b, NumericProfile) and b.count]
    if len(numeric) < 2:
        return 0.0
    high = _past([b.maximum for b in numeric])
    low = _past([-b.minimum for b in numeric])
    largest = 0.0
    for block in numeric:
        above = int(np.searchsorted(block.edges, high, side="right"))
        below = int(np.searchsorted(block.edges, -low, side="right")) + 1
        over = block.counts[above:].sum() if block.maximum > high else 0
        under = block.counts[:below].sum() if -block.minimum > low else 0
        largest = max(largest, float(over + under) / block.count)
    return largest


def _past(ends: list[float]) -> float:
    """The second largest: what all blocks but the farthest stay within."""
    return sorted(ends)[-2]


def _strayed(whole: ColumnProfile, block: ColumnProfile) -> float:
    if not isinstance(whole, NumericProfile) or not isinstance(block, NumericProfile):
        return 1.0
    return size_of(scale_factor(whole, block))


def size_of(factor: float) -> float:
    """A factor or its inverse, whichever is at least 1."""
    return max(factor, 1 / factor)


def _ratio(a: float, b: float) -> float:
    """``a / b`` where both have the same sign; 0 where that says nothing."""
    return a / b if math.isfinite(a) and math.isfinite(b) and a * b > 0 else 0.0


def _values(column: ColumnProfile) -> int:
    return column.rows - column.nulls


def _null_share(column: ColumnProfile) -> float:
    return column.nulls / max(column.rows, 1)


def _constant_at(columns: Sequence[ColumnProfile]) -> set[float | str]:
    """The values at which blocks or windows held one value."""
    constant = (c for c in columns if _values(c) >= MIN_VALUES and one_value(c))
    return {c.minimum if isinstance(c, NumericProfile) else next(iter(c.counts)) for c in constant}


def _often_stands(whole: ColumnProfile, values: set[float | str]) -> bool:
    inner = isinstance(whole, NumericProfile) and values - {whole.minimum, whole.maximum}
    return len(values) > 1 or bool(inner)


def _fullest(counts: Counts) -> Shares:
    """The largest share of each bin over blocks, (bins,), from counts (blocks, bins)."""
    rows = counts.sum(axis=1)
    told = rows >= MIN_VALUES
    if not told.any():
        return np.zeros(counts.shape[1])
    shares: Shares = (counts[told] / rows[told, None]).max(axis=0)
    return shares


def _likeness(counts: Counts) -> Shares:
    """Intraclass correlation of each bin, (bins,), from counts (blocks, bins)."""
    rows = counts.sum(axis=1)
    counts, rows = counts[rows > 0], rows[rows > 0]
    if len(rows) < 2:
        return np.zeros(counts.shape[1])
    share = counts.sum(axis=0) / rows.sum()
    chance = share * (1 - share)
    between = rows @ (counts / rows[:, None] - share) ** 2 / rows.sum()
    excess = between - chance * len(rows) / rows.sum()
    alike = np.clip(np.divide(excess, chance, out=np.zeros_like(chance), where=chance > 0), 0, 1)
    likeness: Shares = np.where(share > 0, alike, alike[np.argmax(share)])
    return likeness
