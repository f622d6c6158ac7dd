"""score: predict every row of a table with a registered model, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tidemill.config import DatasetConfig, Params
from tidemill.errors import IntegrityError, SchemaMismatch, UsageError
from tidemill.ingestion import (
    ParsedBatch,
    SourceListing,
    Split,
    list_source,
    oddities_of,
    read_split,
    said_of_formats,
)
from tidemill.learning import predict_scores, threshold_of
from tidemill.oddities import Oddities, Oddity
from tidemill.profiling import CategoryProfile
from tidemill.schema import ColumnType, Purpose, TableSchema, Task
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.predictions import (
    BLOCK_ROWS,
    PLACE,
    join_parts,
    prediction_columns,
    require_writable,
)
from tidemill.storage import (
    BlockWriter,
    ObjectFile,
    SourceFiles,
    StoreFolder,
    hash_json,
    open_store,
)
from tidemill.tracking import (
    LoadedModel,
    fetch_reference,
    load_champion,
    load_reference,
    seen_categories,
)

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["score_files"]

INPUT = "--input"

Seen = Mapping[str, CategoryProfile]


@dataclass(frozen=True, slots=True)
class _Scored:
    """Rows, what was odd about them, and the keys of their predictions, in order."""

    rows: int
    found: Oddities
    parts: tuple[str, ...]

    def merge(self, other: _Scored) -> _Scored:
        """Of splits that follow each other."""
        return _Scored(
            self.rows + other.rows, self.found.merge(other.found), self.parts + other.parts
        )


def score_files(
    context: StageContext, *, params: Params, source: str, output: Path, model: str = "champion"
) -> StageResult:
    """Write one row of predictions for every readable row of ``source``, in its order.

    Columns of the file, Parquet or CSV by its ending: ``source`` and ``row`` (0-based), the key
    where there is one, then :func:`tidemill.stages.predictions.prediction_columns`. A cell that
    cannot be read counts as missing, a line that is no row gets no prediction; the result counts
    both, by column, as well as keys that were lost, categories that training rows did not have,
    and numbers that were rounded.

    Raises
    ------
    ValidationFailed
        If more than ``ingestion.max_invalid_fraction`` of the rows cannot be read; nothing is
        written then.

    Notes
    -----
    Memory: one batch and its matrix, per worker.
    """
    require_writable(output)
    loaded = _model(context, params.model_name, model)
    dataset = _dataset(params.dataset, source, loaded.schema)
    root = context.workspace.root
    listing = list_source(dataset, root, context.engine, named=INPUT, given=source)
    _require_apart(output, listing, SourceFiles(root))
    schema = _readable(loaded, {column.name for column in listing.columns}, dataset, source)
    # Named by the output: two tables may be scored at once, and a killed score leaves nothing
    # that the next one to the same place does not clear away.
    work = context.workspace.work("score", hash_json(str(output.absolute()))[:16])
    context.workspace.fresh(work)
    try:
        seen, notes = _seen(context, params.model_name, loaded, work / "reference")
        function = partial(
            _score_split,
            schema=schema,
            dataset=dataset,
            listing=listing,
            root=root,
            pipeline=loaded.pipeline,
            folder=context.workspace.stored(work / "parts"),
            batch_rows=params.ingestion.batch_rows,
            seen=seen,
        )
        scored = context.engine.fold(
            function, listing.splits, _Scored.merge, label="score", progress=context.progress
        )
        _refuse(scored.found, params.ingestion.max_invalid_fraction, source)
        store = open_store(context.workspace.store())
        join_parts([ObjectFile(store, key) for key in scored.parts], output)
    finally:
        context.workspace.discard(work)
    facts = {
        **_counts(scored.rows, scored.found),
        **_decided(loaded.pipeline, schema.task),
        "model": params.model_name,
        "version": loaded.version,
        "output": str(output),
    }
    told = (*loaded.notes, *notes, *said_of_formats(dataset), *scored.found.sentences())
    return StageResult("score", facts, {"odd_cells": scored.found.table()}, warnings=told)


def _model(context: StageContext, name: str, wanted: str) -> LoadedModel:
    """A version by its number, or by its alias."""
    uri = context.tracker.uri
    if wanted.isdigit():
        return load_champion(uri, name, version=int(wanted))
    return load_champion(uri, name, alias=wanted)


def _dataset(dataset: DatasetConfig, source: str, schema: TableSchema) -> DatasetConfig:
    """The settings of the table to score; what is derived of it is the model's to say."""
    needed = [c.name for c in schema.columns if c.purpose is not Purpose.TARGET]
    another = dataset.of_another(SourceFiles(Path.cwd()).absolute(source))
    return another.model_copy(update={"derive": {k: v for k, v in schema.derived if k in needed}})


