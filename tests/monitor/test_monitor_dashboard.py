"""The dashboard in a real browser, in front of the real service: real events, real clicks."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tidemill.config import set_params
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.ledger import Ledger
from tidemill.samples import write_sample
from tidemill.storage import Workspace
from tidemill.testing.workspaces import QUICK, copy_workspace, run_here
from tidemill_monitor.app import create_app
from tidemill_monitor.monitor_settings import MonitorSettings
from tidemill_monitor.security import leave_credentials
from tidemill_monitor.watching.stints import Stints

CHROMIUM = Path("/usr/bin/chromium")
CHECKS = (Path(__file__).parent / "page_checks.js").read_text()
WAIT_MS = 30_000
ROWS = 200
LONG = "a_name_of_the_kind_that_a_warehouse_makes_and_nobody_breaks_into_words"
HOSTILE = f"<img src=x onerror=window.hacked=1>{LONG}"
HOSTILE_VALUE = f"<script>window.hacked=1</script>{LONG}"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
SETTINGS = (
    "monitoring.window.by=count",
    f"monitoring.window.rows={ROWS}",
    "monitoring.window.min_rows=100",
    "monitoring.harm.min_labels=100",
    "monitoring.retraining.approval=true",
    "monitoring.retraining.windows=1",
    "monitoring.retraining.of=1",
    "monitoring.retraining.min_labels=100",
)

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs chromium")


@dataclass
class Monitor:
    """A running service, and what an application does with it."""

    root: Path
    url: str
    key: str
    reader: str
    rows: list[dict[str, Any]]
    sent: Iterator[int] = field(default_factory=lambda: count(1))

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """A request with the key; its document."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=60, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def feed(
        self, rows: int = ROWS, *, change: Callable[[dict[str, Any]], None] | None = None
    ) -> list[tuple[str, str]]:
        """Ask for predictions of real rows; the events' ids with their truths."""
        records, truths = [], []
        for _ in range(rows):
            number = next(self.sent)
            row = dict(self.rows[number % len(self.rows)])
            truth = row.pop("cancelled")
            if change:
                change(row)
            records.append({"event_id": f"ride-{number}", "features": row})
            truths.append((f"ride-{number}", truth))
        done = self.ask("POST", "/v1/predict", json={"records": records})
        assert not done["errors"], done["errors"][:2]
        return truths

    def label(self, truths: list[tuple[str, str]], *, wrong: bool = False) -> None:
        """Report outcomes; wrong ones make the model look worse than guessing."""
        flip = {"0": "1", "1": "0"}
        labels = [
            {"event_id": event, "truth": flip[truth] if wrong else truth} for event, truth in truths
        ]
        self.ask("POST", "/v1/labels", json={"labels": labels})

    def windows(self, **parameters: Any) -> list[dict[str, Any]]:
        """Windows, newest first."""
        return self.ask("GET", "/v1/windows", params=parameters)["items"]

    def await_verdicts(self, n: int) -> None:
        """Wait until ``n`` windows are judged."""
        until(lambda: sum(w["verdict"] is not None for w in self.windows(limit=100)) >= n)


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what comes by itself."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def plain(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of all tests of the monitor, with the settings of these."""
    root = copy_workspace(trained, tmp_path_factory.mktemp("plain") / "ws")
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), SETTINGS))
    return root


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a champion; one feature and one category have hostile names."""
    root = tmp_path_factory.mktemp("dashboard") / "ws"
    write_sample(root / "data" / "raw", rows=4000, months=3, seed=7)
    for path in (root / "data" / "raw").glob("*.csv"):
        text = path.read_text().replace(",weather,", f",{HOSTILE},", 1)
        path.write_text(text.replace(",clear,", f",{HOSTILE_VALUE},"))
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data" / "raw"),
            target="cancelled",
            time="requested_at",
            key="ride_id",
            assignments=[*QUICK, *SETTINGS],
            engine=engine,
        )
    run_here(root)
    return root


def read_rows(root: Path) -> list[dict[str, Any]]:
    """Rows of the sample that a client would send: typed, without time and key."""
    found = []
    for path in sorted((root / "data" / "raw").glob("*.csv")):
        with path.open(newline="") as lines:
            found += [typed(row) for row in csv.DictReader(lines) if row["cancelled"]]
    return [row for row in found if row is not None]


TEXTS = {"pickup_zone", "dropoff_zone", "product", "payment", "weather", HOSTILE, "cancelled"}
TIMES = {"promised_pickup_at", "promised_dropoff_at"}


def typed(row: dict[str, str]) -> dict[str, Any] | None:
    """Cells as JSON values; None for the few dirty rows."""
    values: dict[str, Any] = {}
    for name, cell in row.items():
        if name in ("ride_id", "requested_at"):
            continue
        try:
            if cell == "":
                values[name] = None
            elif name in TEXTS or name in TIMES:
                values[name] = cell
            else:
                values[name] = cell == "true" if name == "is_airport" else float(cell)
        except ValueError:
            return None
    return values


@contextmanager
def serving(root: Path) -> Iterator[Monitor]:
    """The real service on a free port, in a thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(MonitorSettings(workspace=root, port=port, tick_seconds=0.2))
    keys = app.state.service.keys
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        leave_credentials(root, f"http://127.0.0.1:{port}", keys)
        yield Monitor(
            root,
            f"http://127.0.0.1:{port}",
            keys.create("tests", "operate"),
            keys.create("a reader", "read"),
            read_rows(root),
        )
    finally:
        server.should_exit = True
        thread.join(timeout=30)


