"""What of the owner's environment the processes of an installation get to see."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import tidemill
from tidemill.storage import Workspace, storage_errors

__all__ = ["MORE_VARIABLE", "flow_environment", "machine_environment", "whole_environment"]

MORE_VARIABLE = "TIDEMILL_WORKER_ENVIRONMENT"
"""Names, divided by commas, that the worker gets too; ``NAME_*`` are all that begin so."""

_MACHINE = [
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "LOGNAME",
    "MALLOC_*",
    "MKL_*",
    "NUMEXPR_*",
    "OMP_*",
    "OPENBLAS_*",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHASHSEED",
    "PYTHONUNBUFFERED",
    "PYTHONWARNINGS",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "PREFECT_HOME",
    "PREFECT_PROFILES_PATH",
    "PREFECT_LOGGING_*",
]
_FLOWS = [
    "DVC_GLOBAL_CONFIG_DIR",
    "DVC_NO_ANALYTICS",
    "DVC_SITE_CACHE_DIR",
    "DVC_SYSTEM_CONFIG_DIR",
    "MLFLOW_*",
    "MPLCONFIGDIR",
    "PREFECT_FLOWS_*",
    "PREFECT_LOCAL_STORAGE_PATH",
    "PREFECT_RESULTS_*",
    "PREFECT_RUNNER_*",
    "PREFECT_TASKS_*",
    "PREFECT_WORKER_*",
    "TIDEMILL_ENGINE",
    "TIDEMILL_WORKERS",
]
_REMOTE = [
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
]
_STORES = {
    r"s3a?://": ["AWS_*", "MLFLOW_S3_*"],
    r"gc?s://": ["GOOGLE_*", "CLOUDSDK_*"],
    r"(abfss?|az|adl|wasbs?)://": ["AZURE_*"],
    r"https?://": [],
}
_SECRET = re.compile("AUTH|CREDENTIAL|HEADER|KEY|PASS|SECRET|TOKEN|USERNAME")


def machine_environment() -> dict[str, str]:
    """What every process of ours needs to run: paths, language, threads; no secret."""
    return {**_without_secrets(_named(_MACHINE)), **_own()}


def flow_environment(workspace: Workspace, *, foreign_mlflow: bool) -> dict[str, str]:
    """What flow runs need: the machine, and keys of those stores only that params.yaml names.

    Parameters
    ----------
    foreign_mlflow : bool
        Whether MLflow is a server that we did not start: its credentials come from the owner, and
        its artifacts may lie in any store.

    Raises
    ------
    StorageFailed
        If params.yaml cannot be read.
    """
    found = {**machine_environment(), **_without_secrets(_named(_FLOWS))}
    with storage_errors(workspace.params):
        text = workspace.params.read_text(encoding="utf-8", errors="replace")
    stores = [names for scheme, names in _STORES.items() if re.search(scheme, text)]
    if foreign_mlflow:
        found |= _named(["MLFLOW_*"])
        stores = list(_STORES.values())
    if stores:
        proxies = [*_REMOTE, *map(str.lower, _REMOTE)]
        found |= _named([*proxies, *(name for names in stores for name in names)])
    return found | _named(os.environ.get(MORE_VARIABLE, "").replace(",", " ").split())


def whole_environment() -> dict[str, str]:
    """All that the owner has, for what the owner runs: the monitor's channels name variables."""
    # Another server's key, which Prefect's clients would send instead of this one's.
    return {name: v for name, v in os.environ.items() if name != "PREFECT_API_KEY"} | _own()


def _named(patterns: list[str]) -> dict[str, str]:
    plain = {name for name in patterns if not name.endswith("*")}
    begins = tuple(name[:-1] for name in patterns if name.endswith("*") and len(name) > 1)
    return {
        name: value
        for name, value in os.environ.items()
        if name in plain or (begins and name.startswith(begins))
    }


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not _SECRET.search(name)}


def _own() -> dict[str, str]:
    rooms = Path(tidemill.__file__).parents[1]
    # In a checkout the monitor lies beside; installed, both are in one folder.
    beside = rooms.parent / "monitoring"
    roots = [str(rooms), *([str(beside)] if (beside / "tidemill_monitor").is_dir() else [])]
    paths = [*roots, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    # Relative entries would mean another folder in a flow run's process.
    search = os.pathsep.join(str(Path(path).resolve()) for path in paths if path)
    return {"PYTHONPATH": search, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
