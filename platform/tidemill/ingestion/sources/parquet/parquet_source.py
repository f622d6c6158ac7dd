"""Parquet files as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

from tidemill.contracts import RawBatch, RowsAsked, Sniffed, Split
from tidemill.errors import SourceUnreadable
from tidemill.ingestion.sources.files import FileSource, said_of_unchecked
from tidemill.ingestion.sources.parquet.parquet_apart import Kind, open_parquet
from tidemill.ingestion.sources.parquet.parquet_columns import sniff_parquet
from tidemill.ingestion.sources.parquet.parquet_rows import read_parquet_rows

__all__ = ["ParquetSource"]

#: A file is cut behind the row group that fills this many rows.
SPLIT_ROWS = 1_000_000
_ENCRYPTED = b"PARE"


class ParquetSource(FileSource):
    """Parquet files; one of many row groups becomes several splits of about a million rows."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")
    magic: ClassVar[tuple[bytes, ...]] = (b"PAR1", _ENCRYPTED)
    typed: ClassVar[bool] = True
    scanned: ClassVar[int] = 16
    kind: ClassVar[Kind] = "Parquet"

    def split(self, address: str) -> list[Split]:
        """The file's row groups, by what its footer says."""
        (split,) = super().split(address)
        with self.files.ranged(address) as place, open_parquet(place, address, self.kind) as file:
            groups, split = file.group_rows, replace(split, checked=file.checked)
        pieces, begin, first_row, rows = [], 0, 0, 0
        for number, group_rows in enumerate(groups, start=1):
            rows += group_rows
            if rows >= SPLIT_ROWS or number == len(groups):
                pieces.append(replace(split, part=(begin, number), first_row=first_row))
                begin, first_row, rows = number, first_row + rows, 0
        return pieces or [replace(split, part=(0, 0))]

    def refuse_another(self, address: str, head: bytes) -> None:
        """Refuse what is no Parquet, or encrypted."""
        super().refuse_another(address, head)
        if head.startswith(_ENCRYPTED):
            raise SourceUnreadable(
                f"{address} is encrypted Parquet", remedy="decrypt it: no keys are known here"
            )

    def sniff(self, splits: tuple[Split, ...], share: Callable[[int], int], named: str) -> Sniffed:
        """The first file's columns, by all footers."""
        return Sniffed(sniff_parquet(self.dataset, splits, self.files, named, share, self.kind))

    def rows(self, split: Split, asked: RowsAsked) -> Iterator[RawBatch]:
        """See :func:`read_parquet_rows`."""
        return read_parquet_rows(
            split,
            self.files,
            names=list(asked.columns),
            batch_rows=asked.batch_rows,
            max_batches=asked.max_batches,
            known=frozenset(asked.listed),
            kind=self.kind,
        )

    def unchecked(self, splits: tuple[Split, ...]) -> tuple[str, ...]:
        """What to say of files whose pages have no checksums."""
        return said_of_unchecked(splits, "Parquet", "pyarrow: write_page_checksum=True")
