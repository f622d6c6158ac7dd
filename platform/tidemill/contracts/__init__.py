"""The Protocols that rooms meet each other through; one module a port."""

from tidemill.contracts.engine import AHEAD, Engine
from tidemill.contracts.learner import (
    Fit,
    FitJob,
    FitReport,
    Learner,
    Parameter,
    Scalar,
    TargetSummary,
)
from tidemill.contracts.partials import Blocks, FloatMatrix, Partial, Progress

__all__ = [
    "AHEAD",
    "Blocks",
    "Engine",
    "Fit",
    "FitJob",
    "FitReport",
    "FloatMatrix",
    "Learner",
    "Parameter",
    "Partial",
    "Progress",
    "Scalar",
    "TargetSummary",
]
