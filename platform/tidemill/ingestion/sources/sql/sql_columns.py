"""Columns of a table or query of a database, and the types that it declares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tidemill.errors import SchemaMismatch
from tidemill.ingestion.sources.column_names import unique_names
from tidemill.ingestion.sources.sql.mysql_session import MYSQL, mysql_kinds
from tidemill.ingestion.sources.sql.snapshot import Snapshot, escaped
from tidemill.ingestion.sources.sql.sql_address import SqlAddress

__all__ = ["SqlColumn", "columns_of"]

_PLAIN = {
    **dict.fromkeys(("int2", "int4", "int8"), "integer"),
    **dict.fromkeys(("float4", "float8", "numeric"), "number"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), "datetime"),
    "bool": "boolean",
    "uuid": "text",
}
_SENT = {
    "int8": "int8send",
    "float4": "float4send",
    "float8": "float8send",
    "numeric": "numeric_send",
    "timestamp": "timestamp_send",
    "timestamptz": "timestamptz_send",
    "bpchar": "bpcharsend",
}
"""What gives the bytes of a value."""
_TEXTS = ("S", "E")
"""Categories of PostgreSQL's types: strings and enumerations."""
_COLLATED = ("text", "varchar", "bpchar", "name")
_TOLD_APART = re.compile(r"(?P<name>.*):\d+", re.DOTALL)
"""How SQLite calls the second column of a name in a query within a query."""


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column of a table or query.

    Parameters
    ----------
    name : str
        As in every format.
    written : str
        As the database has it.
    kind : str
        The database's word for its type; empty where it has none: each cell tells its own.
    plain : str
        text, integer, number, boolean, datetime, other; empty likewise.
    """

    name: str
    written: str
    kind: str = ""
    plain: str = ""

    def ordered(self, snapshot: Snapshot) -> str:
        """The column of ``t`` as it stands in an order or a comparison: the same in each database.

        A bare name would be that of a column of the result, where it has one of that name.

        Texts are ordered by their code points. As their own collation orders them, two may be
        equal that are not the same, and the next release of a library may order them otherwise.
        """
        quoted = f"t.{snapshot.quoted(self.written)}"
        if snapshot.dialect == "sqlite":
            return f"{quoted} COLLATE BINARY"
        if snapshot.dialect in MYSQL:  # all its collations but a few take no notice of blanks
            in_utf8 = f"CAST(CONVERT({quoted} USING utf8mb4) AS BINARY)"
            return in_utf8 if self.plain == "text" else quoted
        if self.kind in _COLLATED:
            return f'{quoted} COLLATE "C"'
        # Texts of types such as citext, to which two that are not the same are equal.
        of_texts = self.plain == "text" and self.kind != "uuid"
        return f'CAST({quoted} AS text) COLLATE "C"' if of_texts else quoted

    def hashed(self, snapshot: Snapshot) -> str:
        """The column of ``t`` as it stands in a row that PostgreSQL hashes.

        Of its own hashes that of a number ignores its sign, half its bits, or that it is 0 and not
        NULL; that of a text what its collation or the type of blank-filled texts ignores.
        """
        quoted = f"t.{snapshot.quoted(self.written)}"
        if self.kind in _SENT:
            return f"{_SENT[self.kind]}({quoted})"
        return quoted if self.kind in _PLAIN else f'CAST({quoted} AS text) COLLATE "C"'


def columns_of(
    snapshot: Snapshot, address: SqlAddress, clause: str, *, query: bool
) -> tuple[SqlColumn, ...]:
    """The columns of what stands behind FROM.

    Raises
    ------
    SchemaMismatch
        If two of a query have one name.
    """
    described = snapshot.described(f"SELECT * FROM {clause} LIMIT 0")
    written = [name for name, _ in described]
    told = _as_queried(snapshot, address, written) if query else written
    twice = sorted({name for name in told if told.count(name) > 1})
    if twice:
        raise SchemaMismatch(
            f"{address} has several columns of the name {', '.join(twice)}",
            remedy="give each its own name in the query: SELECT ... AS ...",
            columns=tuple(twice),
        )
    kinds = _kinds(snapshot, [code for _, code in described])
    names = unique_names(written)
    return tuple(SqlColumn(n, w, *k) for n, w, k in zip(names, written, kinds, strict=True))


def _as_queried(snapshot: Snapshot, address: SqlAddress, written: list[str]) -> list[str]:
    """Names as the query gives them; SQLite, to which a and A are one, has renamed the second."""
    if snapshot.dialect != "sqlite":
        return written
    known = {name.casefold() for name in written}
    found = map(_TOLD_APART.fullmatch, written)
    if not any(name and name["name"].casefold() in known for name in found):
        return written
    described = snapshot.described(escaped(address.relation))
    return [name.casefold() for name, _ in described]


def _kinds(snapshot: Snapshot, codes: list[Any]) -> list[tuple[str, str]]:
    """The type of each column and the plain type that it is, where the database declares them."""
    if snapshot.dialect in MYSQL:
        return mysql_kinds(codes)
    if snapshot.dialect != "postgresql":
        return [("", "")] * len(codes)
    found = snapshot.records(
        "SELECT oid::bigint, typname::text, typcategory::text FROM pg_type "
        f"WHERE oid IN ({', '.join(map(str, [0, *codes]))})"
    )
    kinds = {
        oid: (name, "text" if category in _TEXTS else _PLAIN.get(name, "other"))
        for oid, name, category in found
    }
    return [kinds[code] for code in codes]