@contextmanager
def watching(root: Path) -> Iterator[Monitor]:
    """The service with some history: healthy windows, then drift, then harm."""
    with serving(root) as running:
        for _ in range(3):
            running.label(running.feed())
        running.await_verdicts(3)
        running.label(running.feed(change=farther))
        running.await_verdicts(4)
        running.label(running.feed(change=farther), wrong=True)
        running.await_verdicts(5)
        until(lambda: running.ask("GET", "/v1/alerts")["items"] != [])
        yield running


@pytest.fixture(scope="module")
def monitor(plain: Path) -> Iterator[Monitor]:
    """A service with some history."""
    with watching(copy_workspace(plain, plain.parent / "watched")) as running:
        yield running


@pytest.fixture(scope="module")
def attacked(hostile: Path) -> Iterator[Monitor]:
    """A service with some history of hostile names."""
    with watching(copy_workspace(hostile, hostile.parent / "watched")) as running:
        yield running


@pytest.fixture
def fresh(plain: Path, tmp_path: Path) -> Iterator[Monitor]:
    """A service that nobody has sent anything to."""
    with serving(copy_workspace(plain, tmp_path / "ws")) as running:
        yield running


@pytest.fixture
def unfed(hostile: Path, tmp_path: Path) -> Iterator[Monitor]:
    """The same, with hostile names."""
    with serving(copy_workspace(hostile, tmp_path / "ws")) as running:
        yield running


def farther(row: dict[str, Any]) -> None:
    """Rides become twice as long."""
    row["distance_km"] = (row["distance_km"] or 1.0) * 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        running.close()


@pytest.fixture(scope="module")
def sessions() -> dict[tuple[str, str], Any]:
    """What a browser keeps of having signed in, by address and key."""
    return {}


