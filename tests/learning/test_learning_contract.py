"""Every learner keeps the contract that ships with the library."""

from typing import ClassVar

from tidemill.testing.learners import LearnerContract


class TestSgd(LearnerContract):
    """Linear models over a plan of blocks."""

    learner = "sgd"


class TestHistGradientBoosting(LearnerContract):
    """scikit-learn's boosting in memory."""

    learner = "hist_gradient_boosting"
    params: ClassVar[dict] = {"max_iter": 40, "max_leaf_nodes": 7}


class TestLightGbm(LearnerContract):
    """LightGBM streamed from blocks."""

    learner = "lightgbm"
    params: ClassVar[dict] = {"num_iterations": 60, "num_leaves": 7}
