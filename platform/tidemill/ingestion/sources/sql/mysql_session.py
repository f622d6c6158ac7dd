"""Sessions of MySQL and MariaDB: how one is opened, what its columns are, what its errors mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import ServiceUnavailable, SourceMissing, SourceUnreadable, TidemillError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

__all__ = [
    "MYSQL",
    "as_cell",
    "mysql_engine",
    "mysql_fault",
    "mysql_fields",
    "mysql_kinds",
    "mysql_primary",
]

MYSQL = ("mysql", "mariadb")
"""SQLAlchemy's names of the dialect."""
_OPTIONS = "~/.my.cnf"
_SETTINGS = (
    "TRANSACTION READ ONLY",
    "time_zone = '+00:00'",
    # Blanks that fill char(n) up, and days that are none, are what the table has.
    "sql_mode = replace(replace(replace(@@sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', ''), "
    "'NO_ZERO_IN_DATE', ''), 'NO_ZERO_DATE', '')",
    "max_sort_length = 4096",  # bytes of a text that an order looks at: of a key more than all
    "net_write_timeout = 3600",  # a reader may take its time between two batches
)
_BEGIN = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
"""Otherwise the state would be that of the first row that is read."""
_IS_THIS = "table_name = :name AND table_schema = coalesce(:schema, database())"
_UNSAFE = (
    "SELECT t.engine FROM information_schema.tables AS t "
    "JOIN information_schema.engines AS e ON e.engine = t.engine "
    f"WHERE t.{_IS_THIS} AND coalesce(e.transactions, 'NO') <> 'YES'"
)
_PRIMARY = (
    "SELECT column_name FROM information_schema.key_column_usage "
    f"WHERE constraint_name = 'PRIMARY' AND {_IS_THIS} ORDER BY ordinal_position"
)
_BINARY = 63
"""The number of the character set of what is no text."""
_UNSIGNED = 32
"""A flag of a column."""
_KINDS = {
    **dict.fromkeys(("TINY", "SHORT", "INT24", "LONG", "LONGLONG", "YEAR"), ("int8", "integer")),
    **dict.fromkeys(("DECIMAL", "NEWDECIMAL"), ("numeric", "number")),
    "FLOAT": ("float4", "number"),
    "DOUBLE": ("float8", "number"),
    "BIT": ("bit", "integer"),
    "DATE": ("date", "datetime"),
    "DATETIME": ("timestamp", "datetime"),
    "TIMESTAMP": ("timestamptz", "datetime"),
    "NULL": ("text", "text"),
}
_TEXTS = ("VARCHAR", "VAR_STRING", "STRING", "BLOB", "TINY_BLOB", "MEDIUM_BLOB", "LONG_BLOB")
_WHOLE = {
    "float4": "({} + 0e0)",  # as itself it comes with six digits
    "bit": "({} + 0)",
    "numeric": "CAST({} AS CHAR)",
}
_REFUSED = (1044, 1045, 1049, 1130, 1251, 1698, 2059, 2061)
"""Errors: user, password, database, host, the way of logging in."""
_LATER = (
    *(1040, 1053, 1203, 1226),  # full, or on its way down
    *(1205, 1213, 1412),  # locked, or a table that is altered just now
    *(1317, 1927, 1969, 3024),  # ended by an operator or a limit of time
    *(2002, 2003, 2006, 2013, 2055),  # no connection
)
_FOUND_IN = f"found in the variable MYSQL_PWD, or in {_OPTIONS} ([client], password=...)"


