"""For each clause of the contract of sources one that breaks it.

A contract suite that a bad source passes is none: :data:`BAD_SOURCES` names, for each test of
``SourceContract``, a source that must fail it. But for that they read delimited text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from tidemill.contracts import RawBatch, RowsAsked, Sniffed, Split
from tidemill.ingestion.sources.delimited.csv_source import CsvSource

__all__ = ["BAD_SOURCES"]


class Unnamed(CsvSource):
    """Calls its files by names without an ending."""

    suffixes: ClassVar[tuple[str, ...]] = ("csv",)


class AsTheDiskHasThem(CsvSource):
    """Finds files in whatever order."""

    def find(self, named: str, given: str | None = None) -> tuple[str, ...]:
        """The last first."""
        return tuple(reversed(super().find(named, given)))


class WithoutTheLast(CsvSource):
    """Leaves out the last row of each split."""

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """All but one."""
        *batches, last = super().rows(split, asked)
        yield from batches
        yield _first(last, len(last.rows) - 1)


class OfItsSize(CsvSource):
    """Knows a file by its size."""

    def etag(self, address: str) -> str:
        """As many bytes, the same file."""
        return str(self.files.size(address))


class AllColumns(CsvSource):
    """Reads whatever is there."""

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """All that were listed."""
        kind = next(iter(asked.columns.values()))
        return super().rows(split, replace(asked, columns=dict.fromkeys(asked.listed, kind)))


class Curious(CsvSource):
    """Looks at more rows than it may."""

    def sniff(self, splits: tuple[Split, ...], share: Callable[[int], int], named: str) -> Sniffed:
        """At two more, so as to be sure."""
        return super().sniff(splits, lambda columns: share(columns) + 2, named)


class OwnBatches(CsvSource):
    """Has a size of batches that it likes better."""

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """Larger ones."""
        return super().rows(split, replace(asked, batch_rows=asked.batch_rows + 1))


class CountsGoodRows(CsvSource):
    """Numbers rows without those that are none."""

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """One after the other."""
        first = 0
        for batch in super().rows(split, asked):
            yield replace(batch, rows=first + np.arange(len(batch.rows)))
            first += len(batch.rows)


class Silent(CsvSource):
    """Drops what is no row."""

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """Without a word."""
        return (replace(batch, rejects=()) for batch in super().rows(split, asked))


class Trusting(CsvSource):
    """Compares nothing."""

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """Whatever lies there now."""
        return super().rows(replace(split, etag=self.etag(split.address)), asked)


class Hoarding(CsvSource):
    """Reads everything first."""

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """From a list."""
        yield from list(super().rows(split, asked))


class Undemanding(CsvSource):
    """Is content with nothing."""

    def find(self, named: str, given: str | None = None) -> tuple[str, ...]:
        """No files, no error."""
        there = self.files.kind(self.dataset.source) != "nothing"
        return super().find(named, given) if there else ()


def _first(batch: RawBatch, rows: int) -> RawBatch:
    columns = {name: array.slice(0, rows) for name, array in batch.columns.items()}
    return replace(batch, columns=columns, rows=batch.rows[:rows])


BAD_SOURCES: dict[str, Any] = {
    "test_it_is_a_source": Unnamed,
    "test_all_that_travels_is_the_split": AsTheDiskHasThem,
    "test_splits_have_every_row_once": WithoutTheLast,
    "test_an_etag_follows_the_content": OfItsSize,
    "test_rows_have_the_columns_that_are_asked_for": AllColumns,
    "test_sniffing_reads_its_share_alone": Curious,
    "test_rows_do_not_depend_on_batches": OwnBatches,
    "test_every_record_has_its_number": CountsGoodRows,
    "test_a_record_that_is_no_row_is_rejected": Silent,
    "test_what_has_changed_is_refused": Trusting,
    "test_memory_is_that_of_a_few_batches": Hoarding,
    "test_nothing_to_read_is_told": Undemanding,
}
