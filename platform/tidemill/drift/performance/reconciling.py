"""What became of earlier estimates once the truth was known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.drift.performance.estimate import Estimate
from tidemill.metrics import HIGHER_IS_BETTER

__all__ = ["Reconciled", "Trust", "reconcile"]

_FORGET_AFTER = 50
_BEYOND_CHANCE = 3.0
"""Standard errors: so far apart, an estimate and what was measured contradict each other."""

_BELIEVED = 4.0
"""Windows as expected that are taken to have gone before the first: one miss proves little."""

_LEAST = 3
_RELATIVE = ("mae", "rmse")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """An earlier estimate and what its window then showed.

    Parameters
    ----------
    estimate : Estimate
    measured : float
        The same figure on the window's labelled rows.
    error : float
        Its standard error, 0 where it is not known.
    """

    estimate: Estimate
    measured: float
    error: float = 0.0

    @property
    def miss(self) -> float:
        """How much better the estimate was than the truth, in the figure's unit."""
        miss = self.estimate.value - self.measured
        return miss if HIGHER_IS_BETTER[self.estimate.metric] else -miss

    def contradicts(self, max_loss: float, held_out: float) -> bool:
        """Whether the truth denies the estimate: beyond chance, and by more than harm's limit.

        >>> told = Estimate("roc_auc", 0.8, 0.01, 1000, 0.0)
        >>> [Reconciled(told, auc, 0.02).contradicts(0.03, 0.8) for auc in (0.2, 0.75)]
        [True, False]
        """
        noise = math.hypot(self.estimate.standard_error, self.error)
        most = _limit(self.estimate.metric, max_loss, held_out)
        return abs(self.miss) > max(_BEYOND_CHANCE * noise, most)


@dataclass(frozen=True, slots=True)
class Trust:
    """How far estimates of this champion are believed.

    Parameters
    ----------
    metric : str
    windows : int
        Windows in which estimate and truth could be compared, the last 50 at most.
    bias : float
        Mean of estimate minus truth, signed so that above 0 is too rosy.
    inside : float
        Share of those windows in which the truth lay in the estimate's band (about 0.95 if all
        is well).
    widening : float
        What the bands of further estimates are multiplied by, at least 1.
    newest : Reconciled or None
        The last of those windows.
    """

    metric: str = ""
    windows: int = 0
    bias: float = 0.0
    inside: float = math.nan
    widening: float = 1.0
    newest: Reconciled | None = None

    def doubt(self, max_loss: float, held_out: float) -> str:
        """Why further estimates have no voice: they are shown, and neither accuse nor acquit.

        Labels of the newest window that has them contradict its estimate; or estimates were off,
        on average over three windows or more, by more than the loss that they should find.
        Empty where neither holds.
        """
        if self.newest is not None and self.newest.contradicts(max_loss, held_out):
            told, true = self.newest.estimate.value, self.newest.measured
            return f"the newest window with labels showed {true:.3f}, estimated at {told:.3f}"
        if self.windows >= _LEAST and abs(self.bias) > _limit(self.metric, max_loss, held_out):
            return f"over {self.windows} windows it was off by {abs(self.bias):.3f} on average"
        return ""


def _limit(metric: str, max_loss: float, held_out: float) -> float:
    """``max_loss`` in the figure's unit."""
    return max_loss * (abs(held_out) if metric in _RELATIVE else 1.0)


def reconcile(past: Sequence[Reconciled]) -> Trust:
    """Compare earlier estimates with the truth that came later, oldest first.

    The band widens by the root mean square of the misses in standard errors, counted with four
    imagined windows that were as expected: one miss widens it a little, a habit a lot.

    >>> import math
    >>> told = Estimate("roc_auc", 0.8, 0.01, 1000, 0.0)
    >>> reconcile([Reconciled(told, 0.80)] * 5).widening
    1.0
    >>> trust = reconcile([Reconciled(told, 0.70)] * 5)
    >>> round(trust.bias, 2), trust.inside, round(trust.widening, 1), trust.doubt(0.03, 0.8)
    (0.1, 0.0, 7.5, 'the newest window with labels showed 0.700, estimated at 0.800')
    """
    kept = [
        r
        for r in past
        if math.isfinite(r.measured)
        and math.isfinite(r.estimate.value)
        and r.estimate.standard_error > 0
    ][-_FORGET_AFTER:]
    if not kept:
        return Trust()
    misses = [r.miss for r in kept]
    errors = [r.miss / r.estimate.standard_error for r in kept]
    squares = sum(error**2 for error in errors) + _BELIEVED
    return Trust(
        metric=kept[-1].estimate.metric,
        windows=len(kept),
        bias=sum(misses) / len(kept),
        inside=sum(r.estimate.low <= r.measured <= r.estimate.high for r in kept) / len(kept),
        widening=max(1.0, math.sqrt(squares / (len(kept) + _BELIEVED))),
        newest=kept[-1],
    )
