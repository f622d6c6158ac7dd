from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from tidemill.config.monitoring import MonitoringConfig
from tidemill.drift import Yardstick
from tidemill.ledger import LabelPart, LeftOut, WindowKey, WindowPart
from tidemill.ledger.database import tables
from tidemill.ledger.window_parts import store_label_parts, store_window_parts
from tidemill.ledger.windows import Windows
from tidemill.testing.worlds import START, World
from tidemill_monitor.intake.row_faults import Refused
from tidemill_monitor.meters import Meters
from tidemill_monitor.routes.overview import status_document
from tidemill_monitor.testing import watched
from tidemill_monitor.watching import lookback, watcher
from tidemill_monitor.watching.bench import harm_level, metric_of
from tidemill_monitor.watching.folds import unpacked
from tidemill_monitor.watching.housekeeping import Housekeeping

HOUR = dt.timedelta(hours=1)
_HOURS = int(START.timestamp()) // 3600


@pytest.fixture
def world() -> World:
    return World(seed=6)


@pytest.fixture
def watching(tmp_path, reference):
    """A watcher of hourly windows; ``hour(n, ...)`` sends traffic of the n-th hour."""

    def start(**settings):
        return watched(tmp_path, {1: reference, 2: reference}, settings)

    return start


def hour(world, number: int, rows: int = 2000, **kind):
    return world.traffic(rows, at=START + number * HOUR, **kind)


def settled(station, world, number: int):
    """Events of a later hour, so that event time goes on and earlier windows close."""
    station.send(world.traffic(1, at=START + number * HOUR + dt.timedelta(minutes=6)))
    return station.tick()


def test_events_become_a_window_with_a_verdict(watching, world):
    """Events in, the window over, its verdict and findings stored."""
    with watching() as station:
        station.send(hour(world, 0))
        assert station.tick().closed == 0
        assert settled(station, world, 1).judged == 1

        window, filling = station.windows()
        assert (window.state, window.rows, window.verdict) == ("closed", 2000, "healthy")
        assert (window.start, window.end) == (START, START + HOUR)
        assert filling.state == "open"
        kinds = {finding.kind for finding in station.ledger.findings.of(window.id)}
        assert {"quality", "drift", "output drift"} <= kinds
        assert station.tick().judged == 0


def test_drift_without_harm_is_named_and_nothing_else(watching, world):
    """Inputs moved, the model is as good as ever: reported, no decision."""
    with watching() as station:
        for number in range(4):
            station.send(hour(world, number, shift=0.5), labels=True)
        settled(station, world, 4)

        windows = [w for w in station.windows() if w.state == "closed"]
        assert {w.verdict for w in windows} == {"harmless drift"}
        assert all("distance" in w.sentence for w in windows)
        assert "wait" not in windows[0].sentence
        assert station.ledger.decisions.list() == []


def test_a_broken_feed_is_told_and_never_retrains(watching, world):
    """Half of the values are gone: the data's owner is told, harm or not."""
    with watching(retraining={"windows": 1, "of": 1}) as station:
        for number in range(3):
            station.send(hour(world, number, missing=0.5, wrong=1.0), labels=True)
        settled(station, world, 3)

        windows = [w for w in station.windows() if w.state == "closed"]
        assert {w.verdict for w in windows} == {"broken feed"}
        assert "distance is missing in 5" in windows[0].sentence
        assert station.ledger.decisions.list() == []
        assert [a.rule for a in station.ledger.alerts.list()] == ["broken-feed"]


def test_harm_that_labels_confirm_fires_one_retraining(watching, world):
    """Two harmed windows of three: one decision with its evidence and its outbox row."""
    with watching() as station:
        for number in range(4):
            station.send(hour(world, number, wrong=0.6 if number else 0.0), labels=True)
        settled(station, world, 4)
        for _ in range(3):
            station.tick(forward=dt.timedelta(seconds=31))

        windows = [w for w in station.windows() if w.state == "closed"]
        assert [w.verdict for w in windows] == ["healthy"] + ["confirmed harm"] * 3
        (fired,) = [d for d in station.ledger.decisions.list() if d.action == "fire"]
        (message,) = station.ledger.outbox.list()
        assert fired.state == "approved"
        assert message.key == f"prefect/{fired.id}-1"
        assert message.payload == {"decision_id": fired.id, "attempt": 1}
        evidence = fired.evidence
        assert evidence["policy"]["windows"] == 2
        assert [v["verdict"] for v in evidence["verdicts"]][-2:] == ["confirmed harm"] * 2
        assert evidence["verdicts"][-1]["measured"] < evidence["verdicts"][-1]["held"]
        assert set(evidence["accused"]) == {"roc_auc", "log_loss", "accuracy"}
        assert evidence["verdicts"][-1]["accused"] == evidence["accused"]
        assert (evidence["labels_after"], evidence["labels_through"]) == (0, 8000)


def test_an_estimate_tells_before_labels_and_is_reconciled(watching, world):
    """Before labels the figure is estimated; afterwards both stand beside each other."""
    with watching() as station:
        traffic = hour(world, 0)
        station.send(traffic)
        settled(station, world, 1)
        before = station.windows()[0]
        station.label(traffic)
        station.tick()
        after = station.windows()[0]

        (told,) = before.performance
        assert told.measured is None
        assert told.low < told.estimated < told.high
        (both,) = after.performance
        assert both.estimated == told.estimated
        assert both.low < both.measured < both.high
        assert both.labelled_rows == 2000


