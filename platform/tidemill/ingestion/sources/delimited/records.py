"""Cut delimited text into records, exactly, whatever stands between quotes.

Well-formed text goes through vectorised comparisons. Text that breaks the rules of quoting
(RFC 4180) goes through a slower scan that gives up one physical line and goes on behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.errors import SourceUnreadable
from tidemill.ingestion.sources.delimited.asides import Asides
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.fields import record_pattern

__all__ = ["RecordBlock", "cut_records"]

MAX_RECORD_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 24

Offsets = npt.NDArray[np.int64]
_LF, _CR, _BLANK = 10, 13, 32


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Whole records, at most ``batch_rows`` of them.

    Parameters
    ----------
    text : bytes
    starts, ends : (n,) int64
        Where each record begins, and ends behind its line feed; blank lines are no records.
    first_line : int
        1-based line of the file at which ``text`` begins.
    clean : bool
        Whether all of it keeps the rules of quoting.
    """

    text: bytes
    starts: Offsets
    ends: Offsets
    first_line: int
    clean: bool

    def record(self, index: int) -> bytes:
        """The bytes of one record without its line end."""
        return self.text[self.starts[index] : self.ends[index]].rstrip(b"\r\n")

    def head(self, records: int) -> RecordBlock:
        """The first records alone."""
        if records >= len(self.ends):
            return self
        starts, ends = self.starts[:records], self.ends[:records]
        return RecordBlock(self.text[: ends[-1]], starts, ends, self.first_line, self.clean)

    def line(self, index: int) -> int:
        """The 1-based line of the file at which a record begins."""
        return self.first_line + self.text.count(b"\n", 0, int(self.starts[index]))


class _Cutter:
    """Finds record ends in the text seen so far."""

    def __init__(self, dialect: CsvDialect) -> None:
        self._quote, self._escape = dialect.quote.encode(), dialect.escape.encode()
        self._delimiter = dialect.delimiter.encode()
        self._blanks = dialect.skip_blanks
        self._record = re.compile(record_pattern(dialect).encode())

    def ends(self, text: bytes, *, final: bool) -> tuple[Offsets, bool]:
        """Return record ends (behind the line feed) and whether the text is well-formed."""
        if self._escape and self._escape in text:
            return self.scan(text, final=final), False
        bytes_ = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(bytes_ == _LF) + 1
        # A lone carriage return ends a line for some readers and not for others.
        clean = b"\r" not in text or text.count(b"\r") == text.count(b"\r\n")
        if not self._quote or self._quote not in text:
            return ends, clean
        quotes = np.flatnonzero(bytes_ == self._quote[0])
        if self._well_formed(bytes_, quotes, final=final):
            inside = np.searchsorted(quotes, ends) % 2 == 1
            return ends[~inside], clean
        return self.scan(text, final=final), False

    def _well_formed(self, text: npt.NDArray[np.uint8], quotes: Offsets, *, final: bool) -> bool:
        if final and len(quotes) % 2:
            return False
        stops = np.zeros(256, bool)
        stops[[_LF, _CR, self._quote[0], self._delimiter[0]]] = True
        opening, closing = quotes[0::2], quotes[1::2]
        closing = closing[closing < len(text) - 1]
        before = opening[opening > 0] - 1
        if self._blanks:
            before = _behind_blanks(text, before)
        return bool(stops[text[before]].all() and stops[text[closing + 1]].all())

    def scan(self, text: bytes, *, final: bool) -> Offsets:
        """Record ends, line by line: one that breaks the rules ends with its line."""
        ends, position = [], 0
        while (line_end := text.find(b"\n", position) + 1) > 0:
            end = line_end
            if text.find(self._quote, position, line_end) >= 0:
                limit = min(position + MAX_RECORD_BYTES, len(text))
                match = self._record.match(text, position, limit)
                stop = match.end() if match else position
                if text[stop : stop + 1] == b"\r":
                    stop += 1
                if text[stop : stop + 1] == b"\n":
                    end = stop + 1
                elif not final and limit == len(text) and self._unfinished(text, stop):
                    break  # what closes the quote may still come
            ends.append(end)
            position = end
        return np.array(ends, np.int64)

    def _unfinished(self, text: bytes, stop: int) -> bool:
        """Whether the record stops at a quote that nothing has closed so far, or at the end."""
        return stop >= len(text) - 1 or text[stop : stop + 1] in (self._quote, self._delimiter)


def _behind_blanks(text: npt.NDArray[np.uint8], places: Offsets) -> Offsets:
    """The places, or where they stand on a blank, what stands before the blanks."""
    moving = np.flatnonzero((text[places] == _BLANK) & (places > 0))
    while len(moving):
        places[moving] -= 1
        moving = moving[(text[places[moving]] == _BLANK) & (places[moving] > 0)]
    solid: Offsets = places[text[places] != _BLANK]
    return solid  # only blanks before it: the text begins there


