"""What a model says, as columns to profile and a table to store; and back to scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.metrics import OPERATING_THRESHOLD
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

__all__ = ["PREDICTION", "SCORE", "TRUTH", "output_schema", "outputs_of", "scores_of_outputs"]

PREDICTION, SCORE, TRUTH = "prediction", "score", "truth"

_SCORE_EDGES = tuple(float(edge) for edge in np.linspace(0.0, 1.0, 21)[1:-1])


def output_schema(schema: TableSchema) -> TableSchema:
    """What a model of ``schema`` says, as columns to profile.

    ``prediction``: the label as text, or for regression the number, on the target's edges;
    ``score`` (classifiers only): the probability of the positive class, with more than two
    classes that of the predicted one, in 20 equal bins; ``truth``: what turned out, of the
    form of ``prediction`` (null while unknown).

    >>> fare = Column("fare", ColumnType.NUMERIC, Purpose.TARGET, "float64", (10.0,))
    >>> output_schema(TableSchema((fare,), Task.REGRESSION)).names
    ('prediction', 'truth')
    """
    if schema.task is Task.REGRESSION:
        kind, physical, edges = ColumnType.NUMERIC, "float64", schema.target.edges
    else:
        kind, physical, edges = ColumnType.CATEGORICAL, "dictionary", ()
    columns = [Column(PREDICTION, kind, Purpose.FEATURE, physical, edges)]
    if schema.task is not Task.REGRESSION:
        columns.append(Column(SCORE, ColumnType.NUMERIC, Purpose.FEATURE, "float64", _SCORE_EDGES))
    columns.append(Column(TRUTH, kind, Purpose.TARGET, physical, edges))
    return TableSchema(tuple(columns), schema.task, schema.classes)


def outputs_of(
    schema: TableSchema,
    scores: npt.NDArray[Any],
    truth: npt.NDArray[Any] | None = None,
    *,
    threshold: float = OPERATING_THRESHOLD,
) -> pa.Table:
    """The outputs of rows as a table of ``output_schema(schema)``.

    Parameters
    ----------
    schema : TableSchema
        The model's.
    scores : (n,) or (n, n_classes) float64
        As :func:`tidemill.learning.predict_scores` returns them.
    truth : (n,) or None
        Class codes (negative: unknown), or targets (NaN: unknown).
    threshold : float
        The model's, of two classes.

    >>> y = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
    >>> schema = TableSchema((y,), Task.BINARY, classes=("no", "yes"))
    >>> outputs_of(schema, np.array([0.2, 0.7])).to_pylist()
    [{'prediction': 'no', 'score': 0.2, 'truth': None},
     {'prediction': 'yes', 'score': 0.7, 'truth': None}]
    """
    rows = len(scores)
    if schema.task is Task.REGRESSION:
        targets = np.full(rows, np.nan) if truth is None else truth.astype(np.float64)
        truths = pa.array(targets, from_pandas=True)
        return pa.table({PREDICTION: np.asarray(scores, np.float64), TRUTH: truths})
    if schema.task is Task.BINARY:
        codes, score = (scores > threshold).astype(np.int32), scores
    else:
        codes, score = scores.argmax(axis=1).astype(np.int32), scores.max(axis=1, initial=0.0)
    known = np.full(rows, -1, np.int32) if truth is None else truth.astype(np.int32)
    return pa.table(
        {
            PREDICTION: _labels(codes, schema),
            SCORE: np.asarray(score, np.float64),
            TRUTH: _labels(known, schema),
        }
    )


def scores_of_outputs(outputs: pa.Table, schema: TableSchema) -> npt.NDArray[np.float64]:
    """Scores, as :func:`tidemill.metrics.figures_of` takes them, of stored outputs.

    With more than two classes only the probability of the predicted class is stored: the rest is
    shared evenly by the others, here and in the reference alike, so that the two compare. Where
    a score is null, the prediction counts as certain; a label that is none of the classes counts
    as the first of two, or as knowing nothing. ``(n,)`` or ``(n, n_classes)``.
    """
    if schema.task is Task.REGRESSION:
        return np.asarray(outputs[PREDICTION].cast(pa.float64()))
    labels = outputs[PREDICTION].cast(pa.string())
    codes = np.asarray(pc.fill_null(pc.index_in(labels, value_set=pa.array(schema.classes)), -1))
    score = np.asarray(outputs[SCORE].cast(pa.float64()), np.float64)
    if schema.task is Task.BINARY:
        return np.asarray(np.where(np.isnan(score), codes == 1, score), np.float64)
    n_classes = len(schema.classes)
    score = np.where(codes < 0, 1 / n_classes, np.where(np.isnan(score), 1.0, score))
    return spread_evenly(codes, score, n_classes)


def spread_evenly(
    codes: npt.NDArray[Any], score: npt.NDArray[np.float64], n_classes: int
) -> npt.NDArray[np.float64]:
    """Probabilities (n, n_classes) with ``score`` at ``codes`` and the rest shared evenly.

    >>> spread_evenly(np.array([1]), np.array([0.5]), 3)
    array([[0.25, 0.5 , 0.25]])
    """
    rest = (1.0 - score) / max(n_classes - 1, 1)
    found = np.repeat(rest[:, None], n_classes, axis=1)
    found[np.arange(len(codes)), codes] = score
    return found


def _labels(codes: npt.NDArray[np.int32], schema: TableSchema) -> pa.DictionaryArray:
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(schema.classes, pa.string()))
