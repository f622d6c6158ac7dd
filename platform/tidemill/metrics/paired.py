"""Whether one of two models is better on the same rows, or only by chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tidemill.metrics.metric_choice import Figures, shortfall

__all__ = ["STRETCHES", "Lead", "lead_of"]

STRETCHES = 20
"""So many stretches of rows tell how far a difference of two figures is chance."""

_STUDENT = 1.729
"""95% of Student's t with 19 degrees of freedom lie below: one side."""


@dataclass(frozen=True, slots=True)
class Lead:
    """By how much one model is better than another on the same rows.

    Parameters
    ----------
    value : float
        In the figure's own unit; below 0 if it is worse.
    error : float
        Standard error; infinite where the rows do not tell it.
    """

    value: float
    error: float

    @property
    def by_chance(self) -> float:
        """As far ahead are 5 of 100 models that are no better."""
        return _STUDENT * self.error

    @property
    def certain(self) -> bool:
        """Whether it is better by more than chance."""
        return self.value > self.by_chance


def lead_of(metric: str, new: Sequence[Figures], old: Sequence[Figures]) -> Lead:
    """By how much ``new`` is better than ``old`` in ``metric``, with what chance adds to it.

    Both models see the same rows, so what makes rows hard for both is no part of the error. Rows
    of one stretch may be alike; stretches are taken as independent.

    Parameters
    ----------
    metric : str
        Any figure of the task, ``bias`` too.
    new, old : sequence of Figures
        Of each model, by the same :data:`STRETCHES` stretches of rows.

    Notes
    -----
    Delete-a-group jackknife (Kott, 2001). Memory: three times the figures.

    >>> import numpy as np
    >>> from tidemill.metrics.regression import RegressionFigures
    >>> truth, noise = np.zeros((20, 9)), np.random.default_rng(0).normal(size=(20, 9))
    >>> new, old = (
    ...     [RegressionFigures.of(s * row, y) for row, y in zip(noise, truth)] for s in (1.0, 2.0)
    ... )
    >>> lead = lead_of("mae", new, old)
    >>> lead.certain, lead_of("mae", new, new).certain
    (True, False)
    """
    pairs = list(zip(_without_each(new), _without_each(old), strict=True))
    left_out = [_ahead(metric, one, other) for one, other in pairs]
    whole = _ahead(metric, _whole(new), _whole(old))
    if len(left_out) < STRETCHES or not all(map(math.isfinite, left_out)):
        return Lead(whole, math.inf)
    mean = sum(left_out) / len(left_out)
    share = (len(left_out) - 1) / len(left_out)
    return Lead(whole, math.sqrt(share * sum((lead - mean) ** 2 for lead in left_out)))


def _ahead(metric: str, new: Figures, old: Figures) -> float:
    return -shortfall(metric, old.values()[metric], new.values()[metric])


def _whole(parts: Sequence[Figures]) -> Figures:
    *_, whole = accumulate(parts, _merged)
    return whole


def _without_each(parts: Sequence[Figures]) -> Iterator[Figures]:
    """All but the first, all but the second, ...: of two merges a part, however many there are."""
    before = [None, *accumulate(parts[:-1], _merged)]
    after = [None, *accumulate(reversed(parts[1:]), _merged)]
    for ahead, behind in zip(before, reversed(after), strict=True):
        if ahead is None or behind is None:
            found = behind if ahead is None else ahead
            if found is not None:
                yield found
        else:
            yield _merged(ahead, behind)


def _merged(one: Figures, other: Figures) -> Figures:
    merged: Figures = one.merge(other)  # type: ignore[arg-type]  # of one task, so of one kind
    return merged
