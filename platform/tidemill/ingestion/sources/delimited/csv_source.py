"""Delimited text as a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, ClassVar

import pyarrow as pa

from tidemill.config import DatasetConfig
from tidemill.contracts import RawBatch, Reject, RowsAsked, Sniffed, Split
from tidemill.errors import ConfigError, SchemaMismatch, SourceEmpty, SourceUnreadable
from tidemill.ingestion.sources.column_names import (
    refuse_more_columns,
    unique_names,
    with_written_names,
)
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.csv_rows import read_csv_rows
from tidemill.ingestion.sources.delimited.dialect import (
    find_dialect,
    find_encoding,
    head_lines,
    read_head,
)
from tidemill.ingestion.sources.delimited.head_layout import common_width
from tidemill.ingestion.sources.delimited.helpful_settings import (
    setting_that_names,
    setting_that_reads,
)
from tidemill.ingestion.sources.delimited.other_dialects import (
    reads_badly,
    refuse_other_dialect,
    refuse_other_encoding,
    said_of_files,
)
from tidemill.ingestion.sources.files import FileSource
from tidemill.ingestion.sources.many_text_columns import columns_of_texts
from tidemill.ingestion.sources.streams import first_bytes
from tidemill.ingestion.sources.text_columns import Stated

__all__ = ["CsvSource"]

_AS_IT_IS = (
    "mend the file, or set dataset.csv.delimiter, quote, escape, header or skip_lines to how it is "
    "written"
)


class CsvSource(FileSource):
    """Delimited text, written alike in all files."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".txt", ".psv", ".data")
    scanned: ClassVar[int] = 4

    def sniff(self, splits: tuple[Split, ...], share: Callable[[int], int], named: str) -> Sniffed:
        """Names from the first file, types from all; and the dialect."""
        first = splits[0]
        stated = self.dataset.csv
        encoding = find_encoding(stated.encoding, first_bytes(first, self.files), first.address)
        head = read_head(first, self.files, encoding)
        if not head.strip():
            raise SourceEmpty(
                f"{first.address} holds no data",
                remedy=f"put data there, or let {named} name another file",
                path=first.address,
            )
        dialect = find_dialect(stated, encoding, head, first.address)
        written = _csv_fields(self.dataset, head, dialect, first)
        names = tuple(unique_names(list(written)))
        rows = share(len(names))
        read = ((s, self._first_rows(s, first.address, dialect, names, rows)) for s in splits)
        batches = [(split, batch) for split, batch in read if batch is not None]
        if not any(len(batch.rows) for _, batch in batches):
            raise _no_rows(batches, self.dataset, head, encoding, named)
        found = columns_of_texts(
            {name: pa.concat_arrays([b.columns[name] for _, b in batches]) for name in names},
            {name: Stated.of(self.dataset, name) for name in names},
        )
        return Sniffed(with_written_names(found.values(), written), asdict(dialect))

    def _first_rows(
        self, split: Split, first: str, dialect: CsvDialect, names: tuple[str, ...], rows: int
    ) -> RawBatch | None:
        """The first rows of one file, which is to be written as the first of the source."""
        stated, files = self.dataset.csv, self.files
        if split.address != first:
            refuse_other_encoding(split, files, dialect, stated, first)
        read = read_csv_rows(
            split,
            files,
            dialect=dialect,
            names=names,
            whole=False,
            wanted=dict.fromkeys(names, pa.string()),
            batch_rows=rows,
        )
        try:
            batch = next(read, None)
        except (SchemaMismatch, SourceUnreadable):
            refuse_other_dialect(split, files, dialect, stated, first)
            raise
        if split.address != first and batch is not None and reads_badly(batch, dialect):
            refuse_other_dialect(split, files, dialect, stated, first)
        return batch

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """See :func:`read_csv_rows`."""
        return read_csv_rows(
            split,
            self.files,
            dialect=CsvDialect(**(asked.written or {})),
            names=asked.listed,
            wanted=asked.columns,
            null_values=asked.missing,
            batch_rows=asked.batch_rows,
            whole=asked.max_batches is None,
        )

    def said(self, splits: tuple[Split, ...], written: dict[str, Any] | None) -> tuple[str, ...]:
        """What is unusual in the dialect, and files whose encoding is doubtful."""
        return said_of_files(splits, CsvDialect(**(written or {})), self.files)

    def setting_for(
        self, column: str, splits: tuple[Split, ...], written: dict[str, Any] | None
    ) -> str:
        """What makes a line that holds the column the header."""
        encoding = CsvDialect(**(written or {})).encoding
        return setting_that_names(column, self.dataset.csv, splits[0], encoding, self.files)


def _no_rows(
    batches: list[tuple[Split, RawBatch]],
    dataset: DatasetConfig,
    head: bytes,
    encoding: str,
    named: str,
) -> SourceEmpty | SourceUnreadable:
    """Why there is no row: none is there, or none of the lines can be read as one."""
    rejects = [(split, reject) for split, batch in batches for reject in batch.rejects]
    if rejects:
        helps = setting_that_reads(dataset.csv, encoding, head, batches[0][0].address)
        return _no_row(rejects, f"set {helps}" if helps else _AS_IT_IS)
    return SourceEmpty(
        f"{named} {dataset.source!r} has no rows (a header at most)",
        remedy="put data there, or set dataset.csv.header: false if the first line is data",
        source=dataset.source,
    )


def _no_row(rejects: list[tuple[Split, Reject]], remedy: str) -> SourceUnreadable:
    """Why none of the lines looked at is a row, with the first of them."""
    split, first = rejects[0]
    reasons = Counter(reject.reason for _, reject in rejects).most_common(3)
    said = ", ".join(f"{reason} in {lines} lines" for reason, lines in reasons)
    shown = "; ".join(f"line {r.line}: {r.raw[:80]!r}" for _, r in rejects[:3])
    return SourceUnreadable(
        f"{split.address}: none of the {len(rejects)} lines looked at can be read as a row: "
        f"{said}. {shown}",
        remedy=remedy,
        path=split.address,
        line=first.line,
        reasons=tuple(reason for reason, _ in reasons),
    )


def _csv_fields(
    dataset: DatasetConfig, head: bytes, dialect: CsvDialect, split: Split
) -> tuple[str, ...]:
    lines = head_lines(head, dialect, split.address)
    refuse_more_columns(len((lines and lines[0].fields) or ()), split.address)
    if dialect.header:
        return (lines and lines[0].fields) or ("",)
    width = common_width(lines)[0] - dialect.trailing
    stated = dataset.csv.header
    if isinstance(stated, tuple):
        if len(stated) != width:
            raise ConfigError(
                f"dataset.csv.header names {len(stated)} columns, {split.address} has {width}",
                remedy="give one name for each column of the file",
                stated=len(stated),
                found=width,
            )
        return stated
    return tuple(f"column_{number}" for number in range(1, max(width, 1) + 1))
