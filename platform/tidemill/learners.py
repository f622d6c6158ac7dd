"""The learners: one row each; packages add theirs as entry points of ``tidemill.learners``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tidemill.addresses import Implementations
from tidemill.contracts import Learner, Scalar
from tidemill.errors import nearest
from tidemill.schema import Task

__all__ = [
    "AUTO",
    "AUTO_LEARNERS",
    "CALIBRATED",
    "DISTRIBUTED",
    "ENSEMBLES",
    "LEARNERS",
    "SHARD_ENSEMBLE",
    "THRESHOLD",
    "default_space",
    "has_threshold",
    "is_ensemble",
    "learner_of",
    "parameter_names",
    "parameter_problems",
    "rare_defaults",
    "strategies",
    "strategies_of",
    "uncalibrated",
    "unknown_parameters",
]

LEARNERS: Implementations[type[Learner]] = Implementations(
    {
        "linear": "tidemill.learning.linear:LinearLearner",
        "sgd": "tidemill.learning.sgd:SgdLearner",
        "hist_gradient_boosting": "tidemill.learning.histogram:HistGradientBoostingLearner",
        "lightgbm": "tidemill.learning.boosting:LightGbmLearner",
        "forest": "tidemill.learning.forest:ForestLearner",
    },
    port=Learner,
    group="tidemill.learners",
    setting="training.learner",
)


AUTO = "auto"
"""The setting that lets a probe pick the learner, or lets the learner say how rows are reduced."""

AUTO_LEARNERS = ("linear", "lightgbm", "forest")
"""Those that the probe compares, the cheapest first: each is bounded in memory, in another way."""

DISTRIBUTED = "distributed"
"""The strategy of one fit by ``training.ranks`` processes, each with its share of the rows."""

SHARD_ENSEMBLE = "shard_ensemble"
"""The strategy of any learner: a model a shard, and their votes."""

ENSEMBLES = (
    "tidemill.learning.voting.EnsembleClassifier",
    "tidemill.learning.voting.EnsembleRegressor",
)
"""Full names of the types that it leaves; their members are a learner's own."""


THRESHOLD = "tidemill.learning.calibrated.ThresholdClassifier"
"""Full name of the type that holds another classifier, and decides by a threshold of its own."""

CALIBRATED = (
    "tidemill.learning.calibrated.CalibratedClassifier",
    "tidemill.learning.calibrated.IsotonicClassifier",
    THRESHOLD,
)
"""Full names of the types that hold another classifier, and set right what it says."""


def uncalibrated(estimator: Any) -> Any:
    """What it sets right; itself where it is of no such type."""
    while _type_name(estimator) in CALIBRATED:  # they may lie over each other
        estimator = estimator.estimator
    return estimator


def has_threshold(estimator: object) -> bool:
    """Whether it decides by a threshold of its own."""
    return _type_name(estimator) == THRESHOLD


def is_ensemble(estimator: object) -> bool:
    """Whether it is of a type that ``shard_ensemble`` leaves."""
    return _type_name(estimator) in ENSEMBLES


def learner_of(estimator: Any) -> type[Learner] | None:
    """The learner that leaves estimators of this type; None: nobody.

    Of an ensemble that of its members; of a calibrated one that of what it holds.
    """
    inner = uncalibrated(estimator)
    name = _type_name(uncalibrated(inner.members[0]) if is_ensemble(inner) else inner)
    for kinds in (LEARNERS.ours, LEARNERS.others):  # packages are asked only if none is ours
        for kind in kinds():
            if name in kind.estimators:
                return kind
    return None


def _type_name(estimator: object) -> str:
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}"


def strategies() -> tuple[str, ...]:
    """The strategies that one learner or another has.

    >>> strategies()
    ('incremental', 'in_memory', 'boosted', 'merged', 'averaged', 'distributed', 'shard_ensemble')
    """
    ways = (way for kind in LEARNERS.usable().values() for way in kind.strategies)
    spread = (way for kind in LEARNERS.usable().values() for way in kind.spread)
    return tuple(dict.fromkeys([*ways, *spread, SHARD_ENSEMBLE]))


def strategies_of(learner: str) -> tuple[str, ...]:
    """The strategies that a learner has.

    >>> strategies_of("sgd")
    ('incremental', 'averaged', 'shard_ensemble')
    """
    kind = LEARNERS[learner]
    return (*kind.strategies, *kind.spread, SHARD_ENSEMBLE)


def default_space(learner: str, task: Task, *, rare: bool = False) -> dict[str, dict[str, Any]]:
    """Where to search for a learner's parameters, in the form of params.yaml.

    Where the positive class is ``rare``, what has a default of its own for that is not searched:
    a few hundred positives cannot tell better.

    >>> default_space("sgd", Task.BINARY)["alpha"]
    {'low': 1e-07, 'high': 0.01, 'log': True}
    """
    return {
        name: dict(parameter.search)
        for name, parameter in LEARNERS[learner].parameters.items()
        if parameter.search
        and task in parameter.searched
        and not (rare and parameter.rare is not None)
    }


def default_values(learner: str, names: Iterable[str]) -> dict[str, Scalar]:
    """What a learner takes for those of its parameters by itself.

    >>> default_values("lightgbm", ["max_iter"])
    {'max_iter': 300}
    """
    known = parameter_names(learner)
    return {name: LEARNERS[learner].parameters[known[name]].default for name in names}


def rare_defaults(learner: str) -> dict[str, Scalar]:
    """What a learner's parameters are left at where the positive class is rare, if not as ever.

    >>> rare_defaults("lightgbm"), rare_defaults("linear")
    ({'learning_rate': 0.05}, {})
    """
    parameters = LEARNERS[learner].parameters.items()
    return {name: one.rare for name, one in parameters if one.rare is not None}


def unknown_parameters(learner: str, names: Iterable[str]) -> dict[str, str]:
    """What is wrong with names of parameters; empty where the learner has them all."""
    parameters = LEARNERS[learner].parameters
    known = parameter_names(learner)
    problems = {}
    for name in names:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close!r}?" if close else f"use: {', '.join(parameters)}"
            problems[name] = f"{learner} has no such parameter; {hint}"
    return problems


def parameter_names(learner: str) -> dict[str, str]:
    """A learner's parameters by all names that each has; the value is its first one."""
    return {
        alias: name
        for name, parameter in LEARNERS[learner].parameters.items()
        for alias in (name, *parameter.aliases)
    }


def parameter_problems(learner: str, given: Mapping[str, Scalar]) -> dict[str, str]:
    """What is wrong with parameters of a learner, by the names that they were given by.

    >>> parameter_problems("lightgbm", {"num_leafs": 7, "max_bin": 1, "n_estimators": 9})
    {'num_leafs': "lightgbm has no such parameter; did you mean 'num_leaves'?",
     'max_bin': 'is 1, not a whole number of at least 2'}
    """
    problems = unknown_parameters(learner, given)
    parameters, known = LEARNERS[learner].parameters, parameter_names(learner)
    for name, value in given.items():
        if name in known and not parameters[known[name]].takes(value):
            problems[name] = f"is {value!r}, not {parameters[known[name]].values}"
    return problems
