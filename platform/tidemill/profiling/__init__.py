"""Statistics as a map over batches and a merge: moments, histograms, categories."""

from tidemill.profiling.category import CategoryProfile
from tidemill.profiling.fold import fold, merge
from tidemill.profiling.moments import Moments, merge_moments
from tidemill.profiling.numeric import NumericProfile
from tidemill.profiling.profile import Profile, categories_of
from tidemill.profiling.sketch import RowSketch

__all__ = [
    "CategoryProfile",
    "Moments",
    "NumericProfile",
    "Profile",
    "RowSketch",
    "categories_of",
    "fold",
    "merge",
    "merge_moments",
]
