"""Two real streams that change, played to everything that ``tidemill up`` starts.

From ``tidemill init`` to the promoted model: the change is seen and named, a signed message
arrives, one retraining runs, and what serves afterwards is better. Nothing is in place of
anything: a real Prefect server and worker, MLflow, the monitor, a receiver that verifies
signatures, a browser.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import secrets
import shlex
import subprocess
import sys
import tarfile
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from sklearn.metrics import roc_auc_score
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tidemill.monitor_client import MonitorClient
from tidemill.settings import told_clients
from tidemill.testing.tcp_ports import free_ports

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
T = TypeVar("T")
START_SECONDS, RETRAINING_SECONDS, WINDOW_SECONDS = 240.0, 480.0, 120.0

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs chromium"),
]

# The champion's last two months judge it, and two before them stop its training: what holds in one
# month of this market need not hold in the next. Windows of four weeks: from one fortnight to
# another the ROC AUC varies by a tenth. One of them beyond its band is enough to ask for a
# retraining: a second one costs a month, and a challenger that is no better is not taken. A replay
# sends rows in order, so none is late; the pause between retrainings is one of the wall's clock,
# which stands still beside that of a replay. The budget is one retraining: the guards would ask
# for a second one at once.
ELEC2 = """
tidemill init market --source past --target class --time at_start
    --set "dataset.drop=[date, nswprice]"
    --set sharding.holdout.test=0.2 --set sharding.holdout.validation=0.2
    --set monitoring.window.seconds=2419200 --set monitoring.window.lateness_seconds=0
    --set monitoring.retraining.windows=1 --set monitoring.retraining.of=1
    --set monitoring.retraining.min_labels=1500 --set monitoring.retraining.cooldown_seconds=0
    --set monitoring.retraining.monthly_budget=1
"""
# Nothing but the length of a window, which follows from the stream: its default, an hour, has two
# rows of this one.
ELEC2_BY_DEFAULT = """
tidemill init market --source past --target class --time at_start
    --set "dataset.drop=[date, nswprice]" --set monitoring.window.seconds=2419200
"""
# The charge without tip and tolls, from what is known when a ride is over but not yet charged,
# by mean absolute error: one charge of 3,004 would be all that a squared error sees. Windows of a
# week, because Sundays are not like Mondays; harm from a tenth more error on. The surcharge is
# law and the old prices do not come back: on rides of 2018, where the error is a dollar and a
# half, the new model may be off by half as much again. January's rides are among those that a
# retraining learns from, and nothing in a ride but the vendor's way of writing `extra` says whether
# it came after: so it waits until two of three rides have the new price.
TAXI = """
tidemill init rides --source past --target charge --time pickup_datetime
    --set "dataset.derive.charge=total_amount - tip_amount - tolls_amount"
    --set "dataset.drop=[dropoff_datetime, fare_amount, mta_tax, tip_amount, tolls_amount,
        improvement_surcharge, total_amount, congestion_surcharge, payment_type]"
    --set "dataset.types={vendor_id: categorical, rate_code_id: categorical,
        pickup_location_id: categorical, dropoff_location_id: categorical}"
    --set tuning.metric=mae --set evaluation.metric=mae
    --set "sharding.holdout.test='2018-11-01'"
    --set monitoring.window.seconds=604800 --set monitoring.window.lateness_seconds=0
    --set monitoring.harm.max_loss=0.1
    --set monitoring.retraining.min_labels=27000 --set monitoring.retraining.cooldown_seconds=0
    --set monitoring.retraining.max_regression=0.5
"""
IMPOSSIBLE = {"charge": (2.5, 300.0), "trip_distance": (0.01, 100.0)}


def test_elec2(tmp_path: Path) -> None:
    """The neighbour's market opens in May 1997; columns that never moved become the best ones."""
    halves = half_hours(unpack("elec2.tar.gz", tmp_path) / "elec2" / "elec2.csv")
    keep(tmp_path / "past" / "elec2.csv", halves, "1996", "1997-03")
    keep(tmp_path / "change.csv", halves, "1997-03", "1997-09")
    keep(tmp_path / "after.csv", halves, "1997-09", "1997-12")
    with loop(ELEC2, tmp_path, "market") as watched:
        watched.replay("../change.csv", speed=600_000, label_delay=1800)
        decision = watched.retrained()
        seen = watched.windows()

        opened = {"vicprice", "vicdemand", "transfer"}
        drifted = [window for window in seen if opened & set(window["features"])]
        assert drifted[0]["start"] < "1997-05-05" < drifted[0]["end"]
        assert all(w["verdict"] in (None, "healthy") for w in seen[: seen.index(drifted[0])])
        harmed = of_verdict(seen, "confirmed harm")
        # May and June are as good as ever; from July on what was refitted has lost a tenth.
        assert harmed[0]["start"] == "1997-07-10T00:00:00Z"
        assert opened <= set(harmed[0]["features"])

        figures = watched.better_champion(decision)
        # It was made anew: the champion's reducer had left the three constant columns out.
        assert figures["challenger_proof_roc_auc"] > figures["champion_proof_roc_auc"] + 0.1
        watched.told_once(harmed[0])
        watched.shown("vicprice", decision)

        watched.replay("../after.csv", speed=600_000, label_delay=1800)
        after = watched.judged(version=2, last="1997-11-27")
        # It orders the half hours as well as it was found to, and is surer of itself than it may
        # be: a stretch that proves ends beside rows that teach, and here days are like their
        # neighbours.
        assert not any("roc_auc" in watched.accusers(window) for window in after)
        assert mean_measured(after) > mean_measured(harmed) + 0.1


