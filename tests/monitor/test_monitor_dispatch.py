from __future__ import annotations

import datetime as dt
import json
import os
import signal
import socket
import threading
import time
import traceback
import uuid
from dataclasses import replace
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from standardwebhooks.webhooks import Webhook

from tidemill.config.monitoring import MonitoringConfig
from tidemill.errors import ServiceUnavailable
from tidemill.ledger import Ledger, WrongState
from tidemill.testing.tcp_ports import hung_server
from tidemill.testing.traffic import empty_store
from tidemill.testing.worlds import START, World
from tidemill_monitor import courier
from tidemill_monitor.dispatch import Dispatcher
from tidemill_monitor.dispatch.channels import Deadlines, Notice
from tidemill_monitor.dispatch.flow_runs import call_message, run_key, work_name
from tidemill_monitor.dispatch.prefect import DeploymentMissing, PrefectApi
from tidemill_monitor.public_addresses import AddressRefused
from tidemill_monitor.testing import watched
from tidemill_monitor.watching.alerting import notices
from tidemill_monitor.watching.incidents import Told
from tidemill_monitor.watching.takeover import why_unwatched

SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
MINUTE = dt.timedelta(minutes=1)


class Receiver:
    """A real HTTP server that verifies each message with the standard's own package."""

    def __init__(self, port: int = 0) -> None:
        self.taken: list[dict] = []
        self.ids: list[str] = []
        self.answers: list[int | tuple[int, dict]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status, said = receiver.take(dict(self.headers), body), {}
                if isinstance(status, tuple):
                    status, said = status
                self.send_response(status)
                for name, value in said.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def take(self, headers, body) -> int | tuple[int, dict]:
        names = {name.lower(): value for name, value in headers.items()}
        self.ids.append(names.get("webhook-id", ""))
        if self.answers:
            return self.answers.pop(0)
        if "webhook-id" not in names:  # apprise's own JSON
            self.taken.append(json.loads(body))
            return 200
        # Not its verify(): that reads the real clock, and tests move theirs by hours.
        sent_at = dt.datetime.fromtimestamp(int(names["webhook-timestamp"]), dt.UTC)
        signature = Webhook(SECRET).sign(names["webhook-id"], sent_at, body.decode())
        if names["webhook-signature"] != signature:
            return 401
        self.taken.append(json.loads(body))
        return 204


@pytest.fixture
def receiver():
    found = Receiver()
    yield found
    found.close()


@pytest.fixture(scope="module")
def reference():
    return World(seed=5, blocks=8).reference()


@pytest.fixture
def station(tmp_path, reference, receiver, monkeypatch):
    """A monitor whose alerts go to the receiver, signed."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    channel = {
        "name": "desk",
        "kind": "webhook",
        "url": receiver.url,
        "secret_env": "HOOK_SECRET",
        "allow_private": True,
    }
    with watched(tmp_path, {1: reference}, {"alerts": {"channels": [channel]}}) as found:
        yield found


def dispatcher_of(station, **more) -> Dispatcher:
    return station.dispatch(**more)


def tell(station, text="something", channel="desk"):
    message = Notice("alert.opened", "rides: harm", text, "critical", station.now, {"rule": "x"})
    (row,) = notices(message, [channel])
    return station.ledger.outbox.add(row, at=station.now)


def test_a_message_arrives_signed(station, receiver):
    """The receiver verifies it with the public library."""
    tell(station, "the sentence")
    assert dispatcher_of(station).work() == 1

    (document,) = receiver.taken
    assert document["type"] == "alert.opened"
    assert document["data"]["text"] == "the sentence"
    assert {k: n for k, n in station.ledger.outbox.counts().items() if n} == {"done": 1}


def test_a_receiver_that_fails_is_tried_again_after_growing_pauses(station, receiver):
    """Back-off doubles, the message's id stays, and it is delivered once."""
    receiver.answers = [500, 503, 302, 429]
    sent = tell(station)
    dispatcher = dispatcher_of(station)
    pauses = []
    for _ in range(5):
        assert dispatcher.work() == 1
        waiting = station.ledger.outbox.get(sent.id)
        pauses.append((waiting.due_at - station.now).total_seconds())
        assert dispatcher.work() == 0
        station.clock.now = max(waiting.due_at, station.now)

    assert [2**n / 2 <= pause <= 2**n for n, pause in enumerate(pauses[:4], start=1)] == [True] * 4
    assert len(receiver.taken) == 1
    assert len(receiver.ids) == 5
    assert len(set(receiver.ids)) == 1
    assert station.ledger.outbox.get(sent.id).state == "done"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "a date", "far too long"])
def test_a_receiver_says_when_to_come_back(station, receiver, status, form):
    """No message of the channel is tried before, whatever it tells of; an hour at most."""
    at = station.now + dt.timedelta(seconds=300)
    said = {"seconds": "300", "a date": format_datetime(at, usegmt=True), "far too long": "9" * 9}
    receiver.answers = [(status, {"Retry-After": said[form]})]
    first, second = tell(station), tell(station, "another")
    dispatcher = dispatcher_of(station)
    wait = dt.timedelta(hours=1) if form == "far too long" else dt.timedelta(seconds=298)
    for _ in range(2):
        dispatcher.work()
        assert len(receiver.ids) == 1
        station.clock.now += wait / 2 - dt.timedelta(seconds=1)
    station.clock.now += dt.timedelta(seconds=10)
    dispatcher.work()
    assert [station.ledger.outbox.get(m.id).state for m in (first, second)] == ["done"] * 2


@pytest.mark.parametrize("text", ["soon", "-5", "", "1e3", "Tue, 99 Foo 2026", "0"])
def test_a_time_to_come_back_that_is_none_is_as_if_it_were_not_said(station, receiver, text):
    """The usual pause."""
    receiver.answers = [(503, {"Retry-After": text})]
    sent = tell(station)
    dispatcher_of(station).work()
    pause = station.ledger.outbox.get(sent.id).due_at - station.now
    assert 1 <= pause.total_seconds() <= 2


