"""A table or query of a database: its columns, its order, its ranges and what names their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pyarrow as pa

from tidemill.errors import (
    ColumnMissing,
    KeyInvalid,
    SchemaMismatch,
    SourceMissing,
    SourceUnreadable,
    first_few,
    nearest,
)
from tidemill.ingestion.sources.sql.arrow_rows import arrow_rows, as_arrow
from tidemill.ingestion.sources.sql.mysql_session import MYSQL, as_cell, mysql_primary
from tidemill.ingestion.sources.sql.snapshot import Record, Snapshot, escaped, translated
from tidemill.ingestion.sources.sql.sql_address import Key, KeyRange, SqlAddress
from tidemill.ingestion.sources.sql.sql_columns import SqlColumn, columns_of

__all__ = ["NamedRange", "Relation"]

_DIGEST_ROWS = 1000
_CUT_BY = (
    *("int2", "int4", "int8", "numeric"),
    *("date", "timestamp", "timestamptz", "uuid", "text", "varchar", "bpchar"),
)
"""Types of PostgreSQL's of which a text gives each value back, and compares as the value does."""
_NAME = (
    "count(*), "
    "coalesce(sum(hash_record_extended(ROW(int8send(hash_record_extended(line, 0))), 0)), 0)"
    "::text, "
    "coalesce(sum(pg_column_size(line)), 0)::bigint"
)
"""Of rows of PostgreSQL's: how many, the sum of their hashes, their bytes.

A row's hash is a sum of its cells': hashed once more, so that cells that change places between two
rows change the sum.
"""
_LONGEST_BOUND = 500
"""Characters of a key that may begin a range: it stands in the address."""


