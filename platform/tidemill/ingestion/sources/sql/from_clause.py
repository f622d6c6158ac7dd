"""What an address names in a database: a table, a view or a query."""

from __future__ import annotations

from tidemill.errors import SourceMissing, first_few, nearest
from tidemill.ingestion.sources.sql.mysql_session import MYSQL, mysql_primary
from tidemill.ingestion.sources.sql.snapshot import Snapshot, escaped, translated
from tidemill.ingestion.sources.sql.sql_address import SqlAddress

__all__ = ["from_clause", "lock_table"]


def lock_table(snapshot: Snapshot, address: SqlAddress) -> None:
    """Lock the table of an address (:meth:`Snapshot.lock`); nothing of a query."""
    if snapshot.dialect != "postgresql" or address.reads_as_query:
        return
    for place in reversed(_places(address.relation)):  # the usual one first: a server notes errors
        if snapshot.locked is None:
            snapshot.lock(_quoted(snapshot, place))


def from_clause(
    snapshot: Snapshot, address: SqlAddress, named: str
) -> tuple[str, list[str], str | None]:
    """What stands behind FROM, the columns of the primary key, and the table (None: a query).

    Raises
    ------
    SourceMissing
        If there is no such table, or no table is named.
    """
    from sqlalchemy import inspect

    with translated(snapshot.shown):
        inspector = inspect(snapshot.connection)
        for place in _places(address.relation):
            schema, table = place
            if inspector.has_table(table, schema=schema):
                if snapshot.dialect in MYSQL:
                    primary = mysql_primary(snapshot.connection, table, schema, named)
                else:
                    found = inspector.get_pk_constraint(table, schema=schema)
                    primary = list(found.get("constrained_columns") or [])
                quoted = _quoted(snapshot, place)
                return f"{quoted} AS t", primary, quoted
        if address.reads_as_query:
            return f"({escaped(address.relation)}\n) AS t", [], None
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


def _quoted(snapshot: Snapshot, place: tuple[str | None, str]) -> str:
    return ".".join(snapshot.quoted(name) for name in place if name is not None)


def _places(relation: str) -> list[tuple[str | None, str]]:
    """Which schema and table a name may mean."""
    schema, point, table = relation.partition(".")
    whole: list[tuple[str | None, str]] = [(None, relation)] if relation else []
    return [*whole, (schema, table)] if point else whole