@pytest.fixture
def visit(browser: Browser, sessions: dict[tuple[str, str], Any]) -> Iterator[Callable[..., Page]]:
    """Open a page, signed in by the first test that comes; each complaint of the browser fails."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def blank(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda error: said.append(str(error)))
        return page

    def sign_in(page: Page, monitor: Monitor, path: str, key: str) -> None:
        page.goto(f"{monitor.url}/login?next={path.replace('%', '%25')}")
        page.get_by_label("API key").fill(key or monitor.key)
        page.get_by_role("button", name="Sign in").click()
        ready(page)

    def opened(monitor: Monitor, path: str = "/", *, key: str = "", **options: Any) -> Page:
        known = sessions.get((monitor.url, key))
        page = blank(storage_state=known, **options)
        if known is None:
            sign_in(page, monitor, path, key)
            sessions[monitor.url, key] = page.context.storage_state()
        else:
            page.goto(monitor.url + path)
            ready(page)
        return page

    opened.said, opened.blank, opened.sign_in = said, blank, sign_in  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert said == []


def ready(page: Page) -> None:
    """Wait until the page shows its documents."""
    page.wait_for_selector("#main:not([aria-busy])")


def visit_all(page: Page, monitor: Monitor) -> Iterator[str]:
    """Every page, one after the other."""
    newest = monitor.windows(state="closed")[0]["id"]
    feature = f"/features/{HOSTILE.replace('=', '%3D').replace('<', '%3C').replace('>', '%3E')}"
    for path in (
        "/",
        "/features",
        "/features/distance_km",
        feature,
        "/performance",
        "/alerts",
        "/decisions",
        "/models",
        f"/windows/{newest}",
    ):
        page.goto(monitor.url + path)
        ready(page)
        for closed in page.query_selector_all("details"):
            closed.evaluate("node => node.open = true")
        yield path


def test_a_key_opens_a_session_and_signing_out_ends_it(monitor, visit):
    """The page that was asked for comes after signing in; a wrong key is told so."""
    page = visit.blank()
    visit.sign_in(page, monitor, "/alerts", monitor.key)
    expect(page).to_have_url(f"{monitor.url}/alerts")

    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{monitor.url}/decisions")
    expect(page).to_have_url(re.compile("/login"))

    page.get_by_label("API key").fill("tm_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    visit.said[:] = [line for line in visit.said if "401" not in line]


@pytest.mark.slow
def test_an_empty_monitor_shows_a_command_that_works(fresh, visit):
    """The commands on the first page are run as they stand; the page then tells of the event."""
    page = visit(fresh)
    expect(page.get_by_role("heading", level=1)).to_have_text("Ready for the first events")
    names = ("Command that makes a key", "Command that asks for a prediction")
    commands = [page.get_by_role("region", name=name).inner_text() for name in names]

    done = subprocess.run(
        ["bash", "-c", "\n".join(commands).replace("curl ", "curl -sS --fail-with-body ", 1)],
        cwd=fresh.root,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    expect(page.locator("[data-key=tile-traffic]")).to_contain_text("1 in all", timeout=WAIT_MS)
    expect(page.get_by_role("heading", level=1)).to_have_text("Collecting the first window")


@pytest.mark.slow
def test_windows_without_rows_enough_are_told_with_the_setting(plain, visit, tmp_path):
    """No page waits for a first window where all are closed and too small; labels have come."""
    root = copy_workspace(plain, tmp_path / "ws")
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), ["monitoring.window.rows=60"]))
    with serving(root) as running:
        running.label(running.feed(180))
        until(lambda: len(running.windows(state="closed")) == 3)
        until(lambda: all(w["note"] == "too small" for w in running.windows(state="closed")))
        page = visit(running, "/")
        for path in ("/", "/features"):
            page.goto(running.url + path)
            ready(page)
            expect(page.locator("main")).to_contain_text("Every window so far had too few rows")
            expect(page.locator("main")).to_contain_text("monitoring.window.min_rows")
        page.goto(running.url + "/performance")
        ready(page)
        expect(page.locator("main")).to_contain_text("Labels have come")


@pytest.mark.slow
def test_the_page_changes_by_itself_and_keeps_the_readers_place(unfed, visit):
    """Focus, scroll, opened details and the very nodes stay while the news changes."""
    unfed.feed()
    unfed.await_verdicts(1)
    page = visit(unfed, viewport={"width": 1280, "height": 420})
    news = page.get_by_role("heading", level=1)
    before = news.inner_text()
    page.get_by_text("Show as a table").click()
    link = page.get_by_role("link", name="All decisions")
    link.focus()
    page.evaluate("window.scrollTo(0, 300); window.kept = document.activeElement")

    unfed.feed(change=farther)

    expect(news).not_to_have_text(before, timeout=WAIT_MS)
    expect(news).to_contain_text("drifted")
    assert page.evaluate("document.activeElement === window.kept && window.kept.isConnected")
    assert page.evaluate("window.scrollY") == 300
    assert page.evaluate("document.querySelector('details.numbers').open")
    expect(page.locator("#announce")).to_have_text(news.inner_text())
    assert page.title().startswith(news.inner_text())


@pytest.mark.slow
def test_without_a_stream_the_page_asks_every_few_seconds(fresh, visit):
    """A proxy that cuts server-sent events only slows the page down."""
    fresh.feed()
    fresh.await_verdicts(1)
    page = visit(fresh)
    page.route("**/v1/stream", lambda route: route.abort())
    page.reload()
    ready(page)
    expect(page.locator("#live")).to_have_text("Looking every 5 s")

    fresh.feed(change=farther)

    expect(page.get_by_role("heading", level=1)).to_contain_text("drifted", timeout=WAIT_MS)
    visit.said[:] = [line for line in visit.said if "ERR_FAILED" not in line]


@pytest.mark.slow
def test_a_monitor_that_does_not_answer_is_told_with_a_remedy(monitor, visit):
    """The last answer stays on the page, marked as old, and the page recovers alone."""
    page = visit(monitor)
    news = page.get_by_role("heading", level=1).inner_text()

    page.context.set_offline(True)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    trouble = page.locator(".trouble")
    expect(trouble).to_contain_text("does not answer")
    expect(trouble).to_contain_text("tidemill monitor")
    expect(trouble).to_contain_text("as old as the last answer")
    expect(page.get_by_role("heading", level=1)).to_have_text(news)

    page.context.set_offline(False)
    trouble.get_by_role("button", name="Try again").click()
    expect(trouble).to_have_count(0)
    visit.said[:] = [line for line in visit.said if "ERR_INTERNET" not in line]


@pytest.mark.slow
def test_the_map_leads_to_the_feature_by_keyboard_alone(monitor, visit):
    """Tab reaches the map once, arrows move inside, Enter opens what moved."""
    page = visit(monitor, "/features")
    expect(page.get_by_role("heading", level=1)).to_contain_text("distance_km")
    flagged = page.locator("[data-cell^='distance_km/']").last
    assert float(flagged.inner_text().rstrip("+")) >= 1

    page.get_by_role("searchbox").focus()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.cell !== undefined"):
            break
    start = page.evaluate("document.activeElement.dataset.cell")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    moved = page.evaluate("document.activeElement.dataset.cell")
    assert start.split("/")[0] != moved.rsplit("/", 1)[0]
    assert start.rsplit("/", 1)[1] != moved.rsplit("/", 1)[1]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.cell") == start
    page.keyboard.press("Enter")

    page.wait_for_url("**/features/**")
    ready(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("drifted")


def test_a_feature_shows_training_beside_the_window(monitor, visit):
    """Bars, their numbers, the history with its threshold, and the tests of the window."""
    page = visit(monitor, "/features/distance_km")

    bars = page.locator("[data-chart=shares-chart] rect.bar-current")
    shown = monitor.ask("GET", "/v1/features/distance_km")
    assert bars.count() >= len(shown["current"])
    expect(page.locator("[data-chart=history-chart] .threshold-line")).to_have_count(1)
    assert page.locator("[data-chart=history-chart] .point.flagged").count() >= 1
    page.locator("[data-key=shares] summary").click()
    rows = page.locator("[data-key=shares] tbody tr")
    assert rows.count() == len(shown["bins"]) + 1
    expect(page.locator("[data-key=findings]")).to_contain_text("finding")


@pytest.mark.slow
def test_charts_tell_their_values_to_the_keyboard(monitor, visit):
    """Arrow keys walk from window to window, Enter opens the window."""
    page = visit(monitor, "/performance")
    newest = monitor.windows(state="closed", segment="")[0]

    page.locator("[data-chart=performance-chart]").focus()
    page.keyboard.press("End")
    tip = page.locator("[data-chart=performance-chart] .tip")
    expect(tip).to_contain_text("measured")
    expect(tip).to_contain_text(f"{newest['performance']['measured']:.3f}")
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{monitor.url}/windows/{newest['id']}")


@pytest.mark.slow
def test_performance_has_a_band_and_the_level_of_harm(monitor, visit):
    """Measured points, the estimate's band, the line where harm begins, and a table."""
    page = visit(monitor, "/performance")
    chart = page.locator("[data-chart=performance-chart]")

    expect(chart.locator(".level.harm line")).to_have_count(1)
    expect(chart.locator("path.band")).not_to_have_count(0)
    measured = [w for w in monitor.windows(segment="") if w["performance"]["measured"] is not None]
    expect(chart.locator(".measured circle")).to_have_count(len(measured))
    expect(chart.locator(".measured circle.harmed")).not_to_have_count(0)
    expect(page.locator("[data-key=table] tbody tr")).to_have_count(
        len(monitor.windows(segment=""))
    )