def test_elec2_by_default(tmp_path: Path) -> None:
    """What a retraining makes of the opened market is better in all of the next year."""
    halves = half_hours(unpack("elec2.tar.gz", tmp_path) / "elec2" / "elec2.csv")
    keep(tmp_path / "past" / "elec2.csv", halves, "1996", "1997-03")
    keep(tmp_path / "change.csv", halves, "1997-03", "1998")
    keep(tmp_path / "after.csv", halves, "1998", "1999")
    with loop(ELEC2_BY_DEFAULT, tmp_path, "market") as watched:
        watched.replay("../change.csv", speed=600_000, label_delay=1800)
        watched.better_champion(watched.retrained())
        new, old = (watched.roc_auc("../after.csv", version) for version in (2, 1))
        assert new > old + 0.05


def test_taxi(tmp_path: Path) -> None:
    """The congestion surcharge of February 2019: seen in its first week, learnt, and over."""
    raw = unpack("taxi_yellow_2018_2019.tar.gz", tmp_path) / "taxi_yellow" / "raw"
    (tmp_path / "past").mkdir()
    for path in raw.glob("*_2018-*.csv"):
        path.rename(tmp_path / "past" / path.name)
    with loop(TAXI, tmp_path, "rides", ranges=IMPOSSIBLE) as watched:
        watched.replay(f"{raw}/*_2019-0[123].csv", speed=250_000, label_delay=86_400)
        decision = watched.retrained()
        seen = watched.windows()

        harmed = of_verdict(seen, "confirmed harm")
        assert harmed[0]["start"] < "2019-02-02" < harmed[0]["end"]
        assert "extra" in harmed[0]["features"]
        figures = watched.better_champion(decision)
        assert figures["challenger_proof_mae"] < 0.9 * figures["champion_proof_mae"]
        watched.told_once(harmed[0])
        watched.shown("extra", decision)

        watched.replay(f"{raw}/*_2019-04.csv", speed=250_000, label_delay=86_400)
        after = watched.judged(version=2, last="2019-04-24")
        assert not of_verdict(after, "confirmed harm")
        assert "extra" not in {name for window in after for name in window["features"]}
        assert mean_measured(after) < 0.9 * mean_measured(harmed)


