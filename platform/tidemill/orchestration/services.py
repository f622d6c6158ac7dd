"""The processes of an installation: what each is started with, and how it says that it is well."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tidemill
from tidemill.errors import ConfigError
from tidemill.settings import Settings
from tidemill.storage import Workspace

__all__ = [
    "POOL",
    "Addresses",
    "Service",
    "deployer",
    "flows_home",
    "mlflow_server",
    "monitor",
    "prefect_server",
    "worker",
]

POOL = "tidemill"

# One transaction for each event holds sqlite's lock for most of the time that a stage runs.
_BATCHES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "50",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A process to keep alive.

    Parameters
    ----------
    name : str
    command : tuple of str
    folder : Path
        Its working directory.
    environment : dict of str to str
        The whole of it.
    address : str or None
        For people.
    health : str or None
        An address that answers 200 when the service is well.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: dict[str, str] = field(repr=False)
    address: str | None = None
    health: str | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services of one installation answer."""

    host: str
    prefect_port: int
    mlflow_port: int
    monitor_port: int
    mlflow_uri: str

    @classmethod
    def of(
        cls, settings: Settings, host: str, prefect_port: int, mlflow_port: int, monitor_port: int
    ) -> Addresses:
        """The addresses: an MLflow server that exists already stays the one in use."""
        given = settings.mlflow_tracking_uri or ""
        remote = given.startswith(("http://", "https://"))
        own = f"http://{_reachable(host)}:{mlflow_port}"
        return cls(host, prefect_port, mlflow_port, monitor_port, given if remote else own)

    @property
    def prefect_ui(self) -> str:
        """The Prefect server."""
        return f"http://{_reachable(self.host)}:{self.prefect_port}"

    @property
    def prefect_api(self) -> str:
        """Its API."""
        return f"{self.prefect_ui}/api"

    @property
    def monitor(self) -> str:
        """The monitor: its dashboard, and below /v1 its interface."""
        return f"http://{_reachable(self.host)}:{self.monitor_port}"

    @property
    def own_mlflow(self) -> bool:
        """Whether the MLflow server is ours to start."""
        return self.mlflow_uri == f"http://{_reachable(self.host)}:{self.mlflow_port}"


def prefect_server(workspace: Workspace, at: Addresses) -> Service:
    """Prefect's server with its UI."""
    return Service(
        "prefect server",
        (
            *_python("prefect", "server", "start"),
            *("--host", at.host, "--port", str(at.prefect_port)),
        ),
        workspace.root,
        {**_environment(workspace, at), **_BATCHES},
        address=at.prefect_ui,
        health=f"{at.prefect_api}/health",
    )


def mlflow_server(workspace: Workspace, settings: Settings, at: Addresses) -> Service:
    """MLflow's server on the workspace's own store."""
    names = sorted({"localhost", "127.0.0.1", _reachable(at.host)})
    hosts = [form for name in names for form in (name, f"{name}:{at.mlflow_port}")]
    origins = [f"http://{name}:{at.mlflow_port}" for name in names]
    environment = _environment(workspace, at)
    # The server's own store is on its command line; it must not be a client of itself.
    del environment["MLFLOW_TRACKING_URI"]
    return Service(
        "mlflow server",
        (
            *_python("mlflow", "server"),
            *("--host", at.host, "--port", str(at.mlflow_port), "--workers", "1"),
            *("--backend-store-uri", settings.tracking_uri(workspace.root)),
            # Plain folders, not addresses of this server: `tidemill run` without it must find them.
            "--no-serve-artifacts",
            *("--default-artifact-root", (workspace.root / "mlartifacts").as_uri()),
            *("--allowed-hosts", ",".join(hosts)),
            *("--cors-allowed-origins", ",".join(origins)),
        ),
        workspace.root,
        {
            **environment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        address=at.mlflow_uri,
        health=f"{at.mlflow_uri}/health",
    )


def monitor(workspace: Workspace, at: Addresses, keys_file: Path | None) -> Service:
    """The monitor of the workspace's champion.

    It is started by its name: tidemill itself does not know it.
    """
    given = {} if keys_file is None else {"TIDEMILL_MONITOR_KEYS_FILE": str(keys_file)}
    return Service(
        "monitor",
        _python("tidemill_monitor"),
        workspace.root,
        {
            **_environment(workspace, at),
            **given,
            "TIDEMILL_MONITOR_WORKSPACE": str(workspace.root),
            "TIDEMILL_MONITOR_HOST": at.host,
            "TIDEMILL_MONITOR_PORT": str(at.monitor_port),
        },
        address=at.monitor,
        health=f"{at.monitor}/healthz",
    )


def worker(workspace: Workspace, at: Addresses, monitor_key: str) -> Service:
    """The worker that runs deployments in processes of their own.

    ``monitor_key``: what its flow runs speak to the monitor with.
    """
    return Service(
        "worker",
        (
            *_python("prefect", "worker", "start"),
            *("--pool", POOL, "--type", "process", "--name", f"tidemill-{os.getpid()}"),
        ),
        workspace.root,
        {
            **_environment(workspace, at),
            "TIDEMILL_MONITOR_URL": at.monitor,
            "TIDEMILL_MONITOR_KEY": monitor_key,
        },
    )


def deployer(workspace: Workspace, at: Addresses) -> Service:
    """The command that writes prefect.yaml's deployments to the server."""
    return Service(
        "prefect deploy",
        _python("prefect", "--no-prompt", "deploy", "--all"),
        flows_home(workspace),
        _environment(workspace, at),
    )


def flows_home(workspace: Workspace) -> Path:
    """The folder with prefect.yaml and flows/: the workspace, or the checkout tidemill is in.

    Raises
    ------
    ConfigError
        If neither has a prefect.yaml.
    """
    checkout = Path(tidemill.__file__).parents[2]
    for folder in (workspace.root, checkout):
        if (folder / "prefect.yaml").is_file():
            return folder
    raise ConfigError(
        f"there is no prefect.yaml in {workspace.root}, so there is nothing to deploy",
        remedy="copy prefect.yaml and flows/ from tidemill's repository into the workspace",
        path=str(workspace.root / "prefect.yaml"),
    )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _reachable(host: str) -> str:
    """The address by which this machine itself reaches a server bound to ``host``."""
    return "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104  (a comparison)


def _environment(workspace: Workspace, at: Addresses) -> dict[str, str]:
    rooms = Path(tidemill.__file__).parents[1]
    # In a checkout the monitor lies beside; installed, both are in one folder.
    beside = rooms.parent / "monitoring"
    roots = [str(rooms), *([str(beside)] if (beside / "tidemill_monitor").is_dir() else [])]
    paths = [*roots, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    # Relative entries would mean another folder in a flow run's process.
    search = os.pathsep.join(str(Path(path).resolve()) for path in paths if path)
    return {
        **os.environ,
        "PYTHONPATH": search,
        "PREFECT_API_URL": at.prefect_api,
        "MLFLOW_TRACKING_URI": at.mlflow_uri,
        "TIDEMILL_WORKSPACE": str(workspace.root),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
