"""Live windows against the reference: findings, thresholds, harm, verdicts."""

from tidemill.drift.feed_faults import (
    GROWN,
    FeedCheck,
    family_of,
    freshness_finding,
)
from tidemill.drift.findings import Finding
from tidemill.drift.intake import Intake
from tidemill.drift.outputs import output_schema, outputs_of, scores_of_outputs
from tidemill.drift.performance import (
    Change,
    ErrorStream,
    Estimate,
    Guard,
    HeldOut,
    OutputBins,
    Performance,
    PerformanceModel,
    Reconciled,
    Trust,
    error_of,
    measure,
    other_answers,
    performance_findings,
    reconcile,
)
from tidemill.drift.reference import Reference, feature_schema
from tidemill.drift.thresholds import CALIBRATION, Thresholds, calibrate, compared_columns, rows_for
from tidemill.drift.window_verdict import WindowVerdict, verdict_of
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
    "OutputBins",
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
    "compared_columns",
    "error_of",
    "family_of",
    "feature_schema",
    "freshness_finding",
    "measure",
    "other_answers",
    "output_gap",
    "output_schema",
    "outputs_of",
    "performance_findings",
    "reconcile",
    "rows_for",
    "scores_of_outputs",
    "verdict_of",
    "widest_gap",
]
