"""The stage: scan every split, let Great Expectations judge, commit or refuse."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tidemill.config import DatasetConfig, IngestionConfig
from tidemill.contracts import Engine, Progress, Split
from tidemill.ingestion.acceptance import (
    FailedExpectation,
    ScanTotals,
    failed_expectations,
    key_problem,
)
from tidemill.ingestion.checks.column_figures import ColumnFigures
from tidemill.ingestion.checks.gathered_keys import check_keys
from tidemill.ingestion.checks.gx_metrics import ScanFindings
from tidemill.ingestion.checks.row_tally import RowTally
from tidemill.ingestion.checks.scan_plan import ScanPlan, compile_plan
from tidemill.ingestion.checks.suite import Suite, load_suite
from tidemill.ingestion.checks.suite_judges import SuiteJudges
from tidemill.ingestion.checks.target_classes import class_labels, target_problem
from tidemill.ingestion.checks.unique_keys import BucketCheck, bucket_count
from tidemill.ingestion.commit_scan import commit_rows
from tidemill.ingestion.drawn_rows import DrawCounts, drawn_from
from tidemill.ingestion.kept_scans import keep_scans, scanned_objects
from tidemill.ingestion.left_out import left_out
from tidemill.ingestion.scan import KEY_SPILL, ScanJob, check_source, scan_split
from tidemill.ingestion.scan_receipt import ScanReceipt
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.ingestion.validation_report import write_report
from tidemill.profiling import Profile
from tidemill.schema import TableSchema
from tidemill.storage import Receipts, StoreFolder, ValidatedManifest, open_store

__all__ = ["IngestResult", "ingest", "scan_job"]


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What ingestion accepted.

    Parameters
    ----------
    manifest : ValidatedManifest
    profile : Profile
        Of the valid rows.
    rows_read, rows_valid, rows_quarantined : int
        ``rows_read == rows_valid + rows_quarantined``.
    rows_target_missing : int
        Quarantined rows without a target.
    reasons : dict of reason to rows
        A row counts once for each of its reasons.
    success : bool
        Whether every expectation was met (``mostly`` included).
    failed : tuple of FailedExpectation
        Those that were not; none of them refuses the data.
    splits_scanned, splits_resumed : int
        Scanned now; taken over from an earlier run.
    cut : dict of column name to int
        Times that lost digits beyond the microsecond, whole numbers beyond float64.
    left_out : dict of str to int
        Lines of text that are no rows, by what they are.
    counts : DrawCounts or None
        Of a sample: all other counts are of the rows that were drawn.
    healed : tuple of str
        What to say of earlier scans that were not whole, and were made again.
    """

    manifest: ValidatedManifest
    profile: Profile
    rows_read: int
    rows_valid: int
    rows_quarantined: int
    rows_target_missing: int
    reasons: dict[str, int]
    success: bool
    failed: tuple[FailedExpectation, ...]
    splits_scanned: int
    splits_resumed: int
    cut: dict[str, int]
    left_out: dict[str, int]
    counts: DrawCounts | None = None
    healed: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        manifest: ValidatedManifest,
        totals: ScanTotals,
        failed: tuple[FailedExpectation, ...],
        *,
        scanned: int,
        resumed: int,
        healed: tuple[str, ...],
    ) -> IngestResult:
        """What became of data that were not refused."""
        assert totals.profile is not None  # noqa: S101 (no valid row is a refusal)
        return cls(
            manifest=manifest,
            profile=totals.profile,
            rows_read=totals.rows_read,
            rows_valid=totals.rows_valid,
            rows_quarantined=totals.rows_quarantined,
            rows_target_missing=totals.rows_target_missing,
            reasons={reason.reason: reason.rows for reason in totals.reasons},
            success=not failed,
            failed=failed,
            splits_scanned=scanned,
            splits_resumed=resumed,
            cut=dict(totals.cut),
            left_out=dict(totals.left_out),
            counts=totals.counts,
            healed=healed,
        )


def ingest(
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    config: IngestionConfig,
    *,
    root: Path,
    work: StoreFolder,
    out: Path,
    quarantine: Path,
    report: Path,
    engine: Engine,
    progress: Progress | None = None,
    keep: bool = False,
) -> IngestResult:
    """Validate the source and write its valid rows as typed Parquet.

    Parameters
    ----------
    listing, schema, dataset, config
        What look found, and the sections of params.yaml.
    root : Path
        The workspace; the suite and relative sources lie in it.
    work : StoreFolder
        Where scans lie: those of a killed or refused run are not made again.
    out, quarantine, report : Path
        The stage's outputs: data/validated, data/quarantine, reports/validation.json.
    engine : Engine
    progress : Progress, optional
        Told of finished splits.
    keep : bool
        Leave the scans in ``work`` for the next run; else they are deleted after success.

    Raises
    ------
    SuiteInvalid, ColumnMissing
        Before any row is read.
    SourceEmpty, SourceUnreadable, IntegrityError
    ValidationFailed, TargetUnusable, KeyInvalid
        The report is written all the same; ``out`` and ``quarantine`` keep what they held, and
        the refused rows lie in ``work/quarantine``.

    Notes
    -----
    Memory: a few batches in each worker, one bucket of keys; nothing grows with the rows.
    """
    suite = load_suite(root / config.suite)
    job = _job(suite, listing, schema, dataset, config, root=root, work=work)
    plan, splits = job.plan, listing.splits
    judges = SuiteJudges(suite, plan, schema)
    job = _with_draw(job, splits, engine, progress)
    receipts, fresh = _scanned(job, splits, engine, progress)
    totals = ScanTotals.of(receipts, splits)
    checks = _checked_keys(job, receipts, engine)
    findings = _findings(plan, receipts, checks)
    document = judges.document(findings)
    row_wise = {rule.index for rule in plan.rules}
    failed = failed_expectations(document, suite, findings.tallies, row_wise)
    refusal = (
        totals.refusal(
            config, failed, schema.target.name, of_suite={r.reason for r in plan.rules if r.decides}
        )
        or key_problem(schema, totals.null_keys, checks.get(KEY_SPILL, BucketCheck()), splits)
        or target_problem(schema, totals.profile, sampled=dataset.sample is not None)
    )
    write_report(report, document, totals, failed, config, refusal)
    if refusal is not None:
        raise refusal
    assert totals.profile is not None  # noqa: S101 (no valid row is a refusal)
    complete = schema.with_classes(class_labels(schema, totals.profile, dataset.positive))
    manifest = commit_rows(complete, receipts, splits, work=work, out=out, quarantine=quarantine)
    healed = Receipts(work).made_anew("scanned splits")
    if keep:
        keep_scans(work, receipts, now_ns=time.time_ns())
    else:
        open_store(work.store).discard(work.folder)
    resumed = len(receipts) - fresh
    return IngestResult.of(manifest, totals, failed, scanned=fresh, resumed=resumed, healed=healed)