def test_labels_that_come_later_change_the_verdict_and_the_change_is_kept(watching, world):
    """Healthy by estimate, harmed by its labels: judged again, and it says so."""
    with watching() as station:
        traffic = hour(world, 0, wrong=0.7)
        station.send(traffic)
        settled(station, world, 1)
        assert station.windows()[0].verdict == "healthy"

        station.label(traffic)
        assert station.tick().judged == 1
        window = station.windows()[0]
        assert window.verdict == "confirmed harm"
        (change,) = window.summary["changes"]
        assert (change["from"], change["to"]) == ("healthy", "confirmed harm")
        assert change["labelled_rows"] == 2000
        found = station.ledger.findings.of(window.id)
        kinds = [finding.kind for finding in found]
        measured = {finding.test for finding in found if finding.kind == "performance"}
        assert measured == {"roc_auc", "log_loss", "accuracy"}
        assert len([k for k in kinds if k == "drift"]) > 0


def test_far_too_few_rows_are_a_broken_feed_where_a_week_is_known(watching, world):
    """A window too small to judge says nothing, but that the day and week before had ten times."""
    with watching() as station:
        for number in (0, 1, 2, 3, 4, 5, 6, 7):
            station.send(hour(world, 24 * number, 100 if number in (3, 7) else 2000))
            settled(station, world, 24 * number + 2)
        found = {w.start: w for w in station.windows() if w.rows > 1}
        verdicts = [found[START + 24 * number * HOUR].verdict for number in range(8)]
        assert verdicts == ["healthy"] * 3 + [None] + ["healthy"] * 3 + ["broken feed"]
        told = found[START + 7 * 24 * HOUR]
        assert told.sentence == (
            "The feed looks broken: The window has 100 rows where 2000 are usual."
        )
        assert [f.test for f in station.ledger.findings.of(told.id)] == ["volume"]


@pytest.mark.parametrize(
    "days", [pytest.param(2, marks=pytest.mark.slow), 7, pytest.param(14, marks=pytest.mark.slow)]
)
def test_far_too_few_rows_of_days_and_weeks_are_told_too(watching, world, days):
    """A window longer than a day holds its nights, one of weeks its Sundays: few are few."""
    with watching(window={"seconds": 86_400 * days}) as station:
        for number in range(6):
            station.send(hour(world, 24 * days * number, 100 if number == 5 else 2000))
            settled(station, world, 24 * days * (number + 1))
        (told,) = [w for w in station.windows() if w.rows == 101]
        assert told.verdict == "broken feed"
        assert told.sentence.startswith("The feed looks broken: The window has 101 rows where 200")


def test_what_a_replaced_version_saw_of_its_last_window_is_not_too_few(watching, world):
    """Another version serves after six minutes of the hour: both windows are parts, no breaks."""
    with watching() as station:
        for number in range(8):
            station.send(hour(world, 24 * number, 100 if number == 7 else 2000))
            if number == 7:
                station.champions.serve(2)
                # Six minutes of an hour that begin in it reach into the next one.
                at = START + (24 * number + 0.1) * HOUR
                station.send(world.traffic(1900, at=at), version=2)
                at = START + (24 * number + 2) * HOUR
                station.send(world.traffic(1, at=at), version=2)
                station.tick()
            settled(station, world, 24 * number + 2)
        parts = [w for w in station.windows() if w.start == START + 24 * 7 * HOUR]
        assert [(w.model_version, w.rows) for w in parts] == [(1, 100), (2, 1710)]
        assert "broken feed" not in {w.verdict for w in parts}


def test_a_quiet_night_is_not_too_few_rows(watching, world):
    """As few as at the same time a week ago: too small to judge, as it was."""
    with watching() as station:
        for number in range(8):
            station.send(hour(world, 24 * number, 100 if number in (0, 7) else 2000))
            settled(station, world, 24 * number + 2)
        night = [w for w in station.windows() if w.rows == 100][-1]
        assert (night.verdict, night.summary["note"]) == (None, "too small")


def test_labels_that_drip_in_are_judged_now_and_then(watching, world):
    """A few more labels do not judge a window at every tick; much more, or time, does."""
    with watching() as station:
        traffic = hour(world, 0)
        station.send(traffic)
        settled(station, world, 1)
        parts = [traffic.truth.slice(start, n) for start, n in ((0, 1000), (1000, 20), (1020, 980))]
        judged = []
        for part in parts:
            station.label(type(traffic)(traffic.events, part))
            judged.append(station.tick().judged)
        station.label(type(traffic)(traffic.events, traffic.truth))

        assert judged == [1, 0, 1]
        assert station.windows()[0].performance[0].labelled_rows == 2000
        stream = station.ledger.notes.get("errors/1")["stream"]
        fed = sum(rows for rows, *_ in stream["fed"]) + stream["pending"][0]
        assert fed == 2000  # each label once, however often the window was judged


