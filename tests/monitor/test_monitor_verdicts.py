"""Broken feed or new world, and harm said beside either: the watcher on live-like windows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tidemill.testing.worlds import START, World
from tidemill_monitor.routes.shown import window_item
from tidemill_monitor.testing import watched

ROWS = 800


@pytest.fixture
def station(tmp_path, reference):
    with watched(tmp_path, {1: reference, 2: reference}) as watching:
        yield watching


def hour(world, number, rows=ROWS, **kind):
    return world.traffic(rows, at=START + number * dt.timedelta(hours=1), **kind)


def closed(station, world, number):
    """End all hours before ``number``, and give back the closed windows."""
    at = START + dt.timedelta(hours=number, minutes=6)
    station.send(world.traffic(1, at=at))
    station.tick(forward=dt.timedelta(minutes=1))
    return [w for w in station.windows() if w.state == "closed"]


def changed(traffic, **columns):
    """The same rows with other cells: name to a function of the old ones."""
    events = traffic.events
    for name, made in columns.items():
        events = events.set_column(events.schema.get_field_index(name), name, made(events[name]))
    return replace(traffic, events=events)


def inverted(traffic):
    """The same rows with every label turned round."""
    truth = pc.if_else(pc.equal(traffic.truth["truth"], "yes"), "no", "yes")
    return replace(traffic, truth=traffic.truth.set_column(1, "truth", truth))


def times(factor):
    return lambda cells: pc.cast(pc.multiply(cells, factor), pa.float32())


def moved(by):
    return lambda cells: pc.cast(pc.add(cells, by), pa.float32())


def renamed(share):
    """So many rows come from a zone that training never saw."""

    def made(cells):
        names = np.array(cells.to_pylist(), object)
        names[: int(share * len(names))] = "suburb"
        return pa.array(names, pa.string()).dictionary_encode()

    return made


def test_new_values_and_ranges_are_new_territory(station):
    """A zone that did not exist and waits longer than ever: named, no fault, and labels acquit."""
    world = World(seed=6)
    news = changed(hour(world, 0), wait=moved(6.0), zone=renamed(0.4))
    station.send(news, labels=True)
    (window,) = closed(station, world, 1)
    assert window.verdict == "harmless drift"
    assert "new territory: wait (98% beyond the training range), zone (40%" in window.sentence
    assert {"wait", "zone"} <= set(window.summary["features"])
    kinds = {f.kind for f in station.ledger.findings.of(window.id, True)}
    assert "territory" in kinds
    assert "quality" not in kinds
    assert [a.rule for a in station.ledger.alerts.list()] == []


def test_harm_in_new_territory_is_confirmed(station):
    """What is new is named beside the harm that labels show."""
    world = World(seed=6)
    station.send(inverted(changed(hour(world, 0), zone=renamed(0.4))), labels=True)
    (window,) = closed(station, world, 1)
    assert window.verdict == "confirmed harm"
    assert "new territory: zone" in window.sentence


def test_an_estimate_has_no_voice_in_new_territory(station):
    """Before labels nothing is known of rows that training did not know; the window says so."""
    world = World(seed=6)
    unsure = changed(
        hour(world, 0),
        wait=moved(6.0),
        score=lambda cells: pc.add(pc.multiply(cells, 0.02), 0.49),
    )
    station.send(unsure)
    (window,) = closed(station, world, 1)
    assert window.verdict == "harmless drift"
    assert "is not trusted: inputs left known territory" in window.sentence
    assert window_item(window)["performance"]["estimate_trusted"] is False
    station.label(unsure)
    station.tick(forward=dt.timedelta(minutes=1))
    assert "not trusted" not in station.windows()[0].sentence


def test_an_estimate_that_labels_contradict_is_not_trusted_until_they_agree(station):
    """One window with inverted labels is enough; it says so, and so does the next one."""
    world = World(seed=6)
    station.send(inverted(hour(world, 0)), labels=True)
    station.send(hour(world, 1))
    closed(station, world, 2)
    denied, later = station.windows()[:2]
    assert denied.sentence.endswith("is not trusted: these labels contradict it.")
    assert "is not trusted: the newest window with labels showed 0." in later.sentence
    trusted = [window_item(w)["performance"]["estimate_trusted"] for w in (denied, later)]
    assert trusted == [False, False]
    station.send(hour(world, 2), labels=True)
    station.send(hour(world, 3))
    closed(station, world, 4)
    after = station.windows()[3]
    assert "not trusted" not in after.sentence
    assert window_item(after)["performance"]["estimate_trusted"]


def test_harm_that_came_and_went_between_two_ticks_is_on_the_list(station):
    """Judged in one tick, over already: opened and resolved; not again when labels come later."""
    world = World(seed=6)
    hours = [hour(world, number) for number in range(4)]
    station.send(inverted(hours[0]), labels=True)
    for traffic in hours[1:]:
        station.send(replace(traffic, truth=traffic.truth.slice(100)), labels=True)
    closed(station, world, 4)
    listed = [(a.rule, a.state) for a in station.ledger.alerts.list()]
    assert ("harm", "resolved") in listed
    assert {state for _, state in listed} == {"resolved"}
    for traffic in hours[1:]:
        station.label(replace(traffic, truth=traffic.truth.slice(0, 100)))
    station.tick(forward=dt.timedelta(minutes=1))
    assert [(a.rule, a.state) for a in station.ledger.alerts.list()] == listed


def test_a_figure_of_too_few_labels_is_not_called_measured(station):
    """The sentence says that they are too few, and no page or gauge says another thing."""
    world = World(seed=6)
    traffic = hour(world, 0)
    station.send(traffic)
    station.label(replace(traffic, truth=traffic.truth.slice(0, 20)))
    (window,) = closed(station, world, 1)
    assert window.labelled_rows == 20
    told = window_item(window)["performance"]
    assert told["measured"] is None
    assert (told["low"], told["high"]) == (told["estimated_low"], told["estimated_high"])


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ({"distance": times(1000.0)}, "scale"),
        ({"wait": lambda cells: pa.array(np.full(len(cells), 0.3, np.float32))}, "frozen"),
        ({"zone": lambda cells: pa.nulls(len(cells), cells.type)}, "null_rate"),
    ],
)
def test_hard_faults_stay_broken_feeds_and_harm_is_said_beside_them(station, fault, test):
    """Inverted labels in a broken window are seen, said in the sentence and shown in the API."""
    world = World(seed=6)
    broken = inverted(changed(hour(world, 0), **fault))
    station.send(broken, labels=True)
    (window,) = closed(station, world, 1)
    assert window.verdict == "broken feed"
    flagged = station.ledger.findings.of(window.id, True)
    assert test in {f.test for f in flagged if f.kind == "quality"}
    assert "beside it confirmed harm: ROC AUC fell from" in window.sentence
    shown = window_item(window)
    assert (shown["verdict"], shown["harm"]) == ("broken feed", "confirmed harm")
    # Its rows accuse nobody later: the error stream has not been fed with them.
    assert station.ledger.notes.get("errors/1") is None


def test_harm_beside_a_broken_feed_is_a_metric(station):
    """Prometheus sees both words of the newest window."""
    world = World(seed=6)
    station.send(inverted(hour(world, 0, missing=0.5)), labels=True)
    closed(station, world, 1)
    from prometheus_client import generate_latest

    text = generate_latest(station.service.meters.registry).decode()
    assert "tidemill_monitor_last_verdict 1.0" in text
    assert "tidemill_monitor_last_harm 4.0" in text


def test_labels_of_one_class_are_named_as_the_cause(station):
    """Enough labels and no figure: not too few rows, but one class."""
    world = World(seed=6)
    traffic = hour(world, 0)
    only = pa.array(["no"] * ROWS, pa.string())
    one = replace(traffic, truth=traffic.truth.set_column(1, "truth", only))
    station.send(one, labels=True)
    (window,) = closed(station, world, 1)
    assert "all 800 labelled rows are of one class, 'no'" in window.sentence.lower()


def test_windows_that_an_older_release_called_broken_are_judged_anew(station):
    """New ranges were a fault once, and hid inverted labels: told at the first tick, with why."""
    world = World(seed=6)
    station.send(inverted(changed(hour(world, 0), wait=moved(6.0))), labels=True)
    (window,) = closed(station, world, 1)
    found = station.ledger.findings.of(window.id)
    feed = ("territory", "repeats")
    old = [replace(row, kind="quality") if row.kind in feed else row for row in found]
    said = {"verdict": "broken feed", "sentence": "The feed looks broken.", "findings": old}
    station.ledger.windows.judge(window.id, summary={"note": ""}, at=station.now, **said)
    station.ledger.notes.delete("verdicts/families/1")
    station.watcher._brought_up.clear()
    station.tick(forward=dt.timedelta(minutes=1))
    (window,) = [w for w in station.windows() if w.state == "closed"]
    assert window.verdict == "confirmed harm"
    assert "new territory: wait" in window.sentence
    assert window.summary["changes"][-1]["from"] == "broken feed"
