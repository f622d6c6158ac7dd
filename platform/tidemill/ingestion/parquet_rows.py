"""Parquet to columns: page checksums verified, footers looked at before anything is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.errors import SchemaMismatch, SourceUnreadable
from tidemill.ingestion.casting import is_text
from tidemill.ingestion.names import second_names
from tidemill.ingestion.parsed import CellFaults
from tidemill.ingestion.raw import RawBatch
from tidemill.ingestion.splits import Split
from tidemill.storage import hash_file

__all__ = [
    "column_names",
    "largest_numbers",
    "open_parquet",
    "plain_type",
    "read_parquet_rows",
    "refuse_bomb",
]

MAX_CHUNK_BYTES = 1 << 30
MAX_RATIO = 1000
MAX_UNCHECKED_BYTES = 1 << 26


def read_parquet_rows(
    split: Split, root: Path, *, names: list[str], batch_rows: int, whole: bool = True
) -> Iterator[RawBatch]:
    """Yield the split's rows, ``batch_rows`` at a time, whatever its row groups and pages.

    Raises
    ------
    SchemaMismatch
        If a column is absent.
    SourceUnreadable
        If the file is damaged, would open to far more than it holds, or has changed.
    """
    path = split.locate(root)
    first, last = split.row_groups or (0, None)
    if whole and first == 0 and hash_file(path) != split.sha256:
        raise SourceUnreadable(
            f"{split.path} is not the file that was listed: its content changed",
            remedy="run the same command again when nothing writes to the file",
            path=split.path,
            expected=split.sha256,
        )
    with _readable(split.path), open_parquet(path, split.path) as file:
        called = column_names(file.schema_arrow)
        absent = [name for name in names if name not in called]
        if absent:
            raise SchemaMismatch(
                f"{split.path} lacks the columns {', '.join(absent)} that other files of the "
                "source have",
                remedy="add them to the file, or take the file out of the source",
                path=split.path,
                columns=tuple(absent),
            )
        groups = list(range(first, file.num_row_groups if last is None else last))
        begin = 0
        for table in _recut(_batches(file, groups, names), batch_rows):
            columns, faults = {}, {}
            for name in names:
                columns[name], found = _sound_texts(_whole(table[name]))
                if found is not None:
                    faults[name] = found
            rows = begin + np.arange(table.num_rows, dtype=np.int64)
            yield RawBatch(columns, rows, faults, ())
            begin += table.num_rows


def column_names(schema: pa.Schema) -> list[str]:
    """The columns' names; of those that come again, second names."""
    return second_names(schema.names)


def open_parquet(path: Path, shown: str) -> pq.ParquetFile:
    """Open a Parquet file of unknown origin.

    Raises
    ------
    SourceUnreadable
        If its footer is damaged, or tells of a decompression bomb.
    """
    with _readable(shown):
        # INT96 counts nanoseconds, which would end in the year 2262.
        read = partial(
            pq.ParquetFile,
            path,
            page_checksum_verification=True,
            memory_map=False,
            coerce_int96_timestamp_unit="us",
        )
        file = read()
        texts = _dictionary_texts(file)
        if texts:  # a long text that is repeated stays one
            file.close()
            file = read(read_dictionary=texts)
    refuse_bomb(file.metadata, path.stat().st_size, shown)
    return file


def _dictionary_texts(file: pq.ParquetFile) -> list[str]:
    """Text columns that are dictionary-encoded in the file; other encodings refuse to be."""
    metadata = file.metadata
    plain = set()
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            if any(encoding.startswith("DELTA") for encoding in chunk.encodings):
                plain.add(chunk.path_in_schema)
    return [f.name for f in file.schema_arrow if pa.types.is_string(f.type) and f.name not in plain]