def test_late_events_are_counted_and_change_nothing(watching, world):
    """After a window was closed its verdict stands, and what came late is told."""
    with watching() as station:
        station.send(hour(world, 0))
        settled(station, world, 1)
        before = station.windows()[0]
        station.send(hour(world, 0, rows=300, shift=5.0))
        station.tick(forward=dt.timedelta(minutes=1))
        after = station.windows()[0]

        assert (after.rows, after.late_rows) == (2000, 300)
        assert (after.verdict, after.sentence) == (before.verdict, before.sentence)
        assert station.ledger.events.totals(station.now).rows == 2301


def test_scores_that_are_none_hide_no_harm_and_are_told(watching, world):
    """Bad scores in the store cost their rows; the rest is judged, and an alert says so."""
    traffic = hour(world, 0, wrong=0.8)
    scores = traffic.events["score"].to_pylist()
    scores[3] = 85.0
    bad = replace(traffic, events=traffic.events.set_column(4, "score", pa.array(scores)))
    with watching() as station:
        station.send(bad, labels=True)
        settled(station, world, 1)

        assert station.windows()[0].verdict == "confirmed harm"
        assert station.ledger.left_out() == LeftOut(rows=0, labels=1)
        told = {alert.segment: alert for alert in station.ledger.alerts.list()}
        assert told["(unfolded)"].detail["sentence"].startswith("1 label is stored")
        station.tick(forward=dt.timedelta(minutes=59))
        assert station.ledger.alerts.get(told["(unfolded)"].id).resolved_at is None
        station.tick(forward=dt.timedelta(minutes=2))
        assert station.ledger.alerts.get(told["(unfolded)"].id).resolved_at is not None
        assert station.tick().alerts == 0


@pytest.mark.parametrize(("wrong", "verdict"), [(0.0, "healthy"), (0.6, "confirmed harm")])
def test_labels_of_late_events_change_no_verdict(watching, world, wrong, verdict):
    """Healthy stays healthy and harm stays harm, whatever late rows' labels say."""
    with watching(retraining={"windows": 1, "of": 1}) as station:
        station.send(hour(world, 0, wrong=wrong), labels=True)
        settled(station, world, 1)
        before = station.windows()[0]
        late = hour(world, 0, 3000, wrong=1.0 if verdict == "healthy" else 0.0)
        station.send(late, labels=True)
        for _ in range(3):
            station.tick(forward=dt.timedelta(seconds=31))

        after = station.windows()[0]
        assert before.verdict == after.verdict == verdict
        assert (after.labelled_rows, after.late_rows) == (2000, 3000)
        assert after.summary.get("changes", []) == before.summary.get("changes", [])
        fired = [d for d in station.ledger.decisions.list() if d.action == "fire"]
        assert len(fired) == (verdict != "healthy")
        assert station.ledger.labels.count() == 5000


def test_a_batch_sent_again_is_booked_where_its_events_are(watching, world):
    """Old rows sent again, with those that were refused, leave the current window as it is."""
    refused = Refused(400, 400, {("wait", "type"): 400}, START, 1).to_bytes()
    old = hour(world, 0)
    with watching() as station:
        station.send(old, labels=True, intake=refused)
        settled(station, world, 1)
        station.send(hour(world, 1, wrong=0.8), labels=True)
        station.send(old, intake=refused)
        settled(station, world, 2)

        first, current = station.windows()[:2]
        assert current.verdict == "confirmed harm"
        parts = station.ledger.windows.parts(current.id)
        intake = unpacked("intake", parts.intake)
        assert (intake.duplicates, intake.rows_refused, intake.rows_sent) == (0, 0, 2001)
        again = unpacked("intake", station.ledger.windows.parts(first.id).intake)
        assert (again.duplicates, again.rows_refused) == (0, 400)


def test_an_event_sent_again_in_time_counts_in_its_own_window(watching, world):
    """While its window is open, and by the version that predicted it."""
    batch = hour(world, 0, 100)
    with watching() as station:
        station.send(batch)
        later = batch.events.set_column(1, "at", pa.array([START + HOUR] * 100, pa.timestamp("us")))
        station.send(replace(batch, events=later), version=2)
        (window,) = station.windows()
        intake = unpacked("intake", station.ledger.windows.parts(window.id).intake)
        assert (window.model_version, intake.duplicates, intake.rows_sent) == (1, 100, 200)


def test_an_event_ahead_of_the_clock_closes_nobodys_windows(watching, world):
    """It opens a window of its own, and event time does not go on by it."""
    with watching(window={"seconds": 600}) as station:
        station.clock.now = START + dt.timedelta(minutes=5)
        station.send(hour(world, 0, rows=600, seconds=240))
        ahead = START + dt.timedelta(minutes=45)
        station.send(world.traffic(1, at=ahead, seconds=1))

        assert station.tick().closed == 0
        assert [(w.start, w.state) for w in station.windows()] == [
            (START, "open"),
            (START + dt.timedelta(minutes=40), "open"),
        ]
        assert station.tick(forward=dt.timedelta(minutes=16)).closed == 1