def test_an_alert_is_acknowledged_with_a_note(monitor, visit):
    """What was clicked stands in the store, with who did it."""
    page = visit(monitor, "/alerts")
    first = page.locator(".item", has=page.get_by_role("button", name="Acknowledge")).first
    name = first.get_attribute("data-key").removeprefix("alert-")
    first.get_by_label("Note").fill("I look after it")
    first.get_by_role("button", name="Acknowledge").click()

    expect(page.locator(f"[data-key=alert-{name}]")).to_contain_text("Acknowledged")
    kept = next(a for a in monitor.ask("GET", "/v1/alerts")["items"] if str(a["id"]) == name)
    assert kept["state"] == "acknowledged"
    assert "I look after it" in kept["note"]


def test_readers_get_no_buttons_and_no_forged_change(monitor, visit):
    """A session of scope read cannot acknowledge, approve or reload, on the page or past it."""
    page = visit(monitor, "/alerts", key=monitor.reader)
    expect(page.locator(".item")).not_to_have_count(0)
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    status = page.evaluate(
        "fetch('/v1/models/reload', {method: 'POST', headers: {'x-csrf-token': "
        "document.querySelector('meta[name=csrf-token]').content}}).then(r => r.status)"
    )
    assert status == 403
    visit.said[:] = [line for line in visit.said if "403" not in line]


