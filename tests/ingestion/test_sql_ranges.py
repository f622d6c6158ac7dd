"""Tables are read in ranges of their key, all of one state; what changed since is refused."""

from __future__ import annotations

import threading
from dataclasses import replace

import psutil
import pyarrow as pa
import pytest
import sqlalchemy as sa
from tests.ingestion import tables

from tidemill.config import DatasetConfig, read_params, set_params
from tidemill.contracts import RowsAsked
from tidemill.errors import (
    ConfigError,
    KeyInvalid,
    SchemaMismatch,
    ServiceUnavailable,
    SourceMissing,
    SourceUnreadable,
    UsageError,
)
from tidemill.ingestion.sources.sql.sql_source import SqlSource


class Fine(SqlSource):
    """Cuts tables of few rows."""

    split_rows = 100


class Database:
    """A database with tables, and its source."""

    def __init__(self, url, root):
        self.url, self.root = url, root
        self.engine = sa.create_engine(url, poolclass=sa.pool.NullPool)

    def run(self, *statements):
        with self.engine.begin() as connection:
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

    def splits(self, relation, **stated):
        source = self.source(relation, **stated)
        return source, [s for a in source.find("dataset.source") for s in source.split(a)]


@pytest.fixture
def postgres_base(postgres, tmp_path):
    return Database(postgres.new_database().replace("tide:tide@", "tide@"), tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def base(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_base")
    place = tmp_path / "base"
    place.touch()
    return Database(f"sqlite:///{place}", tmp_path)


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


TIMES = "timestamp '2024-01-01' + n * interval '1 hour'"
UUIDS = "(lpad(n::text, 8, '0') || '-0000-0000-0000-000000000000')::uuid"


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("integer", "n * 10 - 500"),
        ("text", "'it''s \"' || substr('000' || n, -3)"),
        ("timestamp", TIMES),
        ("timestamptz", TIMES),
        ("date", "date '2024-01-01' + n"),
        ("numeric(20, 3)", "n * 0.125"),
        ("uuid", UUIDS),
    ],
)
def test_ranges_have_every_row_once_in_its_order(base, kind, key):
    """Whatever the key's type; each has the rows that it should, and its bounds are told."""
    if kind not in ("integer", "text") and base.engine.name == "sqlite":
        pytest.skip("SQLite has no such type")
    if base.engine.name == "postgresql":
        key = key.replace("substr('000' || n, -3)", "lpad(n::text, 3, '0')")
    numbered(base, 250, key, kind)
    source, splits = base.splits("t")
    assert [read(source, split) for split in splits] == [
        list(range(1, 101)),
        list(range(101, 201)),
        list(range(201, 251)),
    ]
    assert all(source.etag(split.address) == split.etag for split in splits)
    assert len({split.etag for split in splits}) == 3
    if kind == "integer":
        ends = [split.address.partition("#t#")[2] for split in splits]
        assert ends == ["[-490, 510)", "[510, 1510)", "[1510, 2000]"]


def test_rows_of_one_key_stay_together(base):
    """The first column of a primary key of two, or a key that is none, cuts between its values."""
    rows = ", ".join(f"({n // 90}, {n})" for n in reversed(range(250)))
    base.run("CREATE TABLE t (k integer, n integer, PRIMARY KEY (k, n))")
    base.run(f"INSERT INTO t VALUES {rows}", "CREATE TABLE u AS SELECT * FROM t")
    for relation, stated in (("t", {}), ("u", {"key": "k"}), ("SELECT * FROM t;", {"key": "k"})):
        source, splits = base.splits(relation, **stated)
        found = [read(source, split) for split in splits]
        assert [len(part) for part in found] == [90, 90, 70]
        assert [n for part in found for n in part] == list(range(250))


@pytest.mark.parametrize(
    ("kind", "key", "splits"),
    [("real", "n / 8.0", 3), ("", "n / 8.0", 1), ("blob", "CAST(n + 1000 AS blob)", 1)],
)
def test_keys_that_no_address_holds_cut_nothing(tmp_path, kind, key, splits):
    """Numbers of SQLite without a declared type, and bytes: such a table loses no row."""
    (tmp_path / "base").touch()
    base = Database(f"sqlite:///{tmp_path}/base", tmp_path)
    numbered(base, 250, key, kind)
    source, found = base.splits("t")
    assert len(found) == splits
    assert [n for split in found for n in read(source, split)] == list(range(1, 251))