def test_a_clock_that_was_ahead_for_a_while_closes_no_window_early(watching, world):
    """Rows of that while have windows of their own; the hours that come after it are whole."""
    with watching() as station:
        station.clock.now = START + dt.timedelta(days=3)
        station.send(world.traffic(400, at=station.now - dt.timedelta(minutes=10), seconds=300))
        for minutes in (10, 20, 30):
            station.clock.now = START + dt.timedelta(minutes=minutes)
            station.send(world.traffic(200, at=station.now - dt.timedelta(minutes=9), seconds=300))
            assert station.tick().closed == 0
        later = START + dt.timedelta(hours=1, minutes=10)
        station.clock.now = later
        station.send(world.traffic(200, at=later - dt.timedelta(minutes=4), seconds=200))
        assert station.tick().closed == 1
        first = station.windows()[0]
        assert (first.start, first.rows, first.late_rows) == (START, 600, 0)
        assert first.verdict == "healthy"


def test_a_kill_between_two_closes_leaves_no_window_open(watching, world, monkeypatch):
    """Whichever of a time's windows was closed last: after the restart the others are, too."""
    window = {"segments": ["zone"], "max_segments": 2}
    for kept in range(3):
        with watching(window=window) as station:
            station.send(hour(world, 2 * kept))
            real, calls = Windows.close, itertools.count()

            def dies(self, *arguments, calls=calls, kept=kept, real=real):
                if next(calls) == kept:
                    raise KeyboardInterrupt
                return real(self, *arguments)

            station.send(world.traffic(1, at=START + (2 * kept + 1) * HOUR + HOUR / 2))
            with monkeypatch.context() as patch:
                patch.setattr(Windows, "close", dies)
                with pytest.raises(KeyboardInterrupt):
                    station.tick()
        with watching(window=window) as station:
            station.tick(forward=HOUR)
            assert station.ledger.windows.open() == []


def test_a_segment_left_open_beside_a_closed_whole_is_closed(watching, world):
    """So a monitor before this one may have left it."""
    with watching(window={"segments": ["zone"], "max_segments": 2}) as station:
        station.send(hour(world, 0))
        (whole,) = station.windows()
        station.ledger.windows.close(whole.id, station.now)

        assert station.tick().closed == 2
        assert station.ledger.windows.open() == []


def filled(
    station,
    first: int,
    many: int,
    verdict: str | None,
    *,
    measured: bool = False,
    version: int = 1,
):
    """Closed windows of hours ``first``, ..., judged by hand: as a long past leaves them."""
    ledger = station.ledger
    parts = [
        WindowPart(
            WindowKey(version, _HOURS + number),
            START + number * HOUR,
            START + (number + 1) * HOUR,
            1000,
        )
        for number in range(first, first + many)
    ]
    ledger._writer.call(lambda commit: store_window_parts(commit, parts))
    if measured:
        labels = [LabelPart(part.key, 500, b"{}") for part in parts]
        ledger._writer.call(lambda commit: store_label_parts(commit, labels))
    estimate = {"metric": "roc_auc", "value": 0.8, "standard_error": 0.01, "rows": 1000}
    summary = {
        "estimate": {**estimate, "unseen": 0.0},
        "measured": {"roc_auc": 0.6},
    }
    w, p = tables.windows, tables.performance
    sequences = [part.key.sequence for part in parts]

    def judge(commit):
        chosen = sa.select(w.c.id).where(
            w.c.model_version == version, w.c.sequence.in_(sequences), w.c.segment == ""
        )
        found = commit.connection.scalars(chosen.order_by(w.c.start)).all()
        commit.connection.execute(
            sa.update(w)
            .where(w.c.id.in_(found))
            .values(
                state="closed",
                closed_at=station.now,
                verdict=verdict,
                sentence="so it is" if verdict else "",
                # What this release says of every window: an older one's is judged anew.
                summary={"found_harm": "", **(summary if measured else {})},
                judged_at=station.now,
                labelled_at_judgement=w.c.labelled_rows,
            )
        )
        if measured:
            figure = {"metric": "roc_auc", "measured": 0.6, "labelled_rows": 500}
            commit.connection.execute(
                sa.insert(p), [{"window_id": number, **figure} for number in found]
            )
        return found

    # One commit: hundreds of them are what a long past takes, not what it is.
    return [ledger.windows.get(number) for number in ledger._writer.call(judge)]


def test_harm_that_labels_tell_late_is_seen_behind_many_windows_without_labels(watching):
    """Alert and decision look back to the windows that can tell, however many came since."""
    with watching(retraining={"min_labels": 100}) as station:
        filled(station, 0, 1, "healthy", measured=True)
        harmed = filled(station, 1, 3, "confirmed harm", measured=True)
        filled(station, 4, 250, "healthy")
        station.tick()

        (alert,) = station.ledger.alerts.list()
        assert alert.key == f"harm//{harmed[0].id}"
        (decision,) = station.ledger.decisions.list()
        assert decision.evidence["harmed"] == [str(window.id) for window in harmed]


