"""What a fit costs, by counts alone: no clock decides what a run leaves."""

from __future__ import annotations

from tidemill.learners import LEARNERS

__all__ = ["fit_seconds"]

_MICROSECONDS = {"linear": 0.15, "lightgbm": 2.0, "forest": 8.0}
_OTHERS = 2.0


def fit_seconds(learner: str, rows: int, n_features: int, n_outputs: int) -> float:
    """Seconds of one core that a fit with the learner's defaults takes, about.

    Trees grow for each output anew; of linear learners the second-order steps grow with the
    square of the columns.

    >>> fit_seconds("lightgbm", 100_000, 20, 1)
    4.02
    """
    values = rows * n_features * 1e-6
    if LEARNERS[learner].wants_scaled:
        each = _MICROSECONDS["linear"] * n_outputs * (1 + n_features / 400)
    else:
        each = _MICROSECONDS.get(learner, _OTHERS) * n_outputs
    return round(0.02 + values * each, 2)
