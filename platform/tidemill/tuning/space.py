"""The space of a search, read from params.yaml's form and checked before anything runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from tidemill.contracts import Choices, Range, Scalar, Space
from tidemill.errors import ConfigError, nearest

__all__ = ["all_values", "grid_points", "read_space"]

_RANGE_KEYS = ("low", "high", "log", "step")
_KEYS = (*_RANGE_KEYS, "choices")
_MAX_GRID = 100_000


def read_space(document: Mapping[str, Mapping[str, Any]]) -> dict[str, Choices | Range]:
    """Read ``tuning.space``; all problems are reported in one error.

    Returns
    -------
    dict of str to Choices or Range
        In the order of names, so that the order in the file changes nothing.

    Raises
    ------
    ConfigError
        If the space is empty, or a parameter's values are not understood.

    >>> read_space({"alpha": {"low": 1e-6, "high": 0.1, "log": True}})["alpha"].high
    0.1
    """
    if not document:
        raise ConfigError(
            "tuning.space is empty: there is nothing to search",
            remedy="name at least one parameter in tuning.space, or set tuning.trials to 0",
        )
    problems: dict[str, str] = {}
    space = {}
    for name in sorted(document):
        try:
            space[name] = _read_parameter(document[name])
        except ValueError as exc:
            problems[f"tuning.space.{name}"] = str(exc)
    if problems:
        listing = "; ".join(f"{key}: {text}" for key, text in problems.items())
        raise ConfigError(
            f"params.yaml: {listing}",
            remedy=f"correct {', '.join(problems)}: {{low, high, log, step}} or {{choices: [...]}}",
            problems=problems,
        )
    return space


def _read_parameter(given: object) -> Choices | Range:
    if not isinstance(given, Mapping):
        raise ValueError(f"is not {{low, high}} or {{choices}} (given: {given!r})")
    for key in given:
        if key not in _KEYS:
            close = nearest(str(key), _KEYS)
            hint = f"; did you mean {close!r}?" if close else ""
            raise ValueError(f"unknown key {key!r}{hint}")
    if "choices" not in given:
        return _read_range(given)
    if len(given) > 1:
        raise ValueError("has both choices and a range")
    return _read_choices(given["choices"])


def _read_choices(values: object) -> Choices:
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"choices is not a list (given: {values!r})")
    if not values:
        raise ValueError("choices is empty")
    for value in values:
        if not isinstance(value, Scalar):
            raise ValueError(f"choices holds {value!r}, which is no text, number or boolean")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"choices holds {value!r}, which is no finite number")
    if len(set(values)) < len(values):
        raise ValueError("choices names a value twice")
    return Choices(tuple(values))


def _read_range(given: Mapping[str, Any]) -> Range:
    for key in ("low", "high"):
        if key not in given:
            raise ValueError(f"{key} is missing")
    low, high, step = given["low"], given["high"], given.get("step")
    for key, number in (("low", low), ("high", high), ("step", step)):
        if number is not None and not _is_number(number):
            raise ValueError(f"{key} is not a finite number (given: {number!r})")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log is not true or false (given: {log!r})")
    if low is None or high is None or low >= high:
        raise ValueError(f"low is not below high (given: {low!r} and {high!r})")
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f"step is not between 0 and high - low (given: {step!r})")
    if log and (low <= 0 or step is not None):
        raise ValueError("log needs low above 0 and no step")
    return Range(low, high, log, step)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def grid_points(space: Space) -> list[dict[str, Scalar]]:
    """Every combination of the space's values; the last name varies fastest.

    Raises
    ------
    ConfigError
        If a range is continuous, or there are more than 100,000 combinations.

    >>> grid_points({"a": Range(1, 2), "b": Choices(("x", "y"))})[1]
    {'a': 1, 'b': 'y'}
    """
    sizes = {}
    for name, parameter in space.items():
        size = len(parameter.values) if isinstance(parameter, Choices) else parameter.size
        if size is None:
            raise ConfigError(
                f"tuning.sampler is grid, but tuning.space.{name} is a continuous range",
                remedy=f"give tuning.space.{name} a step or choices, or set tuning.sampler to "
                "random or tpe",
                parameter=name,
            )
        sizes[name] = size
    combinations = math.prod(sizes.values())
    if combinations > _MAX_GRID:
        raise ConfigError(
            f"the grid of tuning.space has {combinations:,} combinations, more than {_MAX_GRID:,}",
            remedy="use larger steps, or set tuning.sampler to random or tpe",
            combinations=combinations,
        )
    values = [all_values(parameter) for parameter in space.values()]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]


def all_values(parameter: Choices | Range) -> tuple[Scalar, ...]:
    """Every value of a parameter that has an end of them."""
    if isinstance(parameter, Choices):
        return parameter.values
    return tuple(parameter.value(i) for i in range(parameter.size or 0))