def test_the_newest_verdict_is_shown_behind_many_windows_without_one(watching):
    """In the status and in the gauges, however many windows since were too small."""
    with watching() as station:
        filled(station, 0, 1, "confirmed harm", measured=True)
        (newest,) = filled(station, 1, 1, "healthy")
        filled(station, 2, 70, None)
        station.tick()

        shown = status_document(station.service, {})["verdict"]
        assert (shown["id"], shown["verdict"]) == (newest.id, "healthy")
        gauges = station.service.meters.registry
        assert gauges.get_sample_value("tidemill_monitor_last_verdict") == 0
        assert gauges.get_sample_value("tidemill_monitor_performance") == 0.6


def test_trust_in_estimates_remembers_labels_that_come_late(watching):
    """What labels answered counts, however many windows without labels came since."""
    with watching() as station:
        filled(station, 0, 5, "confirmed harm", measured=True)
        newest = filled(station, 5, 120, "healthy")[-1]

        assert station.watcher._verdicts._context(newest, None).trust.windows == 5


def test_an_alert_resolved_by_hand_stays_so_however_long_its_run(watching):
    """The run's key is its first window's, also when that lies far back."""
    with watching() as station:
        filled(station, 0, 1, "healthy", measured=True)
        filled(station, 1, 59, "broken feed")
        station.tick()
        (alert,) = station.ledger.alerts.list(state="open")
        station.watcher.alerting.resolved_by_hand(alert, "ann", "known", station.now)
        for number in (60, 61, 62):
            filled(station, number, 1, "broken feed")
            station.watcher._past = None
            station.tick()

        assert [a.state for a in station.ledger.alerts.list()] == ["resolved"]


def test_an_alert_resolved_by_hand_stays_so_beyond_what_is_looked_at(watching, monkeypatch):
    """Its run has begun before the oldest window that is read: it is the same run all the same."""
    monkeypatch.setattr(lookback, "BOUND", 70)
    with watching() as station:
        filled(station, 0, 1, "healthy", measured=True)
        filled(station, 1, 40, "broken feed")
        station.tick()
        (alert,) = station.ledger.alerts.list(state="open")
        station.watcher.alerting.resolved_by_hand(alert, "ann", "known", station.now)
        for first in (41, 81, 121):
            filled(station, first, 40, "broken feed")
            station.watcher._past = None
            station.tick()
        assert [a.state for a in station.ledger.alerts.list()] == ["resolved"]

        filled(station, 161, 2, "healthy")
        filled(station, 163, 1, "broken feed")
        station.watcher._past = None
        station.tick()
        assert [a.state for a in station.ledger.alerts.list()] == ["open", "resolved"]


def test_silence_resolved_by_hand_stays_so_until_somebody_speaks(watching, world):
    """The next silence is another one."""
    with watching(quality={"freshness_seconds": 600}) as station:
        station.send(hour(world, 0))
        station.tick(forward=2 * HOUR)
        (alert,) = station.ledger.alerts.list()
        station.watcher.alerting.resolved_by_hand(alert, "ann", "known", station.now)
        station.tick(forward=HOUR)
        assert [a.state for a in station.ledger.alerts.list()] == ["resolved"]

        station.send(hour(world, 1))
        station.tick(forward=2 * HOUR)
        assert [a.state for a in station.ledger.alerts.list()] == ["open", "resolved"]


def test_an_alert_resolved_by_hand_does_not_speak_for_the_next_champion(watching):
    """All of whose windows are in trouble, from the first."""
    with watching() as station:
        filled(station, 0, 3, "broken feed")
        station.tick()
        (alert,) = station.ledger.alerts.list(state="open")
        station.watcher.alerting.resolved_by_hand(alert, "ann", "known", station.now)
        station.champions.serve(2)
        filled(station, 3, 3, "broken feed", version=2)
        station.watcher._past = None
        station.tick()

        assert [a.state for a in station.ledger.alerts.list()] == ["open", "resolved"]


def test_the_past_is_read_again_only_when_something_was_closed_or_judged(
    watching, world, monkeypatch
):
    """Ticks of an idle second do not read thousands of windows."""
    with watching() as station:
        reads = itertools.count()
        real = watcher.read_past
        monkeypatch.setattr(watcher, "read_past", lambda *asked: (next(reads), real(*asked))[1])
        for _ in range(3):
            station.tick()
        station.send(hour(world, 0))
        settled(station, world, 1)
        station.tick()

        assert next(reads) == 2


def test_below_the_least_rows_nothing_is_concluded(watching, world):
    """Whatever is in them: no verdict, no alert."""
    with watching(window={"min_rows": 500}) as station:
        station.send(hour(world, 0, rows=499, shift=5.0, missing=0.9), labels=True)
        settled(station, world, 1)

        window = station.windows()[0]
        assert (window.verdict, window.summary["note"]) == (None, "too small")
        assert window.judged_at is not None
        assert station.tick().judged == 0
        assert station.ledger.alerts.list() == []


def test_a_feed_whose_rows_are_all_refused_is_broken(watching, world):
    """No good row at all: there is no profile, and still a verdict."""
    with watching() as station:
        reasons = {("distance", "missing"): 900}
        lost = Refused(900, 900, reasons, station.now, 1)
        station.send(world.traffic(0, at=START), intake=lost.to_bytes())
        station.tick(forward=2 * HOUR)

        (window,) = station.windows()
        assert (window.rows, window.verdict) == (0, "broken feed")
        assert "distance was missing from 100.0% of the rows" in window.sentence


