"""A learner's parameters: defaults with the given ones over them, all of them allowed."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.contracts import Scalar
from tidemill.errors import ConfigError, nearest
from tidemill.learners import LEARNERS, parameter_names, parameter_problems

__all__ = ["complete"]


def complete(learner: str, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The learner's defaults with ``given`` over them, by their first names.

    Raises
    ------
    ConfigError
        If the learner does not know a parameter, or it cannot have that value.

    >>> complete("lightgbm", {"n_estimators": 9})["num_iterations"]
    9
    """
    parameters, known = LEARNERS[learner].parameters, parameter_names(learner)
    for name, problem in parameter_problems(learner, given).items():
        raise ConfigError(
            f"training.params.{name}: {problem}",
            remedy="correct training.params, or tuning.space where it comes from a search",
            parameter=name,
            value=given[name],
            learner=learner,
            nearest=None if name in known else nearest(name, known),
        )
    return {name: one.default for name, one in parameters.items()} | {
        known[name]: value for name, value in given.items()
    }