def test_a_column_called_as_we_call_the_table_hides_no_change(base):
    """The digest is that of the whole row."""
    base.run("CREATE TABLE u (t integer PRIMARY KEY, n integer)", "INSERT INTO u VALUES (1, 5)")
    source, (split,) = base.splits("u")
    assert read(source, split) == [5]
    base.run("UPDATE u SET n = 6")
    with pytest.raises(SourceUnreadable):
        read(source, split)


def test_without_a_key_a_table_is_one_split_in_a_fixed_order(base):
    """Rows stand in the order of all their columns, not of the disk's."""
    base.run(
        "CREATE TABLE t (n integer)",
        "INSERT INTO t VALUES " + ", ".join(f"({n})" for n in reversed(range(250))),
    )
    source, splits = base.splits("SELECT * FROM t")
    assert [read(source, split) for split in splits] == [list(range(250))]


def test_rows_that_come_later_change_no_range(base):
    """What was listed is read still; what comes behind it is the next listing's, and only that."""
    numbered(base, 250)
    source, before = base.splits("t")
    base.run("INSERT INTO t VALUES (251, 251)")
    assert [len(read(source, split)) for split in before] == [100, 100, 50]
    _, after = base.splits("t")
    assert [s.etag for s in after[:2]] == [s.etag for s in before[:2]]
    assert after[2].etag != before[2].etag


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE t SET n = 151 WHERE k = 250",
        "DELETE FROM t WHERE k = 250",
        "INSERT INTO t VALUES (251, 7)",
        "ALTER TABLE t ADD COLUMN more integer DEFAULT 1",
    ],
)
def test_a_range_that_changed_is_refused(base, change):
    """No row of it is read; the remedy says what helps."""
    numbered(base, 250, "n * 2")
    source, splits = base.splits("t")
    base.run(change)
    changed = [1] if "COLUMN" not in change else [0, 1, 2]
    for number, split in enumerate(splits):
        if number in changed:
            with pytest.raises(SourceUnreadable, match="were listed") as refused:
                next(iter(source.rows(split, RowsAsked({"n": pa.string()}, ("n",), None, 30))))
            assert "run the same command again" in refused.value.remedy
        else:
            assert read(source, split)


def test_all_is_of_the_state_at_which_it_began(base):
    """Another program writes behind each statement: listing and reading see nothing of it."""
    numbered(base, 250)
    base.let_both_work()
    source, splits = base.splits("t")
    reading, writes, add = [False], [], "INSERT INTO t VALUES (-5, -5), (251, 251)"

    def write(connection, cursor, statement, *_):
        if statement.startswith("SELECT") and reading[0]:
            reading[0] = False
            base.run("UPDATE t SET n = n + 1000", f"{add} ON CONFLICT DO NOTHING")
            writes.append(statement)
            reading[0] = True

    sa.event.listen(sa.Engine, "after_cursor_execute", write)
    try:
        reading[0] = True
        found = read(source, splits[1])
        reading[0] = False
        base.run("UPDATE t SET n = k", "DELETE FROM t WHERE k IN (-5, 251)")
        assert found == list(range(101, 201))
        (address,) = source.find("dataset.source")
        writes.clear()
        reading[0] = True
        listed = source.split(address)
        reading[0] = False
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", write)
    assert writes
    assert listed == splits


def test_a_table_that_changes_all_the_time_is_never_mixed(base):
    """Each range is of one state, or refused, while another program writes: sums tell."""
    numbered(base, 250)
    base.let_both_work()
    stop = threading.Event()

    def write():
        while not stop.is_set():  # one row less, another more: each state has the same sum
            base.run(
                "UPDATE t SET n = n - 7 WHERE k = 20",
                "UPDATE t SET n = n + 7 WHERE k = 230",
            )

    writer = threading.Thread(target=write)
    source, splits = base.splits("t")
    writer.start()
    refused = whole = 0
    try:
        for _ in range(8):
            source, splits = base.splits("t")
            try:
                found = sum(sum(read(source, split, rows=7)) for split in splits)
            except (SourceUnreadable, ServiceUnavailable):
                refused += 1
            else:
                assert found == sum(range(1, 251))
                whole += 1
    finally:
        stop.set()
        writer.join()
    assert refused + whole == 8
    source, splits = base.splits("t")
    assert sum(sum(read(source, split)) for split in splits) == sum(range(1, 251))