@dataclass(frozen=True, slots=True)
class NamedRange:
    """A range of a table's key (None: all rows), what names its rows, their bytes and number."""

    keys: KeyRange | None
    etag: str
    bytes: int
    rows: int


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
        self._from, primary, query = _clause(snapshot, address, named)
        self.columns = columns_of(snapshot, address, self._from, query=query)
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

    def named_ranges(self, rows: int, kept: Sequence[KeyRange] = ()) -> list[NamedRange]:
        """Ranges of the key of about so many rows, each with what names its rows.

        One of all rows where these are few, or without a key, or where the key is of a type that
        no text gives back as it was. PostgreSQL goes through the table once for all ranges.

        The borders of ``kept``, ranges of an earlier state in their order, stay, so that what comes
        or goes in one range is no matter of the others. A range without rows is left out, one of
        more than one and a half times ``rows`` is cut by itself; all are cut anew where they are
        more than twice as many as the rows need.

        Raises
        ------
        KeyInvalid
            If rows of a table that is cut have no key, or the cursor is of such a type.
        """
        # Borders may be none of the key, which is of another type by now.
        with suppress(SourceUnreadable), self._snapshot.connection.begin_nested():
            if kept and (named := self._cut(rows, _borders(kept))):
                return named
        return self._cut(rows, []) or [NamedRange(None, *self.digest(None))]

    def _cut(self, rows: int, kept: list[Key]) -> list[NamedRange]:
        """The ranges; none where all rows are one, or borders that were kept serve no more."""
        key = self._key
        ranges = [] if key is None else self._ranges(key, rows, kept)
        if key is None or not ranges:
            return []
        at_once = self.dialect == "postgresql"
        whole = self._named_at_once(key, ranges) if at_once else self._named(ranges)
        named = [part for one in whole for part in self._parts(key, one, rows)]
        ((all_rows,),) = self._snapshot.records(f"SELECT count(*) FROM {self._from}")
        # Whatever a database of an unknown kind compares otherwise, no row is lost.
        if sum(one.rows for one in named) != all_rows:
            return []
        return [] if kept and len(named) > 2 * -(-all_rows // rows) else named

    def _named(self, ranges: list[KeyRange]) -> list[NamedRange]:
        return [NamedRange(keys, *self.digest(keys)) for keys in ranges]

    def _parts(self, column: SqlColumn, one: NamedRange, rows: int) -> list[NamedRange]:
        """What is left of a range: nothing without rows, several of too many."""
        if not one.rows:
            return []
        if one.keys is None or 2 * one.rows <= 3 * rows:
            return [one]
        firsts = self._counted(column, rows, one.keys)
        if len(firsts) < 2 or _too_long(firsts):
            return [one]
        cut = _between([one.keys.first, *firsts[1:], one.keys.last], closed=one.keys.closed)
        parts = self._named(cut)
        return [left for part in parts for left in self._parts(column, part, rows)]

    def _ranges(self, column: SqlColumn, rows: int, kept: list[Key]) -> list[KeyRange]:
        """Ranges between the borders that were kept, else as counted; none: all rows are one."""
        if column.kind not in ("", *_CUT_BY):
            return self._uncut(column)
        key = column.ordered(self._snapshot)
        firsts = kept or self._counted(column, rows)
        if not kept and len(firsts) < 2:
            return []
        if not self._of_one_type(key):
            return self._uncut(column)
        ((keyless,),) = self._snapshot.records(f"SELECT count(*) - count({key}) FROM {self._from}")
        if keyless:
            raise KeyInvalid(
                f"{self.address}: {keyless:,} rows have no {column.written}, by which the table "
                "is cut",
                remedy=f"name another dataset.{self._setting}, or a query that leaves them out",
                column=column.written,
            )
        before = self._end(key, "<", firsts[0], "ASC")
        behind = self._end(key, ">=", firsts[-1], "DESC")
        bounds = [*before, *dict.fromkeys(firsts), *behind]
        return [] if _too_long(bounds) else _between(bounds, closed=bool(behind))

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

    def _named_at_once(self, column: SqlColumn, ranges: list[KeyRange]) -> list[NamedRange]:
        """PostgreSQL's names of the ranges, which have every row, from one statement."""
        key = column.ordered(self._snapshot)
        number = f"width_bucket({key}, CAST(:firsts AS {column.kind}[]))"
        found = self._snapshot.records(
            f"SELECT number, {_NAME} FROM (SELECT {number} AS number, {self._line()} AS line "
            f"FROM {self._from} OFFSET 0) AS u GROUP BY number ORDER BY number",
            {"firsts": [keys.first for keys in ranges]},
        )
        return [
            NamedRange(ranges[number - 1], self._said(rows, total), size, rows)
            for number, rows, total, size in found
        ]

    def digest(self, keys: KeyRange | None) -> tuple[str, int, int]:
        """What names the rows of a range, about how many bytes they are, and how many rows.

        PostgreSQL computes it: the number of rows, and the sum of their hashes. Of another database
        the rows are read, and it is their SHA-256.
        """
        where, given = self._where(keys)
        if self.dialect == "postgresql":
            # Without OFFSET each row would be made once for each sum.
            lines = f"SELECT {self._line()} AS line FROM {self._from}{where} OFFSET 0"
            found = self._snapshot.records(f"SELECT {_NAME} FROM ({lines}) AS u", given)
            ((rows, total, size),) = found
            return self._said(rows, total), size, rows
        digest, size, rows = sha256(repr([c.written for c in self.columns]).encode()), 0, 0
        cells = ", ".join(self._cell(column.name) for column in self.columns)
        sql = f"SELECT {cells} FROM {self._from}{where} ORDER BY {self._order}"
        for batch in self._snapshot.batches(sql, given, rows=_DIGEST_ROWS):
            text = repr([tuple(record) for record in batch]).encode()
            digest.update(text)
            size += len(text)
            rows += len(batch)
        return digest.hexdigest(), size, rows

    def _line(self) -> str:
        """A row of PostgreSQL's, with each cell such that its hash is that of all its bits."""
        return f"ROW({', '.join(column.hashed(self._snapshot) for column in self.columns)})"

    def _said(self, rows: int, total: str) -> str:
        said = f"{[(c.written, c.kind) for c in self.columns]} {rows} {total}"
        return sha256(said.encode()).hexdigest()

    def batches(
        self, names: list[str], keys: KeyRange | None, *, rows: int, most: int | None = None
    ) -> Iterator[list[Record]]:
        """Yield the records of a range in their order, ``rows`` at a time, ``most`` at most."""
        sql, given = self._selected([self._cell(name) for name in names], keys, most)
        return self._snapshot.batches(sql, given, rows=rows)

    def tables(
        self, names: list[str], keys: KeyRange | None, *, rows: int, most: int | None = None
    ) -> Iterator[pa.Table]:
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
        return f"SELECT {', '.join(asked)} FROM {self._from}{where}{order}", given

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
        return {kind for (kind,) in found} - {"null"} in ({"integer"}, {"text"})

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


def _borders(kept: Sequence[KeyRange]) -> list[Key]:
    """Where ranges of an earlier state began and ended; the end of the last was its largest key."""
    ends = [(keys.first,) if keys.closed else (keys.first, keys.last) for keys in kept]
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


def _clause(snapshot: Snapshot, address: SqlAddress, named: str) -> tuple[str, list[str], bool]:
    """What stands behind FROM, the columns of the primary key, and whether it is a query."""
    from sqlalchemy import inspect

    with translated(snapshot.shown):
        inspector = inspect(snapshot.connection)
        for schema, table in _places(address.relation):
            if inspector.has_table(table, schema=schema):
                if snapshot.dialect in MYSQL:
                    primary = mysql_primary(snapshot.connection, table, schema, named)
                else:
                    found = inspector.get_pk_constraint(table, schema=schema)
                    primary = list(found.get("constrained_columns") or [])
                quoted = ".".join(snapshot.quoted(n) for n in (schema, table) if n is not None)
                return f"{quoted} AS t", primary, False
        if address.reads_as_query:
            return f"({escaped(address.relation)}\n) AS t", [], True
        there = sorted([*inspector.get_table_names(), *inspector.get_view_names()])
    close = nearest(address.relation, there)
    hint = f"did you mean {snapshot.shown}#{close}? " if close else ""
    what = f"the table {address.relation!r}, which is not there" if address.relation else "no table"
    raise SourceMissing(
        f"{named} names {what}: {snapshot.shown}",
        remedy=f"{hint}let {named} end in #TABLE, #SCHEMA.TABLE or #SELECT ...; tables are: "
        f"{first_few(there, 10) or 'none'}",
        available=tuple(there),
    )


def _places(relation: str) -> list[tuple[str | None, str]]:
    """Which schema and table a name may mean."""
    schema, point, table = relation.partition(".")
    whole: list[tuple[str | None, str]] = [(None, relation)] if relation else []
    return [*whole, (schema, table)] if point else whole
