"""A clock far from the time: nothing is deleted by it, and no date of it waits for years."""

from __future__ import annotations

import datetime as dt

import pytest

from tidemill.config.monitoring import MonitoringConfig
from tidemill.decisions import History
from tidemill.ledger import NewMessage
from tidemill.testing.worlds import START, World
from tidemill_monitor.security.api_keys import Keys
from tidemill_monitor.security.sessions import Sessions
from tidemill_monitor.testing import watched
from tidemill_monitor.watching.housekeeping import Housekeeping

DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
YEARS = 900 * DAY


@pytest.fixture(scope="module")
def world():
    """A table that a model knows."""
    return World()


@pytest.fixture(scope="module")
def reference(world):
    """Of the world's model."""
    return world.reference()


@pytest.fixture
def station(tmp_path, reference):
    """A watcher on a store of its own."""
    with watched(tmp_path, {1: reference, 2: reference}, {"retention_days": 1}) as found:
        yield found


class Tidier:
    """The housekeeping of a monitor that starts now; its own running clock stands until moved."""

    def __init__(self, station, **more) -> None:
        config = MonitoringConfig.model_validate({"retention_days": 1})
        self.station, self.ran = station, 0.0
        self.house = Housekeeping(station.ledger, config, running=lambda: self.ran, **more)

    def rows(self, *, after: float = 0.0) -> int:
        """Events that are left when it has run, ``after`` seconds later."""
        self.ran += after
        self.station.clock.now += dt.timedelta(seconds=after)
        assert self.house.run_if_due(self.station.now)
        return len(self.station.ledger.events.recent(limit=99) or ())


def send(station, world) -> None:
    """Three events, received now."""
    station.send(world.traffic(3, at=START))


def test_a_monitor_that_starts_with_the_clock_ahead_deletes_nothing(station, world):
    """It says so; the right clock is believed at the next start, and what is old goes then."""
    send(station, world)
    assert Tidier(station).rows() == 3
    station.clock.now += YEARS
    keeper = Tidier(station)
    assert keeper.rows() == 3
    assert "nothing is deleted" in keeper.house.doubt
    assert "TIDEMILL_MONITOR_BELIEVE_CLOCK=true" in keeper.house.doubt
    assert keeper.rows(after=10 * 3600) == 3, "nor later, nor at the next start"
    assert Tidier(station).rows() == 3
    station.clock.now -= YEARS
    keeper = Tidier(station)
    assert keeper.rows() == 3
    assert keeper.house.doubt is None
    assert keeper.rows(after=25 * 3600) == 0


def test_of_an_older_ledger_the_newest_events_tell_the_time(station, world):
    """It has no note of what was believed yet."""
    send(station, world)
    station.clock.now += YEARS
    keeper = Tidier(station)
    assert keeper.rows() == 3
    assert keeper.house.doubt


def test_time_that_the_monitor_lived_through_is_believed(station, world):
    """Under a clock that is not, what is older than the retention by its own hours goes."""
    send(station, world)
    assert Tidier(station).rows() == 3
    station.clock.now += YEARS
    keeper = Tidier(station)
    assert keeper.rows() == 3
    send(station, world)
    assert keeper.rows(after=25 * 3600) == 3, "the first three are a day old, whatever the clock"


def test_a_clock_that_somebody_looked_at_is_believed(station, world):
    """The monitor was away for long."""
    send(station, world)
    assert Tidier(station).rows() == 3
    station.clock.now += YEARS
    keeper = Tidier(station, believe_clock=True)
    assert keeper.rows() == 0
    assert keeper.house.doubt is None
    send(station, world)
    assert Tidier(station).rows() == 3


def test_a_clock_that_is_behind_is_said_and_spoils_nothing(station, world):
    """Set right, it is believed at once."""
    send(station, world)
    assert Tidier(station).rows() == 3
    station.clock.now -= YEARS
    keeper = Tidier(station)
    assert keeper.rows() == 3
    assert "behind" in keeper.house.doubt
    station.clock.now += YEARS
    assert keeper.rows(after=3600) == 3
    assert keeper.house.doubt is None
    assert keeper.rows(after=25 * 3600) == 0


def test_the_status_tells_of_a_clock_that_is_not_believed(station, world):
    """Where people look."""
    send(station, world)
    assert Tidier(station).rows() == 3
    station.clock.now += YEARS
    house = station.watcher._housekeeping
    assert house.run_if_due(station.now)
    station.watcher._disorder = house.doubt
    told = station.watcher.readiness()
    assert told["ok"] is False
    assert "the clock says" in told["detail"]


def test_a_retraining_of_a_clock_that_was_ahead_pauses_no_longer_than_another(station):
    """Its date is, from when that is seen on, that moment; the next one waits a cool-down."""
    deciding, at = station.watcher.deciding, station.now
    fired = station.ledger.decisions.open(
        model="rides",
        champion_version=1,
        action="fire",
        reason="r",
        evidence={},
        needs_approval=False,
        labels=(0, 0),
        at=at + YEARS,
    )
    station.ledger.decisions.report(
        fired.id, attempt=1, state="finished", promoted=False, at=at + YEARS
    )

    def known(now: dt.datetime) -> History:
        decisions = deciding._past(1, now)
        return [deciding._fact_of(one, now) for one in decisions]

    (first,) = known(at)
    assert (first.opened_at, first.closed_at) == (at, at)
    (later,) = known(at + 40 * DAY)
    assert (later.opened_at, later.closed_at) == (at, at), "it does not move along"
    (true,) = known(at + YEARS)
    assert true.opened_at == at + YEARS, "the dates themselves stay as they are"


def test_a_return_under_a_clock_that_was_ahead_blinds_nobody(station):
    """Windows that are closed after it count, once the clock is right."""
    stints, at = station.watcher._stints, station.now
    stints.serves(1, at)
    stints.serves(2, at)
    returned = stints.serves(1, at + YEARS)
    assert returned.returned
    assert stints.serves(1, at + HOUR).began == at + HOUR
    assert stints.serves(1, at + 3 * HOUR).began == at + HOUR
    assert stints.current.began == at + HOUR


def test_messages_of_a_clock_that_was_ahead_go_out(station):
    """When the clock is set back while the monitor runs: tried and untried ones, within an hour."""
    ledger, at = station.ledger, station.now
    for kind in ("notification", "prefect"):
        ledger.outbox.add(NewMessage(kind, "tried", {"type": "test"}), at=at)
        ledger.outbox.add(NewMessage(kind, "new", {"type": "test"}), at=at + YEARS)
    station.tick(forward=YEARS)
    for message in ledger.outbox.claim(at=station.now, targets=["tried"]):
        ledger.outbox.fail(message, error="away", at=station.now)
    station.tick(forward=-YEARS)
    due = {(m.kind, m.target): m.due_at for m in ledger.outbox.list()}
    assert due == {
        (kind, target): at + (HOUR if target == "tried" else dt.timedelta())
        for kind in ("notification", "prefect")
        for target in ("tried", "new")
    }


def test_a_session_of_a_clock_that_was_ahead_is_over(station):
    """It would last until then."""
    clock = station.clock
    keys = Keys(station.ledger, clock)
    identity = keys.identify(keys.create("k", "read"))
    sessions = Sessions(station.ledger, keys, clock, 12.0)
    clock.now += YEARS
    ahead = sessions.open(identity)
    assert sessions.identify(ahead)
    clock.now -= YEARS
    assert sessions.identify(ahead) is None
    assert sessions.identify(sessions.open(identity))
