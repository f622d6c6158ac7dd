"""A monitor, spoken to over HTTP: what a retraining asks of it and tells it."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tidemill.errors import ServiceUnavailable, UsageError

if TYPE_CHECKING:
    import httpx
    import pyarrow as pa

__all__ = ["CREDENTIALS", "KEY_VARIABLE", "MonitorClient", "MonitorRefused", "find_monitor"]

ARROW = "application/vnd.apache.arrow.stream"
URL_VARIABLE, KEY_VARIABLE = "TIDEMILL_MONITOR_URL", "TIDEMILL_MONITOR_KEY"

CREDENTIALS = Path(".tidemill") / "monitor" / "credentials.json"
"""Below a workspace: address and key by which commands reach the monitor that serves it. The
monitor writes it, for its owner's eyes alone."""

DEFAULT_URL = "http://127.0.0.1:8010"
_MAX_WAIT_SECONDS = 60.0


class MonitorRefused(UsageError):
    """The monitor refused a request; ``fields`` has its status, code and detail."""


class MonitorClient:
    """Asks one monitor over HTTP, and tells it how a retraining went.

    Parameters
    ----------
    url : str
        Its address, for example ``http://127.0.0.1:8010``.
    key : str
        Shown in no error and no log.
    timeout_seconds : float
        For one answer.
    patience_seconds : float
        How long a request is repeated while the monitor is away or asks to wait.

    Notes
    -----
    A request that may be repeated is, after the time that ``Retry-After`` says.
    """

    def __init__(
        self, url: str, key: str, *, timeout_seconds: float = 60.0, patience_seconds: float = 60.0
    ) -> None:
        import httpx

        self.url = url.rstrip("/")
        self._patience = patience_seconds
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_seconds,
            trust_env=False,
            follow_redirects=False,
        )

    def get(self, path: str, **params: Any) -> Any:
        """The JSON document at ``path``."""
        given = {name: value for name, value in params.items() if value is not None}
        return self.request("GET", path, params=given).json()

    def post(self, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """Post JSON; the JSON answer, None if there is none."""
        answer = self.request("POST", path, json=dict(document or {}))
        return answer.json() if answer.content else None

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Ask until there is an answer that is no "later", or patience ends.

        Raises
        ------
        MonitorRefused
            If the answer is a refusal.
        ServiceUnavailable
            If there is none.
        """
        import httpx

        deadline = time.monotonic() + self._patience
        pause = 0.5
        while True:
            try:
                answer = self._client.request(method, path, **given)
                if answer.status_code not in (429, 503):
                    return self._accepted(answer)
                pause, why = _retry_after(answer), f"answers {answer.status_code}"
            except httpx.TransportError as exc:
                pause, why = min(pause * 2, 5.0), f"does not answer: {type(exc).__name__}"
            if time.monotonic() + pause > deadline:
                raise self._away(why)
            time.sleep(pause)

    def labelled(self, decision_id: str) -> Iterator[pa.RecordBatch]:
        """The labelled rows of a decision, batch by batch.

        Memory: one batch. An answer that breaks off raises ServiceUnavailable.
        """
        import httpx
        import pyarrow as pa

        path, params = "/v1/labelled", {"decision_id": decision_id}
        try:
            with self._client.stream(
                "GET", path, params=params, headers={"Accept": ARROW}
            ) as answer:
                if answer.status_code != 200:
                    answer.read()
                    self._accepted(answer)
                with pa.ipc.open_stream(_Reader(answer.iter_bytes(1 << 16))) as rows:
                    yield from rows
        except (httpx.TransportError, pa.ArrowInvalid) as exc:
            raise self._away(f"broke off: {type(exc).__name__}") from exc

    def report(self, decision_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Tell what became of a decision's flow run; the decision. The same again: no effect."""
        return self.post(f"/v1/decisions/{decision_id}/report", document) or {}

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accepted(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        problem = _problem(answer)
        detail = problem.get("detail") or problem.get("title") or answer.reason_phrase
        raise MonitorRefused(
            f"the monitor at {self.url} refuses {answer.request.method} "
            f"{answer.request.url.path}: {answer.status_code}, {detail}",
            remedy=str(problem.get("remedy") or _remedy(answer.status_code)),
            status=answer.status_code,
            problem=problem,
        )

    def _away(self, why: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"the monitor at {self.url} {why}",
            remedy="start it with `tidemill up`, then run the same again",
            service="monitor",
            address=self.url,
        )


def find_monitor(
    workspace: Path = Path(),
    url: str | None = None,
    key: str | None = None,
    *,
    patience_seconds: float = 10.0,
) -> MonitorClient:
    """The monitor that is named here, or by the environment, or that serves the workspace.

    Parameters
    ----------
    workspace : Path
        Its ``.tidemill/monitor/credentials.json`` tells address and key where neither the
        arguments nor TIDEMILL_MONITOR_URL and TIDEMILL_MONITOR_KEY do. Its key is told to its
        own address only.
    url, key : str or None

    Raises
    ------
    UsageError
        If there is no key, or the file that should tell it is damaged.
    """
    own = _credentials(workspace / CREDENTIALS)
    address = (url or os.environ.get(URL_VARIABLE) or own.get("url") or DEFAULT_URL).rstrip("/")
    secret = key or os.environ.get(KEY_VARIABLE)
    if not secret and address == own.get("url"):
        secret = own.get("key")
    if not secret and not own and (workspace / CREDENTIALS).is_file():
        raise UsageError(
            f"{workspace / CREDENTIALS} cannot be read as address and key of a monitor",
            remedy="start the workspace's monitor again, which writes it anew, or set "
            f"{URL_VARIABLE} and {KEY_VARIABLE}",
        )
    if not secret:
        raise UsageError(
            f"there is no key for the monitor at {address}",
            remedy="stand in the workspace whose monitor is running (or name it with "
            f"--workspace), or set {KEY_VARIABLE} to a key: `tidemill monitor keys create`",
        )
    return MonitorClient(address, secret, patience_seconds=patience_seconds)


def _credentials(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}  # no monitor has served this workspace, or it is another's
    whole = isinstance(found, dict) and all(isinstance(found.get(n), str) for n in ("url", "key"))
    return {name: found[name] for name in ("url", "key")} if whole else {}


def _retry_after(answer: httpx.Response) -> float:
    try:
        return min(max(float(answer.headers.get("Retry-After", "1")), 0.05), _MAX_WAIT_SECONDS)
    except ValueError:
        return 1.0


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _remedy(status: int) -> str:
    if status in (401, 403):
        return f"set {KEY_VARIABLE} to a key whose scope allows it"
    return "look at the monitor's log"


class _Reader(io.RawIOBase):
    """The bytes of an answer as a file, which Arrow reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [self._held], size - len(self._held)
        while size < 0 or wanted > 0:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            wanted -= len(piece)
        whole = b"".join(parts)
        if size < 0:
            self._held = b""
            return whole
        self._held = whole[size:]
        return whole[:size]
