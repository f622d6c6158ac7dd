"""A learner's parameters: defaults with the given ones over them, unknown names refused."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.config import Scalar
from tidemill.errors import ConfigError, nearest

__all__ = ["complete", "number"]


def complete(
    learner: str,
    given: Mapping[str, Scalar],
    defaults: Mapping[str, Scalar],
    aliases: Mapping[str, str],
) -> dict[str, Scalar]:
    """Return ``defaults`` with ``given`` over them, by their first names.

    Raises
    ------
    ConfigError
        If the learner does not know a parameter; the nearest known name is offered.

    >>> complete("sgd", {"alpha": 0.1}, {"alpha": 1e-4, "eta0": 0.01}, {})
    {'alpha': 0.1, 'eta0': 0.01}
    """
    known = {**{name: name for name in defaults}, **aliases}
    result = dict(defaults)
    for name, value in given.items():
        if name not in known:
            close = nearest(name, known)
            raise ConfigError(
                f"training.params: {learner} has no parameter {name!r}",
                remedy=f"did you mean {close!r}?" if close else f"use: {', '.join(defaults)}",
                parameter=name,
                learner=learner,
                nearest=close,
                known=tuple(known),
            )
        result[known[name]] = value
    return result


def number(params: Mapping[str, Scalar], name: str, *, low: float) -> float:
    """The parameter ``name``, which must be a number of at least ``low``."""
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= low:
        raise ConfigError(
            f"training.params.{name} is {value!r}",
            remedy=f"set training.params.{name} to a number of at least {low:g}",
            parameter=name,
            value=value,
        )
    return float(value)
