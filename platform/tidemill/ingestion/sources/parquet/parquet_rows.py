"""Parquet to columns, from what the process apart has read."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.casting import is_text
from tidemill.cells import CellFaults
from tidemill.contracts import RawBatch, Split
from tidemill.errors import SourceUnreadable
from tidemill.ingestion.sources.batches import unlisted
from tidemill.ingestion.sources.column_names import require_columns, unique_names
from tidemill.ingestion.sources.files import refuse_changed
from tidemill.ingestion.sources.parquet.parquet_apart import Kind, open_parquet
from tidemill.storage import SourceFiles, recut

__all__ = ["column_names", "plain_type", "read_parquet_rows"]

MAX_TEXT_BYTES = 1 << 28
MAX_TEXT_RATIO = 100


def read_parquet_rows(
    split: Split,
    files: SourceFiles,
    *,
    names: list[str],
    batch_rows: int,
    max_batches: int | None = None,
    known: Collection[str] | None = None,
    kind: Kind = "Parquet",
) -> Iterator[RawBatch]:
    """Yield the split's rows, ``batch_rows`` at a time, whatever its row groups and pages.

    With ``max_batches`` the rest of the file is neither read nor compared. Cells of columns that
    are not ``known`` are counted as left out.

    Raises
    ------
    SchemaMismatch
        If a column is absent.
    SourceUnreadable
        If the file is damaged, would open to far more than it holds, has not the rows that its
        footer promises, or has changed.
    """
    first, last = split.part or (0, None)
    # What a server says costs little; each range of bytes may be of another file by then.
    asked = max_batches is None and files.elsewhere(split.address)
    if asked or (max_batches is None and first == 0):
        refuse_changed(files, split.address, split.etag)
    with files.ranged(split.address) as place, open_parquet(place, split.address, kind) as file:
        groups = range(first, len(file.group_rows) if last is None else last)
        columns = _positions(file.schema, names, split.address)
        more = [n for n in column_names(file.schema) if known is not None and n not in known]
        begin = 0
        most = None if max_batches is None else max_batches * batch_rows
        batches = file.batches(groups, columns, most)
        tables = recut((pa.Table.from_batches([batch]) for batch in batches), batch_rows)
        for table in tables if most is None else _ahead(tables):
            read, faults = {}, {}
            for position, name in enumerate(names):
                values = _whole(table[position])
                _refuse_expansion(values, name, split.address)
                read[name], found = _sound_texts(values)
                if found is not None:
                    faults[name] = found
            rows = begin + np.arange(table.num_rows, dtype=np.int64)
            yield RawBatch(read, rows, faults, (), {unlisted(n): table.num_rows for n in more})
            begin += table.num_rows
    if asked:
        refuse_changed(files, split.address, split.etag)


def column_names(schema: pa.Schema) -> list[str]:
    """The columns' names as in every format; of those that come again, second names."""
    return unique_names(schema.names)


def _positions(schema: pa.Schema, names: list[str], shown: str) -> list[int]:
    """Where columns stand in the file."""
    places = {name: position for position, name in enumerate(column_names(schema))}
    require_columns(names, places, shown)
    return [places[name] for name in names]


def plain_type(kind: pa.DataType) -> str:
    """The plain type of an Arrow type: text, integer, number, boolean, datetime or other.

    A column without any value, of the null type, is one of texts.
    """
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
    if is_text(kind) or pa.types.is_null(kind):
        return "text"
    return "other"


def _refuse_expansion(values: pa.Array, name: str, shown: str) -> None:
    """Refuse texts of a few kilobytes that would stand for gigabytes once each row has its own."""
    if not (pa.types.is_dictionary(values.type) and is_text(values.type)):
        return
    sizes = pc.binary_length(values.dictionary.cast(pa.large_binary()))
    if (
        values.nbytes >= MAX_TEXT_BYTES
        or (pc.max(sizes).as_py() or 0) * len(values) <= MAX_TEXT_BYTES
    ):
        return
    opened = pc.sum(sizes.take(values.indices)).as_py() or 0
    if opened > max(MAX_TEXT_BYTES, MAX_TEXT_RATIO * values.nbytes):
        raise SourceUnreadable(
            f"{shown}: {len(values):,} texts of column {name} open to {opened >> 20:,} MB, the "
            f"file holds {values.nbytes >> 10:,} KB of them, as decompression bombs do",
            remedy=f"name {name} in dataset.drop, or write shorter texts",
            path=shown,
            column=name,
            opened=opened,
        )


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


def _ahead(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Each once the next is there: who stops at the last one leaves nothing half-read."""
    ready = next(tables, None)
    while ready is not None:
        following = next(tables, None)
        yield ready
        ready = following


def _missing_in_codes(values: pa.DictionaryArray) -> pa.DictionaryArray:
    words, kind = values.dictionary, values.type
    if not words.null_count:
        return values
    there = words.is_valid()
    places = pc.if_else(there, pc.subtract(pc.cumulative_sum(there.cast(pa.int64())), 1), None)
    codes = places.take(values.indices).cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(codes, words.drop_null(), ordered=kind.ordered)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """As one array; words of a dictionary that are missing are so in its codes."""
    if pa.types.is_dictionary(column.type):
        chunks = [_missing_in_codes(chunk) for chunk in column.chunks]
        column = pa.chunked_array(chunks, column.type).unify_dictionaries()
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
