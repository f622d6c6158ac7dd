"""One state of a database: a transaction that reads, and the errors of reading, translated."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.errors import (
    DependencyMissing,
    ServiceUnavailable,
    SourceMissing,
    SourceUnreadable,
    TidemillError,
)
from tidemill.ingestion.sources.sql.mysql_session import (
    MYSQL,
    mysql_engine,
    mysql_fault,
    mysql_fields,
)
from tidemill.storage import SourceFiles

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Dialect, Engine

__all__ = ["SETTINGS", "Snapshot", "open_snapshot", "require_version", "unescaped"]

Record = Sequence[Any]

SETTINGS = (
    "client_encoding = 'UTF8'",
    "TimeZone = 'UTC'",
    "DateStyle = 'ISO'",
    "IntervalStyle = 'postgres'",
    "bytea_output = 'hex'",
    "extra_float_digits = 1",
    "idle_in_transaction_session_timeout = 0",
)
"""Of a session of PostgreSQL's: how it writes the texts that are read and hashed, and that it may
wait while a second one reads."""
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
_TOLD_AS_TEXT = ("numeric", "date", "timestamp", "timestamptz", "uuid")
"""Of PostgreSQL: what Python's own types do not hold whole (infinity, years before 1)."""
_OLDEST_POSTGRES = (14,)
_AWAY = ("08", "57", "53")
"""Classes of SQLSTATE: the connection, the operator's intervention, too few resources."""
_LOCK_NOT_AVAILABLE = "55P03"

_QUOTED = re.compile(r"(?:^|: )\w+:  ", re.MULTILINE)
_LATER = ("starting up", "shutting down", "recovery", "too many", "connection slots", "memory")
"""What a server says that will let us in later."""
_FOUND_IN = (
    "found by PostgreSQL's client in PGPASSWORD, in ~/.pgpass or in the file that PGPASSFILE names"
)