def follow_up(station, kind, text):
    message = Notice(kind, "rides: harm", text, "critical", station.now, {"rule": "x"})
    (row,) = notices(message, ["desk"], series="harm//7")
    return station.ledger.outbox.add(row, at=station.now)


def test_messages_of_one_incident_arrive_in_order_once_the_receiver_is_back(
    tmp_path, reference, receiver, monkeypatch
):
    """Down for both, across a restart of the monitor: first that it began, then that it is over."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    port = receiver.server.server_port
    receiver.close()
    channel = {"name": "desk", "kind": "webhook", "url": receiver.url, "secret_env": "HOOK_SECRET"}
    settings = {"alerts": {"channels": [{**channel, "allow_private": True}]}}
    with watched(tmp_path, {1: reference}, settings) as station:
        dispatcher = dispatcher_of(station)
        follow_up(station, "alert.opened", "it began")
        for _ in range(4):  # by now its pause is longer than that of the next message
            dispatcher.work()
            station.clock.now += dt.timedelta(seconds=17)
        follow_up(station, "alert.resolved", "it is over")
        dispatcher.work()
        at = station.now
    back = Receiver(port)
    with watched(tmp_path, {1: reference}, settings) as station:
        station.clock.now, dispatcher = at, dispatcher_of(station)
        for _ in range(5):
            dispatcher.work()
            station.clock.now += dt.timedelta(seconds=17)
    back.close()

    assert [document["type"] for document in back.taken] == ["alert.opened", "alert.resolved"]


def test_what_a_later_message_has_overtaken_is_not_told_any_more(station, receiver):
    """A dead letter that is replayed after the recovery was told: a pager would turn red again."""
    receiver.answers = [410]
    opened, dispatcher = follow_up(station, "alert.opened", "it began"), dispatcher_of(station)
    dispatcher.work()
    follow_up(station, "alert.resolved", "it is over")
    dispatcher.work()
    assert station.ledger.outbox.replay(at=station.now) == 1
    dispatcher.work()

    assert [document["type"] for document in receiver.taken] == ["alert.resolved"]
    assert station.ledger.outbox.get(opened.id).state == "outdated"


def test_a_receiver_that_hangs_delays_nobody_else(tmp_path, reference, receiver, hung, monkeypatch):
    """One worker a channel: six messages to the one, and the other has its own at once."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    address, peers = hung
    channels = [
        {"name": name, "kind": "webhook", "url": at, "secret_env": "HOOK_SECRET"}
        for name, at in (("stuck", f"{address}/hook"), ("desk", receiver.url))
    ]
    settings = {"alerts": {"channels": [{**each, "allow_private": True} for each in channels]}}
    with watched(tmp_path, {1: reference}, settings) as station:
        for _ in range(6):
            tell(station, channel="stuck")
        tell(station, channel="gone")
        told = tell(station, channel="desk")
        dispatcher = dispatcher_of(station)
        dispatcher.start()
        try:
            until(lambda: receiver.taken and len(peers) == 1)
            states = [station.ledger.outbox.get(n).state for n in range(1, 8)]
            assert states[0] == "leased", "the first still hangs"
            assert states[1:6] == ["pending"] * 5
            until(lambda: station.ledger.outbox.get(told.id).state == "done")
            until(lambda: station.ledger.outbox.get(7).state == "dead")
        finally:
            for worker in dispatcher._workers:
                worker.loop.stop(0.0)
            for peer in peers:
                peer.close()
            dispatcher.stop()


