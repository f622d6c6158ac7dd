"""The same streams through the whole of it: a real workspace, HTTP, registry and retraining.

``monitoring`` in params.yaml is as ``tidemill init`` left it. The flow's steps run in this
process (tests/retraining has them under Prefect).
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.retraining import Order, Outcome, retrain
from tidemill.settings import Settings
from tidemill.storage import Workspace
from tidemill.testing.streams import FAULTS, FIRST_DAY, NEW_WORLD, BankCalls, HomeMeters
from tidemill.testing.workspaces import QUICK, run_here

ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
DAY = dt.timedelta(days=1)
SPRING = dt.date(2025, 4, 1)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def trained_on(root: Path, stream: BankCalls | HomeMeters, last: dt.date) -> Path:
    """A workspace with a champion of all days before the last."""
    (root / "past").mkdir(parents=True)
    days = [stream.day(FIRST_DAY + n * DAY) for n in range((last - FIRST_DAY).days)]
    pyarrow.csv.write_csv(pa.concat_tables(days), root / "past" / "rows.csv")
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "past"),
            target=stream.target,
            time=stream.time,
            key=stream.key,
            assignments=list(QUICK),
            engine=engine,
        )
    run_here(root)
    return root


@dataclass
class Service:
    """A monitor over a workspace, and a stream that reaches it day by day."""

    monitor: Any
    root: Path
    stream: BankCalls | HomeMeters
    late: int = 2
    sent: list[pa.Table] = field(default_factory=list)

    def day(self, date: dt.date, fault: str = "", column: str = "") -> None:
        """A day's rows over HTTP, the labels of an earlier day, and the day's end."""
        table = self.stream.day(date)
        given = table.rename_columns(
            ["event_id" if name == self.stream.key else name for name in table.column_names]
        ).drop_columns([self.stream.target])
        self.monitor.clock.now = dt.datetime.combine(date, dt.time(10, 1), dt.UTC)
        given = FAULTS[fault](given, column) if fault else given
        answer = self._post("/v1/predict", given)
        assert answer.status_code in (200, 422), answer.text
        self.sent.append(table)
        if len(self.sent) > self.late:
            of = self.sent[-1 - self.late]
            labels = {"event_id": of[self.stream.key], "truth": of[self.stream.target]}
            assert self._post("/v1/labels", pa.table(labels)).status_code == 202
        self.monitor.service.ledger.settle()
        for hour in (12, 18):
            self.monitor.clock.now = dt.datetime.combine(date, dt.time(hour), dt.UTC)
            self.monitor.service.watcher.tick()

    def _post(self, path: str, table: pa.Table) -> Any:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return self.monitor.post(path, content=sink.getvalue().to_pybytes(), headers=ARROW)

    def windows(self) -> list[dict[str, Any]]:
        """Closed windows, the oldest first."""
        found = self.monitor.get("/v1/windows?limit=200").json()["items"]
        return sorted((w for w in found if w["state"] == "closed"), key=lambda w: w["start"])

    def fires(self) -> list[dict[str, Any]]:
        found = self.monitor.get("/v1/decisions").json()["items"]
        return [decision for decision in found[::-1] if decision["action"] == "fire"]

    def retrain(self, decision: dict[str, Any]) -> Outcome:
        """What the flow does: the decision's rows, the steps, the outcome told."""
        path = f"/v1/decisions/{decision['id']}/report"
        self._tell(path, {"attempt": 1, "state": "started"})
        answer = self.monitor.get(f"/v1/labelled?decision_id={decision['id']}", "operate",
                                  headers={"accept": ARROW["content-type"]})  # fmt: skip
        rows = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
        with LocalEngine(1) as engine:
            done = retrain(
                Workspace.at(self.root),
                lambda: rows.to_batches(),
                Order(f"d{decision['id']}", decision["reason"]),
                settings=Settings(workers=1),
                engine=engine,
            )
        facts = done.facts
        told = {"challenger_version": facts["version"], "promoted": facts["promoted"]}
        self._tell(path, {"attempt": 1, "state": "finished", **told, "outcome": facts["reason"]})
        return done

    def _tell(self, path: str, document: dict[str, Any]) -> None:
        answer = self.monitor.post(path, "operate", json=document)
        assert answer.status_code == 200, answer.text


@pytest.fixture
def serving(start_monitor) -> Callable[..., Any]:
    @contextmanager
    def serve(root: Path, stream: BankCalls | HomeMeters, clock: Any) -> Iterator[Service]:
        clock.now = dt.datetime(2025, 4, 1, tzinfo=dt.UTC)
        # Ticks come when a day is over.
        with start_monitor(root, tick_seconds=86_400.0, clock=clock) as monitor:
            yield Service(monitor, root, stream)

    return serve


def test_the_bank_ends_with_one_retraining_that_is_better(tmp_path, serving, clock):
    """Harm beside new territory, labels two days late: one flow, promoted, better, and calm."""
    root = trained_on(tmp_path / "ws", BankCalls(seed=1, rows=150), NEW_WORLD)
    with serving(root, BankCalls(seed=2), clock) as service:
        number = 0
        while not service.fires() and number < 10:
            service.day(NEW_WORLD + number * DAY)
            number += 1
        (fired,) = service.fires()
        outcome = service.retrain(fired)
        assert outcome.facts["promoted"], outcome.facts["reason"]
        assert service.monitor.get("/v1/status").json()["champion"]["version"] == 2
        for later in range(number, number + 14):
            service.day(NEW_WORLD + later * DAY)

        assert [decision["id"] for decision in service.fires()] == [fired["id"]]
        # The first day has half of the change only.
        windows = service.windows()[1:]
        assert "broken feed" not in {window["verdict"] for window in windows}
        measured = {
            version: np.mean(
                [
                    window["performance"]["measured"]
                    for window in windows
                    if window["model_version"] == version and window["performance"]["measured"]
                ]
            )
            for version in (1, 2)
        }
        assert measured[2] > measured[1] + 0.05


def test_a_season_through_the_whole_service(tmp_path, serving, clock):
    """April to June after a winter's training: no broken feed, no retraining."""
    root = trained_on(tmp_path / "ws", HomeMeters(seed=1, rows=150), SPRING)
    with serving(root, HomeMeters(seed=2), clock) as service:
        for number in range(0, 90, 3):
            service.day(SPRING + number * DAY)
        verdicts = [window["verdict"] for window in service.windows()]
        # Rows were received at times that are ahead of this clock: no pause is waited for.
        assert len(verdicts) == 30
        assert set(verdicts) <= {"healthy", "harmless drift", "confirmed harm"}
        assert verdicts.count("confirmed harm") <= 2
        assert service.fires() == []
