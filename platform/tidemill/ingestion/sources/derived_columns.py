"""Derived columns: row-wise SQL expressions over the columns as they come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa

from tidemill.errors import ConfigError, first_few

__all__ = ["Deriver", "check_expressions", "sql_name"]

_NOT_ROW_WISE = {"WINDOW": "a window", "SUBQUERY": "a subquery"}


def check_expressions(derive: Mapping[str, str], columns: Iterable[str]) -> dict[str, set[str]]:
    """Check that every expression is one row-wise expression, and say which columns it reads.

    Raises
    ------
    ConfigError
        If one is not SQL, names an unknown column, or one of several whose names differ in case
        alone, aggregates, looks at other rows, is not a pure function of the row (``random()``,
        ``now()``), or shadows a column.
    """
    return _checked(tuple(derive.items()), tuple(columns))


@lru_cache(maxsize=16)
def _checked(derive: tuple[tuple[str, str], ...], columns: tuple[str, ...]) -> dict[str, set[str]]:
    known = {name.lower(): name for name in columns}
    alike: dict[str, list[str]] = {}
    for column in columns:
        alike.setdefault(column.lower(), []).append(column)
    reads: dict[str, set[str]] = {}
    for name, expression in derive:
        if name.lower() in known:
            raise _refused(name, expression, "there is a column of that name already")
        nodes = list(_nodes(_parse(name, expression)))
        for node in nodes:
            _check_node(name, expression, node)
        used = {
            node["column_names"][-1].lower() for node in nodes if node.get("class") == "COLUMN_REF"
        }
        unknown = sorted(used - set(known))
        if unknown:
            raise _refused(
                name, expression, f"the data have no column {unknown[0]!r}", columns=known.values()
            )
        for column in sorted(used):
            if len(alike[column]) > 1:
                raise _ambiguous(name, expression, alike[column])
        reads[name] = {known[column] for column in used}
    return reads


def _parse(name: str, expression: str) -> Any:
    [(text,)] = (
        _connect().execute("SELECT json_serialize_sql($1)", [f"SELECT {expression}"]).fetchall()
    )
    parsed = json.loads(text)
    if parsed["error"]:
        raise _refused(name, expression, parsed["error_message"])
    statements = parsed["statements"]
    node = statements[0]["node"]
    plain = (
        len(statements) == 1
        and node.get("type") == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and (node.get("from_table") or {}).get("type") == "EMPTY"
    )
    if not plain:
        raise _refused(name, expression, "it is not one expression")
    return node["select_list"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _check_node(name: str, expression: str, node: dict[str, Any]) -> None:
    kind = str(node.get("class"))
    if kind in _NOT_ROW_WISE:
        raise _refused(name, expression, f"{_NOT_ROW_WISE[kind]} looks at other rows")
    if kind == "STAR":
        raise _refused(name, expression, "a star is not one value")
    if kind == "FUNCTION":
        function = str(node["function_name"]).lower()
        aggregate, impure = _nature(function)
        if aggregate:
            raise _refused(name, expression, f"{function}() aggregates over rows")
        if impure:
            raise _refused(name, expression, f"{function}() is not a function of the row alone")


def _nature(function: str) -> tuple[bool, bool]:
    rows = (
        _connect()
        .execute(
            "SELECT function_type, stability FROM duckdb_functions() WHERE function_name = $1",
            [function],
        )
        .fetchall()
    )
    kinds = {kind for kind, _ in rows}
    aggregate = bool(kinds & {"aggregate", "table", "table_macro", "window"}) and not (
        kinds & {"scalar", "macro"}
    )
    return aggregate, any(s not in (None, "CONSISTENT") for k, s in rows if k == "scalar")


def _connect() -> Any:
    """A connection of the caller's own to the one database of this process."""
    return _database().cursor()


@lru_cache(maxsize=1)
def _database() -> Any:
    # Opening one takes 20 ms: too long for each of many small files.
    import duckdb

    return duckdb.connect(
        config={"threads": 1, "memory_limit": "256MB", "enable_external_access": False}
    )


def sql_name(name: str) -> str:
    """The name as SQL reads it: quoted where it is a keyword or not a plain word.

    >>> [sql_name(name) for name in ("price", "order", "unit price")]
    ['price', '"order"', '"unit price"']
    """
    try:
        if check_expressions({f"{name}_": name}, (name,)) == {f"{name}_": {name}}:
            return name
    except ConfigError:
        pass
    return '"' + name.replace('"', '""') + '"'


class Deriver:
    """Computes the derived columns of a batch.

    Parameters
    ----------
    derive : mapping of name to expression
        Checked before, by :func:`check_expressions`.
    """

    def __init__(self, derive: Mapping[str, str]) -> None:
        self._derive = dict(derive)
        self._connection = _connect()

    def columns(self, table: pa.Table) -> dict[str, pa.Array]:
        """Return the derived columns, in the order of rows.

        Raises
        ------
        ConfigError
            If an expression fails on a row.
        """
        import duckdb

        items = ", ".join(
            f'({expression}\n) AS "{name.replace(chr(34), chr(34) * 2)}"'
            for name, expression in self._derive.items()
        )
        try:
            self._connection.register("batch", table)
            try:
                result = self._connection.sql(f"SELECT {items} FROM batch").to_arrow_table()  # noqa: S608
            finally:
                self._connection.unregister("batch")
        except duckdb.Error as exc:
            listing = "; ".join(f"{name}: {text}" for name, text in self._derive.items())
            raise ConfigError(
                f"dataset.derive ({listing}) cannot be computed: {str(exc).splitlines()[0]}",
                remedy="correct the expression in params.yaml; TRY_CAST and NULLIF give null "
                "where a row does not fit",
                derive=dict(self._derive),
            ) from exc
        columns = result.combine_chunks()
        return {name: _whole(columns.column(name)) for name in self._derive}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _ambiguous(name: str, expression: str, columns: list[str]) -> ConfigError:
    # DuckDB ignores case even in quoted names.
    said = " and ".join(map(repr, columns))
    return ConfigError(
        f"dataset.derive.{name} ({expression}) cannot be used: SQL ignores case, and the data have "
        f"columns {said}",
        remedy="rename one of them in the source files",
        column=name,
        expression=expression,
        alike=tuple(columns),
    )


def _refused(name: str, expression: str, why: str, *, columns: Iterable[str] = ()) -> ConfigError:
    shown = first_few(columns, 20)
    return ConfigError(
        f"dataset.derive.{name} ({expression}) cannot be used: {why}",
        remedy="write an SQL expression of the columns of one row"
        + (f"; the columns are: {shown}" if shown else ""),
        column=name,
        expression=expression,
    )