def until(true, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def test_a_message_nobody_takes_is_a_dead_letter_and_can_be_replayed(station, receiver):
    """After the last attempt it rests; a replay delivers it under the same id."""
    receiver.answers = [500] * 12
    sent = tell(station)
    dispatcher = dispatcher_of(station)
    for _ in range(12):
        dispatcher.work()
        station.clock.now += dt.timedelta(hours=2)
    assert dispatcher.work() == 0
    dead = station.ledger.outbox.get(sent.id)
    assert (dead.state, dead.attempts) == ("dead", 12)
    assert "answered 500" in dead.last_error

    assert station.ledger.outbox.replay(at=station.now) == 1
    assert dispatcher.work() == 1
    assert len(receiver.taken) == 1
    assert len(set(receiver.ids)) == 1


def test_a_receiver_that_is_gone_for_good_is_not_tried_again(station, receiver):
    """410 says that nobody wants messages there."""
    receiver.answers = [410]
    sent = tell(station)
    dispatcher_of(station).work()

    assert station.ledger.outbox.get(sent.id).state == "dead"


def test_without_its_secret_a_channel_sends_nothing(station, receiver, monkeypatch):
    """Rather a dead letter than an unsigned message; the variable is named."""
    monkeypatch.delenv("HOOK_SECRET")
    sent = tell(station)
    dispatcher_of(station).work()

    dead = station.ledger.outbox.get(sent.id)
    assert dead.state == "dead"
    assert "HOOK_SECRET" in dead.last_error
    assert receiver.ids == []


def test_a_channel_that_was_taken_out_of_the_settings_is_named(station):
    """Messages for it become dead letters."""
    sent = tell(station, channel="old-desk")
    dispatcher_of(station).work()

    assert "old-desk" in station.ledger.outbox.get(sent.id).last_error


# However busy the machine is, a courier is waited for.
PATIENT = Deadlines(service=120.0, courier=130.0)


def test_apprise_delivers_and_its_failures_are_tried_again(tmp_path, reference, receiver):
    """Any address that apprise understands; here its plain JSON."""
    address = receiver.url.replace("http://", "json://") + "?cto=100&rto=100"
    channel = {"name": "desk", "kind": "apprise", "url": address, "allow_private": True}
    with watched(tmp_path, {1: reference}, {"alerts": {"channels": [channel]}}) as station:
        receiver.answers = [500]
        sent = tell(station, "told by apprise")
        dispatcher = dispatcher_of(station, deadlines=PATIENT)
        dispatcher.work()
        assert station.ledger.outbox.get(sent.id).state == "pending"
        station.clock.now += MINUTE
        dispatcher.work()

        assert station.ledger.outbox.get(sent.id).state == "done"
    assert "told by apprise" in receiver.taken[0]["message"]
    assert receiver.taken[0]["type"] == "failure"


@pytest.mark.parametrize(
    "address",
    [
        "json://localhost:{}/x",
        "mailto://ann:pw@example.org:{}?smtp=127.0.0.1&to=bob@example.org",
    ],
)
def test_apprise_reaches_no_private_address(tmp_path, reference, receiver, address):
    """Whatever opens the connection, requests or smtplib: it is judged before it is made."""
    reached = []
    receiver.server.verify_request = lambda *_: bool(reached.append(1))
    url = address.format(receiver.server.server_port)
    settings = {"alerts": {"channels": [{"name": "desk", "kind": "apprise", "url": url}]}}
    with watched(tmp_path, {1: reference}, settings) as station:
        sent = tell(station)
        dispatcher_of(station, deadlines=PATIENT).work()
        kept = station.ledger.outbox.get(sent.id)

    assert "which is not a public address" in kept.last_error
    assert reached == []


@pytest.mark.parametrize(
    ("event", "family", "address", "refused"),
    [
        ("socket.connect", socket.AF_INET, ("93.184.216.34", 443), None),
        ("socket.connect", socket.AF_INET6, ("2606:2800:220:1::1", 443, 0, 0), None),
        ("socket.connect", socket.AF_INET, ("10.1.2.3", 443), "10.1.2.3"),
        ("socket.connect", socket.AF_INET6, ("::ffff:127.0.0.1", 443, 0, 0), "::ffff:127.0.0.1"),
        ("socket.connect", socket.AF_INET, ("example.org", 443), "example.org"),
        ("socket.connect", socket.AF_UNIX, "/run/x.sock", "a socket of this machine"),
        ("socket.sendto", socket.AF_INET, ("169.254.169.254", 23053), "169.254.169.254"),
        ("socket.sendmsg", socket.AF_INET, None, None),
        ("open", None, "/etc/hosts", None),
    ],
)
def test_the_courier_judges_every_address_that_a_socket_reaches(event, family, address, refused):
    """Also one that a redirect led to, by datagram, or on this machine; a name was not judged."""
    found = []
    given = (SimpleNamespace(family=family), address)
    if refused is None:
        courier._refuse_event(event, given, found)
    else:
        with pytest.raises(AddressRefused):
            courier._refuse_event(event, given, found)

    assert found == ([] if refused is None else [refused])


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("service", "the service behind the channel desk did not take the message within"),
        ("courier", "the machine is too busy: the process that hands a message"),
    ],
)
def test_a_busy_machine_is_not_taken_for_a_service_that_hangs(
    tmp_path, reference, monkeypatch, limit, reason
):
    """Whichever took too long is named, and the message is tried again."""
    with hung_server() as (url, _):
        monkeypatch.setenv("DESK_URL", url.replace("http://", "json://") + "/?cto=100&rto=100")
        channel = {"name": "desk", "kind": "apprise", "url_env": "DESK_URL", "allow_private": True}
        with watched(tmp_path, {1: reference}, {"alerts": {"channels": [channel]}}) as station:
            sent = tell(station)
            dispatcher_of(station, deadlines=PATIENT._replace(**{limit: 0.2})).work()
            kept = station.ledger.outbox.get(sent.id)

    assert reason in kept.last_error
    assert kept.state == "pending"


def test_secrets_of_an_address_show_nowhere(tmp_path, reference, monkeypatch, caplog, capfd):
    """Neither in the outbox nor in a log, whatever goes wrong."""
    monkeypatch.setenv("DESK_URL", "json://user:canary-7@127.0.0.1:9/canary-path?token=canary-t")
    channel = {"name": "desk", "kind": "apprise", "url_env": "DESK_URL", "allow_private": True}
    with watched(tmp_path, {1: reference}, {"alerts": {"channels": [channel]}}) as station:
        sent = tell(station)
        dispatcher_of(station, deadlines=PATIENT).work()
        kept = repr(station.ledger.outbox.get(sent.id))
    told = kept + caplog.text + "".join(capfd.readouterr())

    assert "canary" not in told
    assert "did not take the message" in kept


def test_an_alert_and_its_recovery_are_each_told_once(station, receiver):
    """From traffic to the receiver's desk: opened, counted without a word, resolved."""
    world = World(seed=9)
    dispatcher = dispatcher_of(station)
    hour = dt.timedelta(hours=1)
    for number, missing in enumerate((0.6, 0.6, 0.0, 0.0)):
        station.send(world.traffic(1500, at=START + number * hour, missing=missing))
        station.tick(forward=MINUTE)
        dispatcher.work()
    station.send(world.traffic(1, at=START + 5 * hour))
    station.tick(forward=MINUTE)
    dispatcher.work()

    assert [d["type"] for d in receiver.taken] == ["alert.opened", "alert.resolved"]
    opened, resolved = receiver.taken
    assert "distance is missing" in opened["data"]["text"]
    assert opened["data"]["incident"] == resolved["data"]["incident"]
    assert resolved["data"]["title"] == "Resolved: rides: broken-feed"
    (alert,) = station.ledger.alerts.list()
    assert (alert.state, alert.count) == ("resolved", 2)


