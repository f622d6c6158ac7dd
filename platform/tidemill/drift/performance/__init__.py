"""How good the model is on live rows: measured where labels came, estimated where they did not.

What held-out rows said, bin by bin of the model's output (:mod:`.output_bins`, :mod:`.heldout`),
gives what is expected of rows without truth (:mod:`.expected_figures`, :mod:`.estimate`) and how
far a figure strays by chance (:mod:`.standard_errors`, :mod:`.variation`, :mod:`.familywise`).
:mod:`.measure` holds a window to it; :mod:`.guards`, :mod:`.change` and :mod:`.reconciling` look
beside and behind the figure that decides.
"""

from tidemill.drift.performance.change import Change, ErrorStream, error_of
from tidemill.drift.performance.estimate import Estimate, PerformanceModel
from tidemill.drift.performance.guards import Guard, other_answers
from tidemill.drift.performance.heldout import HeldOut
from tidemill.drift.performance.measure import (
    Performance,
    measure,
    performance_findings,
    worse_by,
)
from tidemill.drift.performance.output_bins import OutputBins
from tidemill.drift.performance.reconciling import Reconciled, Trust, reconcile

__all__ = [
    "Change",
    "ErrorStream",
    "Estimate",
    "Guard",
    "HeldOut",
    "OutputBins",
    "Performance",
    "PerformanceModel",
    "Reconciled",
    "Trust",
    "error_of",
    "measure",
    "other_answers",
    "performance_findings",
    "reconcile",
    "worse_by",
]
