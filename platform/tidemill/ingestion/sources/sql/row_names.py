"""What names rows of PostgreSQL: a hash of their cells, and a mark that costs a tenth of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

from tidemill.ingestion.sources.sql.snapshot import Snapshot, unescaped
from tidemill.ingestion.sources.sql.sql_columns import SqlColumn

__all__ = ["RowName", "RowNames"]

_HASH = "hash_record_extended(ROW(int8send(hash_record_extended(line, 0))), 0)"
"""Of a row.

It is a sum of its cells': hashed once more, so that cells that change places between two rows
change the sum of both.
"""
_VERSION = "hashtidextended(t.ctid, CAST(age(t.xmin) AS bigint) - age(CAST('3' AS xid)))"
"""Of the version of a row: where it lies, and which transaction wrote it.

The number of a transaction becomes another type by its text alone, which costs as much as the rest:
so it is told by its distance from number 3, the first.
"""
_KEPT_IN_ROWS = (
    *("bool", "int2", "int4", "int8", "float4", "float8", "numeric"),
    *("text", "varchar", "bpchar", "uuid", "bytea", "json", "jsonb"),
    *("date", "time", "timestamp", "timestamptz", "interval"),
)
"""Types of which a value is in the row alone; that of an enumeration is a name in the catalog."""
_WITNESS = f"""
SELECT pg_postmaster_start_time(), (SELECT stats_reset FROM pg_stat_bgwriter),
  c.oid, c.relfilenode, c.xmin,
  (SELECT string_agg(concat_ws(' ', a.attnum, a.xmin), ',' ORDER BY a.attnum)
   FROM pg_attribute AS a WHERE a.attrelid = c.oid)
FROM pg_class AS c JOIN pg_am AS m ON m.oid = c.relam
WHERE c.oid = CAST(:table AS regclass)
  AND c.relkind = 'r' AND m.amname = 'heap' AND c.relpersistence = 'p'
  AND NOT c.relhassubclass AND NOT c.relrowsecurity
  AND NOT pg_is_in_recovery()
  AND CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS numeric) < 4294967296
  AND (SELECT stats_reset FROM pg_stat_bgwriter) IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (
      a.attgenerated = 'v' OR y.typnamespace <> CAST('pg_catalog' AS regnamespace)
      OR y.typname NOT IN ({", ".join(f"'{name}'" for name in _KEPT_IN_ROWS)})))
"""
"""Of a plain table: which run of which server, and which definition of the table.

A crash sets the statistics back: numbers of transactions that never reached the disk are given
again, while the server's main process runs on. Numbers are told apart by 32 bits, of which a
server runs out after some years.
"""


class RowName(NamedTuple):
    """What names some rows, their bytes, how many they are, and their mark, if they have one."""

    etag: str
    bytes: int
    rows: int
    mark: str | None = None


class RowNames:
    """Names rows of a table or query, all at one state.

    A name is the number of rows and the sum of their hashes, of all bits of all cells. A mark is a
    witness: rows of an equal mark are those of before, cells and all. Only a plain table of
    built-in types has marks, for as long as its server runs; rows that are written anew, also with
    the same cells, have another. No mark tells that a running machine was set back to an earlier
    state of its memory and disks.

    Parameters
    ----------
    snapshot : Snapshot
        Of PostgreSQL.
    clause : str
        What stands behind FROM; its rows are called ``t``.
    columns : sequence of SqlColumn
    table : str or None
        The table, quoted, whose definition is that of the snapshot until its end; None: there are
        no marks.
    """

    def __init__(
        self, snapshot: Snapshot, clause: str, columns: Sequence[SqlColumn], table: str | None
    ) -> None:
        self._snapshot, self._from, self._table = snapshot, clause, table
        self._columns = str([(column.written, column.kind) for column in columns])
        # With each cell such that its hash is that of all its bits.
        self._line = f"ROW({', '.join(column.hashed(snapshot) for column in columns)})"

    def of(
        self,
        where: str,
        given: Mapping[str, Any],
        before: Sequence[RowName] = (),
        *,
        group: str = "0",
    ) -> dict[int, RowName]:
        """The names of rows by their groups, those without rows left out.

        Parameters
        ----------
        where : str
            Which rows; empty: all.
        given : mapping
            Values of ``:names``.
        before : sequence of RowName
            Names of an earlier state: cells of rows that still bear a mark of them are not read.
        group : str
            An expression of a whole number, never NULL.
        """
        known = {one.mark: one for one in before if one.mark is not None}
        marked = self._marked(where, given, group) if known and self._witness else {}
        same = {
            number: known[mark]._replace(rows=rows)
            for number, (rows, mark) in marked.items()
            if mark in known
        }
        if marked and len(same) == len(marked):
            return same
        both = " AND" if where else " WHERE"
        others = f"{where}{both} {group} <> ALL(CAST(:same AS int[]))" if same else where
        return same | self._hashed(others, {**given, "same": list(same)} if same else given, group)

    def none(self) -> RowName:
        """The name of no rows."""
        return self._name(0, "0", 0, None)

    def _hashed(self, where: str, given: Mapping[str, Any], group: str) -> dict[int, RowName]:
        version = _VERSION if self._witness else "CAST(NULL AS bigint)"
        # Without OFFSET each row would be made once for each sum, or be sorted, as fewer bytes.
        found = self._snapshot.records(
            "SELECT number, count(*), sum(hash)::text, sum(size)::bigint, sum(version)::text FROM ("
            f"SELECT number, version, {_HASH} AS hash, pg_column_size(line) AS size FROM ("
            f"SELECT {group} AS number, {self._line} AS line, {version} AS version "
            f"FROM {self._from}{where} OFFSET 0) AS u OFFSET 0) AS v GROUP BY 1",
            given,
        )
        return {n: self._name(*told) for n, *told in found}

    def _marked(
        self, where: str, given: Mapping[str, Any], group: str
    ) -> dict[int, tuple[int, str | None]]:
        """How many rows, and their mark."""
        found = self._snapshot.records(
            f"SELECT {group}, count(*), sum({_VERSION})::text FROM {self._from}{where} GROUP BY 1",
            given,
        )
        return {number: (rows, self._mark(rows, told)) for number, rows, told in found}

    def _name(self, rows: int, total: str, size: int, versions: str | None) -> RowName:
        said = sha256(f"{self._columns} {rows} {total}".encode()).hexdigest()
        return RowName(said, size, rows, self._mark(rows, versions))

    def _mark(self, rows: int, versions: str | None) -> str | None:
        if versions is None:
            return None
        # And how rows are named: the next release may do so otherwise.
        said = f"{self._witness} {self._columns} {_HASH} {self._line} {rows} {versions}"
        return sha256(said.encode()).hexdigest()

    @cached_property
    def _witness(self) -> str | None:
        """What a mark says beside the versions of its rows; None: there is none."""
        if self._table is None:
            return None
        # A server that is like PostgreSQL, or does not tell all, has no marks.
        with self._snapshot.attempt():
            found = self._snapshot.records(_WITNESS, {"table": unescaped(self._table)})
            return str([*map(str, found[0])]) if found else None
        return None
