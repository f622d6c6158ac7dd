"""What the model's figures probably are on rows whose truth is not known yet.

Confidence based for classifiers (the idea of NannyML's CBPE): of rows with such a score, such a
share turned out positive among held-out rows. For regression an error model by prediction:
rows with such a prediction were off by so much. Both see the model's output only, so an estimate
costs a profile and no pass over rows; a change of what the *truth* is for the same output
(concept change) cannot show before labels do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.drift.outputs import PREDICTION, SCORE
from tidemill.drift.performance.expected_figures import (
    concordance,
    expected_figures,
    grouped,
    groups_of,
    output_counts,
)
from tidemill.drift.performance.output_bins import SUMS, OutputBins, completed
from tidemill.drift.performance.standard_errors import standard_error
from tidemill.drift.performance.variation import Variation
from tidemill.errors import SchemaMismatch
from tidemill.metrics import Figures, RegressionFigures
from tidemill.profiling import NumericProfile, Profile, fold
from tidemill.profiling.floats import from_document, to_document
from tidemill.schema import Task

__all__ = ["BAND", "MEAN_ERRORS", "MOST_UNSEEN", "Estimate", "PerformanceModel"]

BAND = 1.96
"""Standard errors each side of a figure: 95 of 100 windows of a steady stream lie inside."""

MEAN_ERRORS = {
    "roc_auc": "log_loss",
    "average_precision": "log_loss",
    "f1": "log_loss",
    "r2": "rmse",
}
"""Figures that can fall because other rows came, each answered as well as ever: rows all alike
have no ranks to get right. Beside each the mean error of the rows that must have grown as well
before anybody is accused."""

MOST_UNSEEN = 0.2
"""Share of outputs where hardly a held-out row lay, above which nothing is foretold of rows."""

_RESAMPLES = 100
_FEW = 5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure expected of a window's rows before their truth is known.

    Parameters
    ----------
    metric : str
    value : float
        NaN where it cannot be told.
    standard_error : float
        Of the figure that these rows will show, around ``value``.
    rows : int
        Rows with an output.
    unseen : float
        Share of them whose output lies in a bin with fewer than five held-out rows.
    mean_error : Estimate or None
        Of a figure that depends on the mix of rows: the mean error behind it, see
        :data:`MEAN_ERRORS`.
    doubt : float
        The part of ``standard_error`` that is not the noise of the window's rows.
    """

    metric: str
    value: float
    standard_error: float
    rows: int
    unseen: float
    mean_error: Estimate | None = None
    doubt: float = 0.0

    @property
    def low(self) -> float:
        """Lower end of the 95% band."""
        return self.value - BAND * self.standard_error

    @property
    def high(self) -> float:
        """Upper end of the 95% band."""
        return self.value + BAND * self.standard_error


