"""The contract of sources: ours and another's keep it, each bad one fails its clause."""

from __future__ import annotations

import json
import sqlite3
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ingestion import tables
from typer.testing import CliRunner

from tidemill.cli.app import app
from tidemill.config import params_schema, read_params
from tidemill.errors import ConfigError, DependencyMissing, TidemillError, UsageError
from tidemill.formats import FORMATS
from tidemill.testing.bad_sources import BAD_SOURCES
from tidemill.testing.packages import write_package
from tidemill.testing.sources import SourceContract

OUTSIDE = Path(__file__).parent / "outside"
RECIPE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture(autouse=True)
def no_source_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own sources, and leaves none."""
    monkeypatch.setattr(FORMATS, "_opened", {})


@pytest.fixture
def outside(monkeypatch):
    """A small package with a source is installed, with its metadata."""
    monkeypatch.syspath_prepend(str(OUTSIDE))


class TestCsv(SourceContract):
    """Delimited text keeps the contract."""

    format = "csv"

    def write(self, folder, name, rows):
        lines = ["word,number", *(f"{word},{number}" for word, number in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")

    def spoil(self, folder, name, row):
        path = folder / f"{name}.csv"
        lines = path.read_text().splitlines()
        lines[row + 1] += ",more"
        path.write_text("\n".join(lines) + "\n")
        return True


class TestJsonLines(SourceContract):
    """JSON lines keep the contract."""

    format = "jsonl"

    def write(self, folder, name, rows):
        lines = [json.dumps({"word": word, "number": number}) for word, number in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")

    def spoil(self, folder, name, row):
        path = folder / f"{name}.jsonl"
        lines = path.read_text().splitlines()
        lines[row] = lines[row][:-1]
        path.write_text("\n".join(lines) + "\n")
        return True


class TestParquet(SourceContract):
    """Parquet keeps the contract."""

    format = "parquet"

    def write(self, folder, name, rows):
        columns = {"word": [w for w, _ in rows], "number": [n for _, n in rows]}
        table = pa.table(columns, pa.schema([("word", pa.string()), ("number", pa.int64())]))
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=2000)


@pytest.mark.usefixtures("outside")
class TestDatabase(SourceContract):
    """A source of another package whose rows lie in no files keeps the contract."""

    format = "sqlite"

    def open(self, folder, source="."):
        return super().open(folder, f"sqlite://{folder}/{'base' if source == '.' else source}")

    def write(self, folder, name, rows):
        tabled(folder / "base", name, ("word", "number"), rows)


def tabled(place, name, columns, rows):
    """Make a table of a database anew."""
    with closing(sqlite3.connect(place)) as base, base:
        base.execute(f"DROP TABLE IF EXISTS {name}")
        base.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        base.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", rows)


def recipe() -> dict[str, Any]:
    """What the recipe for a source defines, by name."""
    text = RECIPE.read_text().partition("## A source")[2].partition("\n## ")[0]
    defined: dict[str, Any] = {}
    code = text.partition("```python\n")[2].partition("```")[0]
    exec(textwrap.dedent(code), defined)
    return defined


@pytest.mark.usefixtures("outside")
class TestRecipe(recipe()["TestFixedWidth"]):
    """The source of another package, opened by its entry point's name, keeps the contract."""


def test_every_clause_has_a_bad_source():
    """No test of the suite stands without a source that must fail it."""
    clauses = {name for name in vars(SourceContract) if name.startswith("test_")}
    assert clauses == set(BAD_SOURCES)


@pytest.mark.parametrize("clause", BAD_SOURCES)
def test_a_bad_source_fails_its_clause(clause, tmp_path):
    """Each clause is held by a test that notices when it is broken."""
    bad, suite = BAD_SOURCES[clause], TestCsv()
    suite.format = f"{bad.__module__}:{bad.__name__}"
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception, TidemillError)):
        getattr(suite, clause)(tmp_path)


