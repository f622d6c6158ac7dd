"""Figures: one visual language for what a run found."""

from tidemill.reporting.balance import draw_shard_balance
from tidemill.reporting.classes import draw_confusion
from tidemill.reporting.curves import draw_calibration, draw_precision_recall, draw_roc
from tidemill.reporting.importance import draw_importance
from tidemill.reporting.residuals import draw_residuals
from tidemill.reporting.slice_losses import draw_weakest_slices

__all__ = [
    "draw_calibration",
    "draw_confusion",
    "draw_importance",
    "draw_precision_recall",
    "draw_residuals",
    "draw_roc",
    "draw_shard_balance",
    "draw_weakest_slices",
]