def test_a_change_without_the_pages_token_is_refused(monitor, visit):
    """The cookie alone changes nothing."""
    page = visit(monitor)
    status = page.evaluate("fetch('/v1/models/reload', {method: 'POST'}).then(r => r.status)")
    assert status == 403
    visit.said[:] = [line for line in visit.said if "403" not in line]


def test_a_retraining_is_approved_by_a_person(monitor, visit):
    """The evidence is shown, the question is asked, and the decision changes in the store."""
    until(lambda: monitor.ask("GET", "/v1/status")["open_decision"] is not None)
    page = visit(monitor, "/decisions")
    expect(page.get_by_role("heading", level=1)).to_have_text("A retraining waits for approval")
    first = page.locator(".item", has=page.get_by_role("button", name="Approve")).first
    name = first.get_attribute("data-key").removeprefix("decision-")
    first.locator("summary").click()
    assert first.locator(".evidence dt").count() >= 2
    assert "Confirmed by" in first.locator(".evidence").inner_text()

    first.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert decision(monitor, name)["state"] == "awaiting approval"
    first.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()

    expect(page.locator(f"[data-key=decision-{name}] .badge").first).not_to_have_text(
        "Awaiting approval"
    )
    assert decision(monitor, name)["state"] != "awaiting approval"


@pytest.mark.slow
def test_a_retraining_is_stopped_by_a_person(monitor, visit):
    """The question is asked, and the decision ends in the store with who ended it."""
    until(lambda: open_state(monitor) is not None)
    if open_state(monitor) == "awaiting approval":
        monitor.ask("POST", f"/v1/decisions/{open_decision(monitor)['id']}/approve")
    name = str(open_decision(monitor)["id"])
    page = visit(monitor, "/decisions", reduced_motion="reduce")
    row = page.locator(f"[data-key=decision-{name}]")
    expect(row.get_by_role("button", name="Stop retraining")).to_be_visible()
    assert faults_in_every_size(page, monitor, "/decisions") == []
    row.get_by_role("button", name="Stop").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()

    expect(row.locator(".badge").first).to_have_text("Stopped")
    expect(row.get_by_role("button")).to_have_count(0)
    assert decision(monitor, name)["state"] == "stopped"
    assert faults_in_every_size(page, monitor, "/decisions") == []


def open_decision(monitor: Monitor) -> dict[str, Any] | None:
    """The decision that is open."""
    found: dict[str, Any] | None = monitor.ask("GET", "/v1/status")["open_decision"]
    return found


def open_state(monitor: Monitor) -> str | None:
    """Its state."""
    found = open_decision(monitor)
    return found["state"] if found else None


def decision(monitor: Monitor, name: str) -> dict[str, Any]:
    """One decision from the store."""
    items = monitor.ask("GET", "/v1/decisions")["items"]
    return next(item for item in items if str(item["id"]) == name)


@pytest.mark.slow
def test_versions_show_which_one_serves(monitor, visit):
    """The champion of the registry serves; what windows are held to is named apart from figures."""
    page = visit(monitor, "/models")
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 1 serves")
    row = page.locator("[data-key=version-1]")
    expect(row).to_contain_text("champion")
    expect(row).to_contain_text("serves")
    held = f"{monitor.windows(segment='')[0]['performance']['held']:.3f}"
    expect(page.locator("[data-key=versions]")).to_contain_text(f"held to ROC AUC {held}")
    page.goto(f"{monitor.url}/")
    expect(page.locator("[data-key=tile-champion]")).to_contain_text(f"ROC AUC {held} held out")


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_page_has_a_fault_that_a_checker_would_find(attacked, visit, size):
    """Contrast in both themes, names, labels, headings, targets, nothing inline, no wider page."""
    page = visit(attacked, viewport=size, reduced_motion="reduce")  # colours change at once
    tree = page.context.new_cdp_session(page)
    faults = []
    for path in visit_all(page, attacked):
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            faults += [(path, theme, complaint) for complaint in page.evaluate(CHECKS)]
        faults += [(path, f"no name: {role}") for role in nameless(tree)]
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > size["width"]:
            faults.append((path, f"{wide} pixels wide"))
    assert faults == []


