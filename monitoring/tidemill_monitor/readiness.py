"""How each part is that the monitor leans on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import httpx

from tidemill.errors import TidemillError
from tidemill.ledger import Ledger
from tidemill_monitor.serving.champion import ChampionHolder
from tidemill_monitor.settings import MonitorSettings

__all__ = ["LeanedOn", "Part", "Readiness"]

_SECONDS = 2.0
_FRESH_SECONDS = 1.0
Part = dict[str, Any]
T = TypeVar("T")


class LeanedOn(Protocol):
    """What is asked how it is: the store, the champion, and what the settings name."""

    settings: MonitorSettings
    ledger: Ledger
    champion: ChampionHolder

    async def run(self, function: Callable[[], T]) -> T:
        """Call a blocking function in a thread."""


class Readiness:
    """Asks every part, at most once a second whoever wants to know.

    What it says is open to all: kinds of errors, no names and addresses.
    """

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._found: dict[str, Part] = {}
        self._until = 0.0

    async def parts(self, service: LeanedOn) -> dict[str, Part]:
        """Each part: ``ok``, ``needed`` (rows and predictions need it), and a ``detail``.

        The store and a champion are needed. Without MLflow the champion serves on; without
        Prefect decisions wait in the outbox.
        """
        async with self._asking:
            if time.monotonic() >= self._until:
                self._found = await _ask(service)
                self._until = time.monotonic() + _FRESH_SECONDS
            return self._found


async def _ask(service: LeanedOn) -> dict[str, Part]:
    ledger, mlflow, prefect, outbox = await asyncio.gather(
        _tried(service, lambda: service.ledger.probe(_SECONDS)),
        _reached(_web(service.settings.tracking_uri)),
        _reached(service.settings.prefect_api_url),
        _outbox(service),
    )
    return {
        "ledger": _part(ledger, needed=True),
        "champion": _champion(service),
        "mlflow": _part(mlflow, needed=False),
        "prefect": _part(prefect, needed=False),
        "outbox": _part(outbox, needed=False),
    }


def _part(wrong: str, *, needed: bool) -> Part:
    part: Part = {"ok": not wrong, "needed": needed}
    return {**part, "detail": wrong} if wrong else part


def _champion(service: LeanedOn) -> Part:
    champion, fault = service.champion.current, service.champion.fault
    if champion is None:
        return _part(f"none is loaded ({fault.code if fault else 'not tried yet'})", needed=True)
    part = {**_part("", needed=True), "version": champion.version}
    if fault is not None:
        part["detail"] = (
            f"version {champion.version} serves on: another cannot be loaded ({fault.code})"
        )
    return part


async def _tried(service: LeanedOn, call: Callable[[], object]) -> str:
    try:
        async with asyncio.timeout(2 * _SECONDS):
            await service.run(call)
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


async def _outbox(service: LeanedOn) -> str:
    try:
        counts = await service.run(service.ledger.outbox.counts)
    except TidemillError as error:
        return error.code
    dead = counts.get("dead", 0)
    return f"{dead} messages were given up: tidemill monitor replay-webhooks" if dead else ""
