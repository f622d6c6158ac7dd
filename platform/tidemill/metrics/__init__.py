"""Quality figures that merge: each block's predictions become a small partial."""

from tidemill.metrics.binary import OPERATING_THRESHOLD, BinaryFigures
from tidemill.metrics.dummy import no_better_than_dummy
from tidemill.metrics.measurable import LARGEST, ROUNDING, measurable, probable
from tidemill.metrics.metric_choice import (
    HIGHER_IS_BETTER,
    IN_WORDS,
    RARE_SHARE,
    Figures,
    baseline_figures,
    class_shares,
    default_metric,
    figures_from_json,
    figures_of,
    improves,
    in_words,
    is_rare,
    metric_names,
    shortfall,
)
from tidemill.metrics.multiclass import MulticlassFigures
from tidemill.metrics.operating_points import decided_above, few_are_found, find_threshold
from tidemill.metrics.paired import STRETCHES, Lead, lead_of, standard_errors
from tidemill.metrics.regression import RegressionFigures
from tidemill.metrics.scores import Curve, ScoreHistogram
from tidemill.metrics.slices import SliceSums, WeakSlice, weakest_slices

__all__ = [
    "HIGHER_IS_BETTER",
    "IN_WORDS",
    "LARGEST",
    "OPERATING_THRESHOLD",
    "RARE_SHARE",
    "ROUNDING",
    "STRETCHES",
    "BinaryFigures",
    "Curve",
    "Figures",
    "Lead",
    "MulticlassFigures",
    "RegressionFigures",
    "ScoreHistogram",
    "SliceSums",
    "WeakSlice",
    "baseline_figures",
    "class_shares",
    "decided_above",
    "default_metric",
    "few_are_found",
    "figures_from_json",
    "figures_of",
    "find_threshold",
    "improves",
    "in_words",
    "is_rare",
    "lead_of",
    "measurable",
    "metric_names",
    "no_better_than_dummy",
    "probable",
    "shortfall",
    "standard_errors",
    "weakest_slices",
]
