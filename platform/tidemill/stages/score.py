"""score: predict every row of a table with a registered model, batch by batch."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.config import DatasetConfig, Params
from tidemill.errors import SchemaMismatch, SourceEmpty, UsageError
from tidemill.ingestion import SourceListing, Split, list_source, read_split
from tidemill.learning import predict_scores
from tidemill.schema import Purpose, TableSchema, Task
from tidemill.stages.context import StageContext, StageResult
from tidemill.storage import (
    BlockWriter,
    discard_directory,
    fresh_directory,
    hash_json,
    read_blocks,
    storage_errors,
)
from tidemill.tracking import load_champion

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["score_files"]

BLOCK_ROWS = 65_536


def score_files(
    context: StageContext, *, params: Params, source: str, output: Path, model: str = "champion"
) -> StageResult:
    """Write one row of predictions for every readable row of ``source``, in its order.

    Columns of the Parquet file: ``source`` and ``row`` (0-based), the key where there is one,
    ``prediction``, and for classifiers ``score`` (probability of the positive class, or of
    the predicted one). A cell that cannot be read counts as missing; a line that is no row
    gets no prediction, and the result says how many there were.

    Memory: one batch and its matrix, per worker.
    """
    _require_writable(output)
    loaded = load_champion(
        context.tracker.uri,
        params.model_name,
        **({"version": int(model)} if model.isdigit() else {"alias": model}),
    )
    schema = _without_target(loaded.schema)
    dataset = params.dataset.model_copy(
        update={
            "source": source if "://" in source else str(Path(source).absolute()),
            # The model's own: params.yaml may say something else by now.
            "derive": {k: v for k, v in schema.derived if k in schema.names},
        }
    )
    listing = list_source(dataset, context.workspace.root, context.engine, named="--input")
    _require_apart(output, listing, context.workspace.root)
    schema = _readable(
        schema,
        given={column.name for column in listing.columns} | set(dataset.derive),
        needed={str(name) for name in loaded.pipeline[0].feature_names_in_},
        source=source,
    )
    # Named by the output: two tables may be scored at once, and a killed score leaves nothing
    # that the next one to the same place does not clear away.
    work = fresh_directory(context.workspace.work("score", hash_json(str(output.absolute()))[:16]))
    function = partial(
        _score_split,
        schema=schema,
        dataset=dataset,
        listing=listing,
        root=context.workspace.root,
        pipeline=loaded.pipeline,
        work=work,
        batch_rows=params.ingestion.batch_rows,
    )
    try:
        parts = context.engine.map(
            function, listing.splits, label="score", progress=context.progress
        )
        _join([work / f"{split.id:05d}.parquet" for split in listing.splits], output)
    finally:
        discard_directory(work)
    return StageResult(
        stage="score",
        facts={
            "rows": sum(rows for rows, _ in parts),
            "unreadable_lines": sum(rejected for _, rejected in parts),
            "model": params.model_name,
            "version": loaded.version,
            "output": str(output),
        },
        warnings=loaded.notes,
    )


def _without_target(schema: TableSchema) -> TableSchema:
    """What is read of a table to score: it need not hold what is to be predicted."""
    kept = tuple(c for c in schema.columns if c.purpose is not Purpose.TARGET)
    return replace(schema, columns=kept)


def _readable(
    schema: TableSchema, *, given: set[str], needed: set[str], source: str
) -> TableSchema:
    """``schema`` of the columns that are given; those that the model needs must be."""
    missing = [c.name for c in schema.columns if c.name in needed - given]
    if missing:
        raise SchemaMismatch(
            f"{source} lacks the columns {', '.join(missing)}, which the model reads",
            remedy="add them to the table; a column without values may be empty",
            columns=missing,
            source=source,
        )
    return replace(schema, columns=tuple(c for c in schema.columns if c.name in given))


def _score_split(
    split: Split,
    *,
    schema: TableSchema,
    dataset: DatasetConfig,
    listing: SourceListing,
    root: Path,
    pipeline: Pipeline,
    work: Path,
    batch_rows: int,
) -> tuple[int, int]:
    reducer, learner = pipeline[0], pipeline[-1]
    rows = rejected = 0
    writer = None
    for batch in read_split(split, schema, dataset, listing, root, batch_rows=batch_rows):
        rejected += len(batch.rejects)
        scores = predict_scores(learner, reducer.transform(batch.table), schema.task)
        columns: dict[str, Any] = {
            "source": pa.array([split.path] * len(scores)).dictionary_encode(),
            "row": pa.array(batch.rows),
        }
        if schema.key is not None:
            columns[schema.key.name] = batch.table[schema.key.name]
        columns |= _predictions(scores, schema)
        table = pa.table(columns)
        if writer is None:
            writer = BlockWriter(
                work / f"{split.id:05d}.parquet", table.schema, block_rows=BLOCK_ROWS
            )
        writer.write(table)
        rows += len(scores)
    if writer is not None:
        writer.close()
    return rows, rejected


def _predictions(scores: npt.NDArray[np.float64], schema: TableSchema) -> dict[str, Any]:
    if schema.task is Task.REGRESSION:
        return {"prediction": pa.array(scores)}
    if schema.task is Task.BINARY:
        codes, best = (scores > 0.5).astype(np.int32), scores
    else:
        codes, best = scores.argmax(axis=1).astype(np.int32), scores.max(axis=1)
    labels = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(schema.classes)))
    return {"prediction": labels, "score": pa.array(best)}


def _require_writable(output: Path) -> None:
    if output.is_dir() or not output.name:
        raise UsageError(
            f"--output {output} is a folder",
            remedy="name the Parquet file to write, for example scored.parquet",
            path=str(output),
        )


def _require_apart(output: Path, listing: SourceListing, root: Path) -> None:
    if any(split.locate(root).resolve() == output.resolve() for split in listing.splits):
        raise UsageError(
            f"--output {output} is a file of the input",
            remedy="give --output another name: the input is never overwritten",
            path=str(output),
        )


def _join(parts: list[Path], output: Path) -> None:
    """Write the parts one after another to ``output``, which appears whole or not at all."""
    written = [part for part in parts if part.exists()]
    if not written:
        raise SourceEmpty(
            "there is no row to score",
            remedy="give --input a table with at least one readable row",
        )
    staged = output.with_name(f".{output.name}.tmp")
    schema = next(read_blocks(written[0])).schema
    with BlockWriter(staged, schema, block_rows=BLOCK_ROWS) as writer:
        for part in written:
            for table in read_blocks(part):
                writer.write(table)
    with storage_errors(output):
        staged.replace(output)
