"""Lines of delimited text that are no rows: comments, and the header where it comes again."""

from __future__ import annotations

from codecs import BOM_UTF8

import numpy as np
import numpy.typing as npt

from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.fields import cut_fields

__all__ = ["COMMENTS", "HEADERS", "Asides"]

HEADERS = "lines repeat the header"
COMMENTS = "lines are comments"

Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Asides:
    """Finds and counts the records of one file that are no rows.

    Parameters
    ----------
    dialect : CsvDialect
    names : tuple of str
        What a repeated header says in a file without a header of its own; in one with a header
        it is what the first record says.
    """

    def __init__(self, dialect: CsvDialect, names: tuple[str, ...] = ()) -> None:
        self._dialect = dialect
        self._awaited = dialect.header
        self._names = () if dialect.header else names
        self._counts: dict[str, int] = {}

    def counted(self) -> dict[str, int]:
        """How many lines of each kind were left out since the last call."""
        counts, self._counts = self._counts, {}
        return counts

    def among(self, text: bytes, starts: Offsets, ends: Offsets, kept: Mask) -> Mask:
        """Which of the kept records are no rows."""
        aside = np.zeros(len(starts), np.bool_)
        if self._dialect.comment:
            first = np.frombuffer(text, np.uint8)[starts]
            aside = kept & (first == ord(self._dialect.comment))
            self._count(COMMENTS, int(aside.sum()))
        rows = kept & ~aside
        if self._awaited and rows.any():
            header = int(rows.argmax())
            self._awaited, rows[header] = False, False
            self._names = tuple(self._fields(text[starts[header] : ends[header]]))
        again = [i for i in self._alike(text, starts, ends, rows) if self._is_header(text, i)]
        aside[[i[0] for i in again]] = True
        self._count(HEADERS, len(again))
        return aside

    def _alike(
        self, text: bytes, starts: Offsets, ends: Offsets, rows: Mask
    ) -> list[tuple[int, int, int]]:
        """Records that are about as long as the header and begin like it."""
        if len(self._names) < 2:  # a label may well be called like its column
            return []
        least = len(self._dialect.delimiter.join(self._names).encode())
        most = least + 4 * len(self._names) + 2 + len(BOM_UTF8)
        length = ends - starts
        near = np.flatnonzero(rows & (length >= least) & (length <= most))
        begins = {self._dialect.quote, self._names[0][:1] or self._dialect.delimiter, " ", "\ufeff"}
        like = np.zeros(256, np.bool_)
        like[[begin.encode()[0] for begin in begins if begin]] = True
        found = near[like[np.frombuffer(text, np.uint8)[starts[near]]]]
        return [(int(i), int(starts[i]), int(ends[i])) for i in found]

    def _is_header(self, text: bytes, place: tuple[int, int, int]) -> bool:
        _, start, end = place
        name = self._names[0].split(self._dialect.quote or None)[0] if self._names[0] else ""
        if name.encode() not in text[start : start + len(name.encode()) + 4]:
            return False
        return tuple(self._fields(text[start:end])) == self._names

    def _fields(self, record: bytes) -> list[str]:
        # Where files were joined, the second brings its byte order mark.
        decoded = record.rstrip(b"\r\n").removeprefix(BOM_UTF8).decode(errors="replace")
        fields = [field.strip() for field in cut_fields(decoded, self._dialect) or []]
        return fields[:-1] if self._dialect.trailing and fields and not fields[-1] else fields

    def _count(self, what: str, lines: int) -> None:
        if lines:
            self._counts[what] = self._counts.get(what, 0) + lines