def test_a_connection_that_dies_is_an_error_and_no_end(postgres_base):
    """A server's process is ended between two batches; the range is read anew as it was."""
    numbered(postgres_base, 90)
    postgres_base.run("UPDATE t SET n = n")
    source, (split,) = postgres_base.splits("t")
    batches = source.rows(split, RowsAsked({"n": pa.string()}, ("n",), None, 30))
    next(batches)
    postgres_base.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    with pytest.raises(ServiceUnavailable) as gone:
        list(batches)
    assert gone.value.retryable
    assert read(source, split) == list(range(1, 91))


def test_the_result_is_never_in_memory(postgres_base):
    """Of 100 MB a batch is held, by the driver's library too."""
    postgres_base.run(
        "CREATE TABLE t (n integer PRIMARY KEY, word text)",
        "INSERT INTO t SELECT n, repeat(n::text, 5000 / length(n::text)) "
        "FROM generate_series(1, 20000) AS n",
    )
    source = SqlSource(postgres_base.source("t").dataset, postgres_base.root)
    (split,) = source.split(source.dataset.source)
    asked = RowsAsked({"word": pa.string()}, ("word",), None, 100)
    process = psutil.Process()
    head = next(source.rows(split, replace(asked, max_batches=1)))
    assert head.columns["word"].nbytes > 400_000
    before = process.memory_info().rss
    most = max(process.memory_info().rss for _ in source.rows(split, asked))
    assert most - before < 40 << 20


def test_rows_without_a_key_are_refused(base):
    """Where the table must be cut they would be in no range."""
    base.run("CREATE TABLE t (k integer, n integer)")
    base.run("INSERT INTO t VALUES (NULL, 0), " + ", ".join(f"({n}, {n})" for n in range(250)))
    with pytest.raises(KeyInvalid, match="1 rows have no k"):
        base.splits("t", key="k")


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
        ("mysql+pymysql://tide@127.0.0.1/base#t", UsageError, "pymysql"),
    ],
)
def test_what_is_no_database_is_told(address, error, told, tmp_path):
    """With what would help."""
    with pytest.raises(error) as caught:
        tables.read(tmp_path, address)
    assert told in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://tide:canary@host/base#t",
        "postgresql://tide:ca/na@ry@host:5432/base",
        "postgresql+psycopg://tide@host/base?password=canary#t",
        "mysql://tide:@host/base",
    ],
)
def test_a_password_is_refused_and_not_repeated(address, tmp_path):
    """In params.yaml, by --set, and in the place of dataset.source: no error has it."""
    said = f"dataset: {{source: '{address}', target: y}}"
    plain = "dataset: {source: a, target: y}"
    dataset = read_params(plain).dataset.model_copy(update={"source": address})
    for refused in (
        lambda: read_params(said),
        lambda: set_params(plain, [f"dataset.source={address}"]),
        lambda: SqlSource(dataset, tmp_path).find("--input", address),
        lambda: SqlSource(dataset, tmp_path).etag(address),
    ):
        with pytest.raises((ConfigError, UsageError), match="a password in it") as caught:
            refused()
        told = [caught.value, caught.value.remedy, caught.value.fields]
        told += [caught.value.__cause__, caught.value.__context__]
        assert "canary" not in str(told)
        assert "ca/na" not in str(told)
        assert "PGPASSWORD" in str(told)


@pytest.mark.parametrize(
    "name", ["tax %", "price :eur", 'a "b" c', "50%s", "%(n)s", ":a:b", "x\\\\:y", "ü ; --"]
)
def test_a_column_may_have_any_name(base, name):
    """Signs that SQL, SQLAlchemy or a driver take for their own; as the key and as a table too."""
    quoted = name.replace('"', '""')
    if base.engine.name == "postgresql":
        quoted = quoted.replace("%", "%%")  # psycopg's own sign for values
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