def unpack(archive: str, folder: Path) -> Path:
    if not (DATA / archive).is_file():
        pytest.skip(f"{DATA / archive} is absent")
    with tarfile.open(DATA / archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def half_hours(path: Path) -> list[str]:
    """The lines of elec2 with the time that its normalised date stands for: no half-hour lacks."""
    header, *rows = path.read_text().splitlines()
    first, step = dt.datetime(1996, 5, 7, tzinfo=dt.UTC), dt.timedelta(minutes=30)
    timed = (f"{first + number * step:%Y-%m-%dT%H:%M:%S},{row}" for number, row in enumerate(rows))
    return [f"at_start,{header}", *timed]


def keep(path: Path, lines: list[str], begin: str, end: str) -> None:
    """Write the rows from ``begin`` on and before ``end``."""
    path.parent.mkdir(exist_ok=True)
    header, *rows = lines
    path.write_text("\n".join([header, *(row for row in rows if begin <= row < end)]) + "\n")


def of_verdict(windows: list[dict[str, Any]], verdict: str) -> list[dict[str, Any]]:
    return [window for window in windows if window["verdict"] == verdict]


def mean_measured(windows: list[dict[str, Any]]) -> float:
    measured = [window["performance"]["measured"] for window in windows if window["verdict"]]
    return sum(measured) / len(measured)


@dataclass
class Receiver:
    """Somebody's webhook: keeps what is signed with the secret, answers 401 to all else."""

    secret: str
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: int = 0

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Serve on a free port."""
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    said = Webhook(keeper.secret).verify(body, headers)
                except WebhookVerificationError:
                    keeper.refused += 1
                    self.send_response(401)
                else:
                    keeper.messages[headers["webhook-id"]] = said
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield server.server_address[1]
            finally:
                server.shutdown()


@dataclass
class Loop:
    """A workspace with everything that ``tidemill up`` starts, and what a person does with it."""

    root: Path
    environment: dict[str, str]
    prefect: str
    monitor: MonitorClient
    key: str
    receiver: Receiver

    def replay(self, source: str, *, speed: int, label_delay: int) -> None:
        """What the user types; every row is taken, and every label."""
        command = f"monitor replay --input {source} --speed {speed} --label-delay {label_delay}"
        said = json.loads(typed(f"{command} --json", self.root, self.environment))
        assert said["sent"] == said["rows"] == said["labels"]
        assert said["duplicates"] == said["refused"] == said["labels_refused"] == 0

    def roc_auc(self, source: str, version: int) -> float:
        """What a version says of rows, against their truth."""
        scored = self.root / f"scored-{version}.csv"
        command = f"score --input {source} --model {version} --output {scored}"
        typed(command, self.root, self.environment)
        with (self.root / source).open() as given, scored.open() as said:
            truth = [row["class"] for row in csv.DictReader(given)]
            scores = [row["score"] for row in csv.DictReader(said)]
        return float(roc_auc_score([label == "UP" for label in truth], [float(s) for s in scores]))

    def windows(self) -> list[dict[str, Any]]:
        """Closed windows, the oldest first."""
        found = self.monitor.get("/v1/windows", limit=200)["items"]
        closed = [window for window in found if window["state"] == "closed"]
        return sorted(closed, key=lambda window: (window["start"], window["model_version"]))

    def accusers(self, window: dict[str, Any]) -> set[str]:
        """Names of the figures that find harm in a window."""
        found = self.monitor.get(f"/v1/windows/{window['id']}/findings")["items"]
        return {f["test"] for f in found if f["kind"] == "performance" and f["flagged"]}

    def judged(self, *, version: int, last: str) -> list[dict[str, Any]]:
        """Windows of a version, as soon as the one that holds ``last`` is judged."""

        def found() -> list[dict[str, Any]]:
            windows = [w for w in self.windows() if w["model_version"] == version]
            done = [w for w in windows if w["start"] <= last < w["end"] and w["judged_at"]]
            return windows if done else []

        return until(found, WINDOW_SECONDS)

    def retrained(self) -> dict[str, Any]:
        """The one decision that fired, when it is over."""

        def over() -> list[dict[str, Any]]:
            items = self.monitor.get("/v1/decisions")["items"]
            return [d for d in items if d["action"] == "fire" and d["closed_at"]]

        (decision,) = until(over, RETRAINING_SECONDS)
        assert decision["state"] == "finished", decision
        runs = self.asked("POST", "/api/flow_runs/filter", json={})
        assert [run["id"] for run in runs] == [decision["flow_run_id"]]
        assert runs[0]["parameters"]["decision_id"] == str(decision["id"])
        until(lambda: self._state(decision) == "COMPLETED", WINDOW_SECONDS)
        return decision

    def _state(self, decision: dict[str, Any]) -> str:
        return str(self.asked("GET", f"/api/flow_runs/{decision['flow_run_id']}")["state_type"])

    def asked(self, method: str, path: str, **given: Any) -> Any:
        """What Prefect answers its owner."""
        auth = tuple(told_clients(self.root)["PREFECT_API_AUTH_STRING"].split(":"))
        return httpx.request(method, self.prefect + path, auth=auth, timeout=30, **given).json()

    def better_champion(self, decision: dict[str, Any]) -> dict[str, float]:
        """The decision's challenger was promoted and serves; its figures beside the old one's."""
        assert decision["promoted"]
        assert self.monitor.get("/v1/status")["champion"]["version"] == 2
        assert decision["challenger_version"] == 2
        newest, first = self.monitor.get("/v1/models")["items"]
        assert newest["serving"]
        assert newest["aliases"] == ["champion"]
        assert not first["serving"]
        return newest["promotion"]

    def told_once(self, harmed: dict[str, Any]) -> None:
        """Every incident came once, signed; the harm with its figures, and its end."""

        def kinds() -> list[str]:
            return [message["type"] for message in self.receiver.messages.values()]

        until(lambda: "alert.resolved" in kinds(), WINDOW_SECONDS)
        told = Counter(
            (message["type"], message["data"]["incident"])
            for message in self.receiver.messages.values()
        )
        incident = f"harm//{harmed['id']}"
        assert told["alert.opened", incident] == told["alert.resolved", incident] == 1
        assert set(told.values()) == {1}
        assert self.receiver.refused == 0
        (said,) = [
            m["data"]["text"]
            for m in self.receiver.messages.values()
            if (m["type"], m["data"]["incident"]) == ("alert.opened", incident)
        ]
        assert any(name in said for name in harmed["features"])

    def shown(self, feature: str, decision: dict[str, Any]) -> None:
        """The dashboard tells the drift, the decision with its evidence, and who serves."""
        with signed_in(self.monitor.url, self.key) as page:
            page.goto(f"{self.monitor.url}/features")
            expect(page.locator("#main")).to_contain_text(feature)
            page.goto(f"{self.monitor.url}/features/{feature}")
            expect(page.get_by_role("heading", level=1)).to_contain_text(feature)
            page.goto(f"{self.monitor.url}/decisions")
            expect(page.locator("#main")).to_contain_text(decision["reason"], ignore_case=True)
            expect(page.locator("#main")).to_contain_text(
                decision["outcome"]["said"], ignore_case=True
            )
            page.goto(f"{self.monitor.url}/models")
            expect(page.locator("#main")).to_contain_text("Version 2")
            page.screenshot(path=self.root / "models.png", full_page=True)


@contextmanager
def signed_in(url: str, key: str) -> Iterator[Page]:
    """A page of a real browser, behind the login."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{url}/login")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#main:not([aria-busy])")
        yield page
        browser.close()


