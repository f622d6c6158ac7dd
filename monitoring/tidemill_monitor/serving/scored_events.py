"""From good rows to the events that a prediction leaves: ids, times, scores, predictions."""

from __future__ import annotations

import datetime as dt
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.learning import predict_scores, threshold_of
from tidemill.schema import Task
from tidemill_monitor.serving.champion import Champion

__all__ = ["Scored", "complete_times", "event_table", "new_ids", "score_rows"]


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions as they are answered and as they are stored.

    Parameters
    ----------
    events : pyarrow.Table
        ``event_id, at, model_version, prediction, score``, then the features.
    """

    events: pa.Table

    def slice(self, start: int, stop: int) -> Scored:
        """Some of the rows; no copy."""
        return Scored(self.events.slice(start, stop - start))

    def answers(self, rows: list[int]) -> list[dict[str, Any]]:
        """One object a prediction, for JSON; ``rows`` says which row each is for."""
        ids = self.events["event_id"].to_pylist()
        predictions = self.events["prediction"].to_pylist()
        if pa.types.is_floating(self.events["prediction"].type):
            return [
                {"row": r, "event_id": i, "prediction": p}
                for r, i, p in zip(rows, ids, predictions, strict=True)
            ]
        scores = self.events["score"].to_pylist()
        return [
            {"row": r, "event_id": i, "prediction": p, "score": s}
            for r, i, p, s in zip(rows, ids, predictions, scores, strict=True)
        ]


def score_rows(rows: pa.Table, champion: Champion, now: dt.datetime) -> Scored:
    """Predict the good rows of ``/v1/predict``.

    Parameters
    ----------
    rows : pyarrow.Table
        ``event_id`` and ``at`` (null where they were left out), and every feature.
    champion : Champion
    now : datetime
        Time of events that have none.

    Notes
    -----
    Memory: the reduced matrix of the rows.
    """
    rows = _timed(rows, champion, now)
    scores = _scores(rows, champion)
    prediction, score = _answers(scores, champion)
    ids = rows["event_id"]
    if ids.null_count:
        ids = pc.coalesce(ids, pa.array(new_ids(len(rows)), pa.string()))
    columns = {"event_id": ids, "at": rows["at"], "prediction": prediction, "score": score}
    return Scored(event_table({**_columns(rows, champion), **columns}, champion, champion.version))


def event_table(columns: dict[str, Any], champion: Champion, version: int) -> pa.Table:
    """Columns in the order in which events are stored."""
    rows = len(columns["event_id"])
    columns["model_version"] = pa.array(np.full(rows, version, np.int32))
    names = [
        *("event_id", "at", "model_version", "prediction", "score"),
        *(column.name for column in champion.schema.features),
    ]
    return pa.table({name: columns[name] for name in names})


def complete_times(rows: pa.Table, champion: Champion) -> pa.Table:
    """The time feature is ``at`` where it was left out."""
    time_column = champion.schema.time
    if time_column is None or not rows[time_column.name].null_count:
        return rows
    filled = pc.coalesce(rows[time_column.name], rows["at"])
    return rows.set_column(rows.schema.get_field_index(time_column.name), time_column.name, filled)


def _timed(rows: pa.Table, champion: Champion, now: dt.datetime) -> pa.Table:
    """``at`` is the time feature where it was left out, else the clock; and the reverse."""
    if rows["at"].null_count:
        given = [rows["at"]]
        if champion.schema.time is not None:
            given.append(rows[champion.schema.time.name])
        clock = pa.scalar(now.replace(tzinfo=None), pa.timestamp("us"))
        at = pc.coalesce(*given, clock)
        rows = rows.set_column(rows.schema.get_field_index("at"), "at", at)
    return complete_times(rows, champion)


def _columns(rows: pa.Table, champion: Champion) -> dict[str, Any]:
    return {column.name: rows[column.name] for column in champion.schema.features}


def _scores(rows: pa.Table, champion: Champion) -> npt.NDArray[np.float64]:
    if not len(rows):  # learners refuse an empty matrix
        return np.zeros(
            (0, len(champion.schema.classes)) if champion.task is Task.MULTICLASS else 0
        )
    return predict_scores(champion.learner, champion.reducer.transform(rows), champion.task)


def _answers(scores: npt.NDArray[np.float64], champion: Champion) -> tuple[Any, Any]:
    if champion.task is Task.REGRESSION:
        return pa.array(scores), pa.nulls(len(scores), pa.float64())
    if champion.task is Task.BINARY:
        codes, best = (scores > threshold_of(champion.learner)).astype(np.int32), scores
    else:
        codes, best = scores.argmax(axis=1).astype(np.int32), scores.max(axis=1)
    labels = pa.array(list(champion.schema.classes), pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes), labels), pa.array(best)


def new_ids(count: int) -> list[str]:
    """Ids that sort by time: 48 bits of milliseconds, then 80 random ones, in hexadecimal.

    >>> [len(name) for name in new_ids(2)]
    [32, 32]
    """
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    noise = os.urandom(10 * count).hex()
    return [stamp + noise[20 * i : 20 * i + 20] for i in range(count)]
