"""Rows whose truth is known, as all that the reference keeps of them: one mergeable partial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.drift.outputs import PREDICTION, SCORE, output_schema, outputs_of, scores_of_outputs
from tidemill.drift.performance.output_bins import OutputBins
from tidemill.metrics import OPERATING_THRESHOLD, Figures, figures_from_json, figures_of
from tidemill.profiling import Profile
from tidemill.schema import TableSchema, Task

__all__ = ["HeldOut"]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What a model said of some rows, and what turned out.

    Parameters
    ----------
    outputs : Profile
        Over ``output_schema(schema)``.
    outcomes : OutputBins
    figures : BinaryFigures, MulticlassFigures or RegressionFigures
        From the outputs as they are stored of live events, so that live figures compare: with
        more than two classes only the predicted one's probability counts.

    Notes
    -----
    Merges as its parts do. At most 2.5 MB (2 MB a class), whatever the rows.
    """

    outputs: Profile
    outcomes: OutputBins
    figures: Figures

    @classmethod
    def of(
        cls,
        schema: TableSchema,
        scores: npt.NDArray[Any],
        truth: npt.NDArray[Any],
        *,
        threshold: float = OPERATING_THRESHOLD,
    ) -> Self:
        """Judge rows with ``scores`` as ``predict_scores`` returns them.

        Parameters
        ----------
        truth : (n,)
            Class codes, or targets.
        threshold : float
            The model's, of two classes.
        """
        outputs = outputs_of(schema, np.asarray(scores, np.float64), truth, threshold=threshold)
        stored = scores_of_outputs(outputs, schema)
        told = output_schema(schema)
        edges = told[PREDICTION if schema.task is Task.REGRESSION else SCORE].edges
        return cls(
            Profile.of(outputs, told),
            OutputBins.of(schema.task, stored, truth, edges=edges, threshold=threshold),
            figures_of(
                schema.task,
                stored,
                truth,
                classes=schema.classes,
                edges=schema.target.edges,
                threshold=threshold,
            ),
        )

    def merge(self, other: Self) -> Self:
        """Both sets of rows.

        Raises
        ------
        SchemaMismatch
            If they were judged for different schemas.
        """
        return type(self)(
            self.outputs.merge(other.outputs),
            self.outcomes.merge(other.outcomes),
            self.figures.merge(other.figures),  # type: ignore[arg-type]
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "outputs": self.outputs.to_json(),
            "outcomes": self.outcomes.to_json(),
            "figures": self.figures.to_json(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            Profile.from_json(document["outputs"]),
            OutputBins.from_json(document["outcomes"]),
            figures_from_json(document["figures"]),
        )
