"""The reducer: impute, encode and scale, then a sequence of steps; fitted in bounded memory.

The transformer itself is ``tidemill.features.reducer.Reducer``. It is not imported here: it
needs scikit-learn, and the workers that gather statistics for it do not.
"""

from tidemill.features.fitting import fit_reducer
from tidemill.features.report import ReductionReport
from tidemill.features.saving import load_fitted_rows, load_reducer, save_reducer
from tidemill.features.selection import CORRELATED_COLUMNS
from tidemill.features.target_codes import encode_target
from tidemill.features.training_shards import training_profile

__all__ = [
    "CORRELATED_COLUMNS",
    "ReductionReport",
    "encode_target",
    "fit_reducer",
    "load_fitted_rows",
    "load_reducer",
    "save_reducer",
    "training_profile",
]
