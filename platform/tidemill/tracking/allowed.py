"""The allow-list: every (skops loader, type) pair that a tidemill pipeline may hold.

It is tighter than skops' own, which trusts every scikit-learn estimator and numpy function:
nothing here can name a function, a method or a partial, so loading runs only the constructors
and ``__setstate__`` of these types.
"""

from __future__ import annotations

__all__ = ["ALLOWED", "LEARNERS", "REDUCERS", "TRUSTED_TYPES"]

REDUCERS = frozenset({"tidemill.features.reducer.Reducer"})
LEARNERS = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
        "sklearn.linear_model._stochastic_gradient.SGDClassifier",
        "sklearn.linear_model._stochastic_gradient.SGDRegressor",
        "tidemill.learning.predictors.BoosterClassifier",
        "tidemill.learning.predictors.BoosterRegressor",
    }
)

_NUMBERS = (
    "bool",
    "bool_",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "str_",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)
_NUMPY = frozenset(f"numpy.{name}" for name in _NUMBERS)

# Ours, and the one type that skops leaves to its user: a tree's node indices are used without
# a bounds check, so `tidemill.tracking.skopsfile` checks them after loading.
TRUSTED_TYPES: tuple[str, ...] = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "tidemill.features.reducer.Reducer",
    "tidemill.learning.predictors.BoosterClassifier",
    "tidemill.learning.predictors.BoosterRegressor",
)

_LOSSES = frozenset(
    {
        "sklearn._loss._loss.CyAbsoluteError",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfGammaLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfPoissonLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyHuberLoss",
        "sklearn._loss._loss.CyPinballLoss",
        "sklearn.linear_model._sgd_fast.EpsilonInsensitive",
        "sklearn.linear_model._sgd_fast.Hinge",
        "sklearn.linear_model._sgd_fast.ModifiedHuber",
        "sklearn.linear_model._sgd_fast.SquaredEpsilonInsensitive",
        "sklearn.linear_model._sgd_fast.SquaredHinge",
    }
)

_OBJECTS = frozenset(
    {
        "sklearn._loss.link.HalfLogitLink",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._label.LabelEncoder",
    }
)

ALLOWED: dict[str, frozenset[str]] = {
    "DTypeNode": frozenset({"numpy.dtype"}),
    "DictNode": frozenset({"builtins.dict"}),
    "JsonNode": frozenset({"builtins.str"}),
    "ListNode": frozenset({"builtins.list"}),
    "LossNode": _LOSSES,
    "NdArrayNode": _NUMPY | {"numpy.ndarray"},
    "ObjectNode": _OBJECTS | REDUCERS | LEARNERS,
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "TypeNode": _NUMPY | {"builtins.bool", "builtins.float", "builtins.int", "builtins.str"},
}
"""Type names that each of skops' loaders may be used with; no other loader is allowed."""
