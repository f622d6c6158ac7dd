"""What params.schema.json says of learners: from what each of them says of itself."""

from __future__ import annotations

import math
from typing import Any

from tidemill.contracts import Parameter
from tidemill.learners import LEARNERS, strategies

__all__ = ["describe_learners"]


def describe_learners(training: dict[str, Any], default: str) -> None:
    """Add to the schema of ``training``: learners, strategies, and the parameters of each."""
    properties = training["properties"]
    address = {"pattern": r"^[\w.]+:\w+$", "type": "string"}
    properties["learner"].pop("type")
    properties["learner"]["anyOf"] = [{"enum": list(LEARNERS)}, address]
    properties["strategy"]["enum"] = ["auto", *strategies()]
    training["allOf"] = [
        {
            "if": {
                "properties": {"learner": {"const": name}},
                "required": [] if name == default else ["learner"],
            },
            "then": {"properties": {"params": _params(kind.parameters)}},
        }
        for name, kind in LEARNERS.items()
    ]


def _params(parameters: Any) -> dict[str, Any]:
    named = {
        alias: _values(parameter)
        for name, parameter in parameters.items()
        for alias in (name, *parameter.aliases)
    }
    return {"additionalProperties": False, "properties": named}


def _values(parameter: Parameter) -> dict[str, Any]:
    ways: list[dict[str, Any]] = []
    if parameter.words:
        ways.append({"enum": list(parameter.words)})
    if parameter.low is not None:
        number: dict[str, Any] = {"type": "integer" if parameter.whole else "number"}
        if math.isfinite(parameter.low):
            number["minimum"] = parameter.low
        if parameter.high is not None:
            number["maximum"] = parameter.high
        ways.append(number)
    if isinstance(parameter.default, bool):
        ways.append({"type": "boolean"})
    if parameter.null or parameter.default is None:
        ways.append({"type": "null"})
    return {"anyOf": ways, "default": parameter.default}
