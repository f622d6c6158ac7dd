"""MariaDB: no cell becomes another value, no row is lost, no setting of a server alters either."""

from __future__ import annotations

import psutil
import pyarrow as pa
import pytest
from tests.ingestion import tables
from tests.ingestion.databases import numbered, read

from tidemill.contracts import RowsAsked
from tidemill.errors import ServiceUnavailable, SourceMissing, SourceUnreadable
from tidemill.ingestion.sources.sql.snapshot import open_snapshot

pytestmark = pytest.mark.slow

KINDS = {
    "tiny": ("tinyint(1)", "n % 3"),
    "unsigned4": ("int unsigned zerofill", "4294967000 + n"),
    "long": ("bigint", "-9223372036854775807 + n"),
    "huge": ("bigint unsigned", "18446744073709551000 + n"),
    "single": ("float", "n / 7e0"),
    "double_": ("double", "n / 7e0"),
    "paid": ("decimal(10, 2)", "n / 10"),
    "paid_filled": ("decimal(10, 2) zerofill", "n / 2"),
    "huge_filled": ("bigint(22) unsigned zerofill", "n + 9"),
    "exact": ("decimal(65, 30)", "12345678901234567890123456789012345 + n * 0.25"),
    "day": ("date", "date '2024-01-01' + interval n day"),
    "moment": ("datetime(6)", "timestamp '2024-01-01 12:30:00.25' + interval n hour"),
    "zoned": ("timestamp(3) null", "timestamp '2024-01-01 12:30:00.5' + interval n hour"),
    "year_": ("year", "1950 + n"),
    "flag": ("bit(1)", "n % 2"),
    "bits": ("bit(40)", "1099511627000 + n"),
    "word": (
        "varchar(20) collate latin1_swedish_ci",
        "elt(n % 4 + 1, 'b', ' r\u00e9d', '', 'A ')",
    ),
    "filled": ("char(5)", "elt(n % 2 + 1, 'red', 'green')"),
    "mood": ("enum('sad', 'glad')", "n % 2 + 1"),
    "moods": ("set('sad', 'glad')", "3"),
    "long_text": ("longtext", "concat('\U0001f30a', n)"),
    "gone": ("text", "NULL"),
    "document": ("json", "concat('[', n, ']')"),
    "raw": ("blob", "x'00ff'"),
    "raw3": ("binary(3)", "'x'"),
    "clock": ("time", "'12:30:00'"),
    "wide_bits": ("bit(64)", "n"),
    "place": ("point", "point(n, 1)"),
}
EXPECTED = {
    "tiny": ["1", "2", "0"],
    "unsigned4": ["4294967001", "4294967002", "4294967003"],
    "long": ["-9223372036854775806", "-9223372036854775805", "-9223372036854775804"],
    "huge": ["18446744073709551001", "18446744073709551002", "18446744073709551003"],
    "paid": ["0.1", "0.2", "0.3"],
    "paid_filled": ["0.5", "1", "1.5"],
    "huge_filled": ["10", "11", "12"],
    "exact": [f"12345678901234567890123456789012345.{part}" for part in ("25", "5", "75")],
    "day": ["2024-01-02", "2024-01-03", "2024-01-04"],
    "moment": [f"2024-01-01 {hour}:30:00.250000" for hour in (13, 14, 15)],
    "zoned": [f"2024-01-01 {hour}:30:00.500" for hour in (13, 14, 15)],
    "year_": ["1951", "1952", "1953"],
    "flag": ["1", "0", "1"],
    "bits": ["1099511627001", "1099511627002", "1099511627003"],
    "word": [" r\u00e9d", "", "A "],
    "filled": ["green", "red", "green"],
    "mood": ["glad", "sad", "glad"],
    "moods": ["sad,glad"] * 3,
    "long_text": ["\U0001f30a1", "\U0001f30a2", "\U0001f30a3"],
    "gone": [None] * 3,
    "document": ["[1]", "[2]", "[3]"],
}
SERIES = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {})"