def cut_records(
    blocks: Iterator[bytes],
    dialect: CsvDialect,
    *,
    batch_rows: int,
    path: str,
    blanks: bool = False,
    first_rows: int = 0,
    asides: Asides | None = None,
) -> Iterator[RecordBlock]:
    """Yield the records of a text, ``batch_rows`` at a time, independent of how it is blocked.

    The first ``dialect.skip_lines`` lines are no records.

    Parameters
    ----------
    dialect : CsvDialect
    blanks : bool
        Whether an empty line is a record (files of one column).
    first_rows : int
        If positive, the first block holds that many records (the header).
    asides : Asides, optional
        Says which further lines are no records, and counts them.

    Raises
    ------
    SourceUnreadable
        If a line is longer than 16 MB.

    Notes
    -----
    Memory: a batch of text and one block.
    """
    cutter, skipped = _Cutter(dialect), _Skipped(dialect.skip_lines)
    queue = _Queue(blanks=blanks, asides=asides, line=dialect.skip_lines + 1)
    carry = b""
    wanted = first_rows or batch_rows
    for block in _with_end(blocks):
        final = block is None
        text = carry + (block or b"")
        if final and text and not text.endswith(b"\n"):
            text += b"\n"
        text = skipped.behind(text)
        ends, clean = cutter.ends(text, final=final)
        if not len(ends) and len(text) > MAX_LINE_BYTES:
            ends, clean = _given_up(cutter, text, queue.end_line, path), False
        last = int(ends[-1]) if len(ends) else 0
        carry = text[last:]
        if last:
            queue.put(text[:last], ends, clean)
        while queue.ready(wanted):
            yield queue.take(wanted)
            wanted = batch_rows
    if queue.records:
        yield queue.take(wanted)
        while queue.records:
            yield queue.take(batch_rows)


def _given_up(cutter: _Cutter, text: bytes, line: int, path: str) -> Offsets:
    """Record ends where nothing closes a quote: its line is given up, as in a small file."""
    ends = cutter.scan(text, final=False)
    if len(ends):
        return ends
    raise SourceUnreadable(
        f"{path}: the record at line {line} does not end within {MAX_LINE_BYTES >> 20} MB",
        remedy="check that the file is text, and dataset.csv.quote",
        path=path,
        line=line,
    )


def _with_end(blocks: Iterator[bytes]) -> Iterator[bytes | None]:
    yield from blocks
    yield None


class _Skipped:
    """The lines above the header."""

    def __init__(self, lines: int) -> None:
        self._left = lines

    def behind(self, text: bytes) -> bytes:
        """What follows the lines that are still to be skipped."""
        while self._left and (end := text.find(b"\n") + 1):
            text, self._left = text[end:], self._left - 1
        return text


class _Queue:
    """Records that wait for their batch."""

    def __init__(self, *, blanks: bool, asides: Asides | None, line: int) -> None:
        self._blanks = blanks
        self._asides = asides
        self._pieces: list[tuple[bytes, Offsets, Offsets, bool]] = []
        self.records = 0
        self._line = line

    @property
    def end_line(self) -> int:
        """The line behind all that was put here."""
        return self._line + sum(piece[0].count(b"\n") for piece in self._pieces)

    def put(self, text: bytes, ends: Offsets, clean: bool) -> None:
        starts = np.concatenate([[0], ends[:-1]])
        kept = np.ones(len(starts), np.bool_)
        if not self._blanks:
            kept &= ~_blank(text, starts, ends)
        if self._asides is not None:
            aside = self._asides.among(text, starts, ends, kept)
            clean = clean and not aside.any()  # PyArrow would read them as rows
            kept &= ~aside
        if not kept.all():
            starts, ends = starts[kept], ends[kept]
        self._pieces.append((text, starts, ends, clean))
        self.records += len(starts)

    def ready(self, wanted: int) -> bool:
        return self.records >= wanted

    def take(self, wanted: int) -> RecordBlock:
        texts, starts, ends, offset, missing, clean = [], [], [], 0, wanted, True
        while missing and self._pieces:
            text, begin, end, well = self._pieces.pop(0)
            if len(begin) > missing:
                cut = int(begin[missing])
                rest = (text[cut:], begin[missing:] - cut, end[missing:] - cut, well)
                self._pieces.insert(0, rest)
                text, begin, end = text[:cut], begin[:missing], end[:missing]
            texts.append(text)
            starts.append(begin + offset)
            ends.append(end + offset)
            offset += len(text)
            missing -= len(begin)
            clean = clean and well
        joined = b"".join(texts)
        block = RecordBlock(joined, np.concatenate(starts), np.concatenate(ends), self._line, clean)
        self.records -= len(block.starts)
        self._line += joined.count(b"\n")
        return block


def _blank(text: bytes, starts: Offsets, ends: Offsets) -> npt.NDArray[np.bool_]:
    """Which records are empty lines."""
    length = ends - starts
    blank: npt.NDArray[np.bool_] = length == 1
    if b"\r" not in text:
        return blank
    returns = np.frombuffer(text, np.uint8)[starts] == _CR
    blank |= (length == 2) & returns
    odd = np.flatnonzero((length > 2) & returns)  # carriage returns alone
    blank[odd] = [not text[starts[i] : ends[i]].strip(b"\r\n") for i in odd]
    return blank
