"""What params.schema.json says of what may be replaced: from what each says of itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tidemill.bucket_rules import BUCKET_RULES
from tidemill.contracts import Parameter
from tidemill.formats import FORMATS
from tidemill.learners import AUTO, LEARNERS, strategies, strategies_of
from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.steps import STEPS

__all__ = ["describe_ports"]


def describe_ports(sections: dict[str, Any], default_learner: str) -> None:
    """Add to the schemas of sections, by their classes' names: what each setting may name."""
    _describe_learners(sections["TrainingConfig"], default_learner)
    for section, name, table in (
        ("DatasetConfig", "format", ["auto", *FORMATS]),
        ("ShardingConfig", "strategy", BUCKET_RULES),
        ("TuningConfig", "sampler", SAMPLERS),
        ("TuningConfig", "pruner", PRUNERS),
    ):
        setting = sections[section]["properties"][name]
        setting.pop("type")
        setting["anyOf"] = _named(table)
    steps = sections["ReductionConfig"]["properties"]["steps"]["items"]
    steps["anyOf"] = [*_named(STEPS), *(one for one in steps["anyOf"] if one["type"] != "string")]


def _named(table: Iterable[str]) -> list[dict[str, Any]]:
    # What this process has opened by its place is told by the pattern.
    known = [name for name in table if ":" not in name]
    return [{"enum": known}, {"pattern": r"^[\w.]+:[\w.]+$", "type": "string"}]


def _describe_learners(training: dict[str, Any], default: str) -> None:
    properties = training["properties"]
    properties["learner"].pop("type")
    properties["learner"]["anyOf"] = _named([AUTO, *LEARNERS])
    properties["strategy"]["enum"] = ["auto", *strategies()]
    training["allOf"] = [
        {
            "if": {
                "properties": {"learner": {"const": name}},
                "required": [] if name == default else ["learner"],
            },
            "then": {
                "properties": {
                    "params": _params(kind.parameters),
                    "strategy": {"enum": ["auto", *strategies_of(name)]},
                }
            },
        }
        for name, kind in LEARNERS.usable().items()
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
