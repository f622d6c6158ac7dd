"""What a search leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidemill.contracts import Direction, Scalar, Trial

__all__ = ["Study"]


@dataclass(frozen=True, slots=True)
class Study:
    """A finished search.

    Parameters
    ----------
    best_params : dict of str to scalar
    best_value : float
    best_number : int
        The first of equals.
    trials : tuple of Trial
        In the order of their numbers; a number is missing only if time ran out.
    complete : bool
        False if time ran out before the last trial: the result then depends on the machine.
    metric : str
    direction : {"maximize", "minimize"}
    altered : int
        Trials of a killed search that were not what had been written, and were tried again.
    """

    best_params: dict[str, Scalar]
    best_value: float
    best_number: int
    trials: tuple[Trial, ...]
    complete: bool
    metric: str
    direction: Direction
    altered: int = field(default=0, compare=False)
