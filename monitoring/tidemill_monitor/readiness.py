"""How each part is that the monitor leans on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import httpx

from tidemill.errors import TidemillError
from tidemill.ledger import Ledger
from tidemill_monitor.monitor_settings import MonitorSettings
from tidemill_monitor.serving.champion import ChampionHolder

__all__ = ["Asked", "Part", "Readiness", "leaned_on"]

_SECONDS = 2.0
_FRESH_SECONDS = 1.0
Part = dict[str, Any]
Asked = Callable[[], Awaitable[Part]]


class Readiness:
    """Asks every part, at most once a second whoever wants to know.

    Parameters
    ----------
    asked : mapping of str to callable
        How each part is asked how it is (:func:`leaned_on`).

    Notes
    -----
    What it says is open to all: kinds of errors, no names and addresses.
    """

    def __init__(self, asked: Mapping[str, Asked]) -> None:
        self._asked = dict(asked)
        self._asking = asyncio.Lock()
        self._found: dict[str, Part] = {}
        self._until = 0.0

    async def parts(self) -> dict[str, Part]:
        """Each part: ``ok``, ``needed`` (rows and predictions need it), and a ``detail``."""
        async with self._asking:
            if time.monotonic() >= self._until:
                found = await asyncio.gather(*(ask() for ask in self._asked.values()))
                self._found = dict(zip(self._asked, found, strict=True))
                self._until = time.monotonic() + _FRESH_SECONDS
            return self._found


def leaned_on(
    settings: MonitorSettings, ledger: Ledger, champion: ChampionHolder, pool: Executor
) -> dict[str, Asked]:
    """What the monitor leans on, each with how it is asked.

    The store and a champion are needed. Without MLflow the champion serves on; without Prefect
    decisions wait in the outbox. What blocks is asked in ``pool``.
    """

    async def store() -> Part:
        return _part(await _tried(pool, lambda: ledger.probe(_SECONDS)), needed=True)

    async def serving() -> Part:
        return _champion(champion)

    async def mlflow() -> Part:
        return _part(await _reached(_web(settings.tracking_uri)), needed=False)

    async def prefect() -> Part:
        return _part(await _reached(settings.prefect_api_url), needed=False)

    async def outbox() -> Part:
        return _part(await _given_up(pool, ledger), needed=False)

    return {
        "ledger": store,
        "champion": serving,
        "mlflow": mlflow,
        "prefect": prefect,
        "outbox": outbox,
    }


def _part(wrong: str, *, needed: bool) -> Part:
    part: Part = {"ok": not wrong, "needed": needed}
    return {**part, "detail": wrong} if wrong else part


def _champion(holder: ChampionHolder) -> Part:
    champion, fault = holder.current, holder.fault
    if champion is None:
        return _part(f"none is loaded ({fault.code if fault else 'not tried yet'})", needed=True)
    part = {**_part("", needed=True), "version": champion.version}
    if fault is not None:
        part["detail"] = (
            f"version {champion.version} serves on: another cannot be loaded ({fault.code})"
        )
    return part


async def _tried(pool: Executor, call: Callable[[], object]) -> str:
    try:
        async with asyncio.timeout(2 * _SECONDS):
            await asyncio.get_running_loop().run_in_executor(pool, call)
    except TidemillError as error:
        return error.code
    except TimeoutError:
        return "it does not answer in time"
    return ""


def _web(uri: str) -> str | None:
    return uri if uri.startswith(("http://", "https://")) else None


async def _reached(address: str | None) -> str:
    if address is None:
        return ""
    try:
        # Its own limit is for each read: one that drips would hold us for ever.
        async with (
            asyncio.timeout(2 * _SECONDS),
            httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client,
        ):
            found = await client.get(address.rstrip("/") + "/health")
    except TimeoutError:
        return "it does not answer in time"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"it does not answer ({type(error).__name__})"
    return "" if found.status_code < 500 else f"it answers {found.status_code}"


async def _given_up(pool: Executor, ledger: Ledger) -> str:
    try:
        counts = await asyncio.get_running_loop().run_in_executor(pool, ledger.outbox.counts)
    except TidemillError as error:
        return error.code
    dead = counts.get("dead", 0)
    return f"{dead} messages were given up: tidemill monitor replay-webhooks" if dead else ""