def largest_numbers(file: pq.ParquetFile) -> dict[str, float]:
    """The largest magnitude in each column of whole numbers, by the footer; else its type's."""
    kinds = {f.name: f.type for f in file.schema_arrow if pa.types.is_integer(f.type)}
    found, metadata = dict.fromkeys(kinds, 0.0), file.metadata
    for column in range(metadata.num_columns if kinds else 0):
        name = metadata.schema.column(column).path
        for group in range(metadata.num_row_groups if name in kinds else 0):
            known = metadata.row_group(group).column(column).statistics
            told = known is not None and known.has_min_max
            largest = max(abs(known.min), abs(known.max)) if told else 2.0 ** kinds[name].bit_width
            found[name] = max(found[name], largest)
    return found


def refuse_bomb(metadata: pq.FileMetaData, size: int, shown: str) -> None:
    """Refuse a file whose footer promises far more than its bytes can honestly hold."""
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            opened = chunk.total_uncompressed_size
            if opened > MAX_CHUNK_BYTES or opened > max(MAX_RATIO * size, MAX_UNCHECKED_BYTES):
                raise SourceUnreadable(
                    f"{shown}: column {chunk.path_in_schema} of row group {group} opens to "
                    f"{opened >> 20} MB, the file has {size >> 10} KB",
                    remedy="if the file is what it should be, write it again in smaller row groups",
                    path=shown,
                    opened=opened,
                    size=size,
                )


def plain_type(kind: pa.DataType) -> str:
    """The plain type of an Arrow type: text, integer, number, boolean, datetime or other."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        return "number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "datetime"
    if is_text(kind):
        return "text"
    return "other"


def _batches(file: pq.ParquetFile, groups: list[int], names: list[str]) -> Iterator[pa.RecordBatch]:
    schema = file.schema_arrow
    called = column_names(schema)
    written = [written for written, name in zip(schema.names, called, strict=True) if name in names]
    # Of a name that is there twice the file gives both; others of that name are left out again.
    read = [name for w, name in zip(schema.names, called, strict=True) if w in set(written)]
    # Asked for several row groups at once, pyarrow holds all that it has read.
    for group in groups:
        for batch in file.iter_batches(
            batch_size=16_384,
            row_groups=[group],
            columns=list(dict.fromkeys(written)),
            use_threads=False,
        ):
            columns = dict(zip(read, batch.columns, strict=True))
            yield pa.RecordBatch.from_arrays([columns[name] for name in names], names)


def _sound_texts(values: pa.Array) -> tuple[pa.Array, CellFaults | None]:
    """Texts without those that are not UTF-8, which are faults of their rows."""
    if not is_text(values.type):
        return values, None
    encoded = pa.types.is_dictionary(values.type)
    texts = values.dictionary if encoded else values
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        pass
    else:
        return values, None
    raw = texts.cast(pa.large_binary()).to_pylist()
    bad = np.array([text is not None and not _decodes(text) for text in raw], np.bool_)
    sound = pa.array([None if b else t for t, b in zip(raw, bad, strict=True)], pa.binary())
    sound = sound.cast(pa.string())
    shown = [text.decode(errors="replace") if b else "" for text, b in zip(raw, bad, strict=True)]
    if not encoded:
        return sound, CellFaults(np.flatnonzero(bad).astype(np.int64), [s for s in shown if s])
    codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(np.append(bad, False)[codes]).astype(np.int64)
    faults = CellFaults(rows, [shown[code] for code in codes[rows]]) if len(rows) else None
    return sound.take(values.indices).dictionary_encode(), faults


def _decodes(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _recut(batches: Iterator[pa.RecordBatch], batch_rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        while rows >= batch_rows:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, batch_rows)
            rows -= batch_rows
            waiting = table.slice(batch_rows).to_batches()
    if rows:
        yield pa.Table.from_batches(waiting)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


@contextmanager
def _readable(shown: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as exc:
        raise SourceUnreadable(
            f"{shown} cannot be read as Parquet: {str(exc).splitlines()[0]}",
            remedy="fetch the file again, or take it out of the source",
            path=shown,
        ) from exc