def test_silences_hold_messages_back_until_they_end(tmp_path, reference, receiver, monkeypatch):
    """The alert is kept; if it still stands afterwards it is told then, once."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    now = dt.datetime.now(dt.UTC)
    settings = {
        "alerts": {
            "channels": [
                {
                    "name": "desk",
                    "kind": "webhook",
                    "url": receiver.url,
                    "secret_env": "HOOK_SECRET",
                    "allow_private": True,
                }
            ],
            "silences": [{"start": now - MINUTE, "end": now + MINUTE}],
        }
    }
    world, hour = World(seed=9), dt.timedelta(hours=1)
    with watched(tmp_path, {1: reference}, settings) as station:
        dispatcher = dispatcher_of(station)
        station.send(world.traffic(1500, at=START, missing=0.6))
        station.send(world.traffic(1, at=START + 2 * hour))
        assert station.tick().alerts == 1
        dispatcher.work()
        assert receiver.taken == []
        assert station.ledger.alerts.list()[0].detail["silenced"]

        for _ in range(3):
            station.tick(forward=MINUTE)
            dispatcher.work()
        assert [d["type"] for d in receiver.taken] == ["alert.opened"]


def test_a_recovery_inside_a_silence_is_told_when_it_ends(
    tmp_path, reference, receiver, monkeypatch
):
    """Whoever was told that it began is told that it is over: no pager stays red."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    channel = {"name": "desk", "kind": "webhook", "url": receiver.url, "secret_env": "HOOK_SECRET"}
    settings = {
        "alerts": {
            "channels": [{**channel, "allow_private": True}],
            "silences": [
                {"start": now + 2.5 * MINUTE, "end": now + hour},
                {"start": now + hour, "end": now + 2 * hour},
            ],
        }
    }
    world = World(seed=9)
    with watched(tmp_path, {1: reference}, settings) as station:
        dispatcher = dispatcher_of(station)
        for number, missing in enumerate((0.6, 0.0, 0.0, 0.0)):
            station.send(world.traffic(1500, at=START + number * hour, missing=missing))
            station.tick(forward=MINUTE)
            dispatcher.work()
        (alert,) = station.ledger.alerts.list()
        assert alert.state == "resolved"
        assert now + 3 * MINUTE <= alert.resolved_at < now + hour
        assert [d["type"] for d in receiver.taken] == ["alert.opened"]
        station.clock.now = now + 1.5 * hour
        dispatcher.work()
        assert len(receiver.taken) == 1
        station.clock.now = now + 2 * hour
        dispatcher.work()
        assert [d["type"] for d in receiver.taken] == ["alert.opened", "alert.resolved"]


BROKEN = Told(1, "broken feed", "distance is missing", True)
WELL = [Told(n, "healthy", "well", True) for n in (2, 3)]


def alerting_to(receiver, **alerts):
    channel = {"name": "desk", "kind": "webhook", "url": receiver.url, "secret_env": "HOOK_SECRET"}
    return {"alerts": {"channels": [{**channel, "allow_private": True}], **alerts}}


@pytest.mark.parametrize("change", ["longer", "gone", "none before"])
def test_what_waits_follows_the_silences_of_the_next_start(
    tmp_path, reference, receiver, monkeypatch, change
):
    """Not those of the time when it was written."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    silence = {"start": now + MINUTE, "end": now + hour}
    before = [] if change == "none before" else [silence]
    after = [] if change == "gone" else [{**silence, "end": now + 2 * hour}]
    with watched(tmp_path, {1: reference}, alerting_to(receiver, silences=before)) as station:
        station.watcher.alerting.follow("", 1, [BROKEN], now)
        dispatcher_of(station).work()
        station.watcher.alerting.follow("", 1, [BROKEN, *WELL], now + 2 * MINUTE)
    told = [document["type"] for document in receiver.taken]
    assert told == ["alert.opened"]

    with watched(tmp_path, {1: reference}, alerting_to(receiver, silences=after)) as station:
        dispatcher, told = dispatcher_of(station), []
        for minutes in (3, 90, 121):
            station.clock.now = now + minutes * MINUTE
            if minutes == 3:
                station.watcher.take_over(station.now)
            dispatcher.work()
            told.append(len(receiver.taken) - 1)
    assert told == ([1, 1, 1] if change == "gone" else [0, 0, 1])
    assert receiver.taken[-1]["type"] == "alert.resolved"


def test_what_came_and_went_between_two_looks_is_listed_and_told(
    tmp_path, reference, receiver, monkeypatch
):
    """Opened and resolved, once; what follows it is an incident of its own."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    verdicts = ("broken feed", "healthy", "healthy", "broken feed", "healthy", "healthy")
    with watched(tmp_path, {1: reference}, alerting_to(receiver)) as station:
        now, follow, alerts = station.now, station.watcher.alerting.follow, station.ledger.alerts
        windows = [Told(n, v, f"window {n}", True, now) for n, v in enumerate(verdicts, 1)]
        assert follow("", 1, windows[:3], now, whole=True, since=now + MINUTE) == []
        for _ in range(2):
            follow("", 1, windows[:3], now, whole=True, since=now)
        assert [(a.key, a.state) for a in alerts.list()] == [("broken-feed//1", "resolved")]
        follow("", 1, windows[:4], now, whole=True, since=now)
        assert [a.state for a in alerts.list()] == ["open", "resolved"]
        more = [replace(w, window_id=w.window_id + 6) for w in windows]
        follow("", 1, [*windows, *more[:4]], now, whole=True, since=now)
        dispatcher_of(station).work()
        listed = [(a.key, a.state) for a in alerts.list()]
    assert listed == [
        ("broken-feed//10", "open"),
        ("broken-feed//7", "resolved"),
        ("broken-feed//4", "resolved"),
        ("broken-feed//1", "resolved"),
    ]
    told = [(d["type"], d["data"]["incident"]) for d in receiver.taken]
    for number in (1, 7, 4):
        key = f"broken-feed//{number}"
        assert [kind for kind, of in told if of == key] == ["alert.opened", "alert.resolved"]


