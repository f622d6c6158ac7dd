"""The search for a learner's parameters: spaces, samplers, pruning, a study that survives."""

from tidemill.tuning.pruning import Pruned, Report
from tidemill.tuning.search import search
from tidemill.tuning.space import grid_points, read_space
from tidemill.tuning.study import Study

__all__ = ["Pruned", "Report", "Study", "grid_points", "read_space", "search"]
