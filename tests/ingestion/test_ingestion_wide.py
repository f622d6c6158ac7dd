"""Tables of many columns: work and what is written grow with the columns, not with their square."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from cProfile import Profile
from pathlib import Path

import numpy as np
import pytest

from tidemill.config import CsvFormat
from tidemill.contracts import Split
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.ingestion.sources.delimited.dialect import find_dialect, head_lines, read_head
from tidemill.storage import SourceFiles, Workspace, read_json
from tidemill.testing.workspaces import run_here

ROWS = 40

WHOLE = """
import resource, sys
from pathlib import Path

from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.storage import Workspace
from tidemill.testing.workspaces import run_here

root = Path(sys.argv[1])
with LocalEngine(1) as engine:
    init_workspace(
        Workspace.at(root / "ws"), source=str(root / "raw.csv"), target="label", time=None,
        key=None, assignments=[], engine=engine,
    )
run_here(root / "ws", until="ingest")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_wide(path: Path, columns: int, *, rows: int = ROWS) -> None:
    """A table of reals, counts and words, with a label."""
    random = np.random.default_rng(3)
    kinds = [
        [f"{value:.3f}" for value in random.normal(0, 9, rows)],
        [str(value) for value in random.integers(0, 9, rows)],
        [("red", "green", "blue")[value] for value in random.integers(0, 3, rows)],
    ]
    header = ["label", *(f"x{at}" for at in range(columns - 1))]
    lines = [",".join(header)]
    for row in range(rows):
        cells = [kinds[at % 3][(row + at) % rows] for at in range(columns - 1)]
        lines.append(",".join([("no", "yes")[row % 2], *cells]))
    path.write_text("\n".join(lines) + "\n")


def validated(root: Path, columns: int) -> Path:
    """A workspace of such a table, from init to validated."""
    root.mkdir()
    write_wide(root / "raw.csv", columns)
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root / "ws"),
            source=str(root / "raw.csv"),
            target="label",
            time=None,
            key=None,
            assignments=[],
            engine=engine,
        )
    run_here(root / "ws", until="ingest")
    return root / "ws"


def steps_of(function: Callable[[], object]) -> int:
    """How many calls of Python and C functions it takes: the same on a busy machine."""
    counted = Profile(subcalls=False)
    counted.runcall(function)
    return sum(entry.callcount for entry in counted.getstats())


@pytest.mark.parametrize("few", [20, pytest.param(2_000, marks=pytest.mark.slow)])
def test_four_times_the_columns_take_four_times_the_steps_and_bytes(
    tmp_path: Path, few: int
) -> None:
    """Calls and the sizes of all that is written grow with the columns, within an eighth."""
    steps, sizes = [], []
    for columns in (few, 4 * few):
        root = tmp_path / str(columns)
        steps.append(steps_of(lambda root=root, columns=columns: validated(root, columns)))
        files = [path for path in (root / "ws").rglob("*") if path.is_file()]
        sizes.append(sum(path.stat().st_size for path in files if ".dvc" not in path.parts))
    assert steps[1] < 4.5 * steps[0]
    assert sizes[1] < 4.5 * sizes[0]


@pytest.mark.slow
def test_the_suite_of_a_wide_table_is_thin_and_that_is_said(tmp_path: Path) -> None:
    """Above 2,000 columns: every column is there, no feature has an expectation of its own."""
    root = validated(tmp_path / "wide", 2_100)
    suite = read_json(root / "expectations" / "suite.json")
    assert {e["kwargs"].get("column") for e in suite["expectations"]} == {None, "label"}
    assert "2,000 columns" in suite["notes"]
    schema = read_json(root / "data" / "schema.json")
    assert len(schema["columns"]) == 2_100
    assert max(len(column["edges"]) for column in schema["columns"]) == 8
    report = read_json(root / "reports" / "validation.json")
    assert report["meta"]["tidemill"]["rows_valid"] == ROWS


@pytest.mark.slow
def test_the_memory_of_forty_thousand_columns_is_bounded(tmp_path: Path) -> None:
    """39,917 columns x 1,000 rows, from init to validated in one process, within 2 GiB."""
    write_wide(tmp_path / "raw.csv", 39_917, rows=1_000)
    done = subprocess.run(
        [sys.executable, "-c", WHOLE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 2 << 20


@pytest.mark.parametrize("name", ["x{}", '"a rather long name, {}"'])
def test_a_header_above_256_kb_is_read(tmp_path: Path, name: str) -> None:
    """A header of more bytes than the head that is usually looked at is judged with its rows."""
    header = [name.format(at) for at in range(40_000)]
    rows = [",".join(["1.5"] * len(header))] * 5
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([",".join(header), *rows]) + "\n")
    assert path.read_bytes().index(b"\n") > 1 << 18
    split = Split(0, "wide.csv", "csv", "none", path.stat().st_size, "")
    head = read_head(split, SourceFiles(tmp_path), "utf-8")
    dialect = find_dialect(CsvFormat(), "utf-8", head, "wide.csv")
    assert (dialect.header, dialect.delimiter) == (True, ",")
    lines = head_lines(head, dialect, "wide.csv")
    assert [len(line.fields or ()) for line in lines] == [40_000] * 6
