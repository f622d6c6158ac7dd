"""What ``linear`` leaves: scikit-learn's own linear models, whose numbers come from blocks.

The names are ours, so that a package's learner may leave scikit-learn's plain ones.
"""

from __future__ import annotations

from sklearn.linear_model import LogisticRegression, Ridge

__all__ = ["LinearClassifier", "LinearRegressor"]


class LinearClassifier(LogisticRegression):  # type: ignore[misc]
    """A ``LogisticRegression``, for three classes and more a multinomial one."""


class LinearRegressor(Ridge):  # type: ignore[misc]
    """A ``Ridge``."""
