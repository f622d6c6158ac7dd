"""One scan of a split: parse, judge, profile, write; a worker's whole job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.cells import decoded_type
from tidemill.config import DatasetConfig
from tidemill.contracts import Split
from tidemill.errors import DataRefused, IntegrityError, PrecisionLost
from tidemill.formats import FORMATS
from tidemill.ingestion.checks.batch_view import BatchView, Mask
from tidemill.ingestion.checks.column_figures import FigureKeeper, keepers
from tidemill.ingestion.checks.gathered_keys import key_spill
from tidemill.ingestion.checks.row_tally import EXAMPLES, Example, RowTally
from tidemill.ingestion.checks.row_verdicts import TARGET_MISSING, RowVerdict, judge
from tidemill.ingestion.checks.scan_plan import ScanPlan, Uniqueness
from tidemill.ingestion.checks.unique_keys import KeySpill
from tidemill.ingestion.drawn_rows import Draw, DrawCounts
from tidemill.ingestion.quarantine import QUARANTINE_SCHEMA, quarantine_table
from tidemill.ingestion.scan_receipt import (
    PARTS,
    QUARANTINE,
    ScanReceipt,
    SpilledKeys,
    finished,
    note,
)
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.ingestion.sources.reading import read_split
from tidemill.ingestion.sources.wide_tables import (
    BATCH_CELLS,
    BLOCK_ROWS,
    block_rows_of,
    bounded_rows,
)
from tidemill.profiling import Profile
from tidemill.schema import TableSchema
from tidemill.storage import (
    BlockWriter,
    Cutter,
    Exchange,
    FileEntry,
    KeptObject,
    StoreFolder,
    hash_json,
    open_store,
)

__all__ = ["KEY_SPILL", "ScanJob", "check_source", "scan_split"]

#: Name of the spill of dataset.key; those of expectations are called by their index.
KEY_SPILL = "key"

_SHOWN = 5  # places kept for each reason


@dataclass(frozen=True)
class ScanJob:
    """What the scans of all splits share; picklable.

    Parameters
    ----------
    listing : SourceListing
        Its splits are not looked at.
    suite : dict
        The suite's document; receipts depend on it.
    work : StoreFolder
        Takes parts, refused rows, keys and receipts.
    buckets : int
        Of keys.
    kept : mapping of str to KeptObject
        What scans of earlier runs left, by its names there.
    draw : Draw or None
        Which rows are taken; None: all.
    """

    listing: SourceListing
    schema: TableSchema
    dataset: DatasetConfig
    plan: ScanPlan
    suite: dict[str, Any]
    root: Path
    work: StoreFolder
    batch_rows: int
    buckets: int
    kept: Mapping[str, KeptObject] = field(default_factory=dict)
    draw: Draw | None = None

    def spill(self, name: str, key: str) -> Exchange:
        """Where the keys of that name of one split are spilled; ``key`` is its scan's."""
        return key_spill(self.work.below(f"keys/{name}/{key}"))

    def key(self, split: Split) -> str:
        """Hash of all that the result for ``split`` depends on.

        Neither batch_rows nor the other splits are in it.
        """
        return hash_json(
            {
                "split": [split.address, split.etag, split.part, split.first_row],
                "shared": self._shared,
            }
        )

    @cached_property
    def _shared(self) -> str:
        listing = self.listing.to_json()
        return hash_json(
            {
                "version": 3,
                "listing": {k: v for k, v in listing.items() if k != "splits"},
                "schema": self.schema.to_json(),
                "dataset": self.dataset.model_dump(mode="json"),
                "suite": self.suite,
                **({} if self.draw is None else {"draw": asdict(self.draw)}),
            }
        )


def scan_split(job: ScanJob, split: Split) -> tuple[ScanReceipt, bool]:
    """Scan one split, or find that it was scanned before.

    Returns
    -------
    (ScanReceipt, bool)
        And whether it had to be scanned now.

    Raises
    ------
    IntegrityError
        If the file is not the one that was listed.
    SourceUnreadable
        If it cannot be read.
    PrecisionLost
        If a column's type, found by look, would alter a number of it.

    Notes
    -----
    Memory: a few batches and blocks, whatever the split's size.
    """
    key = job.key(split)
    known = finished(job.work, split.id, key, job.kept)
    if known is not None:
        return known, False
    try:
        receipt = _scan(job, split, key)
    except DataRefused:
        # read_split compares the bytes that it read with the listing's digest; where it stopped
        # half-way, a file that changed is the better explanation.
        check_source(job.dataset, job.root, split)
        raise
    note(job.work, receipt)
    return receipt, True