def test_windows_by_count(watching, world):
    """Each has the stated rows, whatever the requests; full ones are judged."""
    with watching(window={"by": "count", "rows": 1000, "min_rows": 500}) as station:
        for number, rows in enumerate((300, 1500, 900)):
            station.send(hour(world, number, rows=rows))
        assert station.tick().closed == 2

        windows = sorted(station.windows(), key=lambda w: w.sequence)
        assert [w.rows for w in windows] == [1000, 1000, 700]
        assert [w.verdict for w in windows] == ["healthy", "healthy", None]


@pytest.mark.slow
def test_segments_learn_from_their_first_windows_then_are_judged(watching, world):
    """Eight windows make a segment's reference; a fault of one segment is then found there."""
    window = {"segments": ["zone"], "max_segments": 2, "min_rows": 300}
    with watching(window=window) as station:
        for number in range(10):
            station.send(hour(world, number), labels=True)
        broken = hour(world, 10)
        centre = np.array(broken.events["zone"].cast("string").to_pylist()) == "centre"
        distance = np.where(centre, np.nan, broken.events["distance"].to_numpy())
        events = broken.events.set_column(5, "distance", [distance.astype(np.float32)])
        station.send(type(broken)(events, broken.truth), labels=True)
        settled(station, world, 11)

        found = {
            segment: [w.verdict for w in station.windows(segment=segment, state="closed")]
            for segment in ("zone=centre", "zone=harbour")
        }
        assert found["zone=centre"] == [None] * 8 + ["healthy"] * 2 + ["broken feed"]
        assert found["zone=harbour"] == [None] * 8 + ["healthy"] * 3
        assert station.windows(segment="")[10].verdict == "broken feed"
        first = station.windows(segment="zone=centre")[0]
        assert first.summary["note"] == "learning"


def test_thresholds_are_calibrated_once_and_kept(tmp_path, world, monkeypatch):
    """A restart reads them from the ledger; other settings find their own."""
    calls, new = itertools.count(), World(seed=5, blocks=24).reference()

    def watching(**settings):
        return watched(tmp_path, {1: new}, settings)

    real = Yardstick.thresholds

    def counted(self, rows, kind="drift"):
        next(calls)
        return real(self, rows, kind)

    monkeypatch.setattr(Yardstick, "thresholds", counted)
    with watching() as station:
        for number in range(3):
            station.send(hour(world, number))
        settled(station, world, 3)
        kept = station.ledger.notes.keys("thresholds/1/")
    first = next(calls)
    with watching() as station:
        station.send(hour(world, 4))
        settled(station, world, 5)
        assert station.windows()[-2].verdict == "healthy"
        assert station.ledger.notes.keys("thresholds/1/") == kept
    assert next(calls) == first + 1
    with watching(drift={"min_effect": 0.2}) as station:
        station.send(hour(world, 6))
        settled(station, world, 7)
        assert len(station.ledger.notes.keys("thresholds/1/")) == 2 * len(kept)
    assert first == len(kept)


def test_a_restart_goes_on_where_it_was(watching, world):
    """Open windows close, the error stream is whole, nothing is judged twice."""
    with watching() as station:
        station.send(hour(world, 0), labels=True)
        settled(station, world, 1)
        state = station.ledger.notes.get("errors/1")
    with watching() as station:
        assert station.tick().judged == 0
        station.send(hour(world, 1), labels=True)
        settled(station, world, 2)
        after = station.ledger.notes.get("errors/1")

        assert [w.verdict for w in station.windows()][:2] == ["healthy", "healthy"]
    assert after["stream"]["fed"][: len(state["stream"]["fed"])] == state["stream"]["fed"]
    assert sum(rows for rows, _ in after["fed"].values()) == 4000


def test_errors_that_grow_slowly_are_noticed_across_windows(watching, world):
    """No single window has labels enough; the stream of errors tells."""
    harm = {"min_labels": 1500}
    with watching(harm=harm, window={"min_rows": 300}) as station:
        for number in range(8):
            traffic = hour(world, number, rows=600, wrong=0.5 if number > 2 else 0.0)
            station.send(traffic, labels=True)
        settled(station, world, 8)

        windows = [w for w in station.windows() if w.state == "closed"]
        assert [w.verdict for w in windows[:3]] == ["healthy"] * 3
        assert windows[-1].verdict == "suspected harm"
        assert "Brier score rose from" in windows[-1].sentence


def test_a_new_champion_opens_a_new_reference(watching, world):
    """Windows of each version are held to that version's reference; alerts of the old one end."""
    with watching() as station:
        for number in range(2):
            station.send(hour(world, number, wrong=0.7), labels=True)
        settled(station, world, 2)
        assert station.ledger.alerts.open_count() == 1

        station.champions.serve(2)
        station.send(hour(world, 3, version=2), version=2, labels=True)
        station.send(world.traffic(1, at=START + 5 * HOUR, version=2), version=2)
        station.tick()

        new = [w for w in station.windows() if w.model_version == 2 and w.state == "closed"]
        assert [w.verdict for w in new] == ["healthy"]
        assert station.ledger.alerts.open_count() == 0
        assert station.ledger.notes.keys("thresholds/2/")


