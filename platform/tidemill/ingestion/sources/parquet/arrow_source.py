"""Files of Arrow IPC as a source."""

from __future__ import annotations

from typing import ClassVar

from tidemill.arrow_file import FEATHER_1, FILE_MAGIC, STREAM_MAGIC
from tidemill.contracts import Split
from tidemill.errors import SourceUnreadable
from tidemill.ingestion.sources.files import FileSource, said_of_unchecked
from tidemill.ingestion.sources.parquet.parquet_apart import Kind
from tidemill.ingestion.sources.parquet.parquet_source import ParquetSource

__all__ = ["ArrowSource"]


class ArrowSource(ParquetSource):
    """Arrow's own files (Feather 2) and streams, read as Parquet is: its types are Arrow's.

    A file of many record batches becomes several splits of about a million rows; a stream is one.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".arrow", ".arrows", ".feather", ".ipc")
    magic: ClassVar[tuple[bytes, ...]] = (FILE_MAGIC, STREAM_MAGIC, FEATHER_1)
    kind: ClassVar[Kind] = "Arrow"

    def refuse_another(self, address: str, head: bytes) -> None:
        """Refuse what is no Arrow, or as it was before Arrow had a format of its own."""
        FileSource.refuse_another(self, address, head)
        if head.startswith(FEATHER_1):
            raise SourceUnreadable(
                f"{address} is Feather of version 1",
                remedy="write it again as version 2 (pandas: df.to_feather), or as Parquet",
            )

    def unchecked(self, splits: tuple[Split, ...]) -> tuple[str, ...]:
        """What to say of files that have no checksums."""
        return said_of_unchecked(splits, "Arrow", "pyarrow.parquet, with write_page_checksum=True,")
