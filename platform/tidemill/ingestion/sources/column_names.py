"""Names of columns: never empty, never twice, and not without number."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from tidemill.errors import SchemaMismatch, SourceUnreadable
from tidemill.schema import MOST_COLUMNS, SourceColumn

__all__ = [
    "refuse_more_columns",
    "require_columns",
    "second_names",
    "unique_names",
    "with_written_names",
]


def refuse_more_columns(found: int, path: str) -> None:
    """Refuse a table that is wider than any that can be looked at.

    Raises
    ------
    SourceUnreadable
        If it has more than ``MOST_COLUMNS`` columns.
    """
    if found > MOST_COLUMNS:
        raise SourceUnreadable(
            f"{path} has {found:,} columns; at most {MOST_COLUMNS:,} are read",
            remedy="write fewer, or a line for each measurement; if a text file has fewer, set "
            "dataset.csv.delimiter",
            path=path,
            columns=found,
        )


def require_columns(wanted: Iterable[str], found: Container[str], path: str) -> None:
    """Refuse a file that lacks columns of its source.

    Raises
    ------
    SchemaMismatch
        If one of ``wanted`` is not ``found`` in it.
    """
    absent = [name for name in wanted if name not in found]
    if absent:
        raise SchemaMismatch(
            f"{path} lacks the columns {', '.join(absent)} that other files of the source have",
            remedy="add them to the file, or take the file out of the source",
            path=path,
            columns=tuple(absent),
        )


def unique_names(header: list[str]) -> list[str]:
    """Column names: stripped, never empty, never twice.

    >>> unique_names(["a", " a", "", "b"])
    ['a', 'a_2', 'column_3', 'b']
    """
    fields = (field.strip() for field in header)
    return second_names([f or f"column_{position}" for position, f in enumerate(fields, start=1)])


def second_names(names: list[str]) -> list[str]:
    """The same names, but for those that came before: they get a second name.

    A name that is there once keeps it.

    >>> second_names(["v", "v", "v_2", "v"])
    ['v', 'v_3', 'v_2', 'v_4']
    """
    given, taken = set(names), set[str]()
    found: list[str] = []
    for base in names:
        name, copy = base, 2
        while name in taken or (name != base and name in given):
            name, copy = f"{base}_{copy}", copy + 1
        taken.add(name)
        found.append(name)
    return found


def with_written_names(
    columns: Iterable[SourceColumn], written: Iterable[str]
) -> tuple[SourceColumn, ...]:
    """The columns, with a note on those that have another name in the data."""
    return tuple(
        column
        if column.name == name
        else replace(
            column, note="; ".join(filter(None, [_renaming(name, column.name), column.note]))
        )
        for column, name in zip(columns, written, strict=True)
    )


def _renaming(written: str, name: str) -> str:
    """Why a column is not called as it is written."""
    plain = written.strip()
    if not plain:
        return "the column has no name in the data"
    if plain == name:
        return f"the data call it {written!r}: blanks around names are left out"
    return f"the data have the name {plain!r} more than once; this is a further one"
