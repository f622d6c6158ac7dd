"""How much figures vary over time by themselves, beyond the noise of their rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.drift.performance.familywise import lower_correlation
from tidemill.drift.performance.output_bins import OutputBins
from tidemill.metrics import HIGHER_IS_BETTER, Figures
from tidemill.profiling import fold

__all__ = ["Variation"]

Floats = npt.NDArray[np.float64]
Expect = Callable[[Floats, Floats], dict[str, float]]

_LEAST_STRETCHES = 6


@dataclass(frozen=True, slots=True)
class Variation:
    """Standard deviations of figures between stretches of held-out time, by their length.

    What varies from hour to hour averages out over a day; the seasons do not. So stretches of
    1, 2, 4, ... neighbouring blocks are compared, down to six of them.

    Parameters
    ----------
    scales : tuple of float
        Rows of a stretch at each length, ascending.
    spread : dict of str to tuple of float
        For each figure and length: between the stretches' figures.
    surprise : dict of str to tuple of float
        The same between what was expected of a stretch and its figure.
    together : dict of str to dict of str to float
        ``together[a][b]``: how far figure ``a`` is worse than usual in just those blocks in which
        ``b`` is worse than expected, as a correlation less one standard error. Pairs that too few
        blocks define are left out; empty in documents that were written before it was kept.
    """

    scales: tuple[float, ...] = ()
    spread: dict[str, tuple[float, ...]] = field(default_factory=dict)
    surprise: dict[str, tuple[float, ...]] = field(default_factory=dict)
    together: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        blocks: Sequence[tuple[OutputBins, Figures]],
        usual: dict[str, float],
        noise: dict[str, float],
        expect: Expect,
    ) -> Self:
        """Measure on held-out blocks in time order.

        Parameters
        ----------
        usual : dict of str to float
            Figures of all blocks together.
        noise : dict of str to float
            Their standard errors on one row.
        expect : callable
            ``expect(counts, sums)``: figures expected of ``counts`` rows in each bin of output,
            as the :class:`OutputBins` sums have it.
        """
        scales: list[float] = []
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in usual}
        together: dict[str, dict[str, float]] = {}
        size = 1
        while size == 1 or len(blocks) // size >= _LEAST_STRETCHES:
            parts = [blocks[i : i + size] for i in range(0, len(blocks) - size + 1, size)]
            stretches = [(fold(o for o, _ in part), fold(f for _, f in part)) for part in parts]
            scales.append(sum(o.count for o, _ in stretches) / len(stretches))
            apart = _apart(stretches, usual, expect)
            if size == 1:
                together = _together(stretches, apart)
            for name, pair in _between(stretches, apart, noise).items():
                # Even stretches that know nothing of each other would vary so much.
                last = found[name][-1] if found[name] else (0.0, 0.0)
                least = [value / math.sqrt(2) for value in last]
                found[name].append((max(pair[0], least[0]), max(pair[1], least[1])))
            size *= 2
        return cls(
            tuple(scales),
            {name: tuple(pair[0] for pair in pairs) for name, pairs in found.items()},
            {name: tuple(pair[1] for pair in pairs) for name, pairs in found.items()},
            together,
        )

    def spread_of(self, metric: str, rows: float) -> float:
        """Spread of stretches of ``rows`` rows, between the lengths known; 0 if none is."""
        return self._at(self.spread.get(metric, ()), rows)

    def surprise_of(self, metric: str, rows: float) -> float:
        """Surprise of stretches of ``rows`` rows, between the lengths known; 0 if none is."""
        return self._at(self.surprise.get(metric, ()), rows)

    def _at(self, values: Sequence[float], rows: float) -> float:
        if not values or rows <= 0:
            return 0.0
        return float(np.interp(math.log(rows), np.log(self.scales), values))

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "scales": list(self.scales),
            "spread": {name: list(values) for name, values in self.spread.items()},
            "surprise": {name: list(values) for name, values in self.surprise.items()},
            "together": self.together,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            tuple(document["scales"]),
            {name: tuple(values) for name, values in document["spread"].items()},
            {name: tuple(values) for name, values in document["surprise"].items()},
            document.get("together", {}),
        )


def _apart(
    stretches: Sequence[tuple[OutputBins, Figures]], usual: dict[str, float], expect: Expect
) -> dict[str, tuple[Floats, Floats]]:
    """How far each stretch's figure lies from the usual, and from what is expected of the stretch.

    Each stretch is left out of what is known of it.
    """
    sums = np.asarray(sum(o.sums for o, _ in stretches), np.float64)
    whole = expect(sums[0], sums)
    alone = len(stretches) == 1
    expected = [expect(o.rows, sums if alone else sums - o.sums) for o, _ in stretches]
    measured = [figures.values() for _, figures in stretches]
    found = {}
    for name, value in usual.items():
        values = np.array([figures[name] for figures in measured])
        guesses = np.array([figures[name] for figures in expected]) + value - whole[name]
        found[name] = (values - value, values - guesses)
    return found


def _between(
    stretches: Sequence[tuple[OutputBins, Figures]],
    apart: dict[str, tuple[Floats, Floats]],
    noise: dict[str, float],
) -> dict[str, tuple[float, float]]:
    """Spread and surprise of each figure."""
    rows = np.array([o.count for o, _ in stretches], np.float64)
    return {
        name: (_beyond(usual, rows, noise[name]), _beyond(expected, rows, noise[name]))
        for name, (usual, expected) in apart.items()
    }


def _together(
    stretches: Sequence[tuple[OutputBins, Figures]], apart: dict[str, tuple[Floats, Floats]]
) -> dict[str, dict[str, float]]:
    """See :attr:`Variation.together`; long stretches weigh no more than short ones."""
    root = np.sqrt([o.count for o, _ in stretches])
    worse = {
        name: [(-1 if HIGHER_IS_BETTER.get(name) else 1) * root * part for part in parts]
        for name, parts in apart.items()
    }
    found: dict[str, dict[str, float]] = {}
    for a, b in permutations(worse, 2):
        correlation = lower_correlation(worse[a][0], worse[b][1])
        if math.isfinite(correlation):
            found.setdefault(a, {})[b] = correlation
    return found


def _beyond(difference: Floats, rows: Floats, noise: float) -> float:
    """Standard deviation of differences that the noise of so many rows does not explain.

    The method of moments of DerSimonian & Laird (1986), stretches weighted by their rows, less
    one standard error of what noise alone would show: few stretches vary by chance.
    """
    use = np.isfinite(difference)
    if use.sum() < 2:
        return 0.0
    d, n = difference[use], rows[use]
    explained = noise**2 * (len(d) + math.sqrt(2 * len(d)))
    return math.sqrt(max(float((n * d**2).sum() - explained) / float(n.sum()), 0.0))
