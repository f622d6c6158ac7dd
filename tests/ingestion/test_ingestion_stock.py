"""Great Expectations is imported once, in one place, whoever needs it first."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

INGESTION = Path(__file__).parents[2] / "platform" / "tidemill" / "ingestion"

# In an interpreter of its own: here other tests have imported it long since.
FRESH = """
import json, sys
from pathlib import Path

from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.storage import Workspace, read_json, write_json
from tidemill.testing.workspaces import run_here

root = Path(sys.argv[1])
(root / "raw.csv").write_text(
    "x,state,y\\n" + "".join(f"{n / 7:.3f},{2020 + n % 3},{n % 2}\\n" for n in range(399))
    + "0.5,2x,1\\n"
)
with LocalEngine(1) as engine:
    init_workspace(
        Workspace.at(root / "ws"), source=str(root / "raw.csv"), target="y", time=None, key=None,
        assignments=["dataset.types={state: categorical}"], engine=engine,
    )
entries = [
    ("match_strftime_format", {"column": "state", "strftime_format": "%Y"}),
    ("match_regex", {"column": "x", "regex": "^[0-4]"}),
]
write_json(
    root / "ws" / "expectations" / "suite.json",
    {
        "name": "s",
        "expectations": [
            {"type": f"expect_column_values_to_{kind}", "kwargs": kwargs,
             "meta": {"tidemill": "report"}}
            for kind, kwargs in entries
        ],
    },
)
for force in (False, True):
    run_here(root / "ws", until="ingest", force=force)
    report = read_json(root / "ws" / "reports" / "validation.json")
    found = [entry["result"]["unexpected_count"] for entry in report["results"]]
    print(report["meta"]["tidemill"]["rows_valid"], found)
"""


@pytest.mark.slow
def test_what_has_no_kernel_runs_where_scan_and_judgement_share_a_process(tmp_path: Path) -> None:
    """One process scans and judges with Great Expectations' own code, and does so again."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["400 [1, 84]"] * 2


def test_it_is_imported_in_one_place() -> None:
    """Only ``gx_modules`` imports it: two threads that import it at once find half of it."""
    importing = {
        path.name
        for path in INGESTION.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
        if str(name).split(".")[0] == "great_expectations"
    }
    assert importing == {"gx_modules.py"}