@pytest.mark.slow
def test_a_phone_is_wide_enough_in_every_state(unfed, hostile, visit, tmp_path):
    """Before the first event, on a broken feed, and without a champion: no page is wider."""
    page = visit(unfed, viewport=PHONE)
    assert too_wide(page, unfed, ("/", "/features", "/performance", "/alerts", "/models")) == []

    unfed.feed(change=lambda row: row.update({HOSTILE: None}))
    unfed.await_verdicts(1)
    broken = unfed.windows(state="closed")[0]
    assert broken["verdict"] == "broken feed"
    pages = ("/", "/features", "/performance", "/alerts", f"/windows/{broken['id']}")
    assert too_wide(page, unfed, pages) == []

    bare = copy_workspace(hostile, tmp_path / "bare")
    (bare / "mlflow.db").unlink()
    with serving(bare) as empty:
        page = visit(empty, viewport=PHONE)
        pages = ("/", "/features", "/performance", "/alerts", "/decisions", "/models", "/login")
        assert too_wide(page, empty, pages) == []
        # What the browser says of answers that are refused is no fault of the page.
        visit.said[:] = [line for line in visit.said if "status of" not in line]


@pytest.mark.slow
def test_a_break_that_persists_is_answered_as_the_page_says(unfed, visit):
    """Both commands of the card work as they stand, in the folder of the workspace.

    What labels say beside the break is no figure that holds.
    """
    for _ in range(3):
        sent = unfed.feed(change=lambda row: row.update({HOSTILE: None, "distance_km": None}))
        unfed.label(sent, wrong=True)
    unfed.await_verdicts(3)
    until(lambda: unfed.windows(state="closed")[0]["harm"] == "confirmed harm")
    page = visit(unfed, "/performance")
    expect(page.get_by_role("heading", level=1)).to_contain_text("beyond the level of harm")
    page = visit(unfed, reduced_motion="reduce")
    card = page.locator("[data-key=new-normal]")
    expect(card).to_contain_text("broken for 3 windows in a row", timeout=WAIT_MS)
    expect(card.get_by_role("button")).to_have_count(2)
    names = ("Command that accepts it", "Command that holds it")
    accept, hold = (card.get_by_role("region", name=name).inner_text() for name in names)
    assert faults_in_every_size(page, unfed, "/") == []

    said(unfed, hold)
    expect(card).to_have_count(0, timeout=WAIT_MS)
    assert unfed.ask("GET", "/v1/normal")["question"]["state"] == "held"
    said(unfed, accept)
    assert unfed.ask("GET", "/v1/normal")["accepted"][0]["features"]
    until(lambda: "broken feed" not in {w["verdict"] for w in unfed.windows(state="closed")})


@pytest.mark.slow
def test_a_version_that_serves_again_is_said_until_and_beside_its_verdict(
    attacked, hostile, visit, tmp_path
):
    """Before its first window is judged, and then since when it serves again."""
    root = copy_workspace(hostile, tmp_path / "ws")
    store, now = MonitorSettings(workspace=root).store_url, dt.datetime.now(dt.UTC)
    with Ledger.open(store) as ledger:  # as a rollback leaves it: version 2 served in between
        served = Stints(ledger, attacked.ask("GET", "/v1/status")["model"])
        served.serves(1, now - dt.timedelta(hours=2))
        served.serves(2, now - dt.timedelta(hours=1))
    with serving(root) as running:
        until(lambda: running.ask("GET", "/v1/status")["serving"] is not None)
        page = visit(running, reduced_motion="reduce")
        news = page.get_by_role("heading", level=1)
        expect(news).to_have_text("Version 1 serves again, its first window fills")
        assert faults_in_every_size(page, running, "/") == []
        running.feed()
        running.await_verdicts(1)
        page.set_viewport_size(DESKTOP)
        expect(news).to_contain_text("Healthy", timeout=WAIT_MS)
        expect(page.locator(".hero-meta")).to_contain_text("version 1 serves again since")
        assert faults_in_every_size(page, running, "/") == []


