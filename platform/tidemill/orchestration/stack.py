"""``tidemill up``: the servers, the deployments and a worker of one workspace, as one command."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

from tidemill.errors import Busy, ConfigError
from tidemill.orchestration.monitor_keys import MonitorKeys, monitor_keys
from tidemill.orchestration.services import (
    POOL,
    Addresses,
    Service,
    deployer,
    flows_home,
    mlflow_server,
    monitor,
    prefect_server,
    worker,
)
from tidemill.orchestration.supervisor import Supervisor, leashed
from tidemill.settings import Settings
from tidemill.storage import Workspace

__all__ = ["up"]

_TEND_SECONDS = 0.5
_DEPLOY_SECONDS = 120.0


def up(
    workspace: Workspace,
    *,
    settings: Settings,
    host: str = "127.0.0.1",
    prefect_port: int = 4200,
    mlflow_port: int = 5000,
    monitor_port: int = 8010,
    on_event: Callable[[str], None] = lambda _text: None,
    stop: threading.Event | None = None,
) -> None:
    """Start everything, keep it alive, and return when told to stop.

    The servers, the monitor, the deployments and a worker. The first time a key for the monitor
    is made for people, and told once.

    Parameters
    ----------
    settings : Settings
        ``mlflow_tracking_uri`` that is a server's address is used as it is; otherwise an MLflow
        server starts on that store, or on the workspace's own.
    on_event : callable
        Takes one line for people.
    stop : Event or None
        Ends it from another thread; SIGINT, SIGTERM and SIGHUP do in the main thread.

    Raises
    ------
    Busy
        If a port is in use.
    ServiceUnavailable
        If a server does not start.
    ConfigError
        If there is no prefect.yaml, or Prefect refuses it.
    """
    told = stop or threading.Event()
    at = Addresses.of(settings, host, prefect_port, mlflow_port, monitor_port)
    flows_home(workspace)
    _require_free(host, prefect_port, "Prefect", "--prefect-port")
    if at.own_mlflow:
        _require_free(host, mlflow_port, "MLflow", "--mlflow-port")
    _require_free(host, monitor_port, "the monitor", "--monitor-port")
    with _signals(told), Supervisor(workspace.hidden / "logs", on_event) as supervisor:
        if _bring_up(supervisor, workspace, settings, at, on_event, told):
            on_event(
                f"ready: Prefect {at.prefect_ui}, MLflow {at.mlflow_uri}, monitor {at.monitor}; "
                "Ctrl-C stops all"
            )
        while not told.wait(_TEND_SECONDS):
            supervisor.tend()
        on_event("stopping")
    on_event("stopped")


def _bring_up(
    supervisor: Supervisor,
    workspace: Workspace,
    settings: Settings,
    at: Addresses,
    tell: Callable[[str], None],
    told: threading.Event,
) -> bool:
    servers = [prefect_server(workspace, at)]
    if at.own_mlflow:
        servers.append(mlflow_server(workspace, settings, at))
    for server in servers:
        tell(f"starting the {server.name}")
        supervisor.start(server)
    for server in servers:
        if not supervisor.wait_healthy(server, told.is_set):
            return False
        tell(f"{server.name}: {server.address}")
    keys = monitor_keys(workspace)
    watching = monitor(workspace, at, keys.file)
    tell("starting the monitor")
    supervisor.start(watching)
    _make_pool(at.prefect_api)
    if not _deploy(supervisor, workspace, at, told):
        return False
    tell("deployments written")
    supervisor.start(worker(workspace, at, keys.worker))
    if not supervisor.wait_healthy(watching, told.is_set):
        return False
    _tell_monitor(watching, keys, supervisor, tell)
    return _wait_worker(at.prefect_api, told)


def _tell_monitor(
    service: Service, keys: MonitorKeys, supervisor: Supervisor, tell: Callable[[str], None]
) -> None:
    tell(f"{service.name}: {service.address}; its log: {supervisor.log(service)}")
    if keys.first is not None:
        tell(f"first key for the monitor (scope operate), shown this once: {keys.first}")
        keys.forget_first()
    else:
        tell("keys for the monitor: tidemill monitor keys list, create")


def _make_pool(api_url: str) -> None:
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.workers.process import ProcessWorker

    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        try:
            client.read_work_pool(POOL)
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
            client.create_work_pool(pool)


def _deploy(
    supervisor: Supervisor, workspace: Workspace, at: Addresses, told: threading.Event
) -> bool:
    service = deployer(workspace, at)
    process = leashed(service, supervisor.log(service))
    deadline = time.monotonic() + _DEPLOY_SECONDS
    try:
        while process.poll() is None and not told.wait(0.1) and time.monotonic() < deadline:
            pass
    finally:
        process.terminate()
        process.wait()
    if told.is_set():
        return False
    if process.returncode:
        raise ConfigError(
            f"Prefect refused the deployments in {service.folder / 'prefect.yaml'}",
            remedy=f"look at {supervisor.log(service)}",
            log=str(supervisor.log(service)),
        )
    return True


def _wait_worker(api_url: str, told: threading.Event) -> bool:
    from prefect import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        while not told.wait(_TEND_SECONDS):
            workers = client.read_workers_for_work_pool(POOL)
            if any(one.status is not None and one.status == "ONLINE" for one in workers):
                return True
    return False


def _require_free(host: str, port: int, what: str, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise Busy(
                f"port {port} of {host}, meant for {what}, is not free: {exc.strerror}",
                remedy=f"stop what listens there, or choose another port with {option}",
                host=host,
                port=port,
            ) from exc


@contextlib.contextmanager
def _signals(told: threading.Event) -> Iterator[None]:
    """Turn the signals that end a program into ``told``, where Python lets us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: told.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
