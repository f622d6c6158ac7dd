"""ingest: one scan of the raw bytes that parses, validates, types, profiles and writes."""

from __future__ import annotations

from pathlib import Path

from tidemill.config import DatasetConfig, IngestionConfig
from tidemill.ingestion import DrawCounts, IngestResult, SourceListing, ingest
from tidemill.schema import TableSchema
from tidemill.stages.context import StageContext, StageResult
from tidemill.storage import (
    Workspace,
    digest_of,
    discard_directory,
    hash_json,
    is_left,
    read_output,
)

__all__ = ["found_by_look", "run_ingest", "work_of"]

NOTEWORTHY = 0.01


def run_ingest(
    context: StageContext, *, dataset: DatasetConfig, ingestion: IngestionConfig
) -> StageResult:
    """Leave data/validated, data/quarantine and reports/validation.json.

    A killed run continues after its last finished split. Data Docs of an earlier validation
    are taken away: they would be read as those of this one.

    Raises
    ------
    ValidationFailed
        If more rows are invalid than ``ingestion.max_invalid_fraction`` allows.
    """
    workspace = context.workspace
    listing, schema = found_by_look(workspace)
    work = work_of(workspace, listing, schema, dataset, ingestion)
    discard_directory(workspace.data_docs)  # pages of another validation
    result = ingest(
        listing,
        schema,
        dataset,
        ingestion,
        root=workspace.root,
        work=workspace.stored(work),
        out=workspace.validated,
        quarantine=workspace.quarantine,
        report=workspace.reports / "validation.json",
        engine=context.engine,
        progress=context.progress,
    )
    workspace.discard(work.parent)
    return _told(result)


def found_by_look(workspace: Workspace) -> tuple[SourceListing, TableSchema]:
    """What look left: the source's splits, and the columns.

    Raises
    ------
    IntegrityError
        If it is missing or damaged.
    """
    listing = read_output(workspace.source_listing, SourceListing.from_json)
    return listing, read_output(workspace.schema, TableSchema.from_json)


def work_of(
    workspace: Workspace,
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    ingestion: IngestionConfig,
) -> Path:
    """The folder where the finished splits of these inputs wait for the others."""
    suite = workspace.root / ingestion.suite
    key = hash_json(
        {
            "listing": listing.to_json(),
            "schema": schema.to_json(),
            "dataset": dataset.model_dump(mode="json"),
            "ingestion": ingestion.model_dump(mode="json"),
            "suite": digest_of(suite) if is_left(suite) else None,
        }
    )
    return workspace.work("ingest", key[:16])


def _told(result: IngestResult) -> StageResult:
    counts = result.counts
    return StageResult(
        stage="ingest",
        facts={
            **({} if counts is None else {"rows_passed_over": counts.passed_over}),
            "rows_read": result.rows_read,
            "rows_valid": result.rows_valid,
            "rows_quarantined": result.rows_quarantined,
        },
        tables={
            "quarantined": [
                {"reason": reason, "rows": rows}
                for reason, rows in sorted(result.reasons.items(), key=lambda item: -item[1])
            ],
            **({} if counts is None or len(counts.rows) < 2 else {"sample": _by_class(counts)}),
        },
        warnings=_warnings(result),
    )


def _warnings(result: IngestResult) -> tuple[str, ...]:
    """What was accepted and should be known: codes, lost digits, lines that are no rows."""
    cut = (
        f"{column}: {cells} cells lost digits (times have microseconds, whole numbers the 53 bits "
        "of float64)"
        for column, cells in result.cut.items()
    )
    codes = (
        f"{reason} in {rows} of {result.rows_read} rows, which are in quarantine; a text that "
        "means 'missing' belongs into dataset.missing_values"
        for reason, rows in result.reasons.items()
        if " is not a " in reason and rows >= NOTEWORTHY * result.rows_read
    )
    lines = (f"{count} {what}: left out" for what, count in result.left_out.items())
    return (*_said_of_sample(result), *codes, *cut, *lines, *result.healed)


def _by_class(counts: DrawCounts) -> list[dict[str, str | int]]:
    return [
        {"class": name or "(none)", "rows": rows, "drawn": counts.drawn.get(name, 0)}
        for name, rows in counts.rows.items()
    ]


def _said_of_sample(result: IngestResult) -> tuple[str, ...]:
    """Of how many rows which were drawn, and that classes may be as frequent as they never were."""
    counts = result.counts
    if counts is None:
        return ()
    rows, drawn = sum(counts.rows.values()), result.rows_read
    said = f"dataset.sample drew {drawn:,} of {rows:,} rows ({drawn / rows:.1%})"
    shares = {counts.drawn.get(name, 0) * rows == n * drawn for name, n in counts.rows.items()}
    if shares == {True}:
        return (said,)
    return (
        f"{said}; its classes are not as frequent as in the source, and what is counted or learnt "
        "of them is of the sample",
    )
