"""Types that a stored estimator may hold: what the loader trusts and nothing more."""

from __future__ import annotations

__all__ = ["TRUSTED_TYPES"]

TRUSTED_TYPES: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "hist_gradient_boosting": ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    "lightgbm": (
        "tidemill.learning.predictors.BoosterClassifier",
        "tidemill.learning.predictors.BoosterRegressor",
    ),
}
"""By learner, beyond what skops trusts by itself."""
