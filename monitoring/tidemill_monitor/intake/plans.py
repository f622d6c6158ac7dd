"""What rows of a request must hold: compiled once from the champion's schema."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from tidemill.errors import ConfigError
from tidemill.metrics import LARGEST, ROUNDING
from tidemill.schema import RESERVED, TableSchema, Task
from tidemill_monitor.intake.cell_readers import cells_of
from tidemill_monitor.intake.column_readers import FieldReader
from tidemill_monitor.intake.number_readers import NumberCells, WholeCells
from tidemill_monitor.intake.text_readers import ClassCells, IdCells
from tidemill_monitor.intake.time_readers import TimeCells

__all__ = ["IntakePlan", "Shape"]

MAX_ID = 200

Bounds = Callable[[], tuple[dt.datetime, dt.datetime]]


@dataclass(frozen=True)
class IntakePlan:
    """The fields of one kind of row.

    Parameters
    ----------
    kind : str
        ``records``, ``events`` or ``labels``: the member of a JSON document that holds the rows.
    head : mapping of name to FieldReader
        Fields beside the features.
    required : frozenset of str
        Fields of the head that must have a value.
    features : mapping of name to FieldReader
        Empty for labels; else rows have a member ``features``.
    time : str or None
        The feature that may be left out: it is ``at`` then.
    """

    kind: str
    head: Mapping[str, FieldReader]
    required: frozenset[str]
    features: Mapping[str, FieldReader] = field(default_factory=dict)
    time: str | None = None


class Shape:
    """The three plans of a model.

    Parameters
    ----------
    schema : TableSchema
        Of the table that the model was trained on.
    bounds : callable
        Gives the earliest and latest event time that is taken, at each call.

    Raises
    ------
    ConfigError
        If a feature has the name of an event's own field.
    """

    def __init__(self, schema: TableSchema, bounds: Bounds) -> None:
        _refuse_reserved(schema)
        self.schema = schema
        time = schema.time.name if schema.time is not None else None
        sources = {source.name: source for source in schema.source}
        features = {
            column.name: cells_of(column, schema.missing_values, sources.get(column.name))
            for column in schema.features
        }
        if time is not None:
            features[time] = TimeCells(time, bounds)
        event_id, at = (
            IdCells("event_id", MAX_ID),
            TimeCells("at", bounds),
        )
        self.records = IntakePlan(
            "records", {"event_id": event_id, "at": at}, frozenset(), features, time
        )
        self.events = IntakePlan(
            "events",
            {
                "event_id": event_id,
                "at": at,
                "model_version": WholeCells("model_version", pa.int64()),
                "prediction": _answers("prediction", schema, encoded=True),
                "score": NumberCells("score", pa.float64(), _scores(schema)),
            },
            frozenset({"event_id", "at", "prediction"}),
            features,
            time,
        )
        self.labels = IntakePlan(
            "labels",
            {"event_id": event_id, "truth": _answers("truth", schema, encoded=False), "at": at},
            frozenset({"event_id", "truth"}),
        )


def _refuse_reserved(schema: TableSchema) -> None:
    taken = [c.name for c in schema.features if c.name in RESERVED]
    if taken:
        raise ConfigError(
            f"the model has a feature named {taken[0]!r}, which is a field of every event",
            remedy="rename the column in the data, or derive one of another name from it "
            "(dataset.derive) and drop it",
            feature=taken[0],
        )


def _scores(schema: TableSchema) -> tuple[float, float, str] | None:
    """What a score may be: a probability; of a regression nobody reads it."""
    if schema.task is Task.REGRESSION:
        return None
    return -ROUNDING, 1.0 + ROUNDING, "must be a probability, between 0 and 1"


def _answers(name: str, schema: TableSchema, *, encoded: bool) -> FieldReader:
    if schema.task is Task.REGRESSION:
        # What cannot be squared and summed would make the figures of its whole window void.
        return NumberCells(name, pa.float64(), (-LARGEST, LARGEST, f"must lie within ±{LARGEST:g}"))
    return ClassCells(name, schema.classes, encoded=encoded)
