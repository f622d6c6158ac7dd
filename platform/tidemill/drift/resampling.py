"""Windows that training could have had: stretches of its blocks, thinned to a window's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from tidemill.drift.divergences import Counts
from tidemill.profiling import Profile

__all__ = ["ResamplingPlan"]

RESAMPLES = 400
MIN_BLOCKS = 4
# Thinning so much is the same as drawing with replacement, which is faster and has no limit.
_NEARLY_ALL_ELSEWHERE = 20
# Fewer blocks than this, told each by the others, would now and then call any distance usual.
_FEW_BLOCKS = 12
# Below this a stretch is no larger than the window, and thinning it adds nothing.
_WORTH_THINNING = 1.25


@dataclass(frozen=True, slots=True, eq=False)
class ResamplingPlan:
    """Which blocks make up each resampled window, the same for every column.

    Parameters
    ----------
    chosen : (n_resamples, n_blocks) float64
        1 where a block belongs to a resample.
    distinct : int
        Stretches that do not overlap: as many independent windows the blocks hold at most.
    drawn : bool
        Whether stretches are longer than the window, so that rows are drawn from theirs.
    apart : bool
        Whether each resample is compared with the other blocks; else both are drawn from all.
    unmet : bool
        Whether what no block had may come: both are then all blocks, and what may be next.
    ordered : bool
        Whether blocks follow each other in time.

    Notes
    -----
    A window shorter than a stretch strays further than the stretch, not only by chance: its
    rows are nearer in time. What stretches differ by beyond chance is widened as if each were
    the mean of independent parts as long as the window (variance in proportion to 1 / rows).
    Slow changes are overstated by that; cycles shorter than a block are not seen at all.
    """

    chosen: npt.NDArray[np.float64]
    distinct: int
    drawn: bool
    apart: bool = True
    unmet: bool = False
    ordered: bool = False

    @classmethod
    def of(
        cls, blocks: Sequence[Profile], rows: int, rng: np.random.Generator, *, time_ordered: bool
    ) -> Self:
        """Resamples of about ``rows`` rows.

        Ordered blocks: all stretches of consecutive ones. Others: any blocks, because what
        stands beside what means nothing. Of few blocks no stretch is longer than a quarter, and
        each is taken many times. Below four blocks: :meth:`by_chance`.
        """
        n = len(blocks)
        if n < MIN_BLOCKS:
            return cls.by_chance(n)
        size = float(np.median([block.rows for block in blocks]))
        few = n < _FEW_BLOCKS
        k = int(np.clip(np.ceil(rows / max(size, 1.0)), 1, n // (MIN_BLOCKS if few else 2)))
        drawn = size * k > _WORTH_THINNING * rows
        stretches = _stretches(n, k) if time_ordered else _subsets(n, k, rng)
        repeats = -(-RESAMPLES // len(stretches)) if drawn or few else 1
        mixed = not time_ordered and not few
        distinct = RESAMPLES if mixed or size > 4 * rows else n // k
        return cls(
            np.repeat(stretches, repeats, axis=0), distinct, drawn=drawn, ordered=time_ordered
        )

    @classmethod
    def by_chance(cls, n_blocks: int) -> Self:
        """Resamples that differ from all of training by chance alone."""
        return cls(np.ones((RESAMPLES, n_blocks)), RESAMPLES, drawn=True, apart=False)

    @classmethod
    def with_unmet(cls, n_blocks: int) -> Self:
        """Resamples that differ from all of training by chance, and by what it did not meet."""
        return replace(cls.by_chance(n_blocks), unmet=True)

    def windows(self, counts: Counts, rows: int, rng: np.random.Generator) -> tuple[Counts, Counts]:
        """For each resample the counts of the rest of training, and of the window.

        Parameters
        ----------
        counts : (n_blocks, bins) int64
        rows : int
            Rows of a window.

        Returns
        -------
        rest, window : (n_resamples, bins) int64
        """
        # Counts stay whole numbers in float64 up to 2**53 rows.
        stretches = np.rint(self.chosen @ counts).astype(np.int64)
        whole = counts.sum(axis=0)
        if self.unmet:
            return np.broadcast_to(whole, stretches.shape), _next(whole, rows, rng)
        if not self.apart:
            return _drawn(whole, int(whole.sum()), rng), _drawn(whole, rows, rng)
        rest = whole - stretches
        if not self.drawn:
            return rest, stretches
        stretch = _widening(stretches, whole, rows) if self.ordered else 1.0
        if stretch > 1:
            return rest, _widened(stretches, whole, rows, stretch, rng)
        return rest, _thinned(stretches, rows, rng)


def _drawn(whole: Counts, rows: int, rng: np.random.Generator) -> Counts:
    """Samples of ``rows`` rows of a population with these shares."""
    total = whole.sum()
    if not total:
        return np.zeros((RESAMPLES, len(whole)), np.int64)
    drawn: Counts = rng.multinomial(rows, whole / total, size=RESAMPLES)
    return drawn


def _next(whole: Counts, rows: int, rng: np.random.Generator) -> Counts:
    """What the next ``rows`` rows of the same source may be, given the rows that were seen.

    The shares are not known but told by these rows, and by one imagined row that is spread over
    all bins but the last, of rows without a value: drawn from Dirichlet's distribution (Perks,
    1947), not set to what was seen. So a bin that happened to stay empty may be met.
    """
    if not whole.sum():
        return np.zeros((RESAMPLES, len(whole)), np.int64)
    seen = np.append(whole[:-1] + 1 / (len(whole) - 1), whole[-1])
    drawn: Counts = rng.multinomial(rows, rng.dirichlet(seen, size=RESAMPLES))
    return drawn


def _stretches(n: int, k: int) -> npt.NDArray[np.float64]:
    starts = np.arange(n - k + 1)[:, None]
    at = np.arange(n)[None, :]
    return ((at >= starts) & (at < starts + k)).astype(np.float64)


def _subsets(n: int, k: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    if k == 1:
        return np.eye(n)
    order = rng.random((RESAMPLES, n)).argsort(axis=1)
    return (order < k).astype(np.float64)


def _thinned(stretches: Counts, rows: int, rng: np.random.Generator) -> Counts:
    """``rows`` of the rows of each stretch, without replacement; all where it has fewer."""
    out = stretches.copy()
    totals = stretches.sum(axis=1)
    many = totals > _NEARLY_ALL_ELSEWHERE * rows
    if many.any():
        out[many] = rng.multinomial(rows, stretches[many] / totals[many, None])
    for i in np.flatnonzero(~many & (totals > rows)).tolist():
        out[i] = rng.multivariate_hypergeometric(stretches[i], rows, method="marginals")
    return out


def _widening(stretches: Counts, whole: Counts, rows: int) -> float:
    """How much further than its stretch a window of ``rows`` rows strays, beyond chance.

    The share of the stretches' variance that is not chance comes from their mean chi squared
    (1 a degree of freedom by chance alone).
    """
    totals = stretches.sum(axis=1)
    used = whole > 0
    if rows == 0 or used.sum() < 2 or not totals.all():
        return 1.0
    share = whole[used] / whole.sum()
    away = stretches[:, used] / totals[:, None] - share
    chi = ((away**2 / share).sum(axis=1) * totals).mean() / (used.sum() - 1)
    return float(np.sqrt(max(1 - 1 / chi, 0.0) * totals.mean() / rows)) if chi > 1 else 1.0


def _widened(
    stretches: Counts, whole: Counts, rows: int, stretch: float, rng: np.random.Generator
) -> Counts:
    share = whole / whole.sum()
    away = stretches / stretches.sum(axis=1, keepdims=True) - share
    shares = np.maximum(share + stretch * away, 0.0)
    drawn: Counts = rng.multinomial(rows, shares / shares.sum(axis=1, keepdims=True))
    return drawn
