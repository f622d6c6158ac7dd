"""A space in Optuna's words."""

from __future__ import annotations

from typing import Any

from tidemill.contracts import Choices, Range, Space
from tidemill.tuning.space import all_values

__all__ = ["distributions"]


def distributions(space: Space, *, enumerated: bool) -> dict[str, Any]:
    """Optuna's distribution of each parameter; of an enumerated space, its values."""
    return {name: _distribution(one, enumerated=enumerated) for name, one in space.items()}


def _distribution(parameter: Choices | Range, *, enumerated: bool) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.values)
    if enumerated:
        return CategoricalDistribution(all_values(parameter))
    # Optuna warns about a high that the steps miss, so that it gets the last one they reach.
    high = parameter.high if parameter.size is None else parameter.value(parameter.size - 1)
    if parameter.whole:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(high), log=parameter.log, step=step)
    return FloatDistribution(
        float(parameter.low), float(high), log=parameter.log, step=parameter.step
    )
