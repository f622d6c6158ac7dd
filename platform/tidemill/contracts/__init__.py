"""The Protocols that rooms meet each other through; one module a port."""

from tidemill.contracts.bucketing import BucketFact, BucketRule
from tidemill.contracts.engine import AHEAD, Engine, Metered, WorkerCosts
from tidemill.contracts.learner import (
    Fit,
    FitJob,
    FitReport,
    Learner,
    Parameter,
    Scalar,
    Shelf,
    TargetSummary,
)
from tidemill.contracts.partials import Blocks, FloatMatrix, Partial, Progress
from tidemill.contracts.search import (
    Choices,
    Direction,
    Pruner,
    Range,
    Sampler,
    Space,
    Trial,
    TrialState,
)
from tidemill.contracts.source import (
    Compression,
    OfOneState,
    RawBatch,
    Reject,
    RowsAsked,
    Sniffed,
    Source,
    Split,
)
from tidemill.contracts.stage import OwnStage, StageJob
from tidemill.contracts.step import Comoments, EncodedColumn, Step, TrainingColumns
from tidemill.contracts.store import Marking, ObjectReader, ObjectWriter, Store, StoredObject

__all__ = [
    "AHEAD",
    "Blocks",
    "BucketFact",
    "BucketRule",
    "Choices",
    "Comoments",
    "Compression",
    "Direction",
    "EncodedColumn",
    "Engine",
    "Fit",
    "FitJob",
    "FitReport",
    "FloatMatrix",
    "Learner",
    "Marking",
    "Metered",
    "ObjectReader",
    "ObjectWriter",
    "OfOneState",
    "OwnStage",
    "Parameter",
    "Partial",
    "Progress",
    "Pruner",
    "Range",
    "RawBatch",
    "Reject",
    "RowsAsked",
    "Sampler",
    "Scalar",
    "Shelf",
    "Sniffed",
    "Source",
    "Space",
    "Split",
    "StageJob",
    "Step",
    "Store",
    "StoredObject",
    "TargetSummary",
    "TrainingColumns",
    "Trial",
    "TrialState",
    "WorkerCosts",
]
