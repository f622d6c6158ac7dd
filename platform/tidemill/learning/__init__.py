"""Learners and strategies: from blocks of reduced features to a fitted estimator."""

from tidemill.learning.choice import Choice, choose_strategy
from tidemill.learning.fitting import curve_metric, fit
from tidemill.learning.learner import Fit, Job, Learner, Report
from tidemill.learning.learners import LEARNERS, default_space
from tidemill.learning.predictors import BoosterClassifier, BoosterRegressor
from tidemill.learning.scoring import importance, predict_scores
from tidemill.learning.stored import check_estimator
from tidemill.learning.storing import to_skops
from tidemill.learning.targets import TargetSummary, summarise_target
from tidemill.learning.trust import TRUSTED_TYPES

__all__ = [
    "LEARNERS",
    "TRUSTED_TYPES",
    "BoosterClassifier",
    "BoosterRegressor",
    "Choice",
    "Fit",
    "Job",
    "Learner",
    "Report",
    "TargetSummary",
    "check_estimator",
    "choose_strategy",
    "curve_metric",
    "default_space",
    "fit",
    "importance",
    "predict_scores",
    "summarise_target",
    "to_skops",
]
