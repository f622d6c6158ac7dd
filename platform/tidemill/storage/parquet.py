"""Parquet in blocks of bounded rows, with page checksums written and verified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill.contracts import ObjectWriter
from tidemill.errors import IntegrityError
from tidemill.storage.atomic import storage_errors
from tidemill.storage.hashing_file import HashingFile, HashingSink
from tidemill.storage.lost_objects import made_anew
from tidemill.storage.manifest import FileEntry
from tidemill.storage.recut import Cutter
from tidemill.storage.stores import ObjectFile

__all__ = ["BlockWriter", "compacted", "read_block", "read_blocks"]


class BlockWriter:
    """Writes rows as row groups of exactly ``block_rows`` rows (the last one may be shorter).

    The bytes depend on the rows and ``block_rows`` alone, not on how the rows were cut into
    batches. Used as a context manager; an exception inside removes the file.

    Parameters
    ----------
    place : Path or ObjectWriter
        The file; or an object of a store that is being written, whose block ends later.
    schema : pyarrow.Schema
    block_rows : int

    Notes
    -----
    Memory: one block and one batch.
    """

    def __init__(self, place: Path | ObjectWriter, schema: pa.Schema, *, block_rows: int) -> None:
        self._path = place if isinstance(place, Path) else None
        self._schema = schema
        self._cutter = Cutter(block_rows)
        self._blocks: list[int] = []
        self._entry: FileEntry | None = None
        self._file = _hashing(place)
        self._writer = _parquet_writer(self._file, schema)

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Add rows; columns must be those of the schema, in its order."""
        parts = batch.to_batches() if isinstance(batch, pa.Table) else [batch]
        for block in self._cutter.add(pa.Table.from_batches(parts, self._schema)):
            self._flush(block)

    def close(self) -> FileEntry:
        """Write what is waiting, flush to the disk and describe the file (an object by no path)."""
        if self._entry is None:
            try:
                for block in self._cutter.close():
                    self._flush(block)
                with self._errors():
                    self._writer.close()
                    self._file.close()
            except BaseException:
                self._abandon()
                raise
            self._entry = FileEntry(
                path="" if self._path is None else self._path.name,
                rows=sum(self._blocks),
                bytes=self._file.size,
                sha256=self._file.sha256,
                blocks=tuple(self._blocks),
            )
        return self._entry

    def __enter__(self) -> BlockWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def _abandon(self) -> None:
        for close in (self._writer.close, self._file.close):
            with suppress(OSError, pa.ArrowException):  # the first error is the one to report
                close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _errors(self) -> AbstractContextManager[None]:
        # A store tells its own.
        return nullcontext() if self._path is None else storage_errors(self._path)

    def _flush(self, block: pa.Table) -> None:
        with self._errors():
            self._writer.write_table(compacted(block), row_group_size=block.num_rows)
        self._blocks.append(block.num_rows)


def _hashing(place: Path | ObjectWriter) -> HashingFile:
    if isinstance(place, HashingFile):
        return place
    if not isinstance(place, Path):
        return HashingSink(place)
    with storage_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        return HashingFile(place)


def _parquet_writer(file: HashingFile, schema: pa.Schema) -> pq.ParquetWriter:
    texts = [
        field.name
        for field in schema
        if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type)
    ]
    return pq.ParquetWriter(
        pa.PythonFile(file, mode="w"),
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=texts,
        write_page_checksum=True,
        store_schema=True,
    )


def compacted(table: pa.Table) -> pa.Table:
    """The same rows in one chunk, with dictionaries of the values that occur, as they occur.

    Dictionaries are written as they are: a slice of a batch would bring along the values of
    the whole batch, and the bytes would tell how the rows were cut.
    """
    table = table.unify_dictionaries().combine_chunks()
    if not table.num_rows:
        return table
    # Made once of all columns: to set them one by one would be quadratic in them.
    columns = [
        _compact(column.chunk(0)) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _compact(column: pa.DictionaryArray) -> pa.DictionaryArray:
    occurring = pc.unique(column.indices.drop_null())
    codes = np.zeros(len(column.dictionary), np.int32)
    codes[occurring.to_numpy()] = np.arange(len(occurring), dtype=np.int32)
    indices = (
        codes[pc.fill_null(column.indices, 0).to_numpy()]
        if len(codes)
        else np.zeros(len(column), np.int32)
    )
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, column.type.index_type, mask=missing), column.dictionary.take(occurring)
    )


def read_blocks(
    source: Path | ObjectFile,
    *,
    columns: Sequence[str] | None = None,
    blocks: Sequence[int] | None = None,
) -> Iterator[pa.Table]:
    """Yield the row groups of a file of ours, each as one table; page checksums are verified.

    Raises
    ------
    IntegrityError
        If the file is missing, damaged, or not Parquet.
    """
    place = str(source)
    with _Integrity(place):
        file = pq.ParquetFile(source, page_checksum_verification=True, memory_map=False)
    with file:
        wanted = range(file.num_row_groups) if blocks is None else blocks
        for block in wanted:
            with _Integrity(place):
                table = file.read_row_group(
                    block, columns=list(columns) if columns is not None else None
                )
            yield table


def read_block(
    source: Path | ObjectFile, block: int, *, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read one row group of a file of ours."""
    return next(iter(read_blocks(source, columns=columns, blocks=[block])))


class _Integrity:
    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (OSError, pa.ArrowException)):
            raise IntegrityError(
                f"{self._place} cannot be read: {str(error).splitlines()[0]}",
                remedy=made_anew(self._place),
                path=self._place,
            ) from error
