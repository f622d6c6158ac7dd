"""What a search leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemill.contracts import Scalar

__all__ = ["Direction", "Study", "Trial", "TrialState"]

Direction = Literal["maximize", "minimize"]
TrialState = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation in a search.

    Parameters
    ----------
    number : int
        Its place in the search, from 0; the same however many workers there were.
    params : dict of str to scalar
    value : float or None
        What the objective returned; None unless complete.
    state : {"complete", "pruned", "failed"}
    steps : tuple of (int, float)
        Intermediate values, in the order of their reports.
    message : str or None
        Why it was pruned or failed.
    """

    number: int
    params: dict[str, Scalar]
    value: float | None
    state: TrialState
    steps: tuple[tuple[int, float], ...] = ()
    message: str | None = None


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
