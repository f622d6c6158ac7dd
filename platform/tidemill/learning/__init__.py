"""Learners and strategies: from blocks of reduced features to a fitted estimator."""

from tidemill.learning.calibrating import calibrated_fit
from tidemill.learning.calibration import Calibration
from tidemill.learning.choice import Choice, choose_strategy, goes_on, of_one_process
from tidemill.learning.fit_cost import fit_seconds
from tidemill.learning.fitting import curve_metric, fit
from tidemill.learning.operating import require_threshold
from tidemill.learning.scoring import importance, predict_scores, threshold_of
from tidemill.learning.stored import check_estimator
from tidemill.learning.targets import summarise_target

__all__ = [
    "Calibration",
    "Choice",
    "calibrated_fit",
    "check_estimator",
    "choose_strategy",
    "curve_metric",
    "fit",
    "fit_seconds",
    "goes_on",
    "importance",
    "of_one_process",
    "predict_scores",
    "require_threshold",
    "summarise_target",
    "threshold_of",
]
