"""How delimited text is written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CsvDialect"]


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How delimited text is written, resolved once for all files.

    Parameters
    ----------
    delimiter, quote, encoding : str
        ``quote`` is empty where nothing is quoted; ``encoding`` is Python's name.
    header : bool
        Whether the first record of each file names its columns.
    escape : str
        The character before a quote or delimiter that is text; empty if only doubled quotes are.
    skip_blanks : bool
        Whether blanks behind a delimiter belong to it.
    comment : str
        The first character of lines that are left out; empty if none are.
    skip_lines : int
        Lines above the header, or the first row, of each file.
    trailing : bool
        Whether every row (the header not) ends in a delimiter that separates nothing.
    """

    delimiter: str
    quote: str
    encoding: str
    header: bool
    escape: str = ""
    skip_blanks: bool = False
    comment: str = ""
    skip_lines: int = 0
    trailing: bool = False