def said(monitor: Monitor, command: str) -> None:
    """Type a command in the folder of the workspace, in a shell that knows no key and address."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=monitor.root,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def faults_in_every_size(page: Page, monitor: Monitor, path: str) -> list[tuple[str, Any]]:
    """What a checker would find on a page, in both themes, and whether a phone is wide enough."""
    found: list[tuple[str, Any]] = []
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        page.goto(monitor.url + path)
        ready(page)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found += [(theme, complaint) for complaint in page.evaluate(CHECKS)]
    return found + too_wide(page, monitor, [path])


def too_wide(page: Page, monitor: Monitor, paths: Iterable[str]) -> list[tuple[str, int]]:
    """Pages that scroll sideways, with everything on them opened."""
    found = []
    for path in paths:
        page.goto(monitor.url + path)
        page.wait_for_selector("body")
        if path != "/login":
            ready(page)
        for closed in page.query_selector_all("details"):
            closed.evaluate("node => node.open = true")
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
            found.append((path, wide))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_names_of_versions_do_not_lie_on_each_other(monitor, visit, size):
    """A version a window, and figures at the very top: every name is free, or left to the tip."""
    page = visit(monitor, "/performance", viewport=size)
    page.evaluate(MANY_VERSIONS)
    names = page.locator("#many .succession text")
    assert names.count() >= (2 if size is DESKTOP else 1)
    complaints = page.evaluate(CHECKS)
    assert [text for text in complaints if "lies on" in text or "cut off" in text] == []


MANY_VERSIONS = """async () => {
  const tag = [...document.querySelectorAll("script[src], link[href]")]
    .map((node) => node.src || node.href).find((address) => address.includes("/js/"));
  const base = tag.slice(0, tag.indexOf("/js/")) + "/js/charts/";
  const { performanceChart } = await import(base + "performance.js");
  const { layOut } = await import(base + "chart.js");
  const start = Date.UTC(2024, 0, 1);
  const windows = Array.from({ length: 40 }, (_, at) => ({
    id: at, model_version: at < 20 ? 98 + at : 120, verdict: "healthy",
    start: new Date(start + at * 36e5).toISOString(),
    end: new Date(start + (at + 1) * 36e5).toISOString(),
    performance: { measured: 0.97 - (at % 3) / 100, low: 0.9, high: 0.99 },
  }));
  const levels = { metric: "roc_auc", held: 0.97, harm: 0.96 };
  const place = document.createElement("section");
  place.id = "many";
  place.append(...performanceChart({ key: "many", windows, levels }));
  document.querySelector("main").append(place);
  layOut(place);
}"""


CONTROLS = {
    "button", "link", "textbox", "searchbox", "combobox", "radio", "grid", "table", "region",
    "navigation", "img", "image", "gridcell", "dialog",
}  # fmt: skip


def nameless(tree: Any) -> list[str]:
    """Roles of what a screen reader would meet without a name."""
    nodes = tree.send("Accessibility.getFullAXTree")["nodes"]
    return [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in CONTROLS
        and not node.get("name", {}).get("value", "").strip()
    ]


@pytest.mark.slow
def test_hostile_names_are_only_names(attacked, visit):
    """A feature and a category that look like code are shown as text and never run."""
    page = visit(attacked, "/features")
    expect(page.get_by_role("rowheader", name=HOSTILE)).to_be_visible()
    page.get_by_role("link", name=HOSTILE, exact=True).click()
    page.wait_for_url("**/features/%3Cimg**")
    ready(page)

    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE)
    page.locator("[data-key=shares] summary").click()
    expect(page.get_by_role("rowheader", name=HOSTILE_VALUE)).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    for _ in visit_all(page, attacked):
        assert page.evaluate("window.hacked") is None


@pytest.mark.slow
def test_every_stop_of_the_tab_key_is_seen(attacked, visit):
    """From the first stop, which skips the menu, to the last: the focus is always visible."""
    page = visit(attacked)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    stops = 0
    while stops < 200:
        page.keyboard.press("Tab")
        seen = page.evaluate(SEEN)
        if seen is None:
            break
        assert seen, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        stops += 1
    assert stops >= 15


SEEN = """() => {
  const node = document.activeElement;
  if (node === document.body) return null;
  const shown = node.matches("[name=theme]") ? node.nextElementSibling : node;
  const style = getComputedStyle(shown);
  const box = shown.getBoundingClientRect();
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 0;
}"""


@pytest.mark.slow
def test_skipping_leads_into_the_content(monitor, visit):
    """After the first stop, the next one lies in the content."""
    page = visit(monitor)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.slow
def test_the_theme_is_chosen_and_kept(monitor, visit):
    """The switch overrides the system's theme, also after a reload and on other pages."""
    page = visit(monitor, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("radio", name="Dark").check(force=True)
    dark = page.evaluate(ground)
    page.goto(f"{monitor.url}/models")
    ready(page)

    assert light != dark
    assert page.evaluate(ground) == dark
    assert page.get_by_role("radio", name="Dark").is_checked()


@pytest.mark.slow
def test_the_menu_folds_on_a_phone(monitor, visit):
    """It opens by keyboard and leads on."""
    page = visit(monitor, viewport=PHONE)
    link = page.get_by_role("navigation").get_by_role("link", name="Alerts")
    expect(link).not_to_be_visible()
    page.get_by_role("button", name="Menu").focus()
    page.keyboard.press("Enter")
    expect(link).to_be_visible()
    link.click()
    expect(page).to_have_url(f"{monitor.url}/alerts")


@pytest.mark.slow
def test_times_are_told_in_the_readers_zone(monitor, visit):
    """UTC stands in the title."""
    page = visit(monitor, "/alerts", timezone_id="Asia/Kolkata")
    told = page.locator("dd time").first
    moment = dt.datetime.fromisoformat(told.get_attribute("datetime")).astimezone(dt.UTC)
    local = moment.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))

    expect(told).to_contain_text(local.strftime("%H:%M"))
    assert told.get_attribute("title") == moment.strftime("%Y-%m-%d %H:%M:%S UTC")