def kinds_of(base, count):
    """A table of every kind with so many rows, and one of NULL."""
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _) in KINDS.items())
    values = ", ".join(value.replace("%", "%%") for _, value in KINDS.values())
    base.run(
        "SET time_zone = '+00:00'",
        f"CREATE TABLE kinds (id integer PRIMARY KEY, {columns}) CHARACTER SET utf8mb4",
        f"INSERT INTO kinds {SERIES.format(count)} SELECT n, {values} FROM s",
        f"INSERT INTO kinds (id) VALUES ({count + 1})",
    )


def cells(base, names):
    """The split of that table, and its only batch."""
    source, (split,) = base.splits("kinds")
    asked = RowsAsked(dict.fromkeys(names, pa.string()), tuple(names), None, 30)
    (batch,) = source.rows(split, asked)
    return split, batch


def test_each_cell_is_its_value(mariadb_base):
    """Digit by digit, sign by sign; a float has all its digits, NULL is missing."""
    kinds_of(mariadb_base, 3)
    _, batch = cells(mariadb_base, [*EXPECTED, "single", "double_"])
    for name, expected in EXPECTED.items():
        found = batch.columns[name].cast(pa.string()).to_pylist()
        assert (name, found) == (name, [*expected, None])
    assert not batch.faults
    sevenths = [n / 7 for n in (1, 2, 3)]
    assert batch.columns["double_"].to_pylist() == [*sevenths, None]
    assert batch.columns["single"].equals(pa.array([*sevenths, None], pa.float32()))


def test_a_table_has_types(mariadb_base):
    """Those of Parquet; what is no number, text or time is left out by name."""
    kinds_of(mariadb_base, 200)
    found, batches = tables.read(mariadb_base.root, f"{mariadb_base.url}#kinds", target="flag")
    kinds = {column.name: column.physical for column in found.schema.columns}
    assert kinds["day"].startswith("timestamp")
    assert kinds["moment"] == kinds["zoned"] == "timestamp[us]"
    assert kinds["word"] == kinds["mood"] == "dictionary"
    assert kinds["paid"] == kinds["paid_filled"] == kinds["huge_filled"] == "float32"
    left = {name: found.ignored[name] for name in ("raw", "raw3", "clock", "wide_bits", "place")}
    assert "binary" in left["raw"]
    assert "time" in left["clock"]
    assert "bit(64)" in left["wide_bits"]
    assert not any(batch.faults for batch in batches)


def test_a_day_that_is_none_is_a_fault_of_its_row(mariadb_base):
    """MySQL keeps 0000-00-00 and 2024-02-00 where its mode lets it."""
    mariadb_base.run(
        "CREATE TABLE t (id integer PRIMARY KEY, d date, y integer)",
        f"INSERT INTO t {SERIES.format(99)} "
        "SELECT n, date '2024-01-01' + interval n day, mod(n, 2) FROM s",
        "INSERT INTO t VALUES (100, '0000-00-00', 1), (101, '2024-02-00', 0)",
    )
    place = f"{mariadb_base.url}#t"
    _, (batch,) = tables.read(mariadb_base.root, place, batch_rows=1000)
    (faults,) = batch.faults.values()
    assert (list(faults.indices), list(faults.texts)) == ([99, 100], ["0000-00-00", "2024-02-00"])