def test_only_windows_of_the_champion_lead_to_decisions(watching, world):
    """Harm of a version that serves no more is told with its window, and fires nothing."""
    with watching() as station:
        station.champions.serve(2)
        for number in range(3):
            station.send(hour(world, number, wrong=0.7), labels=True)
        settled(station, world, 3)

        assert {w.verdict for w in station.windows(state="closed")} == {"confirmed harm"}
        assert station.ledger.decisions.list() == []
        assert station.ledger.alerts.list() == []


def test_a_suppressed_decision_is_written_once(watching, world):
    """Evidence enough and too few labels: kept with what forbids it, not at every tick."""
    with watching(retraining={"min_labels": 50_000}) as station:
        for number in range(3):
            station.send(hour(world, number, wrong=0.7), labels=True)
        settled(station, world, 3)
        for _ in range(3):
            station.tick(forward=dt.timedelta(seconds=31))

        suppressed = [d for d in station.ledger.decisions.list() if d.action == "suppress"]
        assert len(suppressed) == 1
        assert suppressed[0].evidence["blocked_by"] == ["labels"]
        assert suppressed[0].closed_at is not None
        assert station.ledger.outbox.list() == []


def test_labels_are_given_to_one_retraining_only(watching, world):
    """The next decision's rows begin where the last one's ended; a rejected one took none."""
    policy = {"cooldown_seconds": 0, "windows": 1, "of": 1, "approval": True}
    with watching(retraining=policy) as station:
        cuts = []
        for number in range(3):
            station.send(hour(world, 2 * number, wrong=0.7), labels=True)
            station.send(world.traffic(1, at=START + (2 * number + 1) * HOUR + HOUR / 2))
            station.tick(forward=dt.timedelta(minutes=1))
            fired = station.ledger.decisions.current("rides")
            cuts.append((fired.evidence["labels_after"], fired.evidence["labels_through"]))
            if number == 0:
                station.ledger.decisions.reject(fired.id, at=station.now)
            else:
                station.ledger.decisions.approve(fired.id, at=station.now)
                station.ledger.decisions.report(
                    fired.id, attempt=1, state="finished", promoted=False, at=station.now
                )

        assert cuts == [(0, 2000), (0, 4000), (4000, 6000)]


def test_rows_of_a_failed_retraining_go_to_the_next(watching, world):
    """Those of one that finished do not; no labelled row is passed over, none given twice."""
    policy = {"cooldown_seconds": 0, "windows": 1, "of": 1, "max_attempts": 1}
    with watching(retraining=policy) as station:
        cuts = []
        for number, end in enumerate(("failed", "finished", "failed", "finished")):
            station.send(hour(world, 2 * number, wrong=0.7), labels=True)
            station.send(world.traffic(1, at=START + (2 * number + 1) * HOUR + HOUR / 2))
            station.tick(forward=dt.timedelta(minutes=1))
            fired = station.ledger.decisions.current("rides")
            cuts.append((fired.evidence["labels_after"], fired.evidence["labels_through"]))
            report = station.ledger.decisions.report
            report(fired.id, attempt=1, state="started", at=station.now)
            report(fired.id, attempt=1, state=end, promoted=False, at=station.now)

        assert cuts == [(0, 2000), (0, 4000), (4000, 6000), (4000, 8000)]


@pytest.mark.parametrize("approval", [True, False])
def test_a_decision_about_a_champion_that_was_replaced_ends(watching, world, approval):
    """By itself, and its rows go to the next about the one that serves."""
    policy = {"windows": 1, "of": 1, "approval": approval}
    with watching(retraining=policy) as station:
        station.send(hour(world, 0, wrong=0.7), labels=True)
        settled(station, world, 2)
        waiting = station.ledger.decisions.current("rides")
        assert waiting.champion_version == 1

        station.champions.serve(2)
        station.tick(forward=dt.timedelta(seconds=31))
        ended = station.ledger.decisions.get(waiting.id)
        assert (ended.state, ended.open) == ("superseded", False)
        assert ended.note == "version 2 took the place of 1"

        station.send(hour(world, 3, version=2, wrong=0.7), version=2, labels=True)
        station.send(world.traffic(1, at=START + 5 * HOUR, version=2), version=2)
        station.tick()
        fired = station.ledger.decisions.current("rides")
        assert (fired.champion_version, fired.rows) == (2, (0, 4000))


def test_windows_that_a_decision_saw_months_ago_are_no_evidence_again(watching, world):
    """The last decision about a champion is remembered, however long ago it was."""
    policy = {"windows": 1, "of": 1, "min_labels": 100}
    with watching(retraining=policy) as station:
        station.send(hour(world, 0, wrong=0.7), labels=True)
        settled(station, world, 2)
        fired = station.ledger.decisions.current("rides")
        station.ledger.decisions.report(
            fired.id, attempt=1, state="finished", promoted=False, at=station.now
        )
        station.send(hour(world, 3, rows=200), labels=True)
        station.tick(forward=dt.timedelta(days=90))

        assert [d.id for d in station.ledger.decisions.list()] == [fired.id]