@pytest.mark.usefixtures("outside")
def test_it_is_a_setting_like_any_other():
    """By name and by address; a wrong name has the nearest; the schema for editors has it."""
    own = ("csv", "parquet", "arrow", "jsonl", "excel", "sql")
    assert tuple(FORMATS) == (*own, "fixed_width", "sqlite")
    for name in ("auto", "jsonl", "fixed_width", "tidemill_fixed_width:FixedWidthSource"):
        text = f"dataset: {{source: a, target: y, format: '{name}'}}"
        assert read_params(text).dataset.format == name
    with pytest.raises(ConfigError, match="did you mean 'fixed_width'"):
        read_params("dataset: {source: a, target: y, format: fixed}")
    assert '"fixed_width"' in json.dumps(params_schema()["$defs"]["DatasetConfig"])


def test_what_is_no_source_is_refused():
    """An address that leads to something else."""
    with pytest.raises(UsageError, match="it lacks suffixes"):
        FORMATS["builtins:dict"]


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("stated", ["auto", "tidemill_fixed_width:FixedWidthSource"])
def test_a_format_of_another_package_is_read_as_ours_are(tmp_path, stated):
    """Found by its name's ending or as it is stated, typed by the same rules as CSV."""
    rows = [(n, ("red", "blue")[n % 2], "1.234,5" if n else "NA", n % 2) for n in range(120)]
    (tmp_path / "a.fwf").write_text(
        "".join(f"{n!s:6}{w!s:8}{paid!s:10}{y!s}\n" for n, w, paid, y in [HEADER, *rows])
    )
    (tmp_path / "a.csv").write_text(
        "".join(f"{n};{w};{paid};{y}\n" for n, w, paid, y in [HEADER, *rows])
    )
    theirs, found = tables.read(tmp_path, "a.fwf", format=stated)
    ours, expected = tables.read(tmp_path, "a.csv", format="csv")
    assert theirs.schema == ours.schema
    assert theirs.missing == ours.missing
    assert [batch.table for batch in found] == [batch.table for batch in expected]


HEADER = ("n", "word", "paid", "y")


@pytest.mark.usefixtures("outside")
def test_a_workspace_is_made_of_it(tmp_path):
    """init, look and ingest take it like any other, and a line that is no row is kept aside."""
    lines = [f"{n!s:6}{('red', 'blue')[n % 2]!s:8}{n % 2}" for n in range(300)]
    (tmp_path / "a.fwf").write_text("\n".join(["n     word    y", *lines, "300"]) + "\n")
    place = str(tmp_path / "new")
    made = ["init", place, "--source", str(tmp_path / "a.fwf"), "--target", "y", "--json"]
    for command in (
        made,
        ["stage", "look", "--workspace", place],
        ["stage", "ingest", "--workspace", place],
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, (command, done.output, done.exception)
    source = json.loads((tmp_path / "new/data/source.json").read_text())
    assert source["splits"][0]["format"] == "fixed_width"
    valid = pq.read_table(tmp_path / "new/data/validated/part-00000.parquet")
    kept = pq.read_table(tmp_path / "new/data/quarantine/part-00000.parquet")
    assert (len(valid), kept["reasons"].to_pylist()) == (300, [["shorter than its columns"]])


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """An installed package with a format that cannot be imported."""
    (tmp_path / "broken_format.py").write_text("import nothing_of_that_name")
    project = (
        "[project]\nname = 'broken-format'\nversion = '1.0'\n"
        "[project.entry-points.'tidemill.sources']\nbroken = 'broken_format:Broken'\n"
    )
    write_package(tmp_path, {"pyproject.toml": project})
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("stated", ["auto", "csv"])
def test_a_broken_format_that_nobody_named_is_a_remark(tmp_path, stated):
    """Said once where files tell their format, which might be that one; else it is nobody's."""
    for name in ("a", "b"):
        lines = ["word,y", *(f"{('red', 'blue')[n % 2]},{n % 3}" for n in range(40))]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    found, batches = tables.read(tmp_path, "*.csv", format=stated)
    assert sum(len(batch.rows) for batch in batches) == 80
    said = [remark for remark in found.layout if "broken" in remark]
    assert len(said) == (1 if stated == "auto" else 0)
    assert all("'nothing_of_that_name', which is not installed" in remark for remark in said)
    with pytest.raises(DependencyMissing, match="'broken' needs the package"):
        tables.read(tmp_path, "*.csv", format="broken")
