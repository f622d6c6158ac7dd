"""No fire from rows that a hard fault touched: they neither accuse nor teach; the others do."""

from __future__ import annotations

import datetime as dt

import pytest

from tidemill.testing.worlds import START, World
from tidemill_monitor.testing import watched
from tidemill_monitor.watching.deciding import RetrainingRefused

ROWS = 600
SETTINGS = {"retraining": {"min_labels": 1000, "cooldown_seconds": 0, "windows": 2, "of": 3}}


@pytest.fixture
def station(tmp_path, reference):
    with watched(tmp_path, {1: reference, 2: reference}, SETTINGS) as watching:
        yield watching


def send(station, world, letters, first=0):
    """One hour a letter: h whole, c harmed, b broken and harmed; labelled, but not upper case."""
    for number, letter in enumerate(letters, first):
        kind = {"wrong": 0.0 if letter in "hH" else 0.9}
        if letter in "bB":
            kind["missing"] = 0.5
        at = START + number * dt.timedelta(hours=1)
        traffic = world.traffic(ROWS, at=at, **kind)
        station.send(traffic, labels=letter.islower())
    end = START + dt.timedelta(hours=first + len(letters), minutes=6)
    station.send(world.traffic(1, at=end))
    station.tick(forward=dt.timedelta(minutes=1))
    station.tick(forward=dt.timedelta(minutes=1))


def fires(station):
    return [d for d in station.ledger.decisions.list() if d.action == "fire"][::-1]


def hours(station, decision):
    """Labelled rows that a decision holds, by the hour of their event."""
    found = {}
    for batch in station.ledger.events.taken(decision.takes):
        for at in batch.column("at").to_pylist():
            hour = int((at.replace(tzinfo=dt.UTC) - START) / dt.timedelta(hours=1))
            found[hour] = found.get(hour, 0) + 1
    return found


def test_a_broken_newest_window_holds_up_nothing_and_teaches_nothing(station):
    """Harm of two whole windows fires though the feed broke since; its rows are left out."""
    send(station, World(seed=6), "hccb")
    assert [w.verdict for w in station.windows() if w.state == "closed"][-1] == "broken feed"
    (fired,) = fires(station)
    assert hours(station, fired) == {0: ROWS, 1: ROWS, 2: ROWS}
    assert (fired.evidence["labelled_rows"], fired.evidence["left_out_rows"]) == (3 * ROWS, ROWS)
    assert "600 more are left out: a hard fault touched their windows, or" in fired.reason
    assert hours(station, fired) == {0: ROWS, 1: ROWS, 2: ROWS}, "the same at every call"


def test_broken_windows_alone_never_fire(station):
    """However harmed they look, and however many they are."""
    send(station, World(seed=6), "hbbbb")
    assert all("confirmed harm" in w.sentence for w in station.windows(verdict="broken feed"))
    assert fires(station) == []


def test_only_rows_that_may_teach_count_as_enough(station):
    """Two harmed windows of 600 rows would do; the broken ones beside them make no difference."""
    station.watcher.deciding._policy = station.watcher.deciding._policy.model_copy(
        update={"min_labels": 1300}
    )
    send(station, World(seed=6), "bccb")
    (held,) = station.ledger.decisions.list()
    assert held.action == "suppress"
    assert held.evidence["blocked_by"] == ["labels"]
    assert "1,200 of 1,300 labelled rows to learn from (1,200 more are left out" in held.reason
    with pytest.raises(RetrainingRefused, match=r"1,200 labelled rows .*1,200 more are left out"):
        station.watcher.deciding.by_request(1, "please", {}, station.now)


def test_rows_of_windows_without_a_verdict_wait_for_the_next_decision(station):
    """A label of a window that is still open: nobody knows yet whether a fault touched it."""
    world = World(seed=6)
    at = START + dt.timedelta(hours=3, minutes=7)
    station.send(world.traffic(ROWS, at=at, seconds=1800), labels=True)
    send(station, world, "hcc")
    (fired,) = fires(station)
    assert hours(station, fired) == {0: ROWS, 1: ROWS, 2: ROWS}
    assert fired.evidence["left_out_rows"] == ROWS
    station.ledger.decisions.report(fired.id, attempt=1, state="finished", at=station.now)
    send(station, world, "cc", first=4)
    (_, second) = fires(station)
    assert hours(station, second) == {3: ROWS, 4: ROWS, 5: ROWS}


def test_a_window_found_broken_after_the_fire_takes_nothing_back(station):
    """What a decision holds is settled when it fires, and said: rows of an open window, by hand."""
    world = World(seed=6)
    send(station, world, "hh")
    broken = world.traffic(ROWS, at=START + dt.timedelta(hours=2), missing=0.6)
    station.send(broken, labels=True)
    asked = station.watcher.deciding.by_request(1, "now", {}, station.now)
    assert hours(station, asked) == {0: ROWS, 1: ROWS, 2: ROWS}
    send(station, world, "h", first=3)
    assert [w.verdict for w in station.windows(verdict="broken feed")] == ["broken feed"]
    assert hours(station, station.ledger.decisions.get(asked.id)) == {0: ROWS, 1: ROWS, 2: ROWS}
    assert station.ledger.decisions.owed("rides") == []
