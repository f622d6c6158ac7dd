"""What the labels of a window say: figures of the model, and what turned out; a partial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.drift import scores_of_outputs
from tidemill.drift.outputs import TRUTH
from tidemill.ledger import LabelPart, WindowKey
from tidemill.metrics import OPERATING_THRESHOLD, Figures, figures_from_json, figures_of, measurable
from tidemill.profiling import Profile
from tidemill.schema import TableSchema, Task
from tidemill_monitor.watching.window_rows import FoldPlan, packed, slices_of

__all__ = ["Labelled", "fold_labels"]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The labelled rows of a window.

    Parameters
    ----------
    figures : BinaryFigures, MulticlassFigures or RegressionFigures
        Of the model's outputs against the truth.
    truth : Profile
        The column ``truth``.

    Notes
    -----
    Merges as its two parts do. At most 2.5 MB (binary), whatever the rows.
    """

    figures: Figures
    truth: Profile

    @classmethod
    def of(
        cls, rows: pa.Table, outputs: TableSchema, *, threshold: float = OPERATING_THRESHOLD
    ) -> Self:
        """Fold rows with ``prediction``, ``score`` and ``truth``.

        Rows whose truth is no class of the model, whose score is no probability, or whose
        prediction or truth is not finite or too large to be squared, are profiled and not
        measured.
        """
        truths = rows[TRUTH].combine_chunks()
        codes, scores = _codes(truths, outputs), scores_of_outputs(rows, outputs)
        known = measurable(outputs.task, scores, codes)
        figures = figures_of(
            outputs.task,
            scores[known],
            codes[known],
            classes=outputs.classes,
            edges=outputs[TRUTH].edges,
            threshold=threshold,
        )
        column = TableSchema((outputs[TRUTH],), outputs.task, outputs.classes)
        return cls(figures, Profile.of(pa.table({TRUTH: truths}), column))

    def merge(self, other: Self) -> Self:
        """The labelled rows of both."""
        # Both are of one model, so of one kind.
        figures = self.figures.merge(other.figures)  # type: ignore[arg-type]
        return type(self)(figures, self.truth.merge(other.truth))

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {"figures": self.figures.to_json(), "truth": self.truth.to_json()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(figures_from_json(document["figures"]), Profile.from_json(document["truth"]))


def fold_labels(table: pa.Table, plan: FoldPlan) -> list[LabelPart]:
    """Parts of the windows that labelled rows belong to, by the rule that placed their events.

    Parameters
    ----------
    table : pyarrow.Table
        ``at``, ``position``, ``prediction``, ``score``, ``truth`` and the segment columns.
    """
    return [
        _part(WindowKey(plan.version, number, segment), rows, plan)
        for number, segment, rows in _slices(table, plan)
    ]


def _part(key: WindowKey, rows: pa.Table, plan: FoldPlan) -> LabelPart:
    labelled = Labelled.of(rows, plan.outputs, threshold=plan.threshold)
    lost = rows.num_rows - labelled.figures.count
    return LabelPart(key, rows.num_rows, packed(labelled), unmeasured=lost)


def _slices(table: pa.Table, plan: FoldPlan) -> Iterator[tuple[int, str, pa.Table]]:
    names = set(table.schema.names)
    segments = {name: values for name, values in plan.segments.items() if name in names}
    return slices_of(plan.spelled(table), plan.window, segments)


def _codes(truths: pa.Array, outputs: TableSchema) -> npt.NDArray[Any]:
    """Class codes, negative where a text is no class; or targets, NaN where there is none."""
    if outputs.task is Task.REGRESSION:
        return np.asarray(truths.cast(pa.float64()).to_numpy(zero_copy_only=False))
    found = pc.index_in(truths.cast(pa.string()), value_set=pa.array(outputs.classes))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False))
