"""A table or query of a database: its columns, its order, its ranges and what names their rows."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pyarrow as pa

from tidemill.errors import ColumnMissing, KeyInvalid, SchemaMismatch
from tidemill.ingestion.sources.sql.arrow_rows import arrow_rows, as_arrow
from tidemill.ingestion.sources.sql.from_clause import from_clause
from tidemill.ingestion.sources.sql.mysql_session import MYSQL, as_cell
from tidemill.ingestion.sources.sql.row_names import RowName, RowNames
from tidemill.ingestion.sources.sql.snapshot import Record, Snapshot
from tidemill.ingestion.sources.sql.sql_address import Key, KeyRange, SqlAddress
from tidemill.ingestion.sources.sql.sql_columns import SqlColumn, columns_of

__all__ = ["NamedRange", "Relation"]

_DIGEST_ROWS = 1000
_CUT_BY = (
    *("int2", "int4", "int8", "numeric"),
    *("date", "timestamp", "timestamptz", "uuid", "text", "varchar", "bpchar"),
)
"""Types of PostgreSQL's of which a text gives each value back, and compares as the value does."""
_LONGEST_BOUND = 500
"""Characters of a key that may begin a range: it stands in the address."""


@dataclass(frozen=True, slots=True)
class NamedRange:
    """A range of a table's key (None: all rows), and what names its rows."""

    keys: KeyRange | None
    name: RowName


