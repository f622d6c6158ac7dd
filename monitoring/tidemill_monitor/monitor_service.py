"""What the parts of the monitor share: one value, made by the factory and handed to each."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from fastapi import Request

from tidemill.config import Params
from tidemill.ledger import Ledger
from tidemill_monitor.dispatch import Dispatcher
from tidemill_monitor.intake.bodies import HeldBodies
from tidemill_monitor.meters import Meters
from tidemill_monitor.monitor_settings import MonitorSettings
from tidemill_monitor.readiness import Readiness
from tidemill_monitor.security.api_keys import Keys
from tidemill_monitor.security.rates import Rates
from tidemill_monitor.security.sessions import Sessions
from tidemill_monitor.serving.champion import ChampionHolder
from tidemill_monitor.serving.scorer import Scorer
from tidemill_monitor.topics import Topics
from tidemill_monitor.watching import Watcher

__all__ = ["Clock", "Service", "service_of"]

P = ParamSpec("P")
T = TypeVar("T")
Clock = Callable[[], dt.datetime]


@dataclass(slots=True)
class Service:
    """The parts of one monitor.

    Parameters
    ----------
    settings : MonitorSettings
    params : Params
        Read once, when the monitor starts.
    ledger : Ledger
    champion : ChampionHolder
    clock : callable
        Gives the time, aware and UTC.
    keys, sessions, rates, bodies
        Who may ask, how often, and how much is read at once.
    scorer : Scorer
        Answers predictions.
    watcher : Watcher
        Makes verdicts of windows.
    dispatcher : Dispatcher
        Sends what leaves the monitor.
    topics, meters, readiness
        What has changed; what is counted; how each part is.
    pool : ThreadPoolExecutor
        Bounded; for work that would block the event loop.
    """

    settings: MonitorSettings
    params: Params
    ledger: Ledger
    champion: ChampionHolder
    clock: Clock
    keys: Keys
    sessions: Sessions
    rates: Rates
    bodies: HeldBodies
    scorer: Scorer
    watcher: Watcher
    dispatcher: Dispatcher
    topics: Topics
    meters: Meters
    readiness: Readiness
    pool: ThreadPoolExecutor

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking function in the pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, partial(function, *args, **kwargs))


async def service_of(request: Request) -> Service:
    """The service that answers ``request``; a dependency of routes (a plain one takes a thread)."""
    service: Service = request.app.state.service
    return service