def mysql_engine(url: URL, named: str) -> Engine:
    """SQLAlchemy's engine, whose sessions read one state and write nothing.

    A password is the variable MYSQL_PWD, else what an option file says (``~/.my.cnf``, or
    ``?read_default_file=`` of the address). Numbers and times come as the server's texts.

    Raises
    ------
    SourceMissing
        If the address names another driver than PyMySQL.
    """
    import sqlalchemy as sa

    name, _, driver = url.drivername.partition("+")
    if driver not in ("", "pymysql"):
        raise SourceMissing(
            f"{named} names the driver {driver}, with which nothing here was tried",
            remedy=f"let it begin with {name}:// or {name}+pymysql://",
        )
    engine = sa.create_engine(
        url.set(drivername=f"{name}+pymysql"),
        poolclass=sa.pool.NullPool,
        isolation_level="REPEATABLE READ",
        connect_args=_arguments(url),
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", lambda one: one.exec_driver_sql(_BEGIN))
    return engine


def _arguments(url: URL) -> dict[str, Any]:
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import encoders

    whole = [t for t, (kind, _) in _KINDS.items() if kind == "int8"]
    decoders = {getattr(FIELD_TYPE, name): int for name in whole} | {FIELD_TYPE.DOUBLE: float}
    found: dict[str, Any] = {"conv": encoders | decoders, "charset": "utf8mb4"}
    if password := os.environ.get("MYSQL_PWD"):
        found["password"] = password
    if "read_default_file" not in url.query:
        found["read_default_file"] = _OPTIONS  # which need not be there
    return found


def _prepare(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        for setting in _SETTINGS:
            cursor.execute(f"SET SESSION {setting}")


def mysql_primary(connection: Connection, table: str, schema: str | None, named: str) -> list[str]:
    """The columns of a table's primary key, in its order.

    SQLAlchemy's own way to them warns of each type that it does not know.

    Raises
    ------
    SourceUnreadable
        If the table's storage knows no transactions: two statements may see two states.
    """
    import sqlalchemy as sa

    place = {"name": table, "schema": schema}
    engine = connection.execute(sa.text(_UNSAFE), place).scalar()
    if engine is not None:
        raise SourceUnreadable(
            f"{named} names the table {table}, of the storage engine {engine}, which has no "
            "transactions: rows that are written meanwhile would be mixed with those of before",
            remedy=f"ALTER TABLE {table} ENGINE=InnoDB, or let {named} name a copy that has it: "
            "CREATE TABLE kept ENGINE=InnoDB AS SELECT ...",
        )
    return list(connection.execute(sa.text(_PRIMARY), place).scalars())


def mysql_fields(cursor: Any) -> list[Any]:
    """What the server said of each column of the last statement."""
    return list(cursor._result.fields)


def mysql_kinds(fields: Sequence[Any]) -> list[tuple[str, str]]:
    """The type of each column, by PostgreSQL's word for it, and the plain type that it is.

    Whole numbers that 64 bits with a sign do not hold are ``numeric``.
    """
    from pymysql.constants import FIELD_TYPE

    names = {getattr(FIELD_TYPE, name): name for name in (*_KINDS, *_TEXTS)}
    return [_kind(names.get(field.type_code, ""), field) for field in fields]


def _kind(name: str, field: Any) -> tuple[str, str]:
    if name in _TEXTS:
        return ("binary", "other") if field.charsetnr == _BINARY else ("text", "text")
    if name == "LONGLONG" and field.flags & _UNSIGNED:
        return "numeric", "number"
    if name == "BIT" and field.length > 63:
        return f"bit({field.length})", "other"
    return _KINDS.get(name, (_OTHERS.get(field.type_code, "another type"), "other"))


_OTHERS = {11: "time", 245: "json", 255: "geometry"}


def as_cell(quoted: str, kind: str) -> str:
    """A column of a SELECT, such that its text is its value."""
    return _WHOLE.get(kind, "{}").format(quoted)


def mysql_fault(original: Any, shown: str, correct: str) -> TidemillError | None:
    """The error that one of PyMySQL's is; None: it is not PyMySQL's."""
    if not type(original).__module__.startswith("pymysql"):
        return None
    number, text = (*original.args, "", "")[:2]
    if number in _REFUSED:
        return SourceMissing(
            f"{shown} does not let us in: {text}",
            remedy=f"correct the user or the database in the address, or the password: {_FOUND_IN}",
        )
    if number in _LATER:
        return ServiceUnavailable(
            f"{shown} does not answer: {text}",
            remedy="start the database, or correct the address, or run the same command again; a "
            f"password is {_FOUND_IN}",
        )
    return SourceUnreadable(f"{shown}: {text or number}", remedy=correct, number=number)
