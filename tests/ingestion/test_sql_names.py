"""What names a table, a query or a database, and what is told of what names none."""

from __future__ import annotations

import pyarrow as pa
import pytest
from tests.ingestion import tables
from tests.ingestion.databases import read

from tidemill.contracts import RowsAsked
from tidemill.errors import (
    SchemaMismatch,
    ServiceUnavailable,
    SourceMissing,
    SourceUnreadable,
    UsageError,
)


def test_what_names_nothing_is_told(base):
    """A wrong table, none, a query that is none, two columns of one name; and what is there."""
    base.run("CREATE TABLE rides (n integer)")
    with pytest.raises(SourceMissing, match="'ride', which is not there") as missing:
        base.splits("ride")
    assert "did you mean" in missing.value.remedy
    with pytest.raises(SourceMissing, match="no table") as missing:
        base.splits("")
    assert "tables are: rides" in missing.value.remedy
    with pytest.raises(SourceUnreadable, match=r"nothing|column"):
        base.splits("SELECT nothing FROM rides")


def test_two_columns_of_one_name_are_refused(postgres_base):
    """SQLite tells them apart itself; for PostgreSQL the query must."""
    with pytest.raises(SchemaMismatch, match="several columns of the name n"):
        postgres_base.splits("SELECT 1 AS n, 2 AS n")


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("sqlite:///nowhere#t", SourceMissing, "which is not there"),
        ("postgresql://tide@127.0.0.1:1/base#t", ServiceUnavailable, "PGPASSWORD"),
        ("postgresql+nothing://tide@127.0.0.1/base#t", SourceMissing, "dialect"),
        ("oracle+oracledb://tide@127.0.0.1/base#t", UsageError, "oracledb"),
        ("mysql+mysqldb://tide@127.0.0.1/base#t", SourceMissing, "mysql+pymysql://"),
        ("mariadb://tide@127.0.0.1:1/base#t", ServiceUnavailable, "MYSQL_PWD"),
    ],
)
def test_what_is_no_database_is_told(address, error, told, tmp_path):
    """With what would help."""
    with pytest.raises(error) as caught:
        tables.read(tmp_path, address)
    assert told in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    "name", ["tax %", "price :eur", 'a "b" c', "50%s", "%(n)s", ":a:b", "x\\\\:y", "ü ; --"]
)
def test_a_column_may_have_any_name(base, name):
    """Signs that SQL, SQLAlchemy or a driver take for their own; as the key and as a table too."""
    quoted = name.replace('"', '""')
    if base.kind != "sqlite":
        quoted = quoted.replace("%", "%%")  # the drivers' own sign for values
    base.run(
        f'CREATE TABLE "{quoted}" ("{quoted}" integer PRIMARY KEY, n integer)',
        f'INSERT INTO "{quoted}" VALUES (1, 10), (2, 20), (3, 30)',
    )
    source, (split,) = base.splits(name)
    asked = RowsAsked({name: pa.string(), "n": pa.string()}, (name, "n"), None, 30)
    (batch,) = source.rows(split, asked)
    assert [int(n) for n in batch.columns[name].to_pylist()] == [1, 2, 3]
    assert [int(n) for n in batch.columns["n"].to_pylist()] == [10, 20, 30]


def test_a_query_may_hold_colons_and_casts(postgres_base):
    """They are the query's."""
    postgres_base.run("CREATE TABLE t (n integer)", "INSERT INTO t VALUES (7)")
    source, (split,) = postgres_base.splits(
        "SELECT n::int8 AS n, ' :n 5%' c FROM t WHERE n % 2 = 1"
    )
    assert read(source, split) == [7]


@pytest.mark.parametrize(
    "query",
    [
        "/* all */ SELECT n FROM rides",
        "-- all\nSELECT n FROM rides -- of them",
        "(SELECT n FROM rides)",
        " ( /* x */ (SELECT n FROM rides))",
        "WITH r AS (SELECT n FROM rides) SELECT n FROM r",
        "TABLE rides",
        "values (7), (8)",
    ],
)
def test_what_reads_as_a_query_is_one(base, query):
    """Behind comments and brackets, in each of SQL's words for one."""
    if base.kind != "postgresql" and query.startswith("TABLE"):
        pytest.skip("no statement of this database's")
    base.run("CREATE TABLE rides (n integer)", "INSERT INTO rides VALUES (7), (8)")
    source, (split,) = base.splits(query)
    values = "7" if base.kind == "mysql" else "column1"
    name = values if query.startswith("values") else "n"
    asked = RowsAsked({name: pa.string()}, (name,), None, 30)
    (batch,) = source.rows(split, asked)
    assert batch.columns[name].cast(pa.string()).to_pylist() == ["7", "8"]


@pytest.mark.parametrize("name", ["select all", "Values", "table t", "with. point"])
def test_a_table_may_be_called_as_a_query_begins(base, name):
    """It is looked for first."""
    base.run(f'CREATE TABLE "{name}" (n integer)', f'INSERT INTO "{name}" VALUES (7)')
    source, (split,) = base.splits(name)
    assert read(source, split) == [7]


@pytest.mark.parametrize(
    "columns", ["1 AS n, 2 AS n", "1 AS n, 2 AS N", '1 AS n, 3 AS "n:1", 2 AS n']
)
def test_sqlite_renames_no_column(sqlite_base, columns):
    """The second n of a query would be called n:1; a column that is called so may be."""
    with pytest.raises(SchemaMismatch, match="several columns of the name n"):
        sqlite_base.splits(f"SELECT {columns}")
    source, (split,) = sqlite_base.splits('SELECT 1 AS n, 2 AS "n:1"')
    assert read(source, split) == [1]


@pytest.mark.parametrize("volatile", ["SELECT random() AS n", "SELECT CAST({} AS text) AS n"])
def test_a_query_that_is_another_each_time_is_refused_and_its_remedy_works(base, volatile):
    """Rows of random() and of the time can be stored, and read from there."""
    now = {"postgresql": "clock_timestamp()", "mysql": "uuid()"}.get(base.kind)
    query = volatile.format(now or "strftime('%f', 'now') || random()")
    if base.kind == "mysql":
        query = query.replace("random()", "rand()").replace("text", "char")
    source, (split,) = base.splits(query)
    asked = RowsAsked({"n": pa.string()}, ("n",), None, 30)
    with pytest.raises(SourceUnreadable, match="were listed") as refused:
        list(source.rows(split, asked))
    assert "CREATE TABLE kept AS SELECT" in refused.value.remedy
    base.run(f"CREATE TABLE kept AS {query}")
    source, (split,) = base.splits("kept")
    assert [len(batch.rows) for batch in source.rows(split, asked)] == [1]
