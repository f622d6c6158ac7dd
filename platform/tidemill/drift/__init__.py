"""Live windows against the reference: findings, thresholds, harm, verdicts."""

from tidemill.drift.change import Change, ErrorStream, error_of
from tidemill.drift.estimate import Estimate, PerformanceModel
from tidemill.drift.findings import Finding
from tidemill.drift.guards import Guard, other_answers
from tidemill.drift.heldout import HeldOut
from tidemill.drift.intake import Intake
from tidemill.drift.outcomes import Outcomes
from tidemill.drift.outputs import output_schema, outputs_of, scores_of_outputs
from tidemill.drift.performance import Performance, measure, performance_findings
from tidemill.drift.quality import (
    GROWN,
    FeedCheck,
    family_of,
    freshness_finding,
)
from tidemill.drift.reference import Reference, feature_schema
from tidemill.drift.thresholds import CALIBRATION, Thresholds, calibrate, judged_columns, rows_for
from tidemill.drift.trust import Reconciled, Trust, reconcile
from tidemill.drift.verdict import WindowVerdict, judge
from tidemill.drift.yardstick import Yardstick, compare, output_gap, widest_gap

__all__ = [
    "CALIBRATION",
    "GROWN",
    "Change",
    "ErrorStream",
    "Estimate",
    "FeedCheck",
    "Finding",
    "Guard",
    "HeldOut",
    "Intake",
    "Outcomes",
    "Performance",
    "PerformanceModel",
    "Reconciled",
    "Reference",
    "Thresholds",
    "Trust",
    "WindowVerdict",
    "Yardstick",
    "calibrate",
    "compare",
    "error_of",
    "family_of",
    "feature_schema",
    "freshness_finding",
    "judge",
    "judged_columns",
    "measure",
    "other_answers",
    "output_gap",
    "output_schema",
    "outputs_of",
    "performance_findings",
    "reconcile",
    "rows_for",
    "scores_of_outputs",
    "widest_gap",
]
