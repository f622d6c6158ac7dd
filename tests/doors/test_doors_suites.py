"""An expectation without a kernel of ours: one result through every door, however many workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.storage import Workspace, read_json
from tidemill.testing.workspaces import copy_workspace

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
DOORS = (
    ("dvc", "repro", "ingest"),
    ("tidemill", "run", "--direct", "--until", "ingest"),
    ("tidemill", "run", "--until", "ingest"),
)


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_a_strftime_expectation_is_reported_through_every_door(
    tmp_path: Path, shell, tmp_path_factory
):
    """dvc repro, --direct and the Prefect flow read every row and write the same report."""
    source = CASES / "c36_two"
    lines = sum(len(path.read_text().splitlines()) - 1 for path in source.glob("*.csv"))
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(tmp_path / "ws"),
            source=str(source),
            target="y",
            time=None,
            key=None,
            assignments=["dataset.types={state: categorical}"],
            engine=engine,
        )
    suite = tmp_path / "ws" / "expectations" / "suite.json"
    suite.write_bytes((CASES / "c36_suite.json").read_bytes())
    home = str(tmp_path_factory.mktemp("prefect"))
    reports = []
    for number, command in enumerate(DOORS):
        for workers in ("1", "2")[: 1 + (number == 1)]:
            root = copy_workspace(tmp_path / "ws", tmp_path / f"{number}-{workers}")
            shell(root, *command, TIDEMILL_WORKERS=workers, PREFECT_HOME=home)
            reports.append(read_json(root / "reports" / "validation.json"))
    assert all(report == reports[0] for report in reports)
    (entry,) = reports[0]["results"]
    assert entry["expectation_config"]["type"] == "expect_column_values_to_match_strftime_format"
    assert entry["result"]["element_count"] == lines == reports[0]["meta"]["tidemill"]["rows_valid"]
    assert entry["result"]["unexpected_count"] > 0
