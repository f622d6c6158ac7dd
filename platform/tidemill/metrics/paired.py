"""What chance adds to the figures of some rows, and to the difference of two models on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from tidemill.metrics.metric_choice import Figures, shortfall

__all__ = ["STRETCHES", "Lead", "lead_of", "standard_errors"]

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
    Delete-a-group jackknife (Kott, 2001). Memory: the figures, and those of some five merged.

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
    pairs = zip(_without_each(new), _without_each(old), strict=True)
    left_out = [_ahead(metric, one, other) for one, other in pairs]
    whole = _ahead(metric, _whole(new), _whole(old))
    return Lead(whole, _jackknife(left_out))


def standard_errors(parts: Sequence[Figures]) -> dict[str, float]:
    """The standard error of each figure of a model.

    Parameters
    ----------
    parts : sequence of Figures
        Of :data:`STRETCHES` stretches of rows. Rows of one may be alike; stretches are taken as
        independent.

    Returns
    -------
    dict of str to float
        By figure, in its own unit; infinite where there are fewer stretches, or where a figure
        is not defined without one of them.

    Notes
    -----
    Delete-a-group jackknife (Kott, 2001). Memory: the figures, and those of some five merged.

    >>> import numpy as np
    >>> from tidemill.metrics.regression import RegressionFigures
    >>> noise = np.random.default_rng(0).normal(size=(20, 50))
    >>> parts = [RegressionFigures.of(row, np.zeros(50)) for row in noise]
    >>> round(standard_errors(parts)["bias"], 3)  # 1 / sqrt(1000) is 0.032
    0.03
    """
    left_out = [figures.values() for figures in _without_each(parts)]
    names = left_out[0] if left_out else {}
    return {name: _jackknife([values[name] for values in left_out]) for name in names}


def _jackknife(left_out: Sequence[float]) -> float:
    """Standard error of a figure, of what it is without each of the stretches."""
    if len(left_out) < STRETCHES or not all(map(math.isfinite, left_out)):
        return math.inf
    mean = sum(left_out) / len(left_out)
    share = (len(left_out) - 1) / len(left_out)
    return math.sqrt(share * sum((value - mean) ** 2 for value in left_out))


def _ahead(metric: str, new: Figures, old: Figures) -> float:
    return -shortfall(metric, old.values()[metric], new.values()[metric])


def _whole(parts: Sequence[Figures]) -> Figures:
    return reduce(_merged, parts)


def _without_each(parts: Sequence[Figures], others: Figures | None = None) -> Iterator[Figures]:
    """All but the first, all but the second, ...; halved, so that few merged ones are held."""
    if len(parts) < 2:
        if parts and others is not None:
            yield others
        return
    half = len(parts) // 2
    for kept, left in ((parts[:half], parts[half:]), (parts[half:], parts[:half])):
        outside = _whole(left if others is None else (others, *left))
        yield from _without_each(kept, outside)


def _merged(one: Figures, other: Figures) -> Figures:
    merged: Figures = one.merge(other)  # type: ignore[arg-type]  # of one task, so of one kind
    return merged
