"""Probabilities set right: what balanced weights moved is taken back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.contracts import FitJob

__all__ = ["unweighted"]


def unweighted(estimator: Any, job: FitJob) -> Any:
    """The estimator of a job, with the probabilities that rows without weights would give.

    Balanced weights multiply the odds of two classes by the ratio of their weights: exactly that
    is taken back (Elkan, The Foundations of Cost-Sensitive Learning, 2001).
    """
    if not job.balanced:
        return estimator
    from tidemill.learning.calibrated import CalibratedClassifier

    return CalibratedClassifier(estimator, 1.0, -np.log(job.target.class_weights()))