@pytest.mark.slow
def test_paper_has_the_content_alone(monitor, visit):
    """Printed pages have no menu and no buttons."""
    page = visit(monitor)
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation")).not_to_be_visible()
    expect(page.get_by_role("button", name="Acknowledge").first).not_to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.slow
def test_nothing_moves_for_who_asked_for_stillness(monitor, visit):
    """prefers-reduced-motion ends every animation and transition."""
    page = visit(monitor, reduced_motion="reduce")
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.live-dot')).animationName") == (
        "none"
    )


def test_files_are_kept_by_caches_and_vouched_for(monitor, visit):
    """Addresses hold a digest; every script and sheet has the integrity of what is served."""
    page = visit(monitor)
    tags = page.evaluate(
        "[...document.querySelectorAll('script[src], link[integrity]')]"
        ".map(n => [n.src || n.href, n.integrity])"
    )
    assert len(tags) > 10
    with httpx.Client(headers={"Authorization": f"Bearer {monitor.key}"}) as client:
        for address, integrity in tags:
            answer = client.get(address)
            digest = base64.b64encode(hashlib.sha384(answer.content).digest()).decode()
            assert integrity == f"sha384-{digest}", address
            assert "immutable" in answer.headers["cache-control"]
            assert re.search("/static/(login/)?[0-9a-f]{16}/", address)
        shell = client.get(monitor.url, headers={"Accept": "text/html"})
    assert shell.headers["cache-control"] == "no-store"
    assert "'unsafe" not in shell.headers["content-security-policy"]


def test_files_need_a_key_except_those_of_the_door(monitor):
    """Only what the sign-in page needs is open, and no path leaves the folder."""
    page = httpx.get(f"{monitor.url}/login").text
    needed = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(needed) >= 4
    for address in needed:
        assert httpx.get(monitor.url + address).status_code == 200, address
    digest = needed[0].split("/")[3]
    key = {"Authorization": f"Bearer {monitor.key}"}
    inside = f"{monitor.url}/static/{digest}/js/dom.js"
    assert httpx.get(inside).status_code == 401
    assert httpx.get(inside, headers=key).status_code == 200
    for path in ("/static/../pages.py", "/static/login/..%2f..%2fpages.py", "/static/none.js"):
        assert httpx.get(monitor.url + path, headers=key).status_code == 404, path


def test_modules_never_parse_text_as_html():
    """No module uses what would turn a name into markup or code."""
    import tidemill_monitor.dashboard as dashboard

    folder = Path(dashboard.__file__).parent / "static"
    scripts = sorted(folder.rglob("*.js"))
    assert len(scripts) > 20
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTML|document\.write"
        r"|eval\(|new Function|DOMParser|https?://"
    )
    namespace = "http://www.w3.org/2000/svg"  # a name; nothing fetches it
    texts = {path.name: path.read_text().replace(namespace, "") for path in scripts}
    assert [name for name, text in texts.items() if forbidden.search(text)] == []
