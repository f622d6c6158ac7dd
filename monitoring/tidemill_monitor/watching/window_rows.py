"""Which window and segments a row belongs to, and rows folded into parts of windows; pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.config.monitoring import MonitoringConfig, WindowConfig
from tidemill.drift import Reference, feature_schema, output_schema
from tidemill.drift.outputs import TRUTH
from tidemill.ledger import WindowKey, WindowPart
from tidemill.metrics import OPERATING_THRESHOLD
from tidemill.profiling import CategoryProfile, Profile, categories_of
from tidemill.schema import TableSchema
from tidemill.spelling import as_known

__all__ = ["FoldPlan", "bounds_of", "fold_events", "sequences_of", "slices_of"]

Integers = npt.NDArray[np.int64]

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """What folding needs to know of a model version; made once, used for every stretch.

    Parameters
    ----------
    version : int
    window : WindowConfig
    live, outputs : TableSchema
        Columns to profile: the features of an event; what the model said.
    segments : dict of str to tuple of str
        By segment column, the values that are followed: the most frequent ones in training.
    known : dict of str to frozenset of str
        By feature, the categories seen in training: rows are folded as these are written.
    threshold : float
        Above which the model decides a row positive; of two classes.
    """

    version: int
    window: WindowConfig
    live: TableSchema
    outputs: TableSchema
    segments: dict[str, tuple[str, ...]]
    known: dict[str, frozenset[str]]
    threshold: float = OPERATING_THRESHOLD

    @classmethod
    def of(cls, version: int, reference: Reference, config: MonitoringConfig) -> FoldPlan:
        """The plan for rows of a version; merges the reference once if there are segments."""
        window = config.window
        segments = {}
        if window.segments:
            known = reference.merged().columns
            followed = reference.schema.segmentable  # of the others the champion's notes tell
            for name in window.segments:
                profile = known.get(name)
                if name in followed and isinstance(profile, CategoryProfile):
                    segments[name] = _most_frequent(profile, window.max_segments)
        return cls(
            version,
            window,
            feature_schema(reference.schema),
            output_schema(reference.schema),
            segments,
            categories_of(reference.blocks),
            reference.threshold,
        )

    def spelled(self, rows: pa.Table) -> pa.Table:
        """The rows, what names a category of training written as it is there."""
        for place, field in enumerate(rows.schema):
            known = self.known.get(field.name)
            if known is not None and pa.types.is_dictionary(field.type):
                parts = [as_known(part, known) for part in rows[field.name].chunks]
                rows = rows.set_column(place, field, pa.chunked_array(parts, field.type))
        return rows


def sequences_of(table: pa.Table, window: WindowConfig) -> Integers:
    """Numbers of the windows that the rows belong to, (rows,) int64.

    By time: whole windows since 1970 of the column ``at`` (timestamp[us]); by count: of the
    column ``position``, the row's place among all rows of its model version.

    >>> at = pa.array([0, 3_599_999_999, 3_600_000_000], pa.timestamp("us"))
    >>> sequences_of(pa.table({"at": at}), WindowConfig(seconds=3600)).tolist()
    [0, 0, 1]
    """
    if window.by == "count":
        return _integers(table["position"]) // window.rows
    return _integers(table["at"].cast(pa.int64())) // (window.seconds * _MICROSECONDS)


def bounds_of(sequence: int, window: WindowConfig) -> tuple[dt.datetime, dt.datetime]:
    """Start and end of a window by time, half-open, UTC."""
    start = dt.datetime.fromtimestamp(sequence * window.seconds, dt.UTC)
    return start, start + dt.timedelta(seconds=window.seconds)


def slices_of(
    table: pa.Table, window: WindowConfig, segments: dict[str, tuple[str, ...]]
) -> Iterator[tuple[int, str, pa.Table]]:
    """Rows by window and segment: (number, segment, rows); the segment ``""`` has all rows."""
    if not table.num_rows:
        return
    numbers = sequences_of(table, window)
    for number in np.unique(numbers).tolist():
        inside = numbers == number
        rows = table if inside.all() else table.filter(pa.array(inside))
        yield number, "", rows
        for column, values in segments.items():
            yield from ((number, name, part) for name, part in _segments(rows, column, values))


def fold_events(table: pa.Table, plan: FoldPlan) -> list[WindowPart]:
    """Parts of the windows that the rows of ``table`` belong to, one a window and segment.

    Parameters
    ----------
    table : pyarrow.Table
        ``at``, ``position``, ``prediction``, ``score`` and the model's features.
    plan : FoldPlan
        Of the rows' model version.

    Notes
    -----
    Each part is one :meth:`Profile.of` of its rows. 1,000 rows of 30 features take a few
    milliseconds; memory beyond the result: the rows of one window.
    """
    return [
        WindowPart(
            key=WindowKey(plan.version, number, segment),
            **placed(number, rows, plan.window),
            rows=rows.num_rows,
            members=None if segment else _integers(rows["position"]),
            profile=packed(Profile.of(rows, plan.live)),
            outputs=packed(Profile.of(_outputs(rows, plan.outputs), plan.outputs)),
        )
        for number, segment, rows in slices_of(plan.spelled(table), plan.window, plan.segments)
    ]


def placed(number: int, rows: pa.Table, window: WindowConfig) -> dict[str, Any]:
    """Where a window begins and ends; by count its extent so far, which the ledger widens."""
    if window.by == "time":
        start, end = bounds_of(number, window)
        return {"start": start, "end": end}
    first, last = extent_of(rows)
    positions = (number * window.rows, (number + 1) * window.rows)
    return {"start": first, "end": last, "positions": positions}


def extent_of(rows: pa.Table) -> tuple[dt.datetime, dt.datetime]:
    """The smallest and largest event time of rows, UTC."""
    span = pc.min_max(rows["at"])
    first, last = span["min"].as_py(), span["max"].as_py()
    return first.replace(tzinfo=dt.UTC), last.replace(tzinfo=dt.UTC)


def packed(partial: Any) -> bytes:
    """A partial as the ledger keeps it: its JSON document."""
    return orjson.dumps(partial.to_json())


def _outputs(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """The columns of ``schema``; what is not known yet (the truth) is null."""
    names = set(rows.schema.names)
    columns = {
        column.name: rows[column.name]
        if column.name in names and column.name != TRUTH
        else pa.nulls(rows.num_rows, column.arrow_type)
        for column in schema.columns
    }
    return pa.table(columns)


def _segments(rows: pa.Table, column: str, values: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    texts = rows[column].cast(pa.string())
    present = set(pc.unique(texts).to_pylist())
    for value in values:
        if value in present:
            part = rows.filter(pc.fill_null(pc.equal(texts, value), False))
            yield f"{column}={value}", part


def _most_frequent(profile: CategoryProfile, limit: int) -> tuple[str, ...]:
    ranked = sorted(profile.counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(name for name, _ in ranked[:limit])


def _integers(values: pa.ChunkedArray) -> Integers:
    numbers: Integers = values.to_numpy()
    return numbers
