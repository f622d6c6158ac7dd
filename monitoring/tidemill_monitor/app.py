"""The ASGI factory: puts the monitor together by plain calls."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tidemill.config import Params, load_params
from tidemill.errors import ConfigError
from tidemill.ledger import Ledger
from tidemill.repeating import Every
from tidemill.storage import storage_errors
from tidemill.web import HeadAsGet, WholeBodies
from tidemill_monitor.dashboard import add_dashboard
from tidemill_monitor.dispatch import Dispatcher
from tidemill_monitor.dispatch.trying import check_channels
from tidemill_monitor.intake import HeldBodies
from tidemill_monitor.logs import configure_logs
from tidemill_monitor.meters import Meters
from tidemill_monitor.monitor_service import Service
from tidemill_monitor.monitor_settings import MonitorSettings, is_loopback
from tidemill_monitor.openapi import add_openapi
from tidemill_monitor.problems import add_problems
from tidemill_monitor.readiness import Readiness, leaned_on
from tidemill_monitor.routes import (
    admin,
    events,
    labels,
    normality,
    operate,
    predict,
    session,
    views,
)
from tidemill_monitor.routes import service as service_routes
from tidemill_monitor.security import Admission, Keys, Rates, Sessions, Wrapped
from tidemill_monitor.serving import ChampionHolder, Scorer
from tidemill_monitor.topics import Topics
from tidemill_monitor.watching import Folds, Housekeeping, Watcher

__all__ = ["create_app", "make_service"]

_FOLLOW_SECONDS = 10.0

Clock = Callable[[], dt.datetime]
_ROUTERS = (predict, events, labels, service_routes, session, views, operate, normality, admin)


def create_app(settings: MonitorSettings | None = None, *, clock: Clock | None = None) -> FastAPI:
    """Make the service; it starts to watch when the server starts it.

    Parameters
    ----------
    settings : MonitorSettings or None
        None reads the environment.
    clock : callable or None
        Gives the time, aware and UTC; for tests.

    Raises
    ------
    TidemillError
        If params.yaml, a channel of its alerts or the store cannot be used, or the host is not
        this machine and the store has no key. A champion that cannot be loaded is no reason not
        to start.
    """
    configure_logs()
    service = make_service(settings or MonitorSettings(), clock or _now)
    try:
        _admit_keys(service)
        return _composed(service)
    except BaseException:
        service.ledger.close()
        raise


def make_service(settings: MonitorSettings, clock: Clock) -> Service:
    """Open the store, load the champion; nothing runs yet."""
    params = load_params(settings.root)
    check_channels(params.monitoring.alerts.channels)
    with storage_errors(settings.folder):
        settings.folder.mkdir(parents=True, exist_ok=True)
        settings.folder.chmod(0o700)  # events and hashes of keys are nobody else's
    champion = ChampionHolder(settings, params, clock)
    champion.load()
    folds = Folds(champion, params.monitoring)
    ledger = Ledger.open(settings.store_url, folding=folds, queue_bytes=settings.queue_bytes)
    try:
        return _put_together(settings, params, ledger, champion, folds, clock)
    except BaseException:
        ledger.close()
        raise


def _put_together(
    settings: MonitorSettings,
    params: Params,
    ledger: Ledger,
    champion: ChampionHolder,
    folds: Folds,
    clock: Clock,
) -> Service:
    topics, meters, keys = Topics(), Meters(), Keys(ledger, clock)
    pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="monitor")
    watcher = Watcher(
        params=params,
        settings=settings,
        ledger=ledger,
        champion=champion,
        folds=folds,
        housekeeping=Housekeeping(ledger, params.monitoring, believe_clock=settings.believe_clock),
        meters=meters,
        clock=clock,
    )
    dispatcher = Dispatcher(
        params=params,
        settings=settings,
        ledger=ledger,
        champion=champion,
        topics=topics,
        clock=clock,
    )
    return Service(
        settings=settings,
        params=params,
        ledger=ledger,
        champion=champion,
        clock=clock,
        keys=keys,
        sessions=Sessions(ledger, keys, clock, settings.session_hours),
        rates=Rates(settings.rate_requests, settings.rate_rows, settings.max_rows),
        bodies=HeldBodies(settings.inflight_bytes),
        scorer=_scorer(settings, params, ledger, clock),
        watcher=watcher,
        dispatcher=dispatcher,
        topics=topics,
        meters=meters,
        readiness=Readiness(leaned_on(settings, ledger, champion, pool)),
        pool=pool,
    )


def _scorer(settings: MonitorSettings, params: Params, ledger: Ledger, clock: Clock) -> Scorer:
    return Scorer(
        ledger,
        clock,
        max_rows=settings.max_rows,
        max_bytes=settings.max_body_bytes,
        segments=params.monitoring.window.segments,
    )


def _admit_keys(service: Service) -> None:
    """Take up keys from a file; else make the first one, and show it this once."""
    settings = service.settings
    if settings.keys_file is not None:
        service.keys.take_up(settings.keys_file)
    if not is_loopback(settings.host) and not service.ledger.keys.count():
        raise ConfigError(
            f"the monitor would listen at {settings.host} and has no key yet",
            remedy="make one with: tidemill monitor keys create --scope operate; or set "
            "TIDEMILL_MONITOR_KEYS_FILE",
            host=settings.host,
        )
    text = service.keys.first()
    if text is not None:
        # Not a log line: logs are kept, and this is shown once.
        sys.stderr.write(f"\nThe first key (scope operate), shown this once:\n\n    {text}\n\n")
        sys.stderr.flush()


def _composed(service: Service) -> FastAPI:
    app = FastAPI(
        title="tidemill monitor",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.service = service
    add_problems(app)
    for module in _ROUTERS:
        app.include_router(module.router)
    add_dashboard(app)
    add_openapi(app, service)
    app.add_middleware(
        Admission,
        keys=service.keys,
        sessions=service.sessions,
        rates=service.rates,
        run=service.run,
    )
    app.add_middleware(HeadAsGet)
    app.add_middleware(Wrapped, hosts=service.settings.hosts, meters=service.meters)
    app.add_middleware(WholeBodies)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    # Another champion serves here soon after it was promoted or rolled back.
    follower = Every(_FOLLOW_SECONDS, service.champion.refresh, name="follower")
    parts = (service.scorer, service.watcher, service.dispatcher, follower)
    forget = service.ledger.on_commit(lambda topics: service.topics.publish(*topics))
    for part in parts:
        part.start()
    try:
        yield
    finally:
        for part in reversed(parts):
            await service.run(part.stop)
        forget()
        service.pool.shutdown(wait=True)
        service.ledger.close()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
