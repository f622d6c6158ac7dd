"""What comes from the environment: machine and services, never the meaning of a result."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.errors import UsageError

__all__ = ["APART", "CLIENTS", "Settings", "load_settings", "told_clients"]

APART = "TIDEMILL_APART"
"""Marks, in a process's environment, a server whose memory is not that of a stage."""

CLIENTS = Path(".tidemill", "up", "clients.sh")
"""What `tidemill up` writes into a workspace for shells: where its services answer."""


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cache_dir() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return home.expanduser() / "tidemill"
    except RuntimeError:  # a user without a home, as in a container
        return Path(tempfile.gettempdir()) / "tidemill-cache"


class Settings(BaseSettings):
    """Machine and services.

    Parameters
    ----------
    workers : int
        Processes at once (``TIDEMILL_WORKERS``); results do not depend on it.
    engine : str
        What runs them (``TIDEMILL_ENGINE``, ``--engine``): ``local``, ``dask``, ``spark``, an
        engine of another package, or ``module:Name``, with ``://ADDRESS`` behind it; results do
        not depend on it.
    engine_setting : str
        What named it.
    cache_dir, cache_gb : Path, float
        Where copies of what lies in a store apart are kept on this machine
        (``TIDEMILL_CACHE_DIR``), and how much at most (``TIDEMILL_CACHE_GB``).
    mlflow_tracking_uri : str or None
        ``MLFLOW_TRACKING_URI``; None means the workspace's own sqlite store.
    prefect_api_url : str or None
        ``PREFECT_API_URL``; None means a temporary server for each run.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_", frozen=True, extra="ignore")

    workers: int = Field(default_factory=_usable_cores, ge=1, le=256)
    engine: str = Field("local", min_length=1)
    engine_setting: str = "TIDEMILL_ENGINE"
    cache_dir: Path = Field(default_factory=_cache_dir)
    cache_gb: float = Field(20.0, gt=0)
    mlflow_tracking_uri: str | None = Field(None, validation_alias="MLFLOW_TRACKING_URI")
    prefect_api_url: str | None = Field(None, validation_alias="PREFECT_API_URL")

    @property
    def cache_bytes(self) -> int:
        """Bytes of copies that are kept on this machine."""
        return int(self.cache_gb * 2**30)

    def tracking_uri(self, root: Path) -> str:
        """The MLflow store of the workspace at ``root``."""
        return self.mlflow_tracking_uri or f"sqlite:///{root / 'mlflow.db'}"

    def mlflow_pages(self, root: Path) -> str:
        """Where `tidemill up` serves the workspace's own store, or served it last, or would."""
        told = told_clients(root)
        own = told.get("MLFLOW_TRACKING_URI") if "MLFLOW_TRACKING_PASSWORD" in told else None
        return own or "http://127.0.0.1:5000"


def load_settings(*, engine: str | None = None, engine_setting: str = "--engine") -> Settings:
    """Read the environment now (never at import); a given ``engine`` wins over its own.

    Raises
    ------
    UsageError
        If a variable has a value that it cannot have.
    """
    try:
        if engine is None:
            return Settings()
        return Settings(engine=engine, engine_setting=engine_setting)
    except ValidationError as exc:
        problem = exc.errors()[0]
        name = str(problem["loc"][0])
        variable = engine_setting if name == "engine" and engine is not None else _variable(name)
        raise UsageError(
            f"{variable}: {problem['msg']} (given: {problem['input']!r})",
            remedy=f"correct {variable}, or leave it out",
            setting=variable,
        ) from exc


def _variable(field: str) -> str:
    return field if field.isupper() else f"TIDEMILL_{field.upper()}"


def told_clients(root: Path) -> dict[str, str]:
    """What a workspace's ``tidemill up`` told its clients last; empty before the first time."""
    try:
        text = (root / CLIENTS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return dict(re.findall(r"^export ([A-Z_]+)='([^'\n]*)'$", text, re.MULTILINE))
