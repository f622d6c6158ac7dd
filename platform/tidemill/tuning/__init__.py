"""The search for a learner's parameters: spaces, samplers, pruning, a study that survives."""

from tidemill.tuning.pruning import Pruned, Report, median_bars
from tidemill.tuning.search import search
from tidemill.tuning.space import Choices, Range, Space, grid_points, read_space
from tidemill.tuning.study import Study, Trial

__all__ = [
    "Choices",
    "Pruned",
    "Range",
    "Report",
    "Space",
    "Study",
    "Trial",
    "grid_points",
    "median_bars",
    "read_space",
    "search",
]
