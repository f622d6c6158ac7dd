"""``tidemill up``: the servers, the deployments and a worker of one workspace, as one command."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tidemill.errors import Busy, ConfigError, ServiceUnavailable, TidemillError
from tidemill.orchestration.monitor_keys import MonitorKeys, monitor_keys
from tidemill.orchestration.owner import Installation
from tidemill.orchestration.server import database_lock, health_status
from tidemill.orchestration.services import (
    POOL,
    Addresses,
    ManagedService,
    client_environment,
    deployer,
    flows_home,
    mlflow_server,
    monitor,
    prefect_server,
    worker,
)
from tidemill.orchestration.supervisor import Supervisor, leashed
from tidemill.settings import Settings, told_clients
from tidemill.storage import Workspace, services_lock

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

__all__ = ["links", "up"]

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
    WorkspaceBusy
        If another ``tidemill up`` runs the services of this workspace, or another workspace's
        uses the same database of Prefect; nothing is touched.
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
    with services_lock(workspace), database_lock(workspace):
        _require_ports(at, host, prefect_port, mlflow_port, monitor_port)
        _run(workspace, settings, at, on_event, told)
    on_event("stopped")


def _require_ports(
    at: Addresses, host: str, prefect_port: int, mlflow_port: int, monitor_port: int
) -> None:
    _require_free(host, prefect_port, "Prefect", "--prefect-port")
    if at.own_mlflow:
        _require_free(host, mlflow_port, "MLflow", "--mlflow-port")
    _require_free(host, monitor_port, "the monitor", "--monitor-port")


def _run(
    workspace: Workspace,
    settings: Settings,
    at: Addresses,
    on_event: Callable[[str], None],
    told: threading.Event,
) -> None:
    """Everything, until told to stop."""
    owner = Installation.of(workspace)
    owner.tell_clients(client_environment(at, owner))
    with _signals(told), Supervisor(workspace.hidden / "logs", on_event) as supervisor:
        if _bring_up(supervisor, workspace, settings, at, owner, on_event, told):
            _tell_links(workspace, owner, on_event)
            on_event(
                f"ready: Prefect {at.prefect_ui}, MLflow {at.mlflow_uri}, monitor {at.monitor}; "
                "Ctrl-C stops all"
            )
        while not told.wait(_TEND_SECONDS):
            supervisor.tend()
        on_event("stopping")


def links(workspace: Workspace) -> dict[str, str]:
    """New links to the services of a workspace's running ``tidemill up``, by their names.

    Raises
    ------
    ServiceUnavailable
        If it does not run.
    """
    told = told_clients(workspace.root)
    api = told.get("PREFECT_API_URL", "")
    if not api or health_status(f"{api}/health", timeout_seconds=5.0) != 200:
        raise ServiceUnavailable(
            f"no `tidemill up` of {workspace.root} answers",
            remedy="start it: tidemill up",
            service="prefect",
            address=api,
        )
    owner = Installation.of(workspace)
    found = {"Prefect": owner.link("prefect", api.removesuffix("/api"))}
    if "MLFLOW_TRACKING_PASSWORD" in told:
        found["MLflow"] = owner.link("mlflow", told["MLFLOW_TRACKING_URI"])
    return found


def _bring_up(
    supervisor: Supervisor,
    workspace: Workspace,
    settings: Settings,
    at: Addresses,
    owner: Installation,
    tell: Callable[[str], None],
    told: threading.Event,
) -> bool:
    servers = [prefect_server(at, owner, workspace.root)]
    if at.own_mlflow:
        servers.append(mlflow_server(workspace, settings, at, owner))
    for server in servers:
        tell(f"starting the {server.name}")
        supervisor.start(server)
    for server in servers:
        if not supervisor.wait_healthy(server, told.is_set):
            return False
        tell(f"{server.name}: {server.address}")
    keys = monitor_keys(workspace)
    watching = monitor(workspace, at, owner, keys.file)
    tell("starting the monitor")
    supervisor.start(watching)
    with _client(at, owner) as client:
        _make_pool(client)
    if not _deploy(supervisor, deployer(workspace, at, owner), told):
        return False
    tell("deployments written")
    supervisor.start(worker(workspace, at, owner, keys.worker))
    if not supervisor.wait_healthy(watching, told.is_set):
        return False
    _tell_monitor(watching, keys, supervisor, tell)
    _tell_champion(at, keys, tell)
    with _client(at, owner) as client:
        return _wait_worker(client, told)


def _tell_monitor(
    service: ManagedService, keys: MonitorKeys, supervisor: Supervisor, tell: Callable[[str], None]
) -> None:
    tell(f"{service.name}: {service.address}; its log: {supervisor.log(service)}")
    if keys.first is not None:
        tell(f"first key for the monitor (scope operate), shown this once: {keys.first}")
        keys.forget_first()
    else:
        tell("keys for the monitor: tidemill monitor keys list, create")


def _tell_champion(at: Addresses, keys: MonitorKeys, tell: Callable[[str], None]) -> None:
    """Why no model serves, or another than the newest: here, not in a log."""
    from tidemill.monitor_client import MonitorClient

    try:
        with MonitorClient(at.monitor, keys.worker, patience_seconds=5.0) as monitor:
            status = monitor.get("/v1/status")
    except TidemillError as exc:
        tell(f"monitor: it does not say which model serves: {exc.message}")
        return
    champion = status["champion"]
    if champion is None:
        part = next(p for p in status["readiness"]["parts"] if p["name"] == "champion")
        tell(f"monitor: no model serves: {part['detail']} ({part['remedy']})")
    elif champion["trouble"]:
        tell(
            f"monitor: version {champion['version']} serves on: {champion['trouble']} "
            f"({champion['trouble_remedy']})"
        )
    else:
        tell(f"monitor: version {champion['version']} of {status['model']} serves")


def _tell_links(workspace: Workspace, owner: Installation, tell: Callable[[str], None]) -> None:
    for name, address in links(workspace).items():
        tell(f"open {name} (works once, within an hour): {address}")
    tell(f"more links: tidemill links; for shells and clients: . {owner.clients_file}")


@contextlib.contextmanager
def _client(at: Addresses, owner: Installation) -> Iterator[SyncPrefectClient]:
    from prefect import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    ours = {
        PREFECT_API_URL: at.prefect_api,
        PREFECT_API_AUTH_STRING: owner.credential("prefect"),
    }
    with temporary_settings(ours), get_client(sync_client=True) as client:
        yield client


def _make_pool(client: SyncPrefectClient) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
        client.create_work_pool(pool)


def _deploy(supervisor: Supervisor, service: ManagedService, told: threading.Event) -> bool:
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


def _wait_worker(client: SyncPrefectClient, told: threading.Event) -> bool:
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
