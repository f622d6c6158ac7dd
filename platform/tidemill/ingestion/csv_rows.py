"""Delimited text to columns: PyArrow for sound text, field by field where it is not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from tidemill.errors import SchemaMismatch, SourceUnreadable
from tidemill.ingestion.casting import cast_texts
from tidemill.ingestion.dialect import parse_record, unique_names
from tidemill.ingestion.parsed import CellFaults, Reject
from tidemill.ingestion.raw import RawBatch
from tidemill.ingestion.records import RecordBlock, cut_records
from tidemill.ingestion.splits import CsvDialect, Split
from tidemill.ingestion.streams import text_blocks
from tidemill.spelling import FALSE_TEXTS, TRUE_TEXTS

__all__ = ["read_csv_rows"]

_MAX_RAW = 500
_PROBE_RECORDS = 4096
_IN_COLUMN = re.compile(r"In CSV column #(\d+)")
_TRUE = [form for t in TRUE_TEXTS for form in {t, t.title(), t.upper()}]
_FALSE = [form for t in FALSE_TEXTS for form in {t, t.title(), t.upper()}]
_TEXT = pa.dictionary(pa.int32(), pa.string())
_BROKEN = "broken quoting"
_NOT_UTF8 = "not valid UTF-8 text"


def read_csv_rows(
    split: Split,
    root: Path,
    *,
    dialect: CsvDialect,
    names: tuple[str, ...],
    wanted: dict[str, pa.DataType],
    null_values: Collection[str],
    batch_rows: int,
    whole: bool = True,
) -> Iterator[RawBatch]:
    """Yield the split's rows, ``batch_rows`` records at a time.

    Parameters
    ----------
    names : tuple of str
        Columns of a file without a header, in its order.
    wanted : dict of column name to pyarrow.DataType
        What to read, as what. Files with a header may hold the columns in any order.
    whole : bool
        Whether the caller reads to the end (then the file's digest is compared).

    Raises
    ------
    SchemaMismatch
        If the header lacks a wanted column.
    SourceUnreadable
        See :func:`tidemill.ingestion.streams.text_blocks`.
    """
    blocks = cut_records(
        text_blocks(split, root, encoding=dialect.encoding, whole=whole),
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        batch_rows=batch_rows,
        path=split.path,
        blanks=len(names) == 1,
        first_rows=1 if dialect.header else 0,
    )
    if dialect.header:
        names = _header(next(blocks, None), dialect, split)
    absent = [name for name in wanted if name not in names]
    if absent:
        raise SchemaMismatch(
            f"{split.path} lacks the columns {', '.join(absent)} that other files of the source "
            "have",
            remedy="add them to the file, or take the file out of dataset.source",
            path=split.path,
            columns=tuple(absent),
        )
    parser = _Parser(dialect, names, wanted, null_values)
    first_row = 0
    for block in blocks:
        yield parser.parse(block, first_row)
        first_row += len(block.starts)


def _header(block: RecordBlock | None, dialect: CsvDialect, split: Split) -> tuple[str, ...]:
    text = b"" if block is None else block.record(0)
    try:
        fields = parse_record(text.decode(), dialect.delimiter, dialect.quote)
    except UnicodeDecodeError:
        fields = None
    if fields is None:
        raise SourceUnreadable(
            f"{split.path}: the first line is no header: {text[:80]!r}",
            remedy="mend the line, or set dataset.csv.header, delimiter, quote or encoding",
            path=split.path,
            line=1,
        )
    return tuple(unique_names(fields))


class _Parser:
    def __init__(
        self,
        dialect: CsvDialect,
        names: tuple[str, ...],
        wanted: dict[str, pa.DataType],
        null_values: Collection[str],
    ) -> None:
        self._dialect = dialect
        self._names = names
        self._wanted = wanted
        self._null_values = tuple(null_values)
        # Columns that had a cell which PyArrow refused; they are read as text from then on.
        self._as_text: set[str] = set()

    def parse(self, block: RecordBlock, first_row: int) -> RawBatch:
        if first_row == 0 and block.clean:
            self._read_fast(block.head(_PROBE_RECORDS))  # learns cheaply which columns are dirty
        read = self._read_fast(block) if block.clean else None
        columns, bad = read if read is not None else self._read_slow(block)
        keep = np.ones(len(block.starts), bool)
        keep[list(bad)] = False
        faults: dict[str, CellFaults] = {}
        for name, kind in self._wanted.items():
            if columns[name].type != kind and not pa.types.is_dictionary(kind):
                columns[name], found = cast_texts(columns[name], kind, self._null_values)
                if found is not None:
                    faults[name] = found
        rejects = tuple(
            Reject(
                first_row + index,
                block.line(index),
                bad[index],
                block.record(index)[: 4 * _MAX_RAW].decode(errors="replace")[:_MAX_RAW],
            )
            for index in sorted(bad)
        )
        return RawBatch(columns, first_row + np.flatnonzero(keep), faults, rejects)

    def _read_fast(self, block: RecordBlock) -> tuple[dict[str, pa.Array], dict[int, str]] | None:
        """Let PyArrow parse; None if it does not see the records that we see."""
        bad: dict[int, str] = {}

        def note(row: pacsv.InvalidRow) -> str:
            bad[row.number - 1] = _wrong_width(row.expected_columns, row.actual_columns)
            return "skip"

        while True:
            bad.clear()
            try:
                table = self._arrow_table(block, note)
            except pa.ArrowInvalid as exc:
                if not self._read_as_text(str(exc)):
                    return None
                continue
            if table.num_rows + len(bad) != len(block.starts):
                return None
            if not self._spot_infinities(table):
                columns = table.combine_chunks()
                return {name: _whole(columns.column(name)) for name in self._wanted}, bad

    def _arrow_table(self, block: RecordBlock, note: object) -> pa.Table:
        quote = self._dialect.quote
        return pacsv.read_csv(
            pa.BufferReader(block.text),
            pacsv.ReadOptions(
                column_names=list(self._names),
                use_threads=False,
                block_size=max(len(block.text) + 1, 1024),
            ),
            pacsv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char=quote or False,
                newlines_in_values=bool(quote) and quote.encode() in block.text,
                ignore_empty_lines=len(self._names) > 1,
                invalid_row_handler=note,
            ),
            pacsv.ConvertOptions(
                column_types={
                    name: _TEXT if name in self._as_text else kind
                    for name, kind in self._wanted.items()
                },
                include_columns=list(self._wanted),
                null_values=list(self._null_values),
                true_values=_TRUE,
                false_values=_FALSE,
                strings_can_be_null=True,
                auto_dict_encode=False,
            ),
        )

    def _read_as_text(self, message: str) -> bool:
        """Take the refused column as text from now on; False if the reason is another."""
        found = _IN_COLUMN.search(message)
        name = self._names[int(found[1])] if found else None
        if name is None or name in self._as_text or "UTF8" in message:
            return False
        if _textual(self._wanted[name]):
            return False
        self._as_text.add(name)
        return True

    def _spot_infinities(self, table: pa.Table) -> bool:
        """Whether a number overflowed: its column is read again, as text, for the true cell."""
        found = [
            field.name
            for field in table.schema
            if pa.types.is_floating(field.type) and pc.any(pc.is_inf(table[field.name])).as_py()
        ]
        self._as_text.update(found)
        return bool(found)

    def _read_slow(self, block: RecordBlock) -> tuple[dict[str, pa.Array], dict[int, str]]:
        bad: dict[int, str] = {}
        rows: list[list[str]] = []
        read = [self._names.index(name) for name in self._wanted]
        for index in range(len(block.starts)):
            text = block.record(index).decode(errors="surrogateescape")
            fields = parse_record(
                text, self._dialect.delimiter, self._dialect.quote, width=len(self._names)
            )
            if fields is None:
                bad[index] = _BROKEN
            elif len(fields or [""]) != len(self._names):
                bad[index] = _wrong_width(len(self._names), len(fields))
            elif not all(_encodable(fields[at]) for at in read if fields):
                bad[index] = _NOT_UTF8  # PyArrow, too, sees only the columns that are read
            else:
                rows.append(fields or [""])
        null = set(self._null_values)
        columns = {}
        for name, kind in self._wanted.items():
            at = self._names.index(name)
            texts = pa.array((None if r[at] in null else r[at] for r in rows), pa.string())
            columns[name] = texts.dictionary_encode() if pa.types.is_dictionary(kind) else texts
        return columns, bad


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _textual(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _wrong_width(expected: int, found: int) -> str:
    return f"{found} fields instead of {expected}"