def check_source(dataset: DatasetConfig, root: Path, split: Split) -> None:
    """Compare what lies at a split's address with what was listed.

    Raises
    ------
    IntegrityError
        If they differ.
    """
    found = FORMATS[split.format](dataset, root).etag(split.address)
    if found != split.etag:
        raise IntegrityError(
            f"{split.address} changed after it was listed: {found[:20]}..., "
            f"expected {split.etag[:20]}...",
            remedy="let the source come to rest, then run again: tidemill run",
            path=split.address,
            expected=split.etag,
            found=found,
        )


def _scan(job: ScanJob, split: Split, key: str) -> ScanReceipt:
    with ExitStack() as stack:
        scan = _Scan(job, split, key, stack)
        rows = bounded_rows(job.batch_rows, len(job.listing.columns), BATCH_CELLS)
        for batch in read_split(
            split, job.schema, job.dataset, job.listing, job.root, batch_rows=rows
        ):
            scan.add(batch)
        scan.end()
    return scan.receipt()


class _Scan:
    """The state of one scan; everything in it is bounded."""

    def __init__(self, job: ScanJob, split: Split, key: str, stack: ExitStack) -> None:
        self._job, self._split, self._key, self._stack = job, split, key, stack
        self._name = f"{key}.parquet"
        block_rows = block_rows_of(len(job.schema.columns))
        self._part = self._writer(PARTS, job.schema.arrow_schema(), block_rows)
        self._quarantine = self._writer(QUARANTINE, QUARANTINE_SCHEMA, BLOCK_ROWS)
        self._spills = {name: self._spill_of(name, keys) for name, keys in _spilled(job).items()}
        self._blocks = Cutter(block_rows)
        self._keepers: list[FigureKeeper] = list(keepers(job.plan.questions, split.etag))
        self._profile: Profile | None = None
        self._tallies: dict[int, RowTally] = {}
        self._reasons: dict[str, RowTally] = {}
        self._null_keys = RowTally()
        self._read = self._rejected = self._invalid = 0
        self._target_missing = self._quarantined = 0
        self._cut: dict[str, int] = {}
        self._left_out: dict[str, int] = {}
        self._counts = None if job.draw is None else DrawCounts({}, {})

    def add(self, batch: ParsedBatch) -> None:
        if self._job.draw is not None and self._counts is not None:
            batch, counts = self._job.draw.taken(batch, self._split)
            self._counts = self._counts.merge(counts)
        self._refuse_misfits(batch)
        for name, cells in batch.cut.items():
            self._cut[name] = self._cut.get(name, 0) + cells
        for what, lines in batch.left_out.items():
            self._left_out[what] = self._left_out.get(what, 0) + lines
        view = BatchView(batch.table)
        verdict = judge(batch, view, self._job.plan, self._job.schema, self._split.id)
        bad = verdict.bad(view.rows)
        self._count(batch, verdict, bad)
        self._refuse(batch, verdict, bad)
        for keeper, question in zip(self._keepers, self._job.plan.questions, strict=True):
            where = None if question.condition is None else verdict.chosen[question.condition]
            keeper.add(view, batch.rows, where)
        for uniqueness in self._job.plan.uniqueness:
            self._spill(uniqueness, batch, view, verdict)
        good = batch.table if not bad.any() else batch.table.filter(pa.array(~bad))
        self._accept(good, batch.rows if not bad.any() else batch.rows[~bad])

    def end(self) -> None:
        """Write the last rows; the objects are there when the block of the stack has ended."""
        for block in self._blocks.close():
            self._write(block)

    def receipt(self) -> ScanReceipt:
        """What was found and written, when all is there."""
        return ScanReceipt(
            key=self._key,
            split=self._split.id,
            rows_read=self._read,
            rows_rejected=self._rejected,
            rows_invalid=self._invalid,
            rows_target_missing=self._target_missing,
            rows_quarantined=self._quarantined,
            reasons=self._reasons,
            null_keys=self._null_keys,
            tallies=self._tallies,
            figures={
                question.index: keeper.close()
                for question, keeper in zip(self._job.plan.questions, self._keepers, strict=True)
            },
            profile=self._profile,
            cut=self._cut,
            left_out=self._left_out,
            part=self._entry(self._part),
            quarantine=self._entry(self._quarantine),
            spills={name: self._keys(name) for name in self._spills},
            counts=self._counts,
        )

    def _writer(self, folder: str, schema: pa.Schema, block_rows: int) -> BlockWriter:
        work = self._job.work
        store, key = open_store(work.store), work.key(f"{folder}/{self._name}")
        file = self._stack.enter_context(store.replace(key))
        return self._stack.enter_context(BlockWriter(file, schema, block_rows=block_rows))

    def _entry(self, writer: BlockWriter) -> FileEntry:
        return replace(writer.close(), path=self._name)

    def _spill_of(self, name: str, columns: tuple[str, ...]) -> KeySpill:
        writer = self._stack.enter_context(self._job.spill(name, self._key).writer(0))
        return KeySpill(writer, _plain_schema(self._job.schema, columns))

    def _keys(self, name: str) -> SpilledKeys:
        writer, path = self._spills[name].writer, self._job.spill(name, self._key).name(0)
        place = f"keys/{name}/{self._key}/{path}"
        return SpilledKeys(place, writer.stored.sha256, writer.index)

    def _refuse_misfits(self, batch: ParsedBatch) -> None:
        """End the scan at the first number that would be altered: no type changes within one."""
        if not batch.misfits:
            return
        firsts = ((int(m.indices[0]), name, m.texts[0]) for name, m in batch.misfits.items())
        index, name, text = min(firsts)
        row = int(batch.rows[index]) + self._split.first_row
        raise PrecisionLost(
            f"{self._split.address}, row {row}: {name} is {text}, which float32 alters; it held "
            "all numbers that look saw",
            remedy=f"set in params.yaml dataset.types: {{{json.dumps(name)}: numeric}} (the "
            "column is then float64), or a larger dataset.look_rows, and run again",
            path=self._split.address,
            row=row,
            column=name,
            value=text,
        )

    def _count(self, batch: ParsedBatch, verdict: RowVerdict, bad: Mask) -> None:
        self._read += len(bad) + len(batch.rejects)
        self._rejected += len(batch.rejects)
        invalid = np.zeros(len(bad), np.bool_)
        for reason, indices in verdict.findings:
            if reason == TARGET_MISSING:
                self._target_missing += len(indices)
            else:
                invalid[indices] = True
            self._blame(reason, batch.rows[indices])
        for reject in batch.rejects:
            self._blame(reject.reason, np.array([reject.row]))
        self._invalid += int(invalid.sum()) + len(batch.rejects)
        self._quarantined += int(bad.sum()) + len(batch.rejects)
        for index, tally in verdict.tallies.items():
            self._tallies[index] = self._tallies.get(index, RowTally()).merge(tally)

    def _blame(self, reason: str, rows: npt.NDArray[np.int64]) -> None:
        places = tuple(Example(self._split.id, int(row), None) for row in rows[:_SHOWN])
        tally = RowTally(unexpected=len(rows), examples=places)
        self._reasons[reason] = self._reasons.get(reason, RowTally()).merge(tally)

    def _refuse(self, batch: ParsedBatch, verdict: RowVerdict, bad: Mask) -> None:
        if bad.any() or batch.rejects:
            self._quarantine.write(
                quarantine_table(
                    batch,
                    verdict.findings,
                    bad,
                    source=self._split.address,
                    first_row=self._split.first_row,
                )
            )

    def _accept(self, table: pa.Table, rows: npt.NDArray[np.int64]) -> None:
        key = self._job.schema.key
        if key is not None and table.num_rows:
            keys = table.select([key.name])
            present = BatchView(keys).valid(key.name)
            absent = rows[~present]
            first = tuple(Example(self._split.id, int(row), None) for row in absent[:EXAMPLES])
            self._null_keys = self._null_keys.merge(
                RowTally(unexpected=len(absent), examples=first)
            )
            if len(absent):
                keys, rows = keys.filter(pa.array(present)), rows[present]
            self._spills[KEY_SPILL].add(keys, rows)
        for block in self._blocks.add(table):
            self._write(block)

    def _write(self, block: pa.Table) -> None:
        self._part.write(block)
        profile = Profile.of(block, self._job.schema)
        self._profile = profile if self._profile is None else self._profile.merge(profile)

    def _spill(
        self, uniqueness: Uniqueness, batch: ParsedBatch, view: BatchView, verdict: RowVerdict
    ) -> None:
        held = np.column_stack([view.valid(column) for column in uniqueness.columns])
        whole_only = uniqueness.ignore == "any_value_is_missing"
        considered = held.all(axis=1) if whole_only else held.any(axis=1)
        if uniqueness.ignore == "never":
            considered = np.ones(view.rows, np.bool_)
        where = np.ones(view.rows, np.bool_)
        if uniqueness.condition is not None:
            where = verdict.chosen[uniqueness.condition]
        chosen = considered & where
        tally = RowTally(
            rows=int(where.sum()),
            missing=int((where & ~held.all(axis=1)).sum()),
            considered=int(chosen.sum()),
        )
        before = self._tallies.get(uniqueness.index, RowTally())
        self._tallies[uniqueness.index] = before.merge(tally)
        keys = batch.table.select(list(uniqueness.columns)).filter(pa.array(chosen))
        self._spills[str(uniqueness.index)].add(keys, batch.rows[chosen])


def _spilled(job: ScanJob) -> dict[str, tuple[str, ...]]:
    spilled = {} if job.schema.key is None else {KEY_SPILL: (job.schema.key.name,)}
    return {**spilled, **{str(u.index): u.columns for u in job.plan.uniqueness}}


def _plain_schema(schema: TableSchema, columns: tuple[str, ...]) -> pa.Schema:
    return pa.schema([(name, decoded_type(schema[name].arrow_type)) for name in columns])