@contextmanager
def loop(
    command: str, folder: Path, name: str, ranges: dict[str, tuple[float, float]] | None = None
) -> Iterator[Loop]:
    """Make the workspace and its champion, and start everything around it on free ports."""
    receiver = Receiver("whsec_" + b64encode(secrets.token_bytes(32)).decode())
    apart = ("PREFECT", "MLFLOW", "TIDEMILL_MONITOR")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(apart)},
        "PREFECT_HOME": str(folder / "prefect"),
        "PYTHONPATH": os.pathsep.join((str(ROOT / "platform"), str(ROOT / "monitoring"))),
        "OPS_SECRET": receiver.secret,
    }
    with receiver.listening() as port:
        channel = (
            f"{{name: ops, kind: webhook, url: 'http://127.0.0.1:{port}/hook', "
            "secret_env: OPS_SECRET, allow_private: true}"
        )
        init = [*shlex.split(command)[1:], "--set", f"monitoring.alerts.channels=[{channel}]"]
        typed(shlex.join(init), folder, environment)
        decide(folder / name, ranges or {})
        assert json.loads(typed("run --direct --json", folder / name, environment))["promoted"]
        with everything(folder / name, environment) as (ports, key):
            prefect, _, monitor = (f"http://127.0.0.1:{number}" for number in ports)
            environment |= {"TIDEMILL_MONITOR_URL": monitor, "TIDEMILL_MONITOR_KEY": key}
            with MonitorClient(monitor, key) as client:
                yield Loop(folder / name, environment, prefect, client, key, receiver)


@contextmanager
def everything(root: Path, environment: dict[str, str]) -> Iterator[tuple[list[int], str]]:
    """``tidemill up``; its ports (Prefect, MLflow, monitor) and the first key."""
    ports, log = free_ports(3), root / "up.log"
    names = ("prefect", "mlflow", "monitor")
    options = [f"--{name}-port={port}" for name, port in zip(names, ports, strict=True)]
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidemill", "up", *options],
            cwd=root,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "ready:" in log.read_text() or process.poll() is not None, START_SECONDS)
        assert process.poll() is None, log.read_text()
        lines = log.read_text().splitlines()
        yield ports, next(line for line in lines if line.startswith("first key")).split()[-1]
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def decide(workspace: Path, ranges: dict[str, tuple[float, float]]) -> None:
    """Add ranges to the drafted suite, as a user would by hand."""
    path = workspace / "expectations" / "suite.json"
    suite = json.loads(path.read_text())
    suite["expectations"] += [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": column, "min_value": low, "max_value": high},
            "severity": "critical",
        }
        for column, (low, high) in ranges.items()
    ]
    path.write_text(json.dumps(suite))


def typed(words: str, folder: Path, environment: dict[str, str]) -> str:
    """Run ``tidemill WORDS`` in ``folder``; what it prints on stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", *shlex.split(words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(found: Callable[[], T], seconds: float) -> T:
    """What ``found`` returns, as soon as there is something."""
    deadline = time.monotonic() + seconds
    while not (something := found()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)
    return something
