"""How the fixtures beside this file were made: write_formats.py FOLDER, run at the state they keep.

The folder is named for the revision whose code wrote it (``a38d264``) and is never written again:
a later format gets a folder of its own, written by the code of its day. Each holds two workspaces:

``rides``
    Binary, with time and key; two versions, the second of which is champion; a monitor's ledger
    with windows judged healthy and otherwise, labels that came and labels that wait, alerts open
    and resolved, decisions of several ends, messages in the outbox, a key.
``fares``
    Regression, without key or time: one version.

Databases lie here as SQL, and the workspace's own place in them as ``@WORKSPACE@``; ``restore`` of
conftest.py makes a workspace again. Figures, DVC's cache and Data Docs are left out:
nothing reads them.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tidemill.config import set_params
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.storage import Workspace
from tidemill.testing.workspaces import run_here

PLACE = "@WORKSPACE@"
KEY = "tm_formatsfixtu_" + "0" * 64
END = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
"""Where the rides end and live traffic begins."""
DATABASES = {"mlflow.db": "mlflow.sql", ".tidemill/monitor/ledger.db": "ledger.sql"}
LEFT_OUT = (
    ".dvc/cache",
    ".dvc/tmp",
    ".tidemill/data_docs",
    ".tidemill/monitor/references",
    ".tidemill/work",
    "params.schema.json",
    "reports/figures",
)
_HOUR = dt.timedelta(hours=1)


def rides(rows: int = 640) -> pd.DataFrame:
    """Ride requests of forty days; how long one waits and how far it is says who cancels."""
    rng = np.random.default_rng(7)
    wait, distance = rng.gamma(2.0, 4.0, rows), rng.gamma(2.0, 3.0, rows)
    zone = rng.choice(["airport", "centre", "harbour"], rows, p=[0.2, 0.5, 0.3])
    chance = 1 / (1 + np.exp(-(0.5 * wait - 0.4 * distance - 1.0 + (zone == "airport"))))
    minutes = np.sort(rng.integers(0, 40 * 1440, rows))
    return pd.DataFrame(
        {
            "ride_id": [f"r{i:04d}" for i in range(rows)],
            "requested_at": pd.Timestamp("2026-01-20") + pd.to_timedelta(minutes, unit="min"),
            "zone": zone,
            "wait": wait.round(2),
            "distance": distance.round(2),
            "cancelled": np.where(rng.random(rows) < chance, "yes", "no"),
        }
    )


def fares(rows: int = 400) -> pd.DataFrame:
    """Fares by distance and zone, some rides twice."""
    found = rides(rows)[["zone", "wait", "distance"]]
    noise = np.random.default_rng(8).normal(0, 1.0, rows)
    found["fare"] = (3 + 1.7 * found["distance"] + noise).round(2)
    return pd.concat([found, found.head(40)], ignore_index=True)


def write_workspace(root: Path, table: pd.DataFrame, target: str, settings: list[str]) -> None:
    """Make a workspace for a table, and run it."""
    (root / "data" / "raw").mkdir(parents=True)
    half = len(table) // 2
    table[:half].to_csv(root / "data" / "raw" / "a.csv", index=False)
    table[half:].to_csv(root / "data" / "raw" / "b.csv", index=False)
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data" / "raw"),
            target=target,
            time="requested_at" if "requested_at" in table else None,
            key="ride_id" if "ride_id" in table else None,
            assignments=[
                f"dataset.name={root.name}",
                "sharding.block_rows=64",
                "sharding.shards=4",
                "tuning.trials=1",
                "tuning.space={num_leaves: {low: 4, high: 8}}",
                *settings,
            ],
            engine=engine,
        )
    run_here(root)


def write_rides(root: Path) -> None:
    """Two versions, the better one champion; then four hours of live traffic."""
    settings = [
        "training.params={num_iterations: 1, learning_rate: 0.01, num_leaves: 2}",
        "monitoring.window.min_rows=50",
        "monitoring.retraining={windows: 1, of: 2, min_labels: 100, approval: true}",
    ]
    write_workspace(root, rides(), "cancelled", settings)
    params = root / "params.yaml"
    better = "training.params={num_iterations: 12, learning_rate: 0.3}"
    params.write_text(set_params(params.read_text(), [better]))
    assert run_here(root).facts["promoted"]
    _watch(root)


def _watch(root: Path) -> None:
    from fastapi.testclient import TestClient

    from tidemill_monitor.app import create_app
    from tidemill_monitor.monitor_settings import MonitorSettings

    clock = _Clock(END)
    settings = MonitorSettings(workspace=root, allowed_hosts="testserver", tick_seconds=3600)
    app = create_app(settings, clock=clock)
    service = app.state.service
    service.keys.add(KEY, "formats", "operate")
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as client:
        clock.now += _HOUR
        for hour, kind in enumerate(("right", "wrong", "missing", "right", "open")):
            _send(client, hour, kind)
            service.ledger.settle()
            clock.now += _HOUR
            service.watcher.tick()
        _decide(service.ledger, clock.now)
        service.ledger.settle()


class _Clock:
    def __init__(self, now: dt.datetime) -> None:
        self.now = now

    def __call__(self) -> dt.datetime:
        return self.now


def _send(client: Any, hour: int, kind: str) -> None:
    """250 rides of an hour, and what became of them: as the model was taught, or its reverse."""
    table = rides(1250)[250 * hour : 250 * hour + 250]
    at = (END + hour * _HOUR).isoformat()
    names = ["requested_at", "zone", "wait", "distance"]
    table = table.assign(requested_at=at)
    if kind == "missing":
        table = table.assign(wait=None)
    records = [
        {"event_id": f"live-{i}", "at": at, "features": dict(zip(names, row, strict=True))}
        for i, row in zip(table["ride_id"], table[names].values.tolist(), strict=True)
    ]
    answer = client.post("/v1/predict", json={"records": records})
    assert answer.status_code == 200, answer.text
    flip = {"yes": "no", "no": "yes"} if kind == "wrong" else {"yes": "yes", "no": "no"}
    truths = [
        {"event_id": f"live-{i}", "truth": flip[truth], "at": at}
        for i, truth in zip(table["ride_id"], table["cancelled"], strict=True)
    ]
    if kind == "open":
        truths = [{"event_id": "not-yet-come", "truth": "yes", "at": at}]
    answer = client.post("/v1/labels", json={"labels": truths})
    assert answer.status_code < 300, answer.text


def _decide(ledger: Any, now: dt.datetime) -> None:
    """One decision of each end beside what the watcher decided, and alerts of both states."""
    from tidemill.ledger import Decision, NewMessage

    def told(decision: Decision) -> NewMessage:
        payload = {"decision_id": decision.id, "attempt": decision.attempt}
        return NewMessage(
            "prefect", "retrain-on-drift", payload, key=f"prefect/{decision.id}-{decision.attempt}"
        )

    def fire(**more: Any) -> Decision:
        given = {"model": "rides", "champion_version": 2, "reason": "harm", "evidence": {}}
        return ledger.decisions.open(**{**given, "at": now, "message": told, **more})

    waiting = ledger.decisions.current("rides")
    if waiting is not None:
        ledger.decisions.reject(waiting.id, note="not now", at=now)
    fire(action="suppress")
    failed = fire()
    ledger.decisions.launched(
        failed.id, attempt=1, at=now, flow_run_id="run", flow_run_url="http://prefect.example/run"
    )
    ledger.decisions.report(failed.id, attempt=1, state="failed", at=now, outcome={"why": "oom"})
    done = fire(labels=(0, 250))
    ledger.decisions.report(done.id, attempt=1, state="started", at=now)
    ledger.decisions.report(
        done.id, attempt=1, state="finished", at=now, challenger_version=2, promoted=False
    )
    fire(needs_approval=True, labels=(250, 500))
    alert = {"rule": "formats", "severity": "warning", "at": now}
    ledger.alerts.raise_("formats/over", title="over", **alert)
    ledger.alerts.resolve_key("formats/over", at=now)
    ledger.alerts.raise_(
        "formats/open", title="open", messages=[NewMessage("webhook", "ops", {"n": 1})], **alert
    )


def keep(root: Path, folder: Path) -> None:
    """Lay a workspace down as text where it can be: no place of this machine is in it."""
    for path in LEFT_OUT:
        place = root / path
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    for place in root.glob("mlartifacts/*/artifacts/figures"):
        shutil.rmtree(place)
    for database, name in DATABASES.items():
        path = root / database
        if not path.exists():
            continue
        with closing(sqlite3.connect(path)) as connection:
            text = "\n".join(connection.iterdump())
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()
        path.with_name(name).write_text(text.replace(str(root), PLACE) + "\n")
    record = root / ".tidemill" / "registered.json"
    record.write_text(record.read_text().replace(str(root), PLACE))
    strangers = [p for p in root.rglob("*") if p.is_file() and str(root).encode() in p.read_bytes()]
    assert not strangers, strangers
    shutil.copytree(root, folder / root.name)


def main(folder: Path) -> None:
    """Write both workspaces below ``folder``."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_rides(root / "rides")
        keep(root / "rides", folder)
        write_workspace(
            root / "fares",
            fares(),
            "fare",
            ["training.params={num_iterations: 12, learning_rate: 0.3}"],
        )
        keep(root / "fares", folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