def _readable(
    loaded: LoadedModel, given: set[str], dataset: DatasetConfig, source: str
) -> TableSchema:
    """What is read: the columns that are given; those that the model needs must be.

    The table need not hold what is to be predicted.
    """
    given = given | set(dataset.derive)
    schema = loaded.schema
    columns = [c for c in schema.columns if c.purpose is not Purpose.TARGET]
    needed = {str(name) for name in loaded.pipeline[0].feature_names_in_}
    missing = [c.name for c in columns if c.name in needed - given]
    if missing:
        raise SchemaMismatch(
            f"{source} lacks the columns {', '.join(missing)}, which the model reads",
            remedy="add them to the table; a column without values may be empty",
            columns=missing,
            source=source,
        )
    return replace(schema, columns=tuple(c for c in columns if c.name in given))


def _seen(
    context: StageContext, name: str, loaded: LoadedModel, folder: Path
) -> tuple[Seen, Sequence[str]]:
    """The categories of training rows, and what is to be said where they are not known."""
    if not any(c.type is ColumnType.CATEGORICAL for c in loaded.schema.features):
        return {}, ()
    fetch_reference(context.tracker.uri, name, loaded.version, folder)
    try:
        return seen_categories(load_reference(folder)), ()
    except IntegrityError:
        said = "has no reference that can be read: which categories are new cannot be told"
        return {}, (f"version {loaded.version} of {name} {said}",)


def _refuse(found: Oddities, limit: float, source: str) -> None:
    error = found.refusal(
        limit,
        source=source,
        remedy=f"write the table of {INPUT} as the model's was written (dates, decimals, codes), "
        "leave out a key or column that the model does not need, or raise "
        "ingestion.max_invalid_fraction",
    )
    if error is not None:
        raise error


def _decided(pipeline: Pipeline, task: Task) -> dict[str, float]:
    return {"threshold": threshold_of(pipeline[-1])} if task is Task.BINARY else {}


def _counts(rows: int, found: Oddities) -> dict[str, float]:
    return {
        "rows": rows,
        "unreadable_lines": found.lines,
        "unreadable_cells": found.count(Oddity.UNREADABLE),
        "lost_keys": found.count(Oddity.KEY_LOST),
        "missing_keys": found.count(Oddity.NO_KEY),
        "never_seen_categories": found.count(Oddity.NEVER_SEEN),
        "rounded_numbers": found.count(Oddity.ROUNDED),
        "cut_values": found.count(Oddity.CUT),
    }


def _score_split(
    split: Split,
    *,
    schema: TableSchema,
    dataset: DatasetConfig,
    listing: SourceListing,
    root: Path,
    pipeline: Pipeline,
    folder: StoreFolder,
    batch_rows: int,
    seen: Seen,
) -> _Scored:
    rows, found, kept = 0, Oddities(), None
    with ExitStack() as stack:
        for batch in read_split(split, schema, dataset, listing, root, batch_rows=batch_rows):
            found = found.merge(oddities_of(batch, schema, split, seen))
            table = _predicted(batch, split, schema, pipeline)
            if kept is None:
                kept = stack.enter_context(
                    open_store(folder.store).write(folder.folder, durable=False)
                )
                writer = BlockWriter(kept, table.schema, block_rows=BLOCK_ROWS)
                stack.enter_context(writer)
            writer.write(table)
            rows += table.num_rows
    return _Scored(rows, found, () if kept is None else (kept.stored.key,))


def _predicted(
    batch: ParsedBatch, split: Split, schema: TableSchema, pipeline: Pipeline
) -> pa.Table:
    scores = predict_scores(pipeline[-1], pipeline[0].transform(batch.table), schema.task)
    columns: dict[str, Any] = {
        PLACE[0]: pa.array([split.address] * len(scores)).dictionary_encode(),
        PLACE[1]: pa.array(batch.rows + split.first_row),
    }
    if schema.key is not None:
        columns[schema.key.name] = batch.table[schema.key.name]
    predicted = prediction_columns(scores, schema, threshold_of(pipeline[-1]))
    return pa.table(_joined(columns, predicted))


def _joined(given: dict[str, Any], predicted: dict[str, Any]) -> dict[str, Any]:
    taken = given.keys() & predicted.keys()
    if taken:
        raise SchemaMismatch(
            f"the key {min(taken)!r} has the name of a column of predictions",
            remedy=f"give the key another name in the table of {INPUT}: it is left out then",
            column=min(taken),
        )
    return given | predicted


def _require_apart(output: Path, listing: SourceListing, files: SourceFiles) -> None:
    place = str(output.absolute())
    if any(files.same(split.address, place) for split in listing.splits):
        raise UsageError(
            f"--output {output} is a file of the input",
            remedy="give --output another name: the input is never overwritten",
            path=str(output),
        )
