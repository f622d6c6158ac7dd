"""Rows of a statement of PostgreSQL's as Arrow, by its binary COPY."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa

from tidemill.errors import DependencyMissing, SourceUnreadable
from tidemill.ingestion.sources.sql.snapshot import SETTINGS, Snapshot, translated, unescaped

__all__ = ["arrow_rows", "as_arrow"]

_HELD_BYTES = 4 * 2**20
"""What the driver puts together before it hands it over."""
_AS_THEY_ARE = (
    *("bool", "int2", "int4", "int8", "float4", "float8"),
    *("text", "varchar", "bpchar"),
)
"""Types of which Arrow holds each value; of all others the server's text is read."""
_LOCK_TIMEOUT = "1s"
"""Who waits for the first connection's lock lets the second have none: all would wait for ever, and
the server does not see that our two are one."""
_NAMED = re.compile(r"(?<!\\):(first|last)\b")


def as_arrow(quoted: str, kind: str) -> str:
    """A column of a SELECT, such that no value of it becomes another in Arrow."""
    return quoted if kind in _AS_THEY_ARE else f"CAST({quoted} AS text)"


def arrow_rows(
    snapshot: Snapshot, sql: str, given: Mapping[str, Any], *, rows: int
) -> Generator[pa.Table, None, None]:
    """Yield the rows of a statement, ``rows`` at a time (fewer in the last), in its order.

    They are of the snapshot's state, which a second connection shares for as long as the snapshot
    is open. No more is held than ``rows`` and what the driver hands over at once (4 MiB).

    Parameters
    ----------
    snapshot : Snapshot
        Of PostgreSQL.
    sql : str
        As :meth:`Snapshot.batches` takes it.
    given : mapping
        The values of ``:first`` and ``:last``.

    Raises
    ------
    ServiceUnavailable
        If the server ends the statement or the connection, or somebody is about to alter a table
        that is read.
    SourceUnreadable
        If a text is not UTF-8, as a database of SQL_ASCII may have it, or the statement cannot be
        ended, as one that divides by zero in a late row.
    DependencyMissing
        If ``adbc_driver_postgresql`` is not installed.
    """
    with translated(snapshot.shown), _beside(snapshot) as cursor:
        cursor.adbc_statement.set_options(
            **{"adbc.postgresql.batch_size_hint_bytes": str(_HELD_BYTES)}
        )
        cursor.execute(_as_one_text(snapshot, sql, given))
        # What fetch_record_batch() gives lies within, and knows no SQLSTATE.
        with translated(snapshot.shown, connected=True), closing(cursor._results.reader) as found:
            held = found.schema.empty_table()
            for batch in found:
                _require_utf8(batch, snapshot.shown)
                held = pa.concat_tables([held, pa.Table.from_batches([batch])])
                while held.num_rows >= rows:
                    yield held.slice(0, rows)
                    held = held.slice(rows)
            if held.num_rows:
                yield held


@contextmanager
def _beside(snapshot: Snapshot) -> Iterator[Any]:
    """A cursor of a second connection, at the same state of the database."""
    try:
        from adbc_driver_postgresql import dbapi
    except ModuleNotFoundError as exc:
        raise DependencyMissing(
            f"{snapshot.shown}: the driver {exc.name!r} of this database is not installed",
            remedy="install tidemill[postgres]",
            package=exc.name,
        ) from exc
    ((state,),) = snapshot.records("SELECT pg_export_snapshot()")
    with (
        closing(dbapi.connect(_conninfo(snapshot), autocommit=True)) as connection,
        connection.cursor() as cursor,
    ):
        for setting in (*SETTINGS, f"lock_timeout = '{_LOCK_TIMEOUT}'"):
            cursor.execute(f"SET {setting}")
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{state}'")
        yield cursor


def _conninfo(snapshot: Snapshot) -> str:
    """How the first connection was made, to the server that answered it."""
    from psycopg.conninfo import make_conninfo

    info = _driver(snapshot).info
    place = {"host": info.host, "hostaddr": info.hostaddr or None, "port": info.port}
    return make_conninfo(**{**info.get_parameters(), **place, "password": info.password or None})


def _as_one_text(snapshot: Snapshot, sql: str, given: Mapping[str, Any]) -> str:
    """The statement with its values in it, as COPY takes no values beside it."""
    from psycopg.sql import Literal

    parts = _NAMED.split(sql)
    texts = [unescaped(part) for part in parts[::2]]
    values = [Literal(given[name]).as_string(_driver(snapshot)) for name in parts[1::2]]
    return "".join(part for pair in zip(texts, [*values, ""], strict=True) for part in pair)


def _driver(snapshot: Snapshot) -> Any:
    return snapshot.connection.connection.driver_connection


def _require_utf8(batch: pa.RecordBatch, shown: str) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as exc:
            raise SourceUnreadable(
                f"{shown}: the column {name} has a text that is not UTF-8",
                remedy="let a query leave it out, or convert it: convert_from(col::bytea, "
                "'LATIN1')",
                column=name,
            ) from exc
