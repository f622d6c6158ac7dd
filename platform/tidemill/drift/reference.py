"""The reference: what a model was trained on and what it said, for live windows to be held to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from tidemill.drift.outputs import output_schema
from tidemill.drift.performance.estimate import PerformanceModel
from tidemill.errors import SchemaMismatch
from tidemill.metrics import OPERATING_THRESHOLD
from tidemill.profiling import NumericProfile, Profile, fold
from tidemill.schema import ColumnType, TableSchema

__all__ = ["Reference", "feature_schema"]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the champion learnt from, by time block, and how it did on rows it never saw.

    Make one with :meth:`of`, which adds the training range to the histograms; profile live
    windows with :attr:`live_schema`, whose edges are the same.

    Parameters
    ----------
    schema : TableSchema
        The model's columns: features, target, key, time; with frozen edges.
    blocks : tuple of Profile
        Training rows of ``schema``, by time block (at most 64), in time order; without a
        time column in the order of the shards.
    outputs : tuple of Profile
        What the champion said on held-out rows, by block, over ``output_schema(schema)``.
    metric : str
        The figure that decides.
    figures : dict of str to float
        The champion's figures on held-out rows.
    quality : PerformanceModel
        Estimates figures before labels arrive.
    time_ordered : bool
        Whether blocks follow each other in time.
    gap : dict of str to dict of str to float
        Where another model serves than was judged: how far its outputs lie from ``outputs``
        beyond chance, by column of the outputs and test; see :func:`output_gap` and
        :func:`widest_gap`.
    threshold : float
        Above which the champion decides a row positive; of two classes.

    Notes
    -----
    Memory: blocks x columns x bins (or 10,000 categories), whatever the rows.
    """

    schema: TableSchema
    blocks: tuple[Profile, ...]
    outputs: tuple[Profile, ...]
    metric: str
    figures: dict[str, float]
    quality: PerformanceModel
    time_ordered: bool
    gap: dict[str, dict[str, float]] = field(default_factory=dict)
    threshold: float = OPERATING_THRESHOLD

    @classmethod
    def of(
        cls,
        schema: TableSchema,
        blocks: Sequence[Profile],
        outputs: Sequence[Profile],
        *,
        metric: str,
        figures: Mapping[str, float],
        quality: PerformanceModel,
        time_ordered: bool,
        gap: Mapping[str, Mapping[str, float]] | None = None,
        threshold: float = OPERATING_THRESHOLD,
    ) -> Self:
        """A reference whose histograms also end where the training values end.

        The smallest training value, and the float after the largest, become edges of every
        numeric feature: the outer two bins, which are empty in training, count exactly what
        lies outside the range seen.

        Raises
        ------
        SchemaMismatch
            If there are no blocks.
        """
        if not blocks:
            raise SchemaMismatch(
                "a reference needs at least one block of training rows",
                remedy="train on data that have rows, then register again",
            )
        framed, profiles = _framed(schema, tuple(blocks))
        return cls(
            framed,
            profiles,
            tuple(outputs),
            metric,
            dict(figures),
            quality,
            time_ordered,
            {name: dict(tests) for name, tests in (gap or {}).items()},
            threshold,
        )

    @property
    def live_schema(self) -> TableSchema:
        """The columns that a live event has, for ``Profile.of``: the features and the time."""
        return feature_schema(self.schema)

    def merged(self) -> Profile:
        """All training rows in one profile."""
        return fold(self.blocks)

    def merged_outputs(self) -> Profile:
        """All held-out rows' outputs in one profile.

        Raises
        ------
        ValueError
            If the reference has no outputs.
        """
        return fold(self.outputs)

    def to_json(self) -> dict[str, Any]:
        """A JSON document, exact."""
        return {
            "schema": self.schema.to_json(),
            "blocks": [_without_edges(block) for block in self.blocks],
            "outputs": [_without_edges(block) for block in self.outputs],
            "metric": self.metric,
            "figures": dict(self.figures),
            "quality": self.quality.to_json(),
            "time_ordered": self.time_ordered,
            "gap": self.gap,
            # As it was before there could be another one.
            **({} if self.threshold == OPERATING_THRESHOLD else {"threshold": self.threshold}),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        schema = TableSchema.from_json(document["schema"])
        outputs = output_schema(schema)
        return cls(
            schema=schema,
            blocks=tuple(_with_edges(block, schema) for block in document["blocks"]),
            outputs=tuple(_with_edges(block, outputs) for block in document["outputs"]),
            metric=document["metric"],
            figures={name: float(value) for name, value in document["figures"].items()},
            quality=PerformanceModel.from_json(document["quality"]),
            time_ordered=document["time_ordered"],
            gap=document.get("gap", {}),  # older references are of one model
            threshold=document.get("threshold", OPERATING_THRESHOLD),
        )


def feature_schema(schema: TableSchema) -> TableSchema:
    """The columns of ``schema`` that an event carries: features and time, no target, no key."""
    return replace(schema, columns=schema.features)


def _framed(
    schema: TableSchema, blocks: tuple[Profile, ...]
) -> tuple[TableSchema, tuple[Profile, ...]]:
    columns = [dict(block.columns) for block in blocks]
    edges: dict[str, tuple[float, ...]] = {}
    for column in schema.features:
        if column.type is not ColumnType.NUMERIC:
            continue
        framed = _frame(
            [part for c in columns if isinstance(part := c[column.name], NumericProfile)]
        )
        edges[column.name] = tuple(framed[0].edges.tolist())
        for mine, profile in zip(columns, framed, strict=True):
            mine[column.name] = profile
    wider = tuple(replace(c, edges=edges.get(c.name, c.edges)) for c in schema.columns)
    profiles = [replace(b, columns=mine) for b, mine in zip(blocks, columns, strict=True)]
    return replace(schema, columns=wider), tuple(profiles)


def _frame(parts: list[NumericProfile]) -> list[NumericProfile]:
    """Make an edge of the smallest value, and of the float after the largest, if there is one."""
    whole = fold(parts)
    if not whole.count:
        return parts
    for edge in (whole.minimum, math.nextafter(whole.maximum, math.inf)):
        # Beyond the largest float64 there is nothing.
        if math.isfinite(edge) and edge not in parts[0].edges:
            parts = [_split(part, edge) for part in parts]
    return parts


def _split(profile: NumericProfile, edge: float) -> NumericProfile:
    """Split the bin that holds ``edge``; its values are all on one side."""
    at = int(np.searchsorted(profile.edges, edge))
    # Nothing lies below the smallest value, and nothing at or above what follows the largest.
    below = 0 if profile.minimum >= edge or not profile.count else profile.counts[at]
    counts = np.insert(profile.counts, at, below)
    counts[at + 1] -= below
    return replace(profile, edges=np.insert(profile.edges, at, edge), counts=counts)


def _without_edges(block: Profile) -> dict[str, Any]:
    """Blocks share the schema's edges: stored once, not once a block."""
    document = block.to_json()
    for column in document["columns"]:
        column.pop("edges", None)
    return document


def _with_edges(document: dict[str, Any], schema: TableSchema) -> Profile:
    columns = [
        {**column, "edges": list(schema[column["name"]].edges)}
        if column["kind"] == "numeric"
        else column
        for column in document["columns"]
    ]
    return Profile.from_json({**document, "columns": columns})