@pytest.mark.parametrize(
    "setting",
    [
        "sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_BACKSLASH_ESCAPES'",
        "sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'",
        "time_zone = '+05:30'",
        "character_set_server = 'latin1'",
        "collation_connection = 'latin1_german2_ci'",
        "tx_isolation = 'READ-UNCOMMITTED'",
        "max_sort_length = 8",
        "div_precision_increment = 0",
    ],
)
def test_no_setting_of_a_server_alters_a_cell_or_a_name(mariadb_base, mariadb, setting):
    """The same rows are the same all the same."""
    kinds_of(mariadb_base, 3)
    before = cells(mariadb_base, [*EXPECTED, "single"])
    name = setting.partition(" ")[0]
    ((old,),) = mariadb.ask(f"SELECT @@global.{name}")
    try:
        mariadb.run(f"SET GLOBAL {setting}")
        after = cells(mariadb_base, [*EXPECTED, "single"])
    finally:
        mariadb.run(f"SET GLOBAL {name} = {old!r}")
    assert after[0] == before[0]
    assert after[1].columns == before[1].columns


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("bigint unsigned", "18446744073709551000 + n"),
        ("decimal(40, 20)", "12345678901234567890 + n * 0.00000000000000000125"),
        ("date", "date '2024-01-01' + interval n day"),
        ("datetime(6)", "timestamp '2024-01-01 00:00:00' + interval n * 1000001 microsecond"),
        ("timestamp(6)", "timestamp '2024-10-27 00:00:00' + interval n * 60000001 microsecond"),
        ("varchar(20) COLLATE latin1_swedish_ci", "concat('\u00e9', lpad(n, 3, '0'), '''\\\\%%')"),
    ],
)
def test_ranges_have_every_row_once_in_its_order(mariadb_base, kind, key):
    """Whatever the key's type: decimals beyond what a fraction tells apart too."""
    numbered(mariadb_base, 250, key, kind)
    source, splits = mariadb_base.splits("t")
    assert [len(read(source, split)) for split in splits] == [100, 100, 50]
    assert [n for split in splits for n in read(source, split)] == list(range(1, 251))
    assert all(source.etag(split.address) == split.etag for split in splits)


def test_keys_that_its_collation_takes_for_one_are_told_apart(mariadb_base):
    """Blanks at the end, upper and lower case, accents: bounds are code points."""
    words = sorted(f"{sign}{n:02}{end}" for n in range(50) for sign in "aAä" for end in ("", " "))
    rows = ", ".join(f"('{word}', {n})" for n, word in enumerate(words, start=1))
    mariadb_base.run(
        "CREATE TABLE t (k varchar(9) COLLATE utf8mb4_general_ci, n integer)",
        f"INSERT INTO t VALUES {rows}",
    )
    source, splits = mariadb_base.splits("t", key="k")
    assert [len(read(source, split)) for split in splits] == [100, 100, 100]
    assert [n for split in splits for n in read(source, split)] == list(range(1, 301))
    mariadb_base.run("UPDATE t SET k = 'A00' WHERE k = BINARY 'A00 '")
    assert mariadb_base.splits("t", key="k")[1][0].etag != splits[0].etag


def test_a_table_without_a_state_is_refused(mariadb_base):
    """MyISAM knows no transactions: a range could be half of one state, half of another."""
    mariadb_base.run("CREATE TABLE t (n integer) ENGINE=MyISAM", "INSERT INTO t VALUES (7)")
    with pytest.raises(SourceUnreadable, match="MyISAM") as refused:
        mariadb_base.splits("t")
    mariadb_base.run("ALTER TABLE t ENGINE=InnoDB")
    assert "ENGINE=InnoDB" in refused.value.remedy
    source, (split,) = mariadb_base.splits("t")
    assert read(source, split) == [7]


def test_nothing_is_written(mariadb_base):
    """The session itself refuses it, in a query's function too."""
    numbered(mariadb_base, 3)
    mariadb_base.run("CREATE SEQUENCE counted")
    with pytest.raises(SourceUnreadable, match="READ ONLY"):
        mariadb_base.splits("SELECT nextval(counted) AS n")
    with (
        open_snapshot(mariadb_base.url, mariadb_base.root) as snapshot,
        pytest.raises(Exception, match="READ ONLY"),
    ):
        snapshot.connection.exec_driver_sql("DELETE FROM t")


