"""The processes of an installation: what each is started with, and how it says that it is well."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tidemill
from tidemill.config import load_params
from tidemill.errors import ConfigError
from tidemill.orchestration.environments import (
    flow_environment,
    machine_environment,
    whole_environment,
)
from tidemill.orchestration.owner import Installation
from tidemill.settings import Settings
from tidemill.storage import Workspace
from tidemill.web import CREDENTIAL_VARIABLE, HOSTS_VARIABLE

__all__ = [
    "POOL",
    "Addresses",
    "ManagedService",
    "client_environment",
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
class ManagedService:
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
        """Where a browser finds Prefect's pages."""
        return f"http://{_reachable(self.host)}:{self.prefect_port}"

    @property
    def prefect_api(self) -> str:
        """What ``PREFECT_API_URL`` is for whoever talks to that server."""
        return f"{self.prefect_ui}/api"

    @property
    def monitor(self) -> str:
        """The monitor: its dashboard, and below /v1 its interface."""
        return f"http://{_reachable(self.host)}:{self.monitor_port}"

    @property
    def own_mlflow(self) -> bool:
        """Whether the MLflow server is ours to start."""
        return self.mlflow_uri == f"http://{_reachable(self.host)}:{self.mlflow_port}"


def prefect_server(at: Addresses, owner: Installation, folder: Path) -> ManagedService:
    """Prefect's server with its UI, for its owner alone."""
    return ManagedService(
        "prefect server",
        (*_script("orchestration", "serve_prefect"), at.host, str(at.prefect_port)),
        folder,
        {
            **machine_environment(),
            **_of_server("PREFECT_SERVER_", "PREFECT_UI_", "PREFECT_API_DATABASE_"),
            **_BATCHES,
            CREDENTIAL_VARIABLE: owner.credential("prefect"),
            HOSTS_VARIABLE: _hosts(at),
        },
        address=at.prefect_ui,
        health=f"{at.prefect_api}/health",
    )


def mlflow_server(
    workspace: Workspace, settings: Settings, at: Addresses, owner: Installation
) -> ManagedService:
    """MLflow's server on the workspace's own store, for its owner alone."""
    return ManagedService(
        "mlflow server",
        (*_script("tracking", "serve_mlflow"), at.host, str(at.mlflow_port)),
        workspace.root,
        {
            **machine_environment(),
            **_of_server("MLFLOW_", "PG", "AWS_", "GOOGLE_", "AZURE_"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Not in the arguments, which every user of the machine can read.
            "TIDEMILL_MLFLOW_STORE": _own_store(workspace, settings),
            # Plain folders, not addresses of this server: `tidemill run` without it must find them.
            "TIDEMILL_MLFLOW_ARTIFACTS": (workspace.root / "mlartifacts").as_uri(),
            "TIDEMILL_MLFLOW_EXPERIMENT": load_params(workspace.root).experiment_name,
            CREDENTIAL_VARIABLE: owner.credential("mlflow"),
            HOSTS_VARIABLE: _hosts(at),
        },
        address=at.mlflow_uri,
        health=f"{at.mlflow_uri}/health",
    )


def monitor(
    workspace: Workspace, at: Addresses, owner: Installation, keys_file: Path | None
) -> ManagedService:
    """The monitor of the workspace's champion.

    It is started by its name: tidemill itself does not know it.
    """
    given = {} if keys_file is None else {"TIDEMILL_MONITOR_KEYS_FILE": str(keys_file)}
    return ManagedService(
        "monitor",
        _python("tidemill_monitor"),
        workspace.root,
        {
            **whole_environment(),
            **client_environment(at, owner),
            **given,
            "TIDEMILL_MONITOR_WORKSPACE": str(workspace.root),
            "TIDEMILL_MONITOR_HOST": at.host,
            "TIDEMILL_MONITOR_PORT": str(at.monitor_port),
        },
        address=at.monitor,
        health=f"{at.monitor}/healthz",
    )


def worker(
    workspace: Workspace, at: Addresses, owner: Installation, monitor_key: str
) -> ManagedService:
    """The worker that runs deployments in processes of their own.

    ``monitor_key``: what its flow runs speak to the monitor with.
    """
    return ManagedService(
        "worker",
        (
            *_python("prefect", "worker", "start"),
            *("--pool", POOL, "--type", "process", "--name", f"tidemill-{os.getpid()}"),
        ),
        workspace.root,
        {
            **flow_environment(workspace, foreign_mlflow=not at.own_mlflow),
            **client_environment(at, owner),
            "TIDEMILL_WORKSPACE": str(workspace.root),
            "TIDEMILL_MONITOR_URL": at.monitor,
            "TIDEMILL_MONITOR_KEY": monitor_key,
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        },
    )


def deployer(workspace: Workspace, at: Addresses, owner: Installation) -> ManagedService:
    """The command that writes prefect.yaml's deployments to the server."""
    return ManagedService(
        "prefect deploy",
        _python("prefect", "--no-prompt", "deploy", "--all"),
        flows_home(workspace),
        {
            **whole_environment(),
            **owner.prefect_client(at.prefect_api),
            "TIDEMILL_WORKSPACE": str(workspace.root),
        },
    )


def client_environment(at: Addresses, owner: Installation) -> dict[str, str]:
    """What a program needs to speak to Prefect and MLflow."""
    tracking = {"MLFLOW_TRACKING_URI": at.mlflow_uri}
    if at.own_mlflow:
        tracking = owner.mlflow_client(at.mlflow_uri)
    return {**owner.prefect_client(at.prefect_api), **tracking}


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


def _own_store(workspace: Workspace, settings: Settings) -> str:
    # A shell that read .tidemill/up/clients.sh names the server itself, which is no store.
    given = settings.mlflow_tracking_uri or ""
    served = given.startswith(("http://", "https://"))
    return Settings(MLFLOW_TRACKING_URI=None if served else given).tracking_uri(workspace.root)


def _hosts(at: Addresses) -> str:
    named = os.environ.get(HOSTS_VARIABLE, "")
    return ",".join(name for name in (_reachable(at.host), named) if name)


def _of_server(*begins: str) -> dict[str, str]:
    """What the owner set for a server itself: its database, its store."""
    return {
        name: value
        for name, value in os.environ.items()
        # It would ask its clients for another secret than the one that they have.
        if name.startswith(begins) and name != "PREFECT_SERVER_API_AUTH_STRING"
    }


def _script(room: str, name: str) -> tuple[str, ...]:
    path = Path(tidemill.__file__).parent / room / f"{name}.py"
    return (sys.executable, "-P", str(path))
