"""The allow-list: every (skops loader, type) pair that a tidemill pipeline may hold.

It is tighter than skops' own, which trusts every scikit-learn estimator and numpy function:
nothing here can name a function, a method or a partial, so loading runs only the constructors
and ``__setstate__`` of these types. What learners leave, each of them says itself; packages'
learners are asked only where a file names a type that ours do not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from tidemill.contracts import Learner
from tidemill.learners import CALIBRATED, ENSEMBLES, LEARNERS

__all__ = ["REDUCERS", "allowed_types", "trusted_types"]

REDUCERS = frozenset({"tidemill.features.reducer.Reducer"})

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

_PLAIN: dict[str, frozenset[str]] = {
    "DTypeNode": frozenset({"numpy.dtype"}),
    "DictNode": frozenset({"builtins.dict"}),
    "JsonNode": frozenset({"builtins.str"}),
    "ListNode": frozenset({"builtins.list"}),
    "LossNode": frozenset(),
    "NdArrayNode": _NUMPY | {"numpy.ndarray"},
    "ObjectNode": REDUCERS | {*ENSEMBLES, *CALIBRATED, "sklearn.pipeline.Pipeline"},
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "TypeNode": _NUMPY | {"builtins.bool", "builtins.float", "builtins.int", "builtins.str"},
}
# Beside the learners' own; skops leaves both to its user.
_TRUSTED = REDUCERS | {*ENSEMBLES, *CALIBRATED, "numpy.dtype"}


def allowed_types(names: Set[str] = frozenset()) -> dict[str, frozenset[str]]:
    """Type names that each of skops' loaders may be used with; no other loader is allowed.

    Parameters
    ----------
    names : set of str
        The types of a file: those of a package's learner are allowed if its estimator is there.
    """
    learners = _learners(names)
    own = {"ObjectNode": frozenset(name for one in learners for name in one.estimators)}
    return {
        loader: plain.union(own.get(loader, ()), *(one.holds.get(loader, ()) for one in learners))
        for loader, plain in _PLAIN.items()
    }


def trusted_types(names: Set[str] = frozenset()) -> tuple[str, ...]:
    """What skops must be told to trust for a file of these types, sorted."""
    return tuple(sorted(_TRUSTED.union(*(learner.trusted for learner in _learners(names)))))


def _learners(names: Set[str]) -> list[type[Learner]]:
    ours = LEARNERS.ours()
    known = frozenset().union(*_PLAIN.values(), *map(_types, ours))
    if names <= known:
        return ours
    return [*ours, *(one for one in LEARNERS.others() if names & set(one.estimators))]


def _types(learner: type[Learner]) -> Iterable[str]:
    return [*learner.estimators, *(name for held in learner.holds.values() for name in held)]
