"""The scan of ingest over lines of text, for Hadoop streaming or any other batch system."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Self, TextIO

from tidemill.config import DatasetConfig, IngestionConfig
from tidemill.contracts import Split
from tidemill.errors import IntegrityError, UsageError, first_few
from tidemill.ingestion import ScanJob, is_noted, scan_job, scan_split
from tidemill.stages.context import StageContext
from tidemill.stages.ingest import found_by_look, scans_of

__all__ = ["SplitLine", "SplitLines"]

LONGEST_LINE = 1 << 16
"""Characters of a line, its end included; the longest address has a tenth of them."""

_NAMED = 5  # positions that an error names


@dataclass(frozen=True, slots=True)
class SplitLine:
    """One split on a line: its position, the key of its scan, and something for people.

    Lines sort as the splits do, as texts too.

    Parameters
    ----------
    position : int
        In data/source.json.
    key : str
        SHA-256 of all that the scan depends on: source, schema, settings, suite.
    told : str or int
        The address before the scan, the rows read after it.
    """

    position: int
    key: str
    told: str | int

    def __str__(self) -> str:
        return f"{self.position:08d}\t{self.key}\t{json.dumps(self.told)}"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read what ``str`` gave, with or without the end of the line.

        Raises
        ------
        UsageError
            If it is no such line.
        """
        try:
            position, key, written = line.rstrip("\r\n").split("\t", 2)
            told = json.loads(written)
            if not isinstance(told, str | int) or isinstance(told, bool):
                raise ValueError("neither an address nor a number of rows")
            return cls(int(position), key, told)
        except (RecursionError, ValueError) as exc:
            raise _no_line(repr(line[:80].rstrip()), line) from exc

    @classmethod
    def read(cls, file: TextIO) -> Iterator[Self]:
        """The lines of a file, as they come; empty ones, as batch systems add them, are none.

        Memory: a line of :data:`LONGEST_LINE` characters.

        Raises
        ------
        UsageError
            If one is longer, or no such line.
        """
        try:
            while line := file.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    raise _no_line(
                        f"{line[:80]!r}..., of more than {LONGEST_LINE:,} characters", line
                    )
                if line.strip():
                    yield cls.parse(line)
        except UnicodeDecodeError as exc:
            raise _no_line(f"bytes that are no text ({exc.reason})", "") from exc


def _no_line(what: str, line: str) -> UsageError:
    return UsageError(
        f"no line of a split: {what}",
        remedy="give the lines of `tidemill map --items` to `tidemill map`, and its lines, "
        "whole, to `tidemill merge`",
        line=line[:500],
    )


class SplitLines:
    """The splits that look found, as lines to scan and lines that are scanned.

    What a scan finds lies in the work folder, where a killed ``ingest`` finds it too: the lines
    say which scans are done, and of what.

    Parameters
    ----------
    context : StageContext
        Its engine scans.
    dataset, ingestion
        Sections of params.yaml.

    Raises
    ------
    IntegrityError
        If look has not run.
    SuiteInvalid, ColumnMissing

    Notes
    -----
    Memory: the listing; in each worker a few batches, whatever a split's size.
    """

    def __init__(
        self, context: StageContext, *, dataset: DatasetConfig, ingestion: IngestionConfig
    ) -> None:
        workspace = context.workspace
        listing, schema = found_by_look(workspace, dataset)
        work = workspace.stored(scans_of(workspace))
        self._splits, self._engine = listing.splits, context.engine
        self._job: ScanJob = scan_job(
            listing,
            schema,
            dataset,
            ingestion,
            root=workspace.root,
            work=work,
            engine=context.engine,
        )

    def items(self) -> Iterator[SplitLine]:
        """A line for each split."""
        for position, split in enumerate(self._splits):
            yield SplitLine(position, self._keys[position], split.address)

    def scan(self, lines: Iterable[SplitLine]) -> Iterator[SplitLine]:
        """Scan the splits of ``lines``; a line for each as it is done, in whatever order.

        What was scanned before is not scanned again. Lines are taken as there is room.

        Raises
        ------
        IntegrityError
            If a line is one of other data or settings.
        DataRefused
            As ``ingest`` would raise for the split.
        """
        asked: list[SplitLine] = []

        def splits() -> Iterator[Split]:
            taken: set[int] = set()
            for found in map(self._known, lines):
                if found.position not in taken:  # two workers would write one split side by side
                    taken.add(found.position)
                    asked.append(found)
                    yield self._splits[found.position]

        scans = self._engine.stream(partial(_rows_scanned, self._job), splits(), label="map")
        for at, rows in scans:
            yield SplitLine(asked[at].position, asked[at].key, rows)

    def require_scanned(self, lines: Iterable[SplitLine]) -> None:
        """Refuse lines that are not those of every split, scanned, and scans that left nothing.

        A line may come twice.

        Raises
        ------
        IntegrityError
            As for :meth:`scan`; or if the line of a split is missing, or what its scan found is not
            where ingest looks for it.
        """
        told = {line.position for line in map(self._known, lines) if isinstance(line.told, int)}
        absent = [position for position in range(len(self._splits)) if position not in told]
        if absent:
            raise IntegrityError(
                f"{len(absent)} of {len(self._splits)} splits have no line of a scan: "
                f"{_positions(absent)}",
                remedy="run `tidemill map --items | tidemill map` once more and merge its lines: "
                "what has been scanned is not scanned again",
                splits=absent[:_NAMED],
            )
        self._require_left()

    def _require_left(self) -> None:
        absent = [
            position for position, key in enumerate(self._keys) if not is_noted(self._job.work, key)
        ]
        if absent:
            raise IntegrityError(
                f"{len(absent)} of {len(self._splits)} splits left nothing in {self._job.work}: "
                f"{_positions(absent)}; their workers saw another folder",
                remedy="let each worker see this very workspace, under this path, then run "
                "`tidemill map --items | tidemill map` and merge its lines",
                splits=absent[:_NAMED],
            )

    @cached_property
    def _keys(self) -> list[str]:
        return [self._job.key(split) for split in self._splits]

    def _known(self, line: SplitLine) -> SplitLine:
        if 0 <= line.position < len(self._splits) and self._keys[line.position] == line.key:
            if line.told == self._splits[line.position].address or isinstance(line.told, int):
                return line
            what = f"says {line.told[:80]!r}, which is not its address"
        else:
            what = "is one of other data or settings"
        raise IntegrityError(
            f"the line of split {line.position} {what}",
            remedy="run `tidemill run --until look`, then `tidemill map --items` for new lines",
            line=str(line)[:500],
        )


def _rows_scanned(job: ScanJob, split: Split) -> int:
    receipt, _ = scan_split(job, split)
    return receipt.rows_read


def _positions(absent: list[int]) -> str:
    return first_few((f"{position:08d}" for position in absent), _NAMED)
