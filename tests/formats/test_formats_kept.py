"""What earlier revisions left behind still loads and goes on, or says what to do.

The fixtures are never written again (write_formats.py says how they were made). A test that fails
here is a workspace, a model or a ledger that somebody loses.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi.testclient import TestClient

import tidemill.ledger.database
from tidemill.engines import LocalEngine
from tidemill.ledger import Ledger, WindowKey
from tidemill.ledger.database import tables
from tidemill.ledger.database.migrating import ALEMBIC
from tidemill.schema import Role
from tidemill.sharding import verify
from tidemill.stages import shard_warnings
from tidemill.storage import ShardManifest, StoreFolder, Workspace
from tidemill.testing.workspaces import run_here
from tidemill.tracking import Registry, Tracker, roll_back
from tidemill_monitor.app import create_app
from tidemill_monitor.monitor_settings import MonitorSettings

KEY = "tm_formatsfixtu_" + "0" * 64
HOUR = dt.timedelta(hours=1)
KEPT = Path(__file__).parent
VERDICTS = ["healthy", "confirmed harm", "broken feed"]
ENDS = ["rejected", "suppressed", "failed", "finished", "awaiting approval"]


def test_no_fixture_names_a_place_of_a_machine():
    """Workspaces lie elsewhere on every machine; the fixtures say @WORKSPACE@."""
    files = [p for p in KEPT.glob("*/**/*") if p.is_file() and "__pycache__" not in p.parts]
    assert len(files) > 50
    assert [p for p in files if b"/tmp/" in p.read_bytes() or b"/home/" in p.read_bytes()] == []


def test_a_ledger_opens_and_keeps_its_rows(rides):
    """Windows, verdicts, findings, alerts, decisions, messages, keys: all as they were."""
    path = rides / ".tidemill" / "monitor" / "ledger.db"
    before = _counts(path)
    with Ledger.open(f"sqlite:///{path}") as ledger:
        _is_what_was_kept(ledger)
        with ledger._database.read() as connection:
            found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
        assert found == []
    after = _counts(path)
    assert {name: after[name] for name in before} == before


def test_a_ledger_in_postgresql_opens_and_keeps_its_rows(rides, postgres):
    """The same rows, in a store whose tables are of the revision that wrote them."""
    url = postgres.new_database()
    _copied(rides / ".tidemill" / "monitor" / "ledger.db", url)
    with Ledger.open(url) as ledger:
        _is_what_was_kept(ledger)
        with ledger._database.read() as connection:
            found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
        assert found == []


def test_the_monitor_goes_on_where_it_was(rides, now):
    """Known events are known, labels find them, new windows are judged, the policy is asked."""
    app = create_app(
        MonitorSettings(workspace=rides, allowed_hosts="testserver", tick_seconds=3600), clock=now
    )
    service = app.state.service
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert service.champion.current.version == 2
        known = _records(rides, 50, at=now() - HOUR, prefix="live-")
        _send(client, known)
        assert service.ledger.events.totals(now()).rows == 1250, "those came before"
        new = _records(rides, 250, at=now() - HOUR / 2, prefix="new-")
        new[0]["event_id"] = "not-yet-come"
        _send(client, new)
        truths = [
            {"event_id": f"live-r{i:04d}", "truth": "yes", "at": now().isoformat()}
            for i in range(1000, 1250)
        ]
        answer = client.post("/v1/labels", json={"labels": truths})
        assert answer.status_code < 300, answer.text
        assert answer.json()["matched"] == 250
        service.ledger.settle()
        labelled = service.ledger.events.labelled(after=1000, through=10_000)
        found = {row["event_id"] for batch in labelled for row in batch.to_pylist()}
        assert len(found) == 251
        assert "not-yet-come" in found, "its label came before it, in the time of that revision"
        now.moment += 3 * HOUR
        _send(client, _records(rides, 20, at=now(), prefix="later-"))
        service.ledger.settle()
        tick = service.watcher.tick()
        assert tick.closed == 3, "two that were open, and that of the new events"
        windows = service.ledger.windows.list(limit=100, state="closed", segment="")
        assert len(windows) == 6
        assert all(window.verdict for window in windows)
        assert client.get("/v1/status").status_code == 200
        assert client.get("/readyz").status_code in (200, 503)


def test_a_registered_model_scores(rides, cli):
    """The champion of an earlier revision loads from the registry, and says what it said."""
    scored = _scored(rides, cli)
    assert scored.num_rows == 320
    assert scored["prediction"].to_pylist()[:3] == ["yes", "no", "no"]
    assert scored["score"].to_pylist()[:3] == pytest.approx(
        [0.782369, 0.142891, 0.081974], abs=1e-6
    )


def test_a_regression_scores(fares, cli):
    """The same for a number, without key and time."""
    scored = _scored(fares, cli)
    assert scored.num_rows == 220
    assert scored["prediction"].to_pylist()[:3] == pytest.approx(
        [5.623915, 9.462711, 5.623915], abs=1e-5
    )


def test_a_champion_is_rolled_back_to_the_one_before(rides):
    """Both versions load with their references; the first serves again."""
    tracker = Tracker(f"sqlite:///{rides / 'mlflow.db'}", "rides")
    done = roll_back(tracker, "rides", reason="formats")
    assert (done.version, done.before) == (1, 2)
    assert Registry(tracker).champion("rides").version == 1


def test_shards_verify(kept):
    """Rows lie where their manifest says, by the rule that it records."""
    shards = Workspace.at(kept).shards
    manifest = ShardManifest.read(shards)
    with LocalEngine(1) as engine:
        assert verify(manifest, StoreFolder.at(shards), engine) == ()
    assert all(manifest.rows(role) for role in Role)


def test_roles_of_an_older_rule_are_named(kept):
    """Without a key the target had its say; who runs such a workspace is told what to do."""
    said = shard_warnings(Workspace.at(kept))
    without_key = ShardManifest.read(Workspace.at(kept).shards).schema.key is None
    assert [("tidemill run --force" in text) for text in said] == [True] * without_key


def test_look_knows_the_table_again(rides, cli):
    """Settings without newer keys are read; the source is what it was."""
    before = json.loads((rides / "data" / "schema.json").read_text())
    assert cli("look", "-w", rides).code == 0
    after = json.loads((rides / "data" / "schema.json").read_text())
    assert [c["name"] for c in after["columns"]] == [c["name"] for c in before["columns"]]


@pytest.mark.slow
def test_a_workspace_runs_on(kept):
    """A run makes what is not current any more; versions go on, and the shards verify."""
    before = json.loads((kept / ".tidemill" / "registered.json").read_text())
    summary = run_here(kept)
    assert summary.facts["version"] >= before["version"]
    shards = Workspace.at(kept).shards
    with LocalEngine(1) as engine:
        assert verify(ShardManifest.read(shards), StoreFolder.at(shards), engine) == ()
    again = run_here(kept)
    assert {stage.state for stage in again.stages} == {"current"}


def _is_what_was_kept(ledger: Ledger) -> None:
    closed = ledger.windows.list(limit=100, state="closed", segment="")[::-1]
    assert [window.verdict for window in closed] == VERDICTS
    assert [window.labelled_rows for window in closed] == [250] * 3
    assert ledger.findings.of(closed[2].id, flagged=True)
    assert closed[1].performance[0].measured < 0.2
    assert ledger.windows.find(WindowKey(*_key(closed[0]))) == closed[0]
    decisions = ledger.decisions.list()[::-1]
    assert [decision.state for decision in decisions] == ENDS
    assert ledger.decisions.current("rides") == decisions[-1]
    assert ledger.decisions.labels_given("rides") == 500
    assert decisions[3].rows == (0, 250)
    assert decisions[2].outcome == {"why": "oom"}
    kept = {alert.key: alert.state for alert in ledger.alerts.list()}
    assert (kept["formats/over"], kept["formats/open"]) == ("resolved", "open")
    assert ledger.outbox.counts()["pending"] == 3
    assert ledger.keys.get(KEY.split("_")[1]) is not None
    labelled = ledger.events.labelled(after=0, through=10_000)
    assert sum(batch.num_rows for batch in labelled) == 1000


def _scored(root: Path, cli: Any) -> Any:
    out = root / "scored.parquet"
    said = cli("score", "--input", root / "data" / "raw" / "a.csv", "--output", out, "-w", root)
    assert said.code == 0, said.err
    return pq.read_table(out)


def _key(window: Any) -> tuple[int, int]:
    return window.model_version, window.sequence


def _counts(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_") and name != "alembic_version"
        ]
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in names
        }


def _copied(path: Path, url: str) -> None:
    """Make the tables of the file's own revision in another database, and copy the rows."""
    source, target = sa.create_engine(f"sqlite:///{path}"), sa.create_engine(url)
    with source.connect() as reading, target.begin() as writing:
        config = alembic.config.Config()
        scripts = Path(tidemill.ledger.database.__file__).with_name("migrations")
        config.set_main_option("script_location", str(scripts))
        config.attributes["connection"] = writing
        revision = MigrationContext.configure(reading).get_current_revision()
        with ALEMBIC:
            alembic.command.upgrade(config, revision)
        found, made = sa.MetaData(), sa.MetaData()
        found.reflect(reading)
        made.reflect(writing)
        for name, table in made.tables.items():
            rows = [dict(row._mapping) for row in reading.execute(sa.select(found.tables[name]))]
            if rows and name != "alembic_version":
                writing.execute(sa.insert(table), rows)
    source.dispose()
    target.dispose()


def _records(root: Path, count: int, *, at: dt.datetime, prefix: str) -> list[dict[str, Any]]:
    with (root / "data" / "raw" / "a.csv").open() as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(count), strict=False)]
    return [
        {
            "event_id": f"{prefix}{row['ride_id']}",
            "at": at.isoformat(),
            "features": {
                "requested_at": at.isoformat(),
                "zone": row["zone"],
                "wait": float(row["wait"]),
                "distance": float(row["distance"]),
            },
        }
        for row in rows
    ]


def _send(client: TestClient, records: list[dict[str, Any]]) -> None:
    answer = client.post("/v1/predict", json={"records": records})
    assert answer.status_code == 200, answer.text
