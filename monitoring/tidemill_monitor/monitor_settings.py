"""What the monitor is told by its environment: where it listens, where it stores, its limits."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["LOOPBACK", "MonitorSettings", "is_loopback"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class MonitorSettings(BaseSettings):
    """Settings of the service, each from ``TIDEMILL_MONITOR_<NAME>`` unless said otherwise.

    Parameters
    ----------
    workspace : Path
        The folder with params.yaml.
    store : str or None
        A SQLAlchemy address; None is a SQLite file below the workspace.
    url : str or None
        Where flows reach the monitor to report back; None is made of ``host`` and ``port``.
    public_url : str or None
        Where people reach it: the address of links in alerts and notices; None is ``url``.
    mlflow_public_url, prefect_public_url : str or None
        Where people reach MLflow and Prefect's UI, for links; None are the addresses by which
        the monitor itself reaches them.
    host, port : str, int
        Where to listen. Any other host than this machine needs a key in the store.
    allowed_hosts : str
        Names, divided by commas, that requests may address beside this machine, ``host`` and
        the host of ``public_url``.
    keys_file : Path or None
        A file of keys to take up at start (a secret of a container): one ``scope tm_id_secret``
        a line.
    max_body_bytes, max_rows : int
        Of one request; bytes are counted as they stream in, and again once decompressed.
    inflight_bytes : int
        Bodies that are held at once; beyond it requests are asked to come back.
    queue_bytes : int
        Rows that wait for their commit.
    rate_requests, rate_rows : float
        Each key's allowance a second; bursts of two seconds are let through.
    oldest_at : datetime
        Event times before it are refused.
    max_future_seconds : int
        Event times further ahead of the clock are refused.
    believe_clock : bool
        The clock is right although it is far from what the ledger saw last: the monitor was away.
    secure_cookies : bool or None
        None: cookies are Secure where the request came by https.
    session_hours : float
        A browser's login lasts so long.
    threads : int
        Of the pool that parses, scores and reads the store.
    mlflow_tracking_uri, prefect_api_url : str or None
        ``MLFLOW_TRACKING_URI`` and ``PREFECT_API_URL``, as everywhere in tidemill.
    webhook_secret : str or None
        What outside systems sign ``POST /v1/retrain`` with.
    """

    model_config = SettingsConfigDict(
        env_prefix="TIDEMILL_MONITOR_", frozen=True, extra="ignore", populate_by_name=True
    )

    workspace: Path = Path()
    store: str | None = Field(None, repr=False)
    url: str | None = None
    public_url: str | None = None
    mlflow_public_url: str | None = None
    prefect_public_url: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(8010, ge=0, le=65_535)
    allowed_hosts: str = ""
    keys_file: Path | None = None
    max_body_bytes: int = Field(32 << 20, ge=1024)
    max_rows: int = Field(50_000, ge=1)
    inflight_bytes: int = Field(96 << 20, ge=1024)
    queue_bytes: int = Field(256 << 20, ge=1024)
    rate_requests: float = Field(2_000.0, gt=0)
    rate_rows: float = Field(500_000.0, gt=0)
    oldest_at: dt.datetime = _EPOCH
    max_future_seconds: int = Field(3600, ge=0)
    believe_clock: bool = False
    secure_cookies: bool | None = None
    session_hours: float = Field(12.0, gt=0)
    tick_seconds: float = Field(1.0, gt=0)
    threads: int = Field(4, ge=1, le=64)
    webhook_secret: str | None = Field(None, repr=False)
    mlflow_tracking_uri: str | None = Field(
        None, validation_alias="MLFLOW_TRACKING_URI", repr=False
    )
    prefect_api_url: str | None = Field(None, validation_alias="PREFECT_API_URL")

    @field_validator("oldest_at")
    @classmethod
    def _in_utc(cls, value: dt.datetime) -> dt.datetime:
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)

    @property
    def root(self) -> Path:
        """The workspace's folder, absolute."""
        return self.workspace.absolute()

    @property
    def folder(self) -> Path:
        """Where the monitor keeps what is its own."""
        return self.root / ".tidemill" / "monitor"

    @property
    def store_url(self) -> str:
        """The ledger's address: as set, else SQLite in the monitor's own folder."""
        return self.store or f"sqlite:///{self.folder / 'ledger.db'}"

    @property
    def report_url(self) -> str:
        """Where flows report back."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        shown = f"[{host}]" if ":" in host else host
        return (self.url or f"http://{shown}:{self.port}").rstrip("/")

    @property
    def link_url(self) -> str:
        """The dashboard, as people reach it."""
        return (self.public_url or self.report_url).rstrip("/")

    @property
    def mlflow_link(self) -> str | None:
        """MLflow's pages, as people reach them; None where it is a file and no server."""
        known = self.mlflow_public_url or self.tracking_uri
        return known.rstrip("/") if known.startswith(("http://", "https://")) else None

    @property
    def prefect_link(self) -> str | None:
        """Prefect's pages, as people reach them; None where no server is known."""
        api = (self.prefect_api_url or "").rstrip("/").removesuffix("/api")
        return (self.prefect_public_url or api).rstrip("/") or None

    @property
    def tracking_uri(self) -> str:
        """The MLflow store that holds the champion."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def hosts(self) -> frozenset[str]:
        """Lower-case host names that a request may address."""
        named = {name.strip().lower() for name in self.allowed_hosts.split(",")}
        named.add(urlsplit(self.public_url or "").hostname or "")
        return frozenset({*LOOPBACK, self.host.lower(), *named} - {"", "0.0.0.0", "::"})  # noqa: S104


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``.

    >>> is_loopback("127.0.0.2"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
