"""Databases with tables of few rows that are cut all the same, and what their sources read."""

from __future__ import annotations

import psycopg
import pyarrow as pa
import sqlalchemy as sa

from tidemill.config import DatasetConfig
from tidemill.contracts import RowsAsked
from tidemill.ingestion.sources.sql.sql_source import SqlSource


class Fine(SqlSource):
    """Cuts tables of few rows."""

    split_rows = 100


class Database:
    """A database with tables, and its source."""

    def __init__(self, url, root):
        self.url, self.root = url, root
        self.engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        self.kind = self.engine.dialect.name

    def run(self, *statements):
        with self.engine.begin() as connection:
            if self.kind == "mysql":
                connection.exec_driver_sql("SET sql_mode = 'ANSI'")
            for statement in statements:
                connection.exec_driver_sql(statement)

    def let_both_work(self):
        """Readers and writers do not wait for each other."""
        if self.engine.name == "sqlite":
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def source(self, relation, **stated):
        settings = {"source": f"{self.url}#{relation}", "target": "n", **stated}
        return Fine(DatasetConfig.model_validate(settings), self.root)

    def splits(self, relation, before=(), **stated):
        source = self.source(relation, **stated)
        addresses = source.find("dataset.source")
        with source.one_state(addresses, tuple(before)):
            return source, [s for a in addresses for s in source.split(a)]


def read(source, split, rows=30):
    """The numbers of a split, in their order."""
    asked = RowsAsked({"n": pa.string()}, ("n",), None, rows)
    return [int(n) for batch in source.rows(split, asked) for n in batch.columns["n"].to_pylist()]


def numbered(base, count, key="n", kind="integer"):
    """A table of so many rows, written backwards."""
    series = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {})"
    base.run(
        f"CREATE TABLE t (k {kind} PRIMARY KEY, n integer)",
        f"INSERT INTO t {series.format(count)} SELECT {key}, n FROM s ORDER BY n DESC",
    )


def alone(base, *statements):
    """Each a transaction of its own, if it may be in one at all; what the last one found."""
    with psycopg.connect(base.url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            done = connection.execute(statement)
        return done.fetchall() if done.description else []
