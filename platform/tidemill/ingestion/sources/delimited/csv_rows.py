"""Delimited text to columns of texts: PyArrow where it is sound, field by field where not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from tidemill.contracts import RawBatch, Reject, Split
from tidemill.errors import SourceUnreadable
from tidemill.ingestion.sources.batches import unlisted
from tidemill.ingestion.sources.column_names import require_columns, unique_names
from tidemill.ingestion.sources.delimited.asides import Asides
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.fields import cut_fields, flaw
from tidemill.ingestion.sources.delimited.records import RecordBlock, cut_records
from tidemill.ingestion.sources.streams import line_blocks
from tidemill.storage import SourceFiles

__all__ = ["read_csv_rows"]

_MAX_RAW = 500
# Not a column's name, which is never empty: what stands behind the last delimiter of every row.
_NOTHING = ""
_OnOddRow = Callable[[pacsv.InvalidRow], str]
_NOT_UTF8 = "not valid UTF-8 text (dataset.csv.encoding names another encoding)"


def read_csv_rows(
    split: Split,
    files: SourceFiles,
    *,
    dialect: CsvDialect,
    names: tuple[str, ...],
    wanted: dict[str, pa.DataType],
    null_values: Collection[str] = (),
    batch_rows: int,
    whole: bool = True,
) -> Iterator[RawBatch]:
    """Yield the split's rows as texts, ``batch_rows`` records at a time.

    Parameters
    ----------
    names : tuple of str
        The source's columns, in the order of a file without a header. Others are left out.
    wanted : dict of column name to pyarrow.DataType
        What to read: strings, or a dictionary of them. Files with a header may hold the columns
        in any order.
    null_values : collection of str
        Texts that may come back as null.
    whole : bool
        Whether the caller reads to the end (then the file's digest is compared).

    Raises
    ------
    SchemaMismatch
        If the header lacks a wanted column.
    SourceUnreadable
        See :func:`tidemill.ingestion.sources.streams.text_blocks`.
    """
    asides = Asides(dialect, names)
    text, swapped = line_blocks(
        split, files, encoding=dialect.encoding, whole=whole, marks=dialect.header
    )
    blocks = cut_records(
        text,
        dialect,
        batch_rows=batch_rows,
        path=split.address,
        blanks=len(names) == 1,
        first_rows=1 if dialect.header else 0,
        asides=asides,
    )
    listed = frozenset(names)
    if dialect.header:
        names = _header(next(blocks, None), dialect, split)
    others = [unlisted(name) for name in names if name not in listed]
    require_columns(wanted, set(names), split.address)
    parser = _Parser(dialect, names, wanted, null_values, swapped=swapped)
    first_row = 0
    for block in blocks:
        batch = parser.parse(block, first_row, asides.counted())
        batch.left_out.update(dict.fromkeys(others, len(batch.rows)))
        yield batch
        first_row += len(block.starts)
    if left := asides.counted():
        none = RecordBlock(b"", np.zeros(0, np.int64), np.zeros(0, np.int64), 0, clean=False)
        yield parser.parse(none, first_row, left)


def _header(block: RecordBlock | None, dialect: CsvDialect, split: Split) -> tuple[str, ...]:
    text = b"" if block is None else block.record(0)
    try:
        record = text.decode()
    except UnicodeDecodeError:
        fields, why = None, "it is not UTF-8"
    else:
        fields = cut_fields(record, dialect)
        why = "" if fields is not None else flaw(record, dialect)
    if fields is None:
        line = dialect.skip_lines + 1 if block is None else block.line(0)
        raise SourceUnreadable(
            f"{split.address}: line {line} is no header ({why}): {text[:80]!r}",
            remedy="mend the line, or set dataset.csv.header, delimiter, quote, encoding or "
            "skip_lines",
            path=split.address,
            line=line,
        )
    return tuple(unique_names(fields))


class _Parser:
    def __init__(
        self,
        dialect: CsvDialect,
        names: tuple[str, ...],
        wanted: dict[str, pa.DataType],
        null_values: Collection[str],
        *,
        swapped: bool,
    ) -> None:
        self._dialect = dialect
        self._names = (*names, _NOTHING) if dialect.trailing else names
        self._wanted = wanted
        self._null_values = list(null_values)
        self._swapped = swapped
        if dialect.skip_blanks:
            self._blanks = _blanks_outside(dialect)

    def parse(self, block: RecordBlock, first_row: int, left_out: dict[str, int]) -> RawBatch:
        read = self._read_fast(block) if block.clean else None
        columns, bad = read if read is not None else self._read_slow(block)
        if self._swapped:
            columns = {name: _swapped_back(column) for name, column in columns.items()}
        keep = np.ones(len(block.starts), bool)
        keep[list(bad)] = False
        rejects = tuple(
            Reject(
                first_row + index,
                block.line(index),
                bad[index],
                block.record(index)[: 4 * _MAX_RAW].decode(errors="replace")[:_MAX_RAW],
            )
            for index in sorted(bad)
        )
        return RawBatch(columns, first_row + np.flatnonzero(keep), {}, rejects, left_out)

    def _read_fast(self, block: RecordBlock) -> tuple[dict[str, pa.Array], dict[int, str]] | None:
        """Let PyArrow parse; None if it does not see the records that we see."""
        text = self._blanks.sub(rb"\1", block.text) if self._dialect.skip_blanks else block.text
        if text.startswith(codecs.BOM_UTF8):
            return None  # in the midst of a file it is a character, and PyArrow drops it
        if self._dialect.trailing and not _all_trail(block, self._dialect.delimiter):
            return None
        bad: dict[int, str] = {}

        def note(row: pacsv.InvalidRow) -> str:
            bad[row.number - 1] = _wrong_width(row.expected_columns, row.actual_columns)
            return "skip"

        try:  # PyArrow shows odd rows as texts, and prints a traceback where one is none
            table = self._arrow_table(text, note if _is_utf8(text) else None)
        except pa.ArrowInvalid:
            return None
        if table.num_rows + len(bad) != len(block.starts):
            return None
        columns = table.combine_chunks()
        return {name: _whole(columns.column(name)) for name in self._wanted}, bad

    def _arrow_table(self, text: bytes, note: _OnOddRow | None) -> pa.Table:
        quote = self._dialect.quote
        return pacsv.read_csv(
            pa.BufferReader(text),
            pacsv.ReadOptions(
                column_names=list(self._names),
                use_threads=False,
                block_size=max(len(text) + 1, 1024),
            ),
            pacsv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char=quote or False,
                newlines_in_values=bool(quote) and quote.encode() in text,
                ignore_empty_lines=len(self._names) > 1,
                invalid_row_handler=note,
            ),
            pacsv.ConvertOptions(
                column_types=self._wanted,
                include_columns=list(self._wanted),
                null_values=self._null_values,
                strings_can_be_null=True,
                auto_dict_encode=False,
            ),
        )

    def _read_slow(self, block: RecordBlock) -> tuple[dict[str, pa.Array], dict[int, str]]:
        bad: dict[int, str] = {}
        rows: list[list[str]] = []
        places = {name: at for at, name in enumerate(self._names)}
        read = [places[name] for name in self._wanted]
        for index in range(len(block.starts)):
            text = block.record(index).decode(errors="surrogateescape")
            fields = cut_fields(text, self._dialect)
            if fields is None:
                bad[index] = flaw(text, self._dialect)
            elif len(fields) != len(self._names) or (self._dialect.trailing and fields[-1]):
                bad[index] = _wrong_width(len(self._names), len(fields))
            elif not all(_encodable(fields[at]) for at in read):
                bad[index] = _NOT_UTF8  # PyArrow, too, sees only the columns that are read
            else:
                rows.append(fields)
        columns = {}
        for name, kind in self._wanted.items():
            at = places[name]
            texts = pa.array((row[at] for row in rows), pa.string())
            columns[name] = texts.dictionary_encode() if pa.types.is_dictionary(kind) else texts
        return columns, bad


def _all_trail(block: RecordBlock, delimiter: str) -> bool:
    """Whether every record ends in a delimiter."""
    text = np.frombuffer(block.text, np.uint8)
    last = block.ends - 2
    last = last - (text[last] == ord("\r"))
    return bool((text[last] == ord(delimiter)).all())


def _blanks_outside(dialect: CsvDialect) -> re.Pattern[bytes]:
    """Blanks behind a delimiter or line end that are not quoted; quoted text is its group 1."""
    d, q = re.escape(dialect.delimiter.encode()), re.escape(dialect.quote.encode())
    quoted = rb"|(%b[^%b]*+%b)" % (q, q, q) if q else rb"|()(?!)"
    return re.compile(rb"(?<![^%b\n]) ++" % d + quoted)


def _swapped_back(texts: pa.Array) -> pa.Array:
    """Line ends in the cells of a file whose lines end in carriage returns, as they stand there."""
    if pa.types.is_dictionary(texts.type):
        return pa.DictionaryArray.from_arrays(texts.indices, _swapped_back(texts.dictionary))
    back = {10: "\r", 13: "\n"}
    return pa.array([t if t is None else t.translate(back) for t in texts.to_pylist()], texts.type)


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    ends = pa.py_buffer(np.array([0, len(text)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(text)]).validate(
            full=True
        )
    except pa.ArrowInvalid:
        return False
    return True


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _wrong_width(expected: int, found: int) -> str:
    return f"{found} fields instead of {expected}"
