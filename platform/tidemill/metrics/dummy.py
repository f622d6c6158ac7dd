"""Whether what a model decides is worth more than one answer for all rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tidemill.metrics.binary import OPERATING_THRESHOLD, BinaryFigures
from tidemill.metrics.metric_choice import Figures
from tidemill.metrics.regression import RegressionFigures

__all__ = ["no_better_than_dummy"]

LEAST_R2 = 0.001
"""Share of the target's variance below which a prediction tells no more than the mean."""


def no_better_than_dummy(figures: Figures, classes: Sequence[str]) -> str:
    """Say so where one answer for all rows would do as well; empty if the decisions are worth more.

    A figure of ranks (roc_auc) may be high where every row is decided alike. Of a threshold that
    was set, the share of right decisions is not what is wanted: there only that is said.

    Parameters
    ----------
    figures : Figures
        Of the rows that judge.
    classes : sequence of str
        The schema's; empty for regression.

    >>> figures = BinaryFigures.of(np.array([0.1, 0.2, 0.3]), np.array([0, 0, 1]))
    >>> no_better_than_dummy(figures, ("no", "yes"))
    "every one of the 3 rows is decided 'no' ..."
    """
    if isinstance(figures, RegressionFigures):
        return _no_better_than_mean(figures)
    called, true = figures.confusion.sum(axis=0), figures.confusion.sum(axis=1)
    if np.count_nonzero(true) < 2:  # one class only: nobody can tell
        return ""
    right, most = int(np.trace(figures.confusion)) / figures.count, true.max() / figures.count
    answers = np.flatnonzero(called)
    if len(answers) == 1:
        said = f"every one of the {figures.count:,} rows is decided {classes[answers[0]]!r}"
        said += f" (accuracy {right:.4f}), as a dummy decides that knows nothing of a row"
    elif right <= most and not _is_set(figures):
        said = (
            f"the decisions are right for {right:.4f} of the rows, and the one answer "
            f"{classes[int(true.argmax())]!r} for all of them is for {most:.4f}"
        )
    else:
        return ""
    return said + _besides(figures)


def _is_set(figures: Figures) -> bool:
    return isinstance(figures, BinaryFigures) and figures.threshold != OPERATING_THRESHOLD


def _besides(figures: Figures) -> str:
    """What a binary model may be good for nevertheless."""
    if not isinstance(figures, BinaryFigures):
        return ""
    return (
        f"; that is with the threshold at a probability of {figures.threshold:.3g}: how the model "
        f"orders the rows (ROC AUC {figures.ranks.roc_auc:.4f}) may serve with one of your own"
    )


def _no_better_than_mean(figures: RegressionFigures) -> str:
    values = figures.values()
    if not values["r2"] < LEAST_R2:  # undefined: nobody can tell
        return ""
    return (
        f"the predictions are no better than one answer for all rows, their mean (R2 "
        f"{values['r2']:.4f}, RMSE {values['rmse']:.4g})"
    )
