"""The reducer's steps: one row each; packages add theirs as entry points of ``tidemill.steps``."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.addresses import Implementations
from tidemill.contracts import Scalar, Step
from tidemill.errors import nearest

__all__ = ["STEPS", "setting_problems"]

STEPS: Implementations[type[Step]] = Implementations(
    {
        "select": "tidemill.features.selection:SelectStep",
        "project": "tidemill.features.projection:ProjectStep",
    },
    port=Step,
    group="tidemill.steps",
    setting="reduction.steps",
)


def setting_problems(step: str, given: Mapping[str, Scalar]) -> dict[str, str]:
    """What is wrong with settings of a step's own; no step is imported that is given none.

    >>> setting_problems("select", {"max_corelation": 0.9})
    {'max_corelation': 'select has no such setting; set reduction.max_correlation'}
    """
    if not given:
        return {}
    kind = STEPS[step]
    problems = {}
    for name, value in given.items():
        if name in kind.settings:
            if not kind.settings[name].takes(value):
                problems[name] = f"is {value!r}, not {kind.settings[name].values}"
            continue
        close = nearest(name, [*kind.settings, *kind.section])
        if close in kind.section:
            hint = f"set reduction.{close}"
        else:
            hint = f"did you mean {close!r}?" if close else f"use: {', '.join(kind.settings)}"
        problems[name] = f"{step} has no such setting; {hint}"
    return problems