def test_an_alert_of_a_rule_that_was_taken_out_ends_at_the_next_start(
    tmp_path, reference, receiver, monkeypatch
):
    """With a note, told like a recovery; the rule in place again, the trouble is told again."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    harm = {"name": "harm", "on": ["confirmed harm"]}
    with watched(tmp_path, {1: reference}, alerting_to(receiver)) as station:
        station.watcher.alerting.follow("", 1, [BROKEN], station.now)
        station.watcher.take_over(station.now)
        assert station.ledger.alerts.open_count() == 1
        dispatcher_of(station).work()
    with watched(tmp_path, {1: reference}, alerting_to(receiver, rules=[harm])) as station:
        station.watcher.take_over(station.now)
        dispatcher_of(station).work()
        (alert,) = station.ledger.alerts.list()
    said = "the rule broken-feed is no longer in params.yaml"
    assert (alert.state, said in alert.note) == ("resolved", True)
    opened, ended = receiver.taken
    assert (ended["type"], said in ended["data"]["text"]) == ("alert.resolved", True)
    assert ended["data"]["incident"] == opened["data"]["incident"]
    assert "Over since" not in ended["data"]["text"]

    with watched(tmp_path, {1: reference}, alerting_to(receiver)) as station:
        station.watcher.alerting.follow("", 1, [BROKEN], station.now)
        assert [a.state for a in station.ledger.alerts.list()] == ["open", "resolved"]


@pytest.mark.parametrize(
    ("rule", "segment", "said"),
    [
        ("broken-feed", "", ""),
        ("broken-feed", "(unfolded)", ""),
        ("broken-feed", "zone=centre", ""),
        ("gone", "", "the rule gone is no longer in params.yaml"),
        ("broken-feed", "(silence)", "monitoring.quality.freshness_seconds is no longer set"),
        ("harm", "(unfolded)", "the rule harm no longer names broken feed"),
        ("harm", "city=A", "monitoring.window.segments no longer leads to city=A"),
    ],
)
def test_what_nothing_could_end_is_unwatched(rule, segment, said):
    """A rule, a segment, or the watch for silence: whatever params.yaml had and has no more."""
    config = MonitoringConfig.model_validate({"window": {"segments": ["zone"]}})
    assert why_unwatched(SimpleNamespace(rule=rule, segment=segment), config) == said


@pytest.mark.slow
def test_however_many_alerts_are_open_they_are_resolved(station):
    """The one that was opened first too, and those of segments that came no more."""
    alerts, now = station.ledger.alerts, station.now
    given = {"rule": "harm", "severity": "critical", "title": "t", "model_version": 1, "at": now}
    for number in range(510):
        alerts.raise_(f"harm/{number}/1", segment=f"city={number}", **given)
    well = [Told(n, "healthy", "well", True) for n in (1, 2)]
    assert len(station.watcher.alerting.follow("city=0", 1, well, now)) == 1
    assert alerts.open_count() == 509
    assert len(station.watcher.alerting.end_replaced(1, (), now)) == 0
    assert len(station.watcher.alerting.end_replaced(2, ("city=1",), now)) == 508
    assert [alert.segment for alert in alerts.open_ones()] == ["city=1"]


def test_what_a_person_resolved_comes_back_only_with_new_trouble(station, receiver):
    """The same run of broken windows does not open it again; the next run does."""
    world, hour = World(seed=9), dt.timedelta(hours=1)
    kinds = [0.6, 0.6, 0.6, 0.0, 0.6, 0.0, 0.0, 0.6]
    states = []
    for number, missing in enumerate([*kinds, 0.0]):
        station.send(world.traffic(1500, at=START + number * hour, missing=missing))
        station.tick(forward=MINUTE)
        found = [a for a in station.ledger.alerts.list() if a.state == "open"]
        states.append(len(found))
        if number == 1:
            station.watcher.alerting.resolved_by_hand(found[0], "Ada", "known", station.now)

    assert states == [0, 1, 0, 0, 0, 0, 0, 0, 1]
    first = station.ledger.alerts.list()[-1]
    assert (first.state, first.note) == ("resolved", "Ada: known")


def test_a_feed_that_falls_silent_is_told_and_its_return_too(tmp_path, reference):
    """Where silence is not normal; counted from when somebody could have listened."""
    world = World(seed=9)
    with watched(tmp_path, {1: reference}, {"quality": {"freshness_seconds": 600}}) as station:
        station.send(world.traffic(10, at=START))
        assert station.tick(forward=5 * MINUTE).alerts == 0
        assert station.tick(forward=6 * MINUTE).alerts == 1
        assert station.tick(forward=6 * MINUTE).alerts == 0
        (alert,) = station.ledger.alerts.list()
        assert "No event has come for" in alert.detail["sentence"]
        station.send(world.traffic(10, at=START + MINUTE))
        station.tick()
        assert station.ledger.alerts.list()[0].state == "resolved"


# From a decision to one flow run an attempt


class FakePrefect:
    """Prefect's API as far as it is used, with idempotency keys, on a real socket."""

    def __init__(self) -> None:
        self.runs: dict[str, dict] = {}
        self.by_key: dict[str, str] = {}
        self.calls = 0
        self.deployed = True
        self.away = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(fake.get(self.path))

            def do_POST(self):
                length = int(self.headers.get("content-length") or 0)
                document = json.loads(self.rfile.read(length))
                if self.path.endswith("/set_state"):
                    self.answer(fake.set_state(self.path.split("/")[-2], document["state"]))
                else:
                    self.answer(fake.post(document))

            def answer(self, found):
                status = 503 if fake.away else 404 if found is None else 200
                body = json.dumps(found or {"detail": "no"}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def get(self, path):
        if path.startswith("/api/deployments/name/"):
            known = path.endswith("/retrain-on-drift/retrain-on-drift") and self.deployed
            return {"id": "d-1"} if known else None
        return self.runs.get(path.rsplit("/", 1)[1])

    def set_state(self, run, state):
        if self.away or run not in self.runs:
            return None
        if self.runs[run]["state_type"] == "COMPLETED":  # Prefect lets none leave it for this
            return {"status": "ABORT", "state": state}
        begun = self.runs[run]["state_type"] == "RUNNING"
        self.runs[run]["state_type"] = state["type"] if begun else "CANCELLED"
        return {"status": "ACCEPT" if begun else "REJECT", "state": state}

    def post(self, document):
        if self.away:
            return None
        self.calls += 1
        key = document["idempotency_key"]
        if key not in self.by_key:
            run = str(uuid.uuid4())
            self.by_key[key] = run
            self.runs[run] = {"id": run, "state_type": "SCHEDULED", **document}
        return self.runs[self.by_key[key]]


@pytest.fixture
def prefect():
    found = FakePrefect()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def decided(station, prefect):
    """A station whose ledger holds one approved decision."""
    station.service.settings.prefect_api_url = prefect.url
    decision = station.ledger.decisions.open(
        model="rides",
        champion_version=1,
        reason="harm in 2 of 3 windows",
        at=station.now,
        message=lambda found: call_message(found, found.attempt),
    )
    return station, decision


def test_a_decision_starts_one_flow_run(decided, prefect):
    """The deployment is called with the decision's facts; the run is noted with its page."""
    station, decision = decided
    dispatcher_of(station).work()

    ((key, run_id),) = prefect.by_key.items()
    assert key == run_key(decision, 1)
    assert key.endswith(f":{decision.id}-1")
    assert prefect.runs[run_id]["parameters"] == {
        "workspace": "/workspace",
        "monitor_url": "http://monitor.example",
        "decision_id": str(decision.id),
        "attempt": 1,
        "reason": "harm in 2 of 3 windows",
        "work": work_name(decision),
    }
    noted = station.ledger.decisions.get(decision.id)
    assert noted.flow_run_id == run_id
    assert noted.flow_run_url == prefect.url.removesuffix("/api") + f"/runs/flow-run/{run_id}"


@pytest.mark.parametrize("trouble", ["away", "not deployed"])
def test_prefect_away_only_delays(decided, prefect, trouble):
    """Tried again at least every minute, however long; then exactly one run."""
    station, _ = decided
    prefect.away, prefect.deployed = trouble == "away", trouble == "away"
    dispatcher = dispatcher_of(station)
    for _ in range(40):
        dispatcher.work()
        station.clock.now += 2 * MINUTE
    (waiting,) = station.ledger.outbox.list()
    assert waiting.state in ("pending", "leased")
    assert waiting.attempts == 40
    assert max(waiting.due_at, waiting.leased_until or waiting.due_at) <= station.now
    assert prefect.runs == {}

    prefect.away, prefect.deployed = False, True
    dispatcher.work()
    assert len(prefect.runs) == 1


def test_a_failed_run_is_tried_again_up_to_the_limit(decided, prefect):
    """Each attempt is a run of its own; after the last the decision is closed as failed."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    for attempt in (1, 2, 3):
        dispatcher.work()
        assert station.ledger.decisions.get(decision.id).attempt == attempt
        for _ in range(2):  # told twice: one further attempt
            dispatcher.retraining.report(
                decision.id,
                attempt=attempt,
                state="failed",
                now=station.now,
                outcome={"error": "out of memory"},
            )
    dispatcher.work()

    assert sorted(prefect.by_key) == [run_key(decision, n) for n in (1, 2, 3)]
    closed = station.ledger.decisions.get(decision.id)
    assert (closed.state, closed.attempt) == ("failed", 3)
    assert closed.outcome == {"error": "out of memory"}


@pytest.mark.parametrize("state", ["CRASHED", "FAILED", "gone"])
def test_a_run_that_died_without_a_word_is_noticed(decided, prefect, state):
    """Prefect knows; the next attempt starts."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    run = prefect.by_key[run_key(decision, 1)]
    dispatcher.retraining.report(decision.id, attempt=1, state="started", now=station.now)
    assert dispatcher.retraining.follow(station.now) == []

    if state == "gone":
        del prefect.runs[run]
    else:
        prefect.runs[run]["state_type"] = state
    assert dispatcher.retraining.follow(station.now) == [decision.id]
    assert dispatcher.retraining.follow(station.now) == []
    dispatcher.work()

    after = station.ledger.decisions.get(decision.id)
    assert (after.state, after.attempt) == ("approved", 2)
    assert run in after.outcome["error"]
    assert len(prefect.by_key) == 2


def begun(decided, prefect):
    """A dispatcher whose one flow run runs, and that run."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    run = prefect.runs[prefect.by_key[run_key(decision, 1)]]
    run["state_type"] = "RUNNING"
    dispatcher.retraining.report(decision.id, attempt=1, state="started", now=station.now)
    return dispatcher, run


def test_a_person_stops_a_retraining_that_runs(decided, prefect):
    """Prefect is told, also when it was away; what the dying run says changes nothing."""
    station, decision = decided
    dispatcher, run = begun(decided, prefect)
    prefect.away = True
    stopped = dispatcher.retraining.stop(decision.id, note="Ada: wrong week", now=station.now)
    assert (stopped.state, stopped.open, stopped.note) == ("stopped", False, "Ada: wrong week")
    for _ in range(3):
        dispatcher.work()
        station.clock.now += MINUTE
    assert run["state_type"] == "RUNNING"

    prefect.away = False
    station.clock.now += MINUTE
    dispatcher.work()
    assert run["state_type"] == "CANCELLING"
    facts = {"attempt": 1, "now": station.now, "flow_run_id": run["id"]}
    dying = dispatcher.retraining.report(decision.id, state="failed", **facts)
    run["state_type"] = "CANCELLED"
    assert dispatcher.retraining.follow(station.now) == []
    dispatcher.work()
    assert (dying.state, dying.attempt) == ("stopped", 1)
    assert len(prefect.runs) == 1


def test_an_outcome_from_before_the_stop_counts(decided, prefect):
    """What was promoted before anybody said stop serves, and the decision says so."""
    station, decision = decided
    dispatcher, run = begun(decided, prefect)
    dispatcher.retraining.stop(decision.id, note="Ada", now=station.now)
    facts = {"challenger_version": 2, "promoted": True, "flow_run_id": run["id"]}
    done = dispatcher.retraining.report(
        decision.id, attempt=1, state="finished", now=station.now, **facts
    )
    assert (done.state, done.promoted, station.champions.reloads) == ("finished", True, 1)


@pytest.mark.parametrize("rows", ["free", "given to the next"])
def test_an_outcome_that_nobody_heard_is_asked_after_a_stop(station, prefect, rows):
    """The run was done before it was called off, and the monitor was away: asked once, at start.

    Its rows then count as learnt; where the next retraining has them, it stays stopped.
    """
    station.service.settings.prefect_api_url = prefect.url
    told = {"model": "rides", "champion_version": 1, "reason": "harm"}
    decisions = station.ledger.decisions
    decision = decisions.open(
        **told, labels=(0, 40), at=station.now, message=lambda found: call_message(found, 1)
    )
    dispatcher, run = begun((station, decision), prefect)
    dispatcher.retraining.stop(decision.id, note="Ada", now=station.now)
    run["state_type"] = "COMPLETED"
    assert decisions.labels_given("rides") == 0

    again = dispatcher_of(station)  # as after a restart
    for _ in range(4):
        assert again.retraining.follow(station.now) == []
        again.work()
        station.clock.now += MINUTE
    assert len(prefect.runs) == 2, "one that completed gets its time to report, then one asks"
    (asks,) = (one for one in prefect.runs.values() if one["id"] != run["id"])
    assert asks["parameters"] == run["parameters"], "the same work: it finds what was done"

    # What the flow does with an outcome, and what it would do without one:
    report = partial(again.retraining.report, decision.id, attempt=1, now=station.now)
    with pytest.raises(WrongState, match="stopped"):
        report(state="started")
    done = {"state": "finished", "challenger_version": 2, "promoted": False}
    if rows == "free":
        assert report(**done).state == "finished"
        assert decisions.labels_given("rides") == 40, "nobody gets them again"
    else:
        decisions.open(**told, labels=(0, 50), at=station.now)
        with pytest.raises(WrongState, match="given away"):
            report(**done)
        assert decisions.get(decision.id).state == "stopped"
    again.retraining.follow(station.now)
    again.work()
    assert len(prefect.runs) == 2


@pytest.mark.parametrize("when", ["before the call", "during the call"])
def test_a_retraining_is_stopped_before_it_begins(decided, prefect, when):
    """Nothing is called, or what was just called is called off; its first report is refused."""
    station, decision = decided
    dispatcher = dispatcher_of(station)

    def stop():
        dispatcher.retraining.stop(decision.id, note="Ada", now=station.now)

    if when == "before the call":
        stop()
    else:
        post = prefect.post
        prefect.post = lambda document: (stop(), post(document))[1]
    dispatcher.work()
    dispatcher.work()

    states = [run["state_type"] for run in prefect.runs.values()]
    assert states == ([] if when == "before the call" else ["CANCELLED"])
    with pytest.raises(WrongState, match="stopped"):
        dispatcher.retraining.report(decision.id, attempt=1, state="started", now=station.now)


@pytest.mark.parametrize("found_by", ["its last word", "following", "the next call"])
def test_cancelled_in_prefect_means_stopped(decided, prefect, found_by):
    """Whoever notices first, also where Prefect was away when the run said that it failed."""
    station, decision = decided
    dispatcher, run = begun(decided, prefect)
    run["state_type"] = "CANCELLED" if found_by == "following" else "CANCELLING"
    facts = {"attempt": 1, "now": station.now, "flow_run_id": run["id"]}
    if found_by == "following":
        assert dispatcher.retraining.follow(station.now) == [decision.id]
    else:
        prefect.away = found_by == "the next call"
        dispatcher.retraining.report(decision.id, state="failed", **facts)
        prefect.away = False
    dispatcher.work()

    after = station.ledger.decisions.get(decision.id)
    assert (after.state, after.note) == ("stopped", "cancelled in Prefect")
    assert len(prefect.runs) == 1
    assert dispatcher.retraining.follow(station.now) == []


def test_a_run_that_died_is_noticed_however_many_decisions_are_newer(decided, prefect):
    """Not only among the newest."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    prefect.runs[prefect.by_key[run_key(decision, 1)]]["state_type"] = "CRASHED"
    for _ in range(25):
        station.ledger.decisions.open(
            model="rides", champion_version=1, action="suppress", reason="paused", at=station.now
        )

    assert dispatcher.retraining.follow(station.now) == [decision.id]


@pytest.mark.parametrize("by", ["the report again", "following"])
def test_killed_between_a_failure_and_the_next_attempt_it_starts(decided, prefect, by):
    """The failure was noted, the next attempt was not: it is asked for once, later."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    # What report() had committed when the process was killed.
    station.ledger.decisions.report(decision.id, attempt=1, state="failed", at=station.now)

    station.clock.now += MINUTE
    for _ in range(2):
        if by == "following":
            dispatcher.retraining.follow(station.now)
        else:
            dispatcher.retraining.report(decision.id, attempt=1, state="failed", now=station.now)
    dispatcher.work()
    after = station.ledger.decisions.get(decision.id)
    assert (after.state, after.attempt) == ("approved", 2)
    assert sorted(prefect.by_key) == [run_key(decision, n) for n in (1, 2)]


@pytest.mark.parametrize("why", ["long ago", "another", "its own limit"])
def test_a_failure_that_is_over_is_not_taken_up(decided, prefect, why):
    """Old ones, those that another decision followed, and those whose own limit was lower."""
    station, decision = decided
    decisions, now = station.ledger.decisions, station.now
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    evidence = {"policy": {"max_attempts": 1}} if why == "its own limit" else {}
    if evidence:
        decisions.report(decision.id, attempt=1, state="finished", at=now)
        decision = decisions.open(
            model="rides", champion_version=1, reason="harm", at=now, evidence=evidence
        )
    decisions.report(decision.id, attempt=1, state="failed", at=now)
    if why == "another":
        decisions.open(model="rides", champion_version=2, reason="harm", at=now)
    later = now + (dt.timedelta(days=2) if why == "long ago" else MINUTE)

    assert dispatcher.retraining.follow(later) == []
    again = dispatcher.retraining.report(decision.id, attempt=1, state="failed", now=later)
    assert (again.state, again.attempt) == ("failed", 1)


def test_a_run_that_ended_well_gets_time_to_report(decided, prefect):
    """Completed and silent for minutes is as good as lost; a report in between counts."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    prefect.runs[prefect.by_key[run_key(decision, 1)]]["state_type"] = "COMPLETED"
    assert dispatcher.retraining.follow(station.now) == []
    assert dispatcher.retraining.follow(station.now + MINUTE) == []
    assert dispatcher.retraining.follow(station.now + 3 * MINUTE) == [decision.id]


def test_a_run_that_ended_well_is_asked_beyond_the_limit_of_attempts(decided, prefect):
    """It has an outcome that it could not tell: another attempt finds that, and tells it."""
    station, decision = decided
    station.ledger.decisions.report(decision.id, attempt=1, state="finished", at=station.now)
    decision = station.ledger.decisions.open(
        model="rides",
        champion_version=1,
        reason="harm",
        at=station.now,
        evidence={"policy": {"max_attempts": 1}},
        message=lambda found: call_message(found, found.attempt),
    )
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    prefect.runs[prefect.by_key[run_key(decision, 1)]]["state_type"] = "COMPLETED"
    dispatcher.retraining.follow(station.now)
    dispatcher.retraining.follow(station.now + 3 * MINUTE)

    again = station.ledger.decisions.get(decision.id)
    assert (again.state, again.attempt) == ("approved", 2)


def test_prefect_away_concludes_nothing_about_a_run(decided, prefect):
    """An attempt is not given up because nobody could be asked."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    prefect.away = True
    with pytest.raises(ServiceUnavailable):
        dispatcher.retraining.follow(station.now)

    assert station.ledger.decisions.get(decision.id).attempt == 1


def test_a_promotion_makes_the_monitor_load_the_champion(decided, prefect):
    """Before the report is answered; the same report again does no harm."""
    station, decision = decided
    dispatcher = dispatcher_of(station)
    dispatcher.work()
    facts = {"challenger_version": 2, "promoted": True}
    for _ in range(2):
        after = dispatcher.retraining.report(
            decision.id, attempt=1, state="finished", now=station.now, **facts
        )

    assert (after.state, after.challenger_version, after.promoted) == ("finished", 2, True)
    assert station.champions.reloads >= 1


def test_a_message_for_an_attempt_that_is_over_calls_nobody(decided, prefect):
    """Closed meanwhile: nothing to start."""
    station, decision = decided
    station.ledger.decisions.report(decision.id, attempt=1, state="failed", at=station.now)
    dispatcher_of(station).work()

    assert prefect.runs == {}
    assert station.ledger.outbox.counts()["done"] == 1


def work_until_killed(url: str, api: str, when: str) -> None:
    """Open a decision, or start its run, and die right after by kill -9."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    now = dt.datetime.now(dt.UTC)
    ledger = Ledger.open(url)
    if when == "before the call":
        ledger.decisions.open(
            model="rides",
            champion_version=1,
            reason="harm",
            at=now,
            message=lambda found: call_message(found, 1),
        )
        die()
    dispatcher = Dispatcher(
        ledger=ledger,
        clock=lambda: now,
        champion=None,
        topics=None,
        params=SimpleNamespace(monitoring=MonitoringConfig()),
        settings=SimpleNamespace(
            prefect_api_url=api, prefect_link=None, root="/workspace", report_url="http://m"
        ),
    )
    ledger.decisions.launched = die
    dispatcher.work()


def test_killed_between_decision_and_call_one_run_is_started(tmp_path, reference, prefect):
    """kill -9 after the decision, and kill -9 after the call before it was noted: one run."""
    store = tmp_path / "ledger.db"
    store.write_bytes(empty_store())

    def killed(when: str) -> None:
        child = os.fork()  # it has imported all, and nothing of the parent's is open
        if child == 0:
            try:
                signal.alarm(60)
                work_until_killed(f"sqlite:///{store}", prefect.url, when)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    killed("before the call")
    assert prefect.calls == 0
    killed("after the call")
    assert prefect.calls == 1

    with watched(tmp_path, {1: reference}) as station:
        station.service.settings.prefect_api_url = prefect.url
        dispatcher = dispatcher_of(station)
        assert dispatcher.work() == 0  # the lease of the one that died still runs
        station.clock.now += 2 * MINUTE
        assert dispatcher.work() == 1

        assert prefect.calls == 2
        assert len(prefect.runs) == 1
        assert station.ledger.decisions.get(1).flow_run_id in prefect.runs


def test_the_workers_deliver_by_themselves_and_stop(station, receiver):
    """In their threads: woken by the commit, not only by the clock."""
    dispatcher = dispatcher_of(station)
    dispatcher.start()
    try:
        tell(station)
        deadline = time.monotonic() + 10
        while not receiver.taken and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        dispatcher.stop()

    assert len(receiver.taken) == 1


# The real server


@pytest.mark.slow
def test_a_real_prefect_server_starts_one_run_an_attempt(tmp_path, monkeypatch):
    """Prefect's own API and idempotency: repeated calls find the same flow run."""
    from tidemill.orchestration import TemporaryServer

    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with TemporaryServer() as server:
        server.wait()
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", server.auth)
        with PrefectApi(server.api_url) as api:
            facts = {
                "workspace": "/workspace",
                "decision_id": 7,
                "attempt": 1,
                "monitor_url": "http://monitor.example",
                "reason": "harm",
            }
            with pytest.raises(DeploymentMissing):
                api.start(facts, idempotency_key="7-1")
            deploy(server)

            runs = [api.start(facts, idempotency_key="7-1", tags=("x",)) for _ in range(3)]
            again = api.start({**facts, "attempt": 2}, idempotency_key="7-2")
            assert len({run.id for run in runs}) == 1
            assert again.id != runs[0].id
            found = api.flow_run(runs[0].id)
            assert found.state in ("SCHEDULED", "PENDING")
            assert not found.failed
            assert api.flow_run(str(uuid.uuid4())).state == "MISSING"
            api.cancel(runs[0].id)
            assert api.flow_run(runs[0].id).state == "CANCELLED"
            api.cancel(runs[0].id)
            run(server, again.id)
            api.cancel(again.id)
            assert api.flow_run(again.id).called_off
            api.cancel(str(uuid.uuid4()))


def client_of(server):
    import httpx

    auth = tuple(server.auth.split(":"))
    return httpx.Client(base_url=server.api_url + "/", auth=auth, trust_env=False)


def deploy(server) -> None:
    with client_of(server) as client:
        flow = client.post("flows/", json={"name": "retrain-on-drift"}).raise_for_status().json()
        document = {"name": "retrain-on-drift", "flow_id": flow["id"]}
        client.post("deployments/", json=document).raise_for_status()


def run(server, flow_run_id: str) -> None:
    with client_of(server) as client:
        for state in ("PENDING", "RUNNING"):
            document = {"state": {"type": state}, "force": True}
            client.post(f"flow_runs/{flow_run_id}/set_state", json=document).raise_for_status()
