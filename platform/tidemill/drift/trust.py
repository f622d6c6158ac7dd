"""What became of earlier estimates once the truth was known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.drift.estimate import Estimate
from tidemill.metrics import HIGHER_IS_BETTER

__all__ = ["Reconciled", "Trust", "reconcile"]

_FORGET_AFTER = 50
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
    """

    estimate: Estimate
    measured: float

    @property
    def miss(self) -> float:
        """How much better the estimate was than the truth, in the figure's unit."""
        miss = self.estimate.value - self.measured
        return miss if HIGHER_IS_BETTER[self.estimate.metric] else -miss


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
    """

    metric: str = ""
    windows: int = 0
    bias: float = 0.0
    inside: float = math.nan
    widening: float = 1.0

    def wrong(self, max_loss: float, held_out: float) -> bool:
        """Whether estimates were off, on average, by more than the loss that they should find.

        Such estimates are shown and accuse nobody. Needs three windows.
        """
        unit = abs(held_out) if self.metric in _RELATIVE else 1.0
        return self.windows >= _LEAST and abs(self.bias) > max_loss * unit


def reconcile(past: Sequence[Reconciled]) -> Trust:
    """Compare earlier estimates with the truth that came later, oldest first.

    The band widens by the root mean square of the misses in standard errors, counted with four
    imagined windows that were as expected: one miss widens it a little, a habit a lot.

    >>> import math
    >>> told = Estimate("roc_auc", 0.8, 0.01, 1000, 0.0)
    >>> reconcile([Reconciled(told, 0.80)] * 5).widening
    1.0
    >>> trust = reconcile([Reconciled(told, 0.70)] * 5)
    >>> round(trust.bias, 2), trust.inside, round(trust.widening, 1), trust.wrong(0.03, 0.8)
    (0.1, 0.0, 7.5, True)
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
    )