def scan_job(
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    config: IngestionConfig,
    *,
    root: Path,
    work: StoreFolder,
    engine: Engine,
) -> ScanJob:
    """What the scans of all splits share, for :func:`scan_split`; parameters as for :func:`ingest`.

    Raises
    ------
    SuiteInvalid, ColumnMissing
    """
    suite = load_suite(root / config.suite)
    job = _job(suite, listing, schema, dataset, config, root=root, work=work)
    return _with_draw(job, listing.splits, engine, None)


def _job(
    suite: Suite,
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    config: IngestionConfig,
    *,
    root: Path,
    work: StoreFolder,
) -> ScanJob:
    return ScanJob(
        listing=replace(listing, splits=()),
        schema=schema,
        dataset=dataset,
        plan=compile_plan(suite, schema, left_out(listing, dataset, schema)),
        suite=suite.document,
        root=root,
        work=work,
        batch_rows=config.batch_rows,
        buckets=bucket_count(sum(split.bytes for split in listing.splits)),
        kept=scanned_objects(work),
    )


def _with_draw(
    job: ScanJob, splits: tuple[Split, ...], engine: Engine, progress: Progress | None
) -> ScanJob:
    """The job, which knows by now which rows ``dataset.sample`` draws."""
    draw = drawn_from(
        replace(job.listing, splits=splits),
        job.schema,
        job.dataset,
        root=job.root,
        work=job.work,
        batch_rows=job.batch_rows,
        engine=engine,
        progress=progress,
    )
    return replace(job, draw=draw)


def _scanned(
    job: ScanJob, splits: Sequence[Split], engine: Engine, progress: Progress | None
) -> tuple[list[ScanReceipt], int]:
    """The receipts of all splits, and how many had to be scanned now."""
    scanned = engine.map(partial(scan_split, job), splits, label="ingest", progress=progress)
    unconfirmed = [
        split
        for split, (receipt, now) in zip(splits, scanned, strict=True)
        if now or not job.kept.keys() >= receipt.left().keys()
    ]
    _check_shared_files(unconfirmed, job.dataset, job.root, engine)
    return [receipt for receipt, _ in scanned], sum(now for _, now in scanned)


def _check_shared_files(
    splits: Sequence[Split], dataset: DatasetConfig, root: Path, engine: Engine
) -> None:
    # Files that are cut into several splits are compared with their digest once, at the end.
    shared = {split.address: split for split in splits if split.part is not None}
    engine.map(partial(check_source, dataset, root), list(shared.values()), label="verify source")


def _checked_keys(
    job: ScanJob, receipts: Sequence[ScanReceipt], engine: Engine
) -> dict[str, BucketCheck]:
    keyed = [KEY_SPILL] if job.schema.key else []
    keyed += [str(rule.index) for rule in job.plan.uniqueness]
    return {name: _check_keys(job, name, receipts, engine) for name in keyed}


def _check_keys(
    job: ScanJob, name: str, receipts: Sequence[ScanReceipt], engine: Engine
) -> BucketCheck:
    spills = [job.spill(name, r.key).holding([r.spills[name].index]) for r in receipts]
    gathered = job.work.below(f"gathered/{name}")
    return check_keys(spills, gathered, job.buckets, engine)


def _findings(
    plan: ScanPlan, receipts: Sequence[ScanReceipt], checks: dict[str, BucketCheck]
) -> ScanFindings:
    tallies: dict[int, RowTally] = {}
    figures: dict[int, ColumnFigures] = {}
    for receipt in receipts:
        for index, tally in receipt.tallies.items():
            tallies[index] = tallies[index].merge(tally) if index in tallies else tally
        for index, part in receipt.figures.items():
            figures[index] = figures[index].merge(part) if index in figures else part
    distinct = {}
    for uniqueness in plan.uniqueness:
        check = checks[str(uniqueness.index)]
        distinct[uniqueness.index] = check.distinct
        before = tallies.get(uniqueness.index, RowTally())
        tallies[uniqueness.index] = replace(
            before, unexpected=check.repeated_rows, examples=check.examples
        )
    # Rejected records are no rows; Great Expectations would not have seen them either.
    rows = sum(r.rows_read - r.rows_rejected for r in receipts)
    return ScanFindings(rows=rows, tallies=tallies, figures=figures, distinct=distinct)