def test_closed_windows_move_to_the_archive_and_old_events_go(watching, world, tmp_path):
    """Closed windows move to the archive; events older than the retention go."""
    archive = tmp_path / "archive"
    with watching(archive=str(archive), retention_days=1) as station:
        station.send(hour(world, 0))
        settled(station, world, 1)
        config = station.service.params.monitoring
        ran = 100.0
        housekeeping = Housekeeping(station.ledger, config, running=lambda: ran)
        assert housekeeping.run_if_due(station.now)
        assert not housekeeping.run_if_due(station.now)
        assert station.windows()[0].archived_url is None
        assert station.ledger.events.totals(station.now).rows == 2001

        ahead = station.now + dt.timedelta(days=400)
        ran += 3600
        assert housekeeping.run_if_due(ahead)
        assert station.ledger.events.totals(station.now).rows == 2001, "only the clock went on"

        station.clock.now += dt.timedelta(days=2)
        ran += 2 * 86400
        assert housekeeping.run_if_due(station.now)
        window = station.windows()[0]
        assert window.archived_url is not None
        assert list(archive.rglob("*.parquet"))
        assert station.ledger.events.recent() is None
        assert window.verdict == "healthy"


def test_ticks_do_not_wait_for_housekeeping(watching):
    """A disk on which a deletion takes minutes holds up no verdict."""
    with watching() as station:
        asked, begun, end = threading.Semaphore(0), threading.Event(), threading.Event()
        slow = SimpleNamespace(run_if_due=lambda now: (begun.set(), end.wait(30)))
        # Each tick asks for the time; housekeeping did so once, before it began to wait.
        clock = lambda: (asked.release(), station.clock())[1]  # noqa: E731
        watcher = station.watch(housekeeping=slow, clock=clock, meters=Meters())
        watcher.start()
        try:
            assert begun.wait(10)
            assert all(asked.acquire(timeout=10) for _ in range(8))
        finally:
            end.set()
            watcher.stop()


def test_a_window_that_cannot_be_judged_does_not_stop_the_others(watching, world, monkeypatch):
    """It says so; the next one gets its verdict."""
    from tidemill_monitor.watching import verdict_writing

    real, calls = verdict_writing.judge_window, itertools.count()

    def sometimes(*arguments):
        if next(calls) == 0:
            raise RuntimeError("a defect")
        return real(*arguments)

    monkeypatch.setattr(verdict_writing, "judge_window", sometimes)
    with watching() as station, capture_logs() as said:
        for number in range(2):
            station.send(hour(world, number))
        settled(station, world, 2)

        assert [one["window"] for one in said if one["event"] == "window_not_judged"] == [1]
        first, second = station.windows(state="closed")
        assert (first.verdict, second.verdict) == (None, "healthy")
        assert "a defect (RuntimeError)" in first.summary["note"]


@pytest.mark.parametrize(
    ("metric", "held", "level"),
    [("roc_auc", 0.8, 0.7), ("log_loss", 0.4, 0.5), ("mae", 2.0, 2.2), ("rmse", 10.0, 11.0)],
)
def test_the_level_of_harm_is_told_in_the_figures_own_unit(metric, held, level):
    """Relative for mae and rmse, else in the figure's unit, on the side that is worse."""
    assert harm_level(metric, held, 0.1) == pytest.approx(level)


def test_the_followed_figure_is_the_references_unless_named(reference):
    """A name that the model's task lacks is not followed."""
    named = MonitoringConfig.model_validate({"harm": {"metric": "accuracy"}})
    foreign = MonitoringConfig.model_validate({"harm": {"metric": "rmse"}})

    assert metric_of(reference, MonitoringConfig()) == "roc_auc"
    assert metric_of(reference, named) == "accuracy"
    assert metric_of(reference, foreign) == "roc_auc"


def test_the_whole_service_judges_what_is_sent_over_http(monitor, rides, as_stream):
    """Events in over HTTP, the window over, its verdict told: nothing is called by hand."""
    arrow = "application/vnd.apache.arrow.stream"
    at = monitor.clock() - dt.timedelta(hours=3)
    table = rides.event_table(800, at=at)
    late = rides.event_table(1, start=800, at=monitor.clock() - dt.timedelta(minutes=1))
    for rows in (table, late):
        sent = monitor.post("/v1/events", content=as_stream(rows), headers={"content-type": arrow})
        assert sent.status_code == 202, sent.text
    monitor.post("/v1/labels", json={"labels": rides.labels(800)})

    deadline = time.monotonic() + 60
    judged = []
    while not judged and time.monotonic() < deadline:
        time.sleep(0.2)
        items = monitor.get("/v1/windows?segment=").json()["items"]
        judged = [w for w in items if w["state"] == "closed" and w["verdict"]]

    assert judged
    assert judged[0]["rows"] == 800
    findings = monitor.get(f"/v1/windows/{judged[0]['id']}/findings").json()["items"]
    assert {"quality", "drift"} <= {finding["kind"] for finding in findings}
    assert monitor.get("/v1/status").json()["verdict"]["id"] == judged[0]["id"]
    for path in ("/v1/features", "/v1/heatmap", "/v1/alerts", "/v1/decisions", "/v1/models"):
        assert monitor.get(path).status_code == 200, path
