"""The file of predictions: its columns, and how it is written, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from tidemill.cells import decoded_type
from tidemill.errors import SourceEmpty, UsageError
from tidemill.metrics import OPERATING_THRESHOLD
from tidemill.schema import TableSchema, Task
from tidemill.storage import (
    BlockWriter,
    ObjectFile,
    SourceFiles,
    discard_directory,
    place_of,
    put_in_place,
    read_blocks,
    replaced_file,
)

__all__ = ["BLOCK_ROWS", "PLACE", "join_parts", "prediction_columns", "require_writable"]

BLOCK_ROWS = 65_536
PLACE = ("source", "row")
"""Columns that say which row a prediction is of."""

_SUFFIXES = (".parquet", ".csv")


def prediction_columns(
    scores: npt.NDArray[np.float64], schema: TableSchema, threshold: float
) -> dict[str, Any]:
    """What is predicted of some rows, by column.

    Regression: ``prediction``. Binary: ``prediction`` (the likelier class), ``score``
    (probability of the positive class), ``decision`` (the class at the model's threshold).
    Multiclass: ``prediction``, its ``score``, and ``probability_CLASS`` of each class.

    Parameters
    ----------
    scores : ndarray
        From :func:`tidemill.learning.predict_scores`.
    threshold : float
        From :func:`tidemill.learning.threshold_of`.
    """
    if schema.task is Task.REGRESSION:
        return {"prediction": pa.array(scores)}
    if schema.task is Task.BINARY:
        return {
            "prediction": _labels(scores > OPERATING_THRESHOLD, schema),
            "score": pa.array(scores),
            "decision": _labels(scores > threshold, schema),
        }
    return {
        "prediction": _labels(scores.argmax(axis=1), schema),
        "score": pa.array(scores.max(axis=1)),
        **{
            f"probability_{label}": pa.array(np.ascontiguousarray(scores[:, code]))
            for code, label in enumerate(schema.classes)
        },
    }


def _labels(codes: npt.NDArray[Any], schema: TableSchema) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32)), pa.array(list(schema.classes), pa.string())
    )


def require_writable(output: Path) -> None:
    """Refuse an output that is no file of a kind that is written.

    Raises
    ------
    UsageError
        If it is a folder, or ends neither in .parquet nor in .csv.
    """
    if not output.name or SourceFiles(Path()).kind(str(output)) == "folder":
        raise UsageError(
            f"--output {output} is a folder",
            remedy="name the file to write, for example scored.parquet or scored.csv",
            path=str(output),
        )
    if output.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"--output {output} ends in {output.suffix or 'nothing'!r}, which says neither "
            "Parquet nor CSV",
            remedy="let it end in .parquet or .csv, for example scored.csv",
            path=str(output),
        )


def join_parts(parts: Sequence[ObjectFile], output: Path) -> None:
    """Write the parts one after another to ``output``, which appears whole or not at all.

    CSV has a header, commas, texts in quotes, and the shortest text of each number; a missing
    value is empty.

    Raises
    ------
    SourceEmpty
        If there is no part.

    Notes
    -----
    Memory: one block.
    """
    if not parts:
        raise SourceEmpty(
            "there is no row to score",
            remedy="give --input a table with at least one readable row",
        )
    # What a killed one leaves gives way to the next one of the same output.
    staged = place_of(output.with_name(f".{output.name}.new"), output.name)
    write = _write_csv if output.suffix.lower() == ".csv" else _write_parquet
    try:
        write(staged, parts)
        put_in_place(staged, output)
    finally:
        discard_directory(staged.parent)


def _blocks(parts: Sequence[ObjectFile]) -> Iterator[pa.Table]:
    for part in parts:
        yield from read_blocks(part)


def _write_parquet(path: Path, parts: Sequence[ObjectFile]) -> None:
    schema = next(read_blocks(parts[0])).schema
    with BlockWriter(path, schema, block_rows=BLOCK_ROWS) as writer:
        for table in _blocks(parts):
            writer.write(table)


def _write_csv(path: Path, parts: Sequence[ObjectFile]) -> None:
    schema = _decoded(next(read_blocks(parts[0])).schema)
    with replaced_file(path) as file, pacsv.CSVWriter(file, schema) as writer:
        for table in _blocks(parts):
            writer.write_table(table.cast(schema))


def _decoded(schema: pa.Schema) -> pa.Schema:
    """Dictionaries as the texts that they stand for."""
    return pa.schema([(field.name, decoded_type(field.type)) for field in schema])
