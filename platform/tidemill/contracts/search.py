"""What a search is made of: its space, its trials, who proposes them and who gives them up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from tidemill.contracts.learner import Scalar

__all__ = ["Choices", "Direction", "Pruner", "Range", "Sampler", "Space", "Trial", "TrialState"]

Direction = Literal["maximize", "minimize"]
TrialState = Literal["complete", "pruned", "failed"]

_NEAR = 1e-9  # of a step
_TOLD = 1e-11  # of a value


@dataclass(frozen=True, slots=True)
class Choices:
    """One of the values, in the order given."""

    values: tuple[Scalar, ...]

    def to_json(self) -> dict[str, Any]:
        """The form it has in params.yaml."""
        return {"choices": list(self.values)}

    def holds(self, value: object) -> bool:
        """Whether ``value`` is one of them."""
        return any(value == one and type(value) is type(one) for one in self.values)


@dataclass(frozen=True, slots=True)
class Range:
    """A number from ``low`` to ``high``, both included; whole if all bounds are.

    Parameters
    ----------
    low, high : int or float
    log : bool
        Whether to draw evenly in the logarithm.
    step : int or float or None
        Distance between neighbours; None means 1 for whole numbers and any value else.
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 0))

    def to_json(self) -> dict[str, Any]:
        """The form it has in params.yaml."""
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}

    def holds(self, value: object) -> bool:
        """Whether ``value`` can be drawn."""
        if not isinstance(value, int if self.whole else (int, float)) or isinstance(value, bool):
            return False
        if self.step is None:
            return self.low <= value <= self.high
        place = self.low + round((value - self.low) / self.step) * self.step
        # Values on steps are computed, and told with 12 digits.
        near = 0 if self.whole else _NEAR * self.step + _TOLD * max(abs(self.low), abs(self.high))
        return abs(value - place) <= near and self.low - near <= value <= self.high + near

    @property
    def size(self) -> int | None:
        """How many values there are, or None where there is no end of them."""
        if self.log or (self.step is None and not self.whole):
            return None
        # The tolerance keeps 0.3 in {low: 0.1, high: 0.3, step: 0.1}.
        return math.floor((self.high - self.low) / (self.step or 1) + _NEAR) + 1

    def value(self, index: int) -> int | float:
        """The value at ``index``, counted from ``low`` in steps."""
        value = self.low + (self.step or 1) * index
        return value if self.whole else float(f"{value:.12g}")


Space = Mapping[str, Choices | Range]


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
    share : float
        Of the rows that trials may learn, those that this one did: above 0, at most 1.
    """

    number: int
    params: dict[str, Scalar]
    value: float | None
    state: TrialState
    steps: tuple[tuple[int, float], ...] = ()
    message: str | None = None
    share: float = 1.0


class Sampler(Protocol):
    """Proposes the parameters of a search's trials, wave by wave.

    ``tidemill.testing.searchers`` has a test for each of these clauses, and
    ``tidemill.testing.bad_searchers`` a sampler that breaks it.

    - A proposal has every parameter of the space, with values that the space holds.
    - It depends on the space, the direction, the seed, its number and the trials told before:
      on no clock, no chance of the machine's and no worker. A search that was killed tells the
      same trials again, and gets the same proposals.
    - A larger budget begins with the same proposals, unless it ``enumerates``.
    - It is told of trials that were pruned or failed, which have no value, as of complete ones.
    - What is sought makes no difference: of negated figures, minimised, it proposes the same.
    - A space that it cannot search is refused with ``ConfigError`` when it is made.

    Attributes
    ----------
    enumerates : bool
        Whether it visits points of a space that has an end, each once, and the budget decides
        which: a study with another budget is another one then.
    """

    enumerates: ClassVar[bool]

    def __init__(self, space: Space, *, trials: int, direction: Direction, seed: int) -> None:
        """Begin a study of at most ``trials`` trials."""

    @property
    def total(self) -> int:
        """The trials that it will propose: from 1 to the budget."""

    def ask(self, numbers: range) -> list[dict[str, Scalar]]:
        """The parameters of the next trials; ``numbers``, from 0, follow the last ones."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """What became of the trials asked for last, in the order of their numbers."""


class Pruner(Protocol):
    """Says which trials are not worth going on, by what earlier waves had reached.

    ``tidemill.testing.searchers`` has a test for each of these clauses, and
    ``tidemill.testing.bad_searchers`` a pruner that breaks it.

    - Its bars depend on the trials that it is given alone: those of earlier waves, in the order of
      their numbers, whatever their state. Without trials there are none.
    - They are finite numbers by whole steps: they travel to the workers, where a trial ends whose
      best value up to a step is worse than the bar there.
    - A trial that is nowhere worse than the best before it goes on.
    - What is sought makes no difference: of negated values, minimised, the bars are negated.

    Attributes
    ----------
    bar : str
        What a bar is called where a trial ends by it: ``the median``.
    """

    bar: ClassVar[str]

    def bars(self, trials: Sequence[Trial], direction: Direction) -> Mapping[int, float]:
        """The bar at each step that has one."""