@dataclass(frozen=True, slots=True, eq=False)
class PerformanceModel:
    """The champion on held-out rows: what to expect of it, and how much that varies.

    Parameters
    ----------
    blocks : tuple of OutputBins
        Held-out rows by time block.
    inside : (groups,) float64
        Order of pairs within a stretch of output; see ``concordance``.
    figures : dict of str to float
        On all held-out rows; those that are defined.
    noise : dict of str to float
        Standard error of a figure on one row: divide by the root of the rows.
    variation : Variation
        How much figures and surprises vary over time, by the length of the stretch.
    dummy : float
        Log loss of a dummy that knows the held-out rows' shares of classes only; NaN for
        regression, and of more than two classes in documents written before it was kept.

    Notes
    -----
    Bands: the noise of the window's rows (analytic, infinitesimal jackknife), the noise of what
    is known from held-out rows (bootstrap over blocks, 100 resamples, fixed seed), and the
    surprise in stretches of the window's length (measured by leaving out one after another), as
    independent; for roc_auc also what may have moved inside a bin. Memory: blocks x bins.
    """

    blocks: tuple[OutputBins, ...]
    inside: Floats
    figures: dict[str, float]
    noise: dict[str, float]
    variation: Variation = field(default_factory=Variation)
    dummy: float = math.nan

    @classmethod
    def fit(cls, blocks: Sequence[tuple[OutputBins, Figures]]) -> Self:
        """Learn from held-out rows, by time block in order.

        Parameters
        ----------
        blocks : sequence of (OutputBins, Figures)
            Both of the same rows; at least one block with rows.

        Raises
        ------
        SchemaMismatch
            If there are no rows.
        """
        kept = [(outcomes, figures) for outcomes, figures in blocks if outcomes.count]
        if not kept:
            raise SchemaMismatch(
                "there are no held-out rows to learn from how good the model is",
                remedy="keep a share of the rows for testing: sharding.holdout.test",
            )
        outcomes, figures = fold(o for o, _ in kept), fold(f for _, f in kept)
        names = [name for name, value in figures.values().items() if math.isfinite(value)]
        bare = cls(
            tuple(o for o, _ in kept),
            concordance(figures, outcomes, groups_of(outcomes.rows)),
            {name: figures.values()[name] for name in names},
            {name: standard_error(figures, name) * math.sqrt(figures.count) for name in names},
            dummy=_entropy(_class_rows(figures)),
        )
        groups = groups_of(outcomes.rows)
        variation = Variation.of(
            kept,
            bare.figures,
            bare.noise,
            lambda counts, sums: bare._expected(counts, sums, groups),
        )
        return replace(bare, variation=variation)

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.blocks[0].task

    @property
    def rows(self) -> int:
        """Held-out rows that the estimate was learnt from, over all blocks."""
        return sum(block.count for block in self.blocks)

    @property
    def sums(self) -> Floats:
        """Held-out sums by bin of output, (len(SUMS[task]), bins)."""
        return np.asarray(sum(block.sums for block in self.blocks), np.float64)

    def held_out_error(self, metric: str) -> float:
        """Standard error of the held-out figure: its rows' noise, and the spread of its blocks."""
        noise = self.noise[metric] / math.sqrt(self.rows)
        if not self.variation.scales:
            return noise
        longest = self.variation.scales[-1]
        return math.hypot(
            noise, self.variation.spread_of(metric, longest) * math.sqrt(longest / self.rows)
        )

    def estimate(self, outputs: Profile, metric: str) -> Estimate:
        """Expect ``metric`` of the rows of ``outputs``, a profile of ``output_schema``.

        NaN where it cannot be told: no outputs (scores of a classifier), or roc_auc and f1 of
        more than two classes.

        Raises
        ------
        SchemaMismatch
            If the outputs were profiled on other edges than the held-out rows.
        """
        name = PREDICTION if self.task is Task.REGRESSION else SCORE
        profile = outputs.columns[name]
        if not isinstance(profile, NumericProfile) or not np.array_equal(
            profile.edges, self.blocks[0].edges
        ):
            raise SchemaMismatch(
                f"the profile of {name!r} does not have the edges of the held-out rows",
                remedy="profile outputs with output_schema(reference.schema)",
            )
        return self.estimate_counts(profile.counts.astype(np.float64), metric)

    def estimate_counts(self, counts: Floats, metric: str) -> Estimate:
        """Expect ``metric`` of rows of which ``counts`` (bins,) lie in each bin of output."""
        rows, seen = int(counts.sum()), self.sums[0]
        unseen = float(counts[seen < _FEW].sum() / rows) if rows else 0.0
        groups = groups_of(seen)
        value = self._expected(counts, self.sums, groups)[metric] if rows else math.nan
        if metric not in self.figures or not math.isfinite(value):
            return Estimate(metric, math.nan, math.nan, rows, unseen)
        # What the stretches of output lose against single scores, on rows where it is known.
        anchor = self.figures[metric] - self._expected(seen, self.sums, groups)[metric]
        behind = MEAN_ERRORS.get(metric)
        doubt = math.hypot(
            self._doubt(counts, metric, groups),
            self._inner_doubt(counts, groups) if metric == "roc_auc" else 0.0,
            self.variation.surprise_of(metric, rows),
        )
        return Estimate(
            metric,
            value + anchor,
            math.hypot(self.noise[metric] / math.sqrt(rows), doubt),
            rows,
            unseen,
            self.estimate_counts(counts, behind) if behind is not None else None,
            doubt,
        )

    def noise_of(self, figures: Figures, metric: str) -> float:
        """Standard error of a measured figure from the noise of its own rows."""
        # A window without a single error has no noise of its own: held-out rows know better.
        own = standard_error(figures, metric)
        return max(own, self.noise[metric] / math.sqrt(figures.count))

    def error_of(self, figures: Figures, metric: str) -> float:
        """Standard error of a measured figure's distance from the held-out one."""
        spread = self.variation.spread_of(metric, figures.count)
        return math.hypot(self.noise_of(figures, metric), self.held_out_error(metric), spread)

    def foretold(self, figures: Figures, metric: str) -> tuple[float, float]:
        """What held-out rows with the outputs of ``figures`` had, and the error of the distance.

        The held-out figure itself where it cannot be told, or where hardly a held-out row had
        such outputs.
        """
        told = self.estimate_counts(output_counts(figures, self.blocks[0].edges), metric)
        if not math.isfinite(told.value) or told.unseen > MOST_UNSEEN:
            return self.figures[metric], self.error_of(figures, metric)
        # One block cannot show how much blocks differ: the noise of its rows is the least.
        doubt = max(told.doubt, self.noise[metric] / math.sqrt(self.rows))
        return told.value, math.hypot(self.noise_of(figures, metric), doubt)

    def _expected(
        self, counts: Floats, sums: Floats, groups: npt.NDArray[np.int64]
    ) -> dict[str, float]:
        held, here = grouped(sums, groups), grouped(counts, groups)
        found = expected_figures(self.task, held, here, self.inside)
        return {name: float(value) for name, value in found.items()}

    def _doubt(self, counts: Floats, metric: str, groups: npt.NDArray[np.int64]) -> float:
        """Standard deviation of the estimate over bootstrap samples of the held-out blocks."""
        if len(self.blocks) < 2:
            return 0.0
        rng = np.random.default_rng(0)
        stacked = grouped(np.stack([block.sums for block in self.blocks]), groups)
        here = grouped(counts, groups)
        share = np.full(len(stacked), 1 / len(stacked))
        weights = rng.multinomial(len(stacked), share, size=_RESAMPLES)
        drawn = np.tensordot(weights, stacked, axes=1)
        found = expected_figures(self.task, drawn, here, self.inside)[metric]
        defined = found[np.isfinite(found)]
        return float(defined.std()) if len(defined) > 1 else 0.0

    def _inner_doubt(self, counts: Floats, groups: npt.NDArray[np.int64]) -> float:
        """How much of the order of pairs rests on groups within which rows may have moved.

        The order inside a group is known of held-out rows; the further the shares of the groups
        moved, the less need it hold. Total variation times the pairs inside groups.
        """
        held, here = (grouped(rows, groups) for rows in (self.sums[0], counts))
        moved = float(np.abs(held / held.sum() - here / here.sum()).sum() / 2)
        positives = here * grouped(self.sums[1], groups) / np.maximum(held, 1.0)
        pairs = float(positives.sum() * (here - positives).sum())
        within = float((positives * (here - positives)).sum())
        return moved * within / pairs if pairs else 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "task": self.task.value,
            "edges": self.blocks[0].edges.tolist(),
            "sums": [block.to_json()["sums"] for block in self.blocks],
            "names": list(SUMS[self.task]),
            "inside": self.inside.tolist(),
            "figures": dict(self.figures),
            "noise": dict(self.noise),
            "variation": self.variation.to_json(),
            "dummy": to_document(self.dummy),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        task, edges = Task(document["task"]), np.array(document["edges"], np.float64)
        blocks = [completed(task, sums) for sums in document["sums"]]
        dummy = from_document(document.get("dummy"))
        if math.isnan(dummy) and task is Task.BINARY:
            rows, positives, *_ = np.sum(blocks, axis=(0, 2)).tolist()
            dummy = _entropy([positives, rows - positives])
        return cls(
            blocks=tuple(OutputBins(task, edges, sums) for sums in blocks),
            inside=np.array(document["inside"], np.float64),
            figures=document["figures"],
            noise=document["noise"],
            variation=Variation.from_json(document["variation"]),
            dummy=dummy,
        )


def _class_rows(figures: Figures) -> list[float]:
    """Rows of each true class; none for regression."""
    if isinstance(figures, RegressionFigures):
        return []
    return [float(rows) for rows in figures.confusion.sum(axis=1)]


def _entropy(rows: Sequence[float]) -> float:
    """Log loss of whoever answers every row with the shares of ``rows``; NaN without rows."""
    total = sum(rows)
    return -sum(n / total * math.log(n / total) for n in rows if n) if total else math.nan
