"""A random forest over LightGBM's binned dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tidemill.contracts import Fit, FitJob, Parameter
from tidemill.learning.boosting import LightGbmLearner, fitted_trees

__all__ = ["ForestLearner"]

_SHARED = ("min_sum_hessian_in_leaf", "min_gain_to_split", "max_depth", "extra_trees", "max_bin")


class ForestLearner(LightGbmLearner):
    """Trees that each learn another part of the rows and columns, and are averaged.

    Nothing stops early: more trees never hurt, they cost. Figures after each tree are those of
    the forest so far. It cannot be gone on from, since what is averaged does not add up.

    Notes
    -----
    Memory as for ``lightgbm``: LightGBM's ``boosting: rf``, on the same binned dataset.
    """

    spread: ClassVar[tuple[str, ...]] = ()
    continues: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "num_iterations": Parameter(
            100, low=1, whole=True, aliases=("n_estimators", "max_iter", "max_epochs")
        ),
        "num_leaves": Parameter(
            511, low=2, high=131_072, whole=True, search={"low": 63, "high": 2047, "log": True}
        ),
        "min_data_in_leaf": Parameter(
            5,
            low=0,
            whole=True,
            aliases=("min_child_samples", "min_samples_leaf"),
            search={"low": 2, "high": 100, "log": True},
        ),
        # LightGBM makes no forest of all rows: each tree would be the same.
        "bagging_fraction": Parameter(
            0.632, low=0.01, high=0.99, aliases=("subsample", "max_samples")
        ),
        "feature_fraction": Parameter(1.0, low=0, high=1, aliases=("colsample_bytree",)),
        "feature_fraction_bynode": Parameter(
            0.4,
            low=0,
            high=1,
            aliases=("max_features", "colsample_bynode"),
            search={"low": 0.2, "high": 1.0},
        ),
        "num_threads": Parameter(0, low=0, whole=True, aliases=("n_jobs",)),
    } | {name: LightGbmLearner.parameters[name] for name in _SHARED}
    estimators: ClassVar[tuple[str, ...]] = (
        "tidemill.learning.predictors.ForestClassifier",
        "tidemill.learning.predictors.ForestRegressor",
    )
    trusted: ClassVar[tuple[str, ...]] = estimators

    def fit(self, job: FitJob) -> Fit:
        """Fill the binned dataset, grow all trees."""
        return fitted_trees(job, kind="Forest")