@pytest.fixture
def guarded(mariadb, mariadb_base, monkeypatch, tmp_path):
    """A user who needs a password, a home without an option file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MYSQL_PWD", raising=False)
    mariadb.run(
        "CREATE OR REPLACE USER keyed IDENTIFIED BY 'sesame'",
        "GRANT SELECT ON *.* TO keyed",
        "CREATE OR REPLACE USER poor IDENTIFIED BY ''",
    )
    numbered(mariadb_base, 3)
    return lambda user: mariadb_base.url.replace("root@", f"{user}@")


def test_a_password_is_found_where_its_client_finds_it(guarded, mariadb_base, monkeypatch):
    """In MYSQL_PWD, in ~/.my.cnf, in the file that the address names; never in the address."""
    mariadb_base.url = guarded("keyed")
    with pytest.raises(SourceMissing, match="Access denied") as refused:
        mariadb_base.splits("t")
    assert refused.value.exit_code == 2
    assert "MYSQL_PWD" in refused.value.remedy
    assert "~/.my.cnf" in refused.value.remedy
    with monkeypatch.context() as given:
        given.setenv("MYSQL_PWD", "sesame")
        assert len(mariadb_base.splits("t")[1]) == 1
    (mariadb_base.root / "other.cnf").write_text("[client]\npassword=sesame\n")
    with pytest.raises(SourceMissing, match="Access denied"):
        mariadb_base.splits("t")
    place = mariadb_base.url
    mariadb_base.url = f"{place}?read_default_file={mariadb_base.root / 'other.cnf'}"
    assert len(mariadb_base.splits("t")[1]) == 1
    mariadb_base.url = place
    (mariadb_base.root / "other.cnf").rename(mariadb_base.root / ".my.cnf")
    assert len(mariadb_base.splits("t")[1]) == 1


def test_who_may_not_in_is_told_what_to_correct(guarded, mariadb_base, monkeypatch):
    """User, password, database: to try again would not help."""
    place = mariadb_base.url
    monkeypatch.setenv("MYSQL_PWD", "another")
    for url in (guarded("keyed"), guarded("no_such_user"), f"{place}_no"):
        if url.startswith(place):
            monkeypatch.delenv("MYSQL_PWD")
        mariadb_base.url = url
        with pytest.raises(SourceMissing, match=r"denied|Unknown database") as refused:
            mariadb_base.splits("t")
        assert refused.value.exit_code == 2
    mariadb_base.url = guarded("poor")
    with pytest.raises(SourceMissing, match="denied"):
        mariadb_base.splits("t")


def test_a_connection_that_dies_is_an_error_and_no_end(mariadb_base, mariadb):
    """A server's thread is ended between two batches; the range is read anew as it was."""
    numbered(mariadb_base, 90)
    mariadb_base.run(
        "ALTER TABLE t ADD COLUMN word longtext", "UPDATE t SET word = repeat(n, 300000)"
    )
    source, (split,) = mariadb_base.splits("t")
    batches = source.rows(split, RowsAsked({"word": pa.string()}, ("word",), None, 10))
    next(batches)
    name = mariadb_base.url.rpartition("/")[2]
    of_ours = f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"
    mariadb.run(*(f"KILL {number}" for (number,) in mariadb.ask(of_ours)))
    with pytest.raises(ServiceUnavailable) as gone:
        list(batches)
    assert gone.value.retryable
    assert read(source, split) == list(range(1, 91))


def test_the_result_is_never_in_memory(mariadb_base):
    """Of 100 MB a batch is held."""
    mariadb_base.run(
        "SET max_recursive_iterations = 100000",
        "CREATE TABLE t (n integer PRIMARY KEY, word text)",
        f"INSERT INTO t {SERIES.format(20000)} SELECT n, repeat(n, 5000 / length(n)) FROM s",
    )
    source = mariadb_base.source("t")
    source.split_rows = 1_000_000
    (split,) = source.split(source.dataset.source)
    asked = RowsAsked({"word": pa.string()}, ("word",), None, 100)
    process = psutil.Process()
    before = process.memory_info().rss
    sizes = [
        (len(batch.rows), batch.columns["word"].nbytes, process.memory_info().rss)
        for batch in source.rows(split, asked)
    ]
    assert sum(rows for rows, *_ in sizes) == 20000
    assert sum(size for _, size, _ in sizes) > 90_000_000
    assert max(rss for *_, rss in sizes) - before < 40 << 20
