"""What comes from the environment: machine and services, never the meaning of a result."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["APART", "Settings", "load_settings"]

APART = "TIDEMILL_APART"
"""Marks, in a process's environment, a server whose memory is not that of a stage."""


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """Machine and services.

    Parameters
    ----------
    workers : int
        Processes at once (``TIDEMILL_WORKERS``); results do not depend on it.
    mlflow_tracking_uri : str or None
        ``MLFLOW_TRACKING_URI``; None means the workspace's own sqlite store.
    prefect_api_url : str or None
        ``PREFECT_API_URL``; None means a temporary server for each run.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_", frozen=True, extra="ignore")

    workers: int = Field(default_factory=_usable_cores, ge=1, le=256)
    mlflow_tracking_uri: str | None = Field(None, validation_alias="MLFLOW_TRACKING_URI")
    prefect_api_url: str | None = Field(None, validation_alias="PREFECT_API_URL")

    def tracking_uri(self, root: Path) -> str:
        """The MLflow store of the workspace at ``root``."""
        return self.mlflow_tracking_uri or f"sqlite:///{root / 'mlflow.db'}"


def load_settings() -> Settings:
    """Read the environment now (never at import)."""
    return Settings()
