"""ingest: one scan of the raw bytes that parses, validates, types, profiles and writes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tidemill.config import DatasetConfig, IngestionConfig
from tidemill.errors import IntegrityError
from tidemill.ingestion import (
    DrawCounts,
    IngestResult,
    SourceChanges,
    SourceListing,
    ingest,
    of_files,
)
from tidemill.schema import TableSchema
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.last_look import LastLook
from tidemill.storage import ValidatedManifest, Workspace, discard_directory, read_output

__all__ = ["found_by_look", "run_ingest", "scans_of"]

NOTEWORTHY = 0.01


def run_ingest(
    context: StageContext, *, dataset: DatasetConfig, ingestion: IngestionConfig
) -> StageResult:
    """Leave data/validated, data/quarantine and reports/validation.json.

    A killed run continues after its last finished split. Scans stay for the next run: of a source
    that has grown only new and changed splits are read. Data Docs of an earlier validation are
    taken away: they would be read as those of this one.

    Raises
    ------
    ValidationFailed
        If more rows are invalid than ``ingestion.max_invalid_fraction`` allows.
    """
    workspace = context.workspace
    listing, schema = found_by_look(workspace, dataset)
    arrival = _arrival(workspace, listing)
    if context.anew:
        workspace.discard(scans_of(workspace))
    discard_directory(workspace.data_docs)  # pages of another validation
    result = ingest(
        listing,
        schema,
        dataset,
        ingestion,
        root=workspace.root,
        work=workspace.stored(scans_of(workspace)),
        out=workspace.validated,
        quarantine=workspace.quarantine,
        report=workspace.reports / "validation.json",
        engine=context.engine,
        progress=context.progress,
        keep=True,
    )
    said = () if arrival is None else (_said_of(arrival, result, anew=context.anew),)
    return _told(result, said)


def found_by_look(
    workspace: Workspace, dataset: DatasetConfig
) -> tuple[SourceListing, TableSchema]:
    """What look left: the source's splits, with their marks of this machine, and the columns.

    Raises
    ------
    IntegrityError
        If it is missing or damaged.
    """
    listing = read_output(workspace.source_listing, SourceListing.from_json)
    if not of_files(dataset):
        # Marks only save reading: look has said, or will, that its note is not as it was left.
        with suppress(IntegrityError):
            if (last := LastLook.of(workspace, dataset)) is not None:
                listing = last.marked(listing)
    return listing, read_output(workspace.schema, TableSchema.from_json)


def scans_of(workspace: Workspace) -> Path:
    """The folder where the scans of splits lie, of this run and of those before."""
    return workspace.work("ingest", "scans")


def _arrival(workspace: Workspace, listing: SourceListing) -> SourceChanges | None:
    """What the source has that data/validated lacks, and the other way; None without a version."""
    try:
        before = ValidatedManifest.read(workspace.validated)
    except IntegrityError:
        return None
    found = SourceChanges.between(before.parts, listing.splits)
    return found if found.same < found.splits or found.gone else None


def _said_of(arrival: SourceChanges, result: IngestResult, *, anew: bool) -> str:
    """What came and went; and how many splits were read though they are as they were."""
    again = result.splits_scanned - (arrival.splits - arrival.same)
    if anew or again <= 0:
        return str(arrival)
    return (
        f"{arrival}; {again:,} that are as they were were read again: their scans are lost, or of "
        "other columns, edges of histograms, settings or expectations"
    )


def _told(result: IngestResult, said: tuple[str, ...]) -> StageResult:
    counts = result.counts
    return StageResult(
        stage="ingest",
        facts={
            **({} if counts is None else {"rows_passed_over": counts.passed_over}),
            "rows_read": result.rows_read,
            "rows_valid": result.rows_valid,
            "rows_quarantined": result.rows_quarantined,
            "splits_read": result.splits_scanned,
        },
        tables={
            "quarantined": [
                {"reason": reason, "rows": rows}
                for reason, rows in sorted(result.reasons.items(), key=lambda item: -item[1])
            ],
            **({} if counts is None or len(counts.rows) < 2 else {"sample": _by_class(counts)}),
        },
        warnings=said + _warnings(result),
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