class Relation:
    """A table or query, at one state of its database.

    Rows are in the order of the primary key, else of ``key``, and of all columns where that does
    not tell two rows apart: they come in the same order each time.

    Parameters
    ----------
    snapshot : Snapshot
    address : SqlAddress
    key : str or None
        ``dataset.key``.
    named : str
        What errors call the address.
    cursor : str or None
        ``dataset.cursor``: a column that is cut at instead of the key; rows come in its order.

    Raises
    ------
    SourceMissing
        If there is no such table, or no table is named.
    SourceUnreadable
        If the query is not one.
    SchemaMismatch
        If two columns have one name.
    ColumnMissing
        If the cursor is none of them.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        address: SqlAddress,
        key: str | None = None,
        named: str = "dataset.source",
        *,
        cursor: str | None = None,
    ) -> None:
        self._snapshot, self.address, self.dialect = snapshot, address, snapshot.dialect
        self._from, primary, table = from_clause(snapshot, address, named)
        self.columns = columns_of(snapshot, address, self._from, query=table is None)
        self._written = {column.name: column.written for column in self.columns}
        self._kinds = {column.name: column.kind for column in self.columns}
        by_written = {column.written: column for column in self.columns}
        keyed = [by_written[name] for name in primary if name in by_written]
        order = keyed or sorted(
            (column for column in self.columns if column.plain != "other"),
            key=lambda column: column.name != key,  # that first
        )
        stated = [column for column in order[:1] if column.name == key]
        ahead = [column for column in self.columns if column.name == cursor]
        if cursor is not None and not ahead:
            raise ColumnMissing(column=cursor, available=self._kinds, setting="dataset.cursor")
        self._setting = "key" if cursor is None else "cursor"
        self._key = next(iter(ahead or keyed or stated), None)
        order = [*ahead, *(column for column in order if column not in ahead)]
        self._order = ", ".join(column.ordered(snapshot) for column in order) or "1"
        of_postgres = self.dialect == "postgresql"
        locked = table if table == snapshot.locked else None
        self._names = RowNames(snapshot, self._from, self.columns, locked) if of_postgres else None

    def named_ranges(self, rows: int, before: Sequence[NamedRange] = ()) -> list[NamedRange]:
        """Ranges of the key of about so many rows, each with what names its rows.

        One of all rows where these are few, or without a key, or where the key is of a type that
        no text gives back as it was. PostgreSQL goes through the table once for all ranges.

        The borders of ``before``, ranges of an earlier state in their order, stay, so that what
        comes or goes in one range is no matter of the others. A range without rows is left out,
        one of more than one and a half times ``rows`` is cut by itself; all are cut anew where they
        are more than twice as many as the rows need. PostgreSQL reads no cells of ranges that are
        by their marks those of ``before``.

        Raises
        ------
        KeyInvalid
            If rows of a table that is cut have no key, or rows of any table no cursor, or it is of
            such a type.
        """
        # Borders may be none of the key, which is of another type by now.
        with self._snapshot.attempt():
            borders = _borders(before)
            if borders and (named := self._cut(rows, borders, before)):
                return named
        return self._cut(rows, [], before) or [self.named(None, before)]

    def _cut(self, rows: int, borders: list[Key], before: Sequence[NamedRange]) -> list[NamedRange]:
        """The ranges; none where all rows are one, or borders of before serve no more."""
        key = self._key
        ranges = [] if key is None else self._ranges(key, rows, borders)
        if key is None or not ranges:
            return []
        if self._names is None:
            whole = [self.named(keys) for keys in ranges]
        else:
            whole = self._named_at_once(self._names, key, ranges, before)
        named = [part for one in whole for part in self._parts(key, one, rows)]
        all_rows = sum(one.name.rows for one in named)
        if self._names is None:
            # Whatever a database of an unknown kind compares otherwise, no row is lost.
            ((there,),) = self._snapshot.records(f"SELECT count(*) FROM {self._from}")
            if there != all_rows:
                return []
        return [] if borders and len(named) > 2 * -(-all_rows // rows) else named

    def _parts(self, column: SqlColumn, one: NamedRange, rows: int) -> list[NamedRange]:
        """What is left of a range: nothing without rows, several of too many."""
        if not one.name.rows:
            return []
        if one.keys is None or 2 * one.name.rows <= 3 * rows:
            return [one]
        firsts = self._counted(column, rows, one.keys)
        if len(firsts) < 2 or _too_long(firsts):
            return [one]
        cut = _between([one.keys.first, *firsts[1:], one.keys.last], closed=one.keys.closed)
        parts = [self.named(keys) for keys in cut]
        return [left for part in parts for left in self._parts(column, part, rows)]

    def _ranges(self, column: SqlColumn, rows: int, borders: list[Key]) -> list[KeyRange]:
        """Ranges between the borders of before, else as counted; none: all rows are one."""
        if column.kind not in ("", *_CUT_BY):
            return self._uncut(column)
        if borders and self._names and not self._in_order(column, borders):
            return []
        key = column.ordered(self._snapshot)
        firsts = borders or self._counted(column, rows)
        whole = not borders and len(firsts) < 2
        if whole and self._setting == "key":  # a cursor is held to its word in a small table too
            return []
        if not self._of_one_type(key):
            return self._uncut(column)
        if not (borders and self._names):  # which finds them too
            counted = f"SELECT count(*) - count({key}) FROM {self._from}"
            ((keyless,),) = self._snapshot.records(counted)
            if keyless:
                raise self._keyless(column, keyless)
        if whole:
            return []
        before = self._end(key, "<", firsts[0], "ASC")
        behind = self._end(key, ">=", firsts[-1], "DESC")
        bounds = [*before, *dict.fromkeys(firsts), *behind]
        return [] if _too_long(bounds) else _between(bounds, closed=bool(behind))

    def _in_order(self, column: SqlColumn, borders: list[Key]) -> bool:
        """Whether PostgreSQL sorts borders so; as texts, 10 goes before 9."""
        bare = replace(column, written="k").ordered(self._snapshot)
        ((sorts_so,),) = self._snapshot.records(
            f"SELECT array_agg(t.k ORDER BY t.n) = array_agg(t.k ORDER BY {bare}) "
            f"FROM unnest(CAST(:borders AS {column.kind}[])) WITH ORDINALITY AS t(k, n)",
            {"borders": borders},
        )
        return bool(sorts_so)

    def _keyless(self, column: SqlColumn, rows: int) -> KeyInvalid:
        return KeyInvalid(
            f"{self.address}: {rows:,} rows have no {column.written}, by which the table is cut",
            remedy=f"name another dataset.{self._setting}, or a query that leaves them out",
            column=column.written,
        )

    def _uncut(self, column: SqlColumn) -> list[KeyRange]:
        if self._setting == "key":
            return []
        raise KeyInvalid(
            f"{self.address}: dataset.cursor names {column.written}, which is of a type "
            f"({column.kind or 'several'}) at whose values no table is cut",
            remedy="let it name a column of whole numbers, of times or of texts",
            column=column.written,
        )

    def _end(self, key: str, side: str, border: Key, order: str) -> list[Key]:
        """The first key of an order on one side of a border, if there is one."""
        found = self._snapshot.records(
            f"SELECT {key} FROM {self._from} WHERE {key} {side} :border ORDER BY {key} {order} "
            "LIMIT 1",
            {"border": self._given(border)},
        )
        return [_bound(record[0]) for record in found]

    def _counted(self, column: SqlColumn, rows: int, within: KeyRange | None = None) -> list[Key]:
        """The keys of each ``rows``-th row, from the first on, in their order."""
        key = column.ordered(self._snapshot)
        where, given = self._where(within)
        place = f"row_number() OVER (ORDER BY {key}) AS place"
        found = self._snapshot.records(
            f"SELECT k FROM (SELECT {key} AS k, {place} FROM {self._from}{where}) AS n "
            f"WHERE (place - 1) % {rows} = 0 ORDER BY place",
            given,
        )
        return [*dict.fromkeys(_bound(record[0]) for record in found)]

    def _named_at_once(
        self,
        names: RowNames,
        column: SqlColumn,
        ranges: list[KeyRange],
        before: Sequence[NamedRange],
    ) -> list[NamedRange]:
        """PostgreSQL's names of the ranges, which have every row, from one statement."""
        key = column.ordered(self._snapshot)
        found = names.of(
            "",
            {"firsts": [keys.first for keys in ranges]},
            [one.name for one in before],
            group=f"coalesce(width_bucket({key}, CAST(:firsts AS {column.kind}[])), -1)",
        )
        if keyless := found.pop(-1, None):
            raise self._keyless(column, keyless.rows)
        numbered = dict(enumerate(ranges, start=1))
        return [NamedRange(numbered[number], found[number]) for number in sorted(found)]

    def named(self, keys: KeyRange | None, before: Sequence[NamedRange] = ()) -> NamedRange:
        """A range with what names its rows.

        PostgreSQL computes it (:class:`RowNames`), and reads no cells of rows that are by their
        marks those of ``before``. Of another database the rows are read: it is their SHA-256.
        """
        where, given = self._where(keys)
        if self._names is not None:
            found = self._names.of(where, given, [one.name for one in before])
            return NamedRange(keys, found.get(0) or self._names.none())
        digest, size, rows = sha256(repr([c.written for c in self.columns]).encode()), 0, 0
        cells = ", ".join(self._cell(column.name) for column in self.columns)
        sql = f"SELECT {cells} FROM {self._from}{where} ORDER BY {self._order}"
        for batch in self._snapshot.batches(sql, given, rows=_DIGEST_ROWS):
            text = repr([tuple(record) for record in batch]).encode()
            digest.update(text)
            size += len(text)
            rows += len(batch)
        return NamedRange(keys, RowName(digest.hexdigest(), size, rows))

    def batches(
        self, names: list[str], keys: KeyRange | None, *, rows: int, most: int | None = None
    ) -> Generator[list[Record], None, None]:
        """Yield the records of a range in their order, ``rows`` at a time, ``most`` at most."""
        sql, given = self._selected([self._cell(name) for name in names], keys, most)
        return self._snapshot.batches(sql, given, rows=rows)

    def tables(
        self, names: list[str], keys: KeyRange | None, *, rows: int, most: int | None = None
    ) -> Generator[pa.Table, None, None]:
        """The same of PostgreSQL, as Arrow."""
        asked = [as_arrow(self._quoted(name), self._kinds[name]) for name in names]
        sql, given = self._selected(asked, keys, most)
        return arrow_rows(self._snapshot, sql, given, rows=rows)

    def largest(self, names: list[str]) -> dict[str, float]:
        """The largest magnitude in columns of whole numbers; 0 where there is none."""
        if not names:
            return {}
        quoted = [self._cell(name) for name in names]
        ends = ", ".join(f"min({name}), max({name})" for name in quoted)
        (found,) = self._snapshot.records(f"SELECT {ends} FROM {self._from}")
        pairs = zip(names, found[::2], found[1::2], strict=True)
        return {name: float(max(abs(low or 0), abs(high or 0))) for name, low, high in pairs}

    def _selected(
        self, asked: list[str], keys: KeyRange | None, most: int | None
    ) -> tuple[str, Mapping[str, Any]]:
        where, given = self._where(keys)
        limit = "" if most is None else f" LIMIT {most}"
        order = f" ORDER BY {self._order}{limit}"
        # Of rows without columns there would be no number.
        return f"SELECT {', '.join(asked) or '1'} FROM {self._from}{where}{order}", given

    def _quoted(self, name: str) -> str:
        return self._snapshot.quoted(self._written[name])

    def _cell(self, name: str) -> str:
        """A column such that what comes is its value."""
        quoted = self._quoted(name)
        return as_cell(quoted, self._kinds[name]) if self.dialect in MYSQL else quoted

    def _of_one_type(self, key: str) -> bool:
        """Whether all keys of SQLite, which declares no types, are whole numbers, or all texts."""
        if self.dialect != "sqlite":
            return True
        found = self._snapshot.records(f"SELECT DISTINCT typeof({key}) FROM {self._from}")
        kinds = {kind for (kind,) in found} - {"null"}
        return kinds <= {"integer"} or kinds <= {"text"}

    def _where(self, keys: KeyRange | None) -> tuple[str, Mapping[str, Any]]:
        if keys is None:
            return "", {}
        if self._key is None:
            raise SchemaMismatch(
                f"{self.address} has no key any more", remedy="run the same command again"
            )
        key = self._key.ordered(self._snapshot)
        end = "<=" if keys.closed else "<"
        return f" WHERE {key} >= :first AND {key} {end} :last", {
            "first": self._given(keys.first),
            "last": self._given(keys.last),
        }

    def _given(self, bound: Key) -> Any:
        """A bound as its driver takes it: to MySQL a decimal number in quotes is a fraction."""
        exact = self.dialect in MYSQL and self._key is not None and self._key.kind == "numeric"
        return Decimal(bound) if exact else bound


def _borders(before: Sequence[NamedRange]) -> list[Key]:
    """Where ranges of an earlier state began and ended; the end of the last was its largest key."""
    ranged = [one.keys for one in before if one.keys is not None]
    ends = [(keys.first,) if keys.closed else (keys.first, keys.last) for keys in ranged]
    return list(dict.fromkeys(border for pair in ends for border in pair))


def _between(bounds: list[Key], *, closed: bool) -> list[KeyRange]:
    last = len(bounds) - 1
    return [
        KeyRange(first, end, closed and number == last)
        for number, (first, end) in enumerate(pairwise(bounds), start=1)
    ]


def _too_long(bounds: list[Key]) -> bool:
    return any(len(str(bound)) > _LONGEST_BOUND for bound in bounds)


def _bound(key: Any) -> Key:
    if isinstance(key, bytes):  # texts of MySQL's as they are ordered
        return key.decode()
    return key if isinstance(key, int) else str(key)