class Snapshot:
    """One state of a database, for as long as its transaction lasts; nothing can be written.

    Parameters
    ----------
    connection : sqlalchemy.engine.Connection
        In a transaction of which every statement sees the same state.
    shown : str
        What errors call the database.

    Attributes
    ----------
    locked : str or None
        The table, quoted, whose definition is the one of this state until the end.
    """

    def __init__(self, connection: Connection, shown: str) -> None:
        self.connection, self.shown = connection, shown
        self.dialect = connection.dialect.name
        self.locked: str | None = None

    def quoted(self, name: str) -> str:
        """A name as SQLAlchemy's texts of SQL have it, whatever signs are in it."""
        signs = self.connection.dialect.identifier_preparer
        # Not its quote_identifier: that and the text would both double a per cent sign.
        inner = name.replace(signs.escape_quote, signs.escape_to_quote)
        return escaped(f"{signs.initial_quote}{inner}{signs.final_quote}")

    def batches(
        self, sql: str, given: Mapping[str, Any] | None = None, *, rows: int
    ) -> Generator[list[Record], None, None]:
        """Yield the records of a statement, ``rows`` at a time; no more than those are held.

        ``given`` are the values of its ``:names``. Who stops early closes it before the snapshot.
        """
        import sqlalchemy as sa

        streamed = {"stream_results": True, "max_row_buffer": rows}
        with (
            translated(self.shown, connected=True),
            self.connection.execute(sa.text(sql), given or {}, execution_options=streamed) as found,
        ):
            while batch := found.fetchmany(rows):
                yield list(batch)

    def records(self, sql: str, given: Mapping[str, Any] | None = None) -> list[Record]:
        """All records of a statement of few."""
        return [record for batch in self.batches(sql, given, rows=1000) for record in batch]

    def lock(self, table: str) -> None:
        """Let nobody alter a table of PostgreSQL's, if we may; ahead of all other statements.

        The first statement that reads fixes the state, and rows are read by the newest definition:
        it may be younger than the state where the lock, which each reading takes, comes later.

        Parameters
        ----------
        table : str
            Quoted. A view locks its tables; others, and one of which only columns may be read,
            stay unlocked.
        """
        with self.attempt():
            self._do(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
            self.locked = table

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """What the database refuses inside is as if it had not been asked."""
        self._do("SAVEPOINT attempt")
        try:
            yield
        except SourceUnreadable:
            self._do("ROLLBACK TO SAVEPOINT attempt")
        self._do("RELEASE SAVEPOINT attempt")

    def _do(self, sql: str) -> None:
        """A statement that has no records."""
        import sqlalchemy as sa

        with translated(self.shown, connected=True):
            self.connection.execute(sa.text(sql))

    def described(self, sql: str) -> list[tuple[str, Any]]:
        """The columns of a statement: each name, and the driver's word for its type."""
        import sqlalchemy as sa

        with translated(self.shown, connected=True):
            found = self.connection.execute(sa.text(sql))
            names = [str(name) for name, *_ in found.cursor.description]
            if self.dialect in MYSQL:
                types = mysql_fields(found.cursor)
            else:
                types = [code for _, code, *_ in found.cursor.description]
            found.close()
        return list(zip(names, types, strict=True))


def escaped(sql: str) -> str:
    """SQL whose colons name no value: SQLAlchemy's texts take them for that unless told not to."""
    return sql.replace(":", "\\:")


def unescaped(sql: str) -> str:
    """The same as a database has it."""
    return sql.replace("\\:", ":")


@contextmanager
def open_snapshot(database: str, root: Path, named: str = "dataset.source") -> Iterator[Snapshot]:
    """Open a database at its present state, for reading alone.

    Parameters
    ----------
    database : str
        SQLAlchemy's address; a relative path of SQLite's begins at ``root``.
    named : str
        What errors call the setting.

    Raises
    ------
    SourceMissing
        If the address leads to no database, or to one that does not let us in.
    DependencyMissing
        If its driver is not installed.
    ServiceUnavailable
        If it does not answer.
    SourceUnreadable
        If it is older than PostgreSQL 14.
    """
    engine, shown = _engine(database, root, named)
    try:
        with translated(shown):
            connection = engine.connect()
        try:
            require_version(connection.dialect, shown)
            with translated(shown):
                connection.begin()
            yield Snapshot(connection, shown)
        finally:
            _leave(connection)
    finally:
        engine.dispose()


def _leave(connection: Connection) -> None:
    """Nothing was written: whether the connection still lives at the end does not matter."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connection.close()
    except Exception as exc:
        if not isinstance(exc, SQLAlchemyError) and not _is_of_a_driver(exc):
            raise


def require_version(dialect: Dialect, shown: str) -> None:
    """Older ones do not hash rows.

    Raises
    ------
    SourceUnreadable
    """
    version = dialect.server_version_info or _OLDEST_POSTGRES
    if dialect.name == "postgresql" and version < _OLDEST_POSTGRES:
        raise SourceUnreadable(
            f"{shown} is PostgreSQL {version[0]}, and 14 is the oldest that is read",
            remedy="copy the table to a newer server, or to files: psql -c "
            "'\\copy TABLE TO table.csv CSV HEADER'",
        )


def _engine(database: str, root: Path, named: str) -> tuple[Engine, str]:
    import sqlalchemy as sa
    from sqlalchemy import event

    try:
        url = sa.make_url(database)
        if url.get_backend_name() == "sqlite":
            url = _found_file(url, root, named)
            engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", lambda one: one.exec_driver_sql("BEGIN"))
        elif url.get_backend_name() in MYSQL:
            engine = mysql_engine(url, named)
        else:
            engine = sa.create_engine(
                url, poolclass=sa.pool.NullPool, isolation_level="REPEATABLE READ"
            )
    except sa.exc.NoSuchModuleError as exc:
        raise SourceMissing(
            f"{named}: SQLAlchemy knows no such database as {database.partition(':')[0]}",
            remedy="correct the address, or install the package that has its dialect",
        ) from exc
    except (sa.exc.ArgumentError, ValueError) as exc:
        raise SourceMissing(
            f"{named} is no address that SQLAlchemy understands",
            remedy=f"let {named} be like postgresql://USER@HOST/DATABASE#TABLE or "
            "sqlite:///FILE#TABLE",
        ) from exc
    except ModuleNotFoundError as exc:
        extra = next((e for name, e in _EXTRAS.items() if database.startswith(name)), None)
        package = f"tidemill[{extra}]" if extra else exc.name
        raise DependencyMissing(
            f"{named}: the driver {exc.name!r} of this database is not installed",
            remedy=f"install {package}",
            package=exc.name,
        ) from exc
    if url.get_backend_name() == "postgresql":
        event.listen(engine, "connect", _prepare_postgres)
    return engine, url.render_as_string(hide_password=True)


def _found_file(url: URL, root: Path, named: str) -> URL:
    files = SourceFiles(root)
    place = files.absolute(url.database or "")
    if files.kind(place) != "file":
        raise SourceMissing(
            f"{named} names the SQLite database {place}, which is not there",
            remedy=f"let {named} name one: sqlite:///FILE#TABLE; a path that does not begin with "
            "a slash begins at the workspace",
            path=place,
        )
    return url.set(database=place)


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the transaction begins where we say so
    connection.execute("PRAGMA query_only=ON")
    connection.text_factory = _decoded


def _decoded(raw: bytes) -> str | bytes:
    """A text; what is not UTF-8 stays bytes, which are no value of a column of texts."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _prepare_postgres(connection: Any, _: Any) -> None:
    from psycopg.types.string import TextLoader

    for kind in _TOLD_AS_TEXT:
        connection.adapters.register_loader(kind, TextLoader)
    connection.read_only = True
    with connection.cursor() as cursor:
        for setting in SETTINGS:
            cursor.execute(f"SET {setting}")
    connection.commit()


@contextmanager
def translated(shown: str, *, connected: bool = False) -> Iterator[None]:
    """Turn what SQLAlchemy and drivers raise into tidemill's errors; statements are not told.

    ``connected`` says that the database has answered, and let us in.
    """
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except TidemillError:
        raise
    except DBAPIError as exc:
        raise _translated(exc.orig, shown, connected) from exc.orig
    except SQLAlchemyError as exc:
        raise SourceUnreadable(f"{shown}: {exc}", remedy=_CORRECT) from exc
    except Exception as exc:
        if not _is_of_a_driver(exc):
            raise
        raise _translated(exc, shown, connected) from exc


_CORRECT = "correct the table or query that the source names, or what the database allows"


def _is_of_a_driver(exc: Exception) -> bool:
    """Whether it is one of DB-API's errors, which have no common class."""
    return any(kind.__name__ == "DatabaseError" for kind in type(exc).__mro__)


def _translated(original: Any, shown: str, connected: bool) -> TidemillError:
    if fault := mysql_fault(original, shown, _CORRECT):
        return fault
    state = str(getattr(original, "sqlstate", None) or "")
    text = str(original).strip().partition("\n")[0]
    sqlite = getattr(original, "sqlite_errorcode", None)
    operational = any(kind.__name__ == "OperationalError" for kind in type(original).__mro__)
    if sqlite is not None and sqlite & 0xFF in (5, 6):  # BUSY, LOCKED
        return ServiceUnavailable(
            f"{shown} is locked: {text}", remedy="run the same command again in a while"
        )
    if state == _LOCK_NOT_AVAILABLE:
        return ServiceUnavailable(
            f"{shown}: {text}; somebody is about to alter what is read, and waits for us",
            remedy="run the same command again in a while",
        )
    if sqlite is None and operational and not connected and _is_refused(original):
        return SourceMissing(
            f"{shown} does not let us in: {text}",
            remedy=f"correct the user or the database in the address, or the password: {_FOUND_IN}",
        )
    if sqlite is None and operational and (state.startswith(_AWAY) or (connected and not state)):
        return ServiceUnavailable(
            f"{shown} broke off: {text}",
            remedy="run the same command again; if it is a limit of the server's for statements "
            "(statement_timeout), ask for a longer one",
        )
    if sqlite is None and operational and not state:
        return ServiceUnavailable(
            f"{shown} does not answer: {text}",
            remedy=f"start the database, or correct the address; a password is {_FOUND_IN}",
        )
    return SourceUnreadable(f"{shown}: {text}", remedy=_CORRECT, sqlstate=state)


def _is_refused(original: Any) -> bool:
    """Whether a PostgreSQL answered that we may not in, whenever we ask: its client has no code.

    The client quotes what the server says behind two blanks (``FATAL:  ...``), and nothing else.
    """
    if getattr(original, "sqlstate", None):
        return False
    said = str(original)
    asked = getattr(getattr(original, "pgconn", None), "needs_password", False)
    return asked or (_QUOTED.search(said) is not None and not any(w in said for w in _LATER))
