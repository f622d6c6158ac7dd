"""Prefect's HTTP API, as far as the monitor needs it: start a flow run, ask for it, call it off."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from tidemill.errors import ServiceUnavailable, UsageError

__all__ = ["DEPLOYMENT", "DeploymentMissing", "FlowRun", "PrefectApi"]

DEPLOYMENT = "retrain-on-drift/retrain-on-drift"

_SECONDS = 10.0
_FAILED = frozenset({"FAILED", "CRASHED", "MISSING"})
_CALLED_OFF = frozenset({"CANCELLING", "CANCELLED"})


class DeploymentMissing(UsageError):
    """The Prefect server does not know the deployment of the retraining."""

    retryable = True  # it may be deployed at any time


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A flow run as Prefect tells it.

    Parameters
    ----------
    id : str
    state : str
        Prefect's state type: SCHEDULED, PENDING, RUNNING, COMPLETED, FAILED, CRASHED, CANCELLED,
        ...; ``MISSING`` for one that was deleted.
    name : str
    """

    id: str
    state: str
    name: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended, or is gone, without having done its work, and nobody wanted that."""
        return self.state in _FAILED

    @property
    def called_off(self) -> bool:
        """Whether somebody cancelled it, ended or about to end."""
        return self.state in _CALLED_OFF

    @property
    def completed(self) -> bool:
        """Whether it ended well."""
        return self.state == "COMPLETED"


class PrefectApi:
    """One Prefect server.

    Parameters
    ----------
    api_url : str
        Ends with ``/api``.
    ui_url : str, optional
        Where people reach its pages; without it they are beside the API.

    Notes
    -----
    Credentials come from where Prefect itself takes them: ``PREFECT_API_KEY`` (a bearer token) or
    ``PREFECT_API_AUTH_STRING`` (``user:password``). They appear in no error.
    """

    def __init__(self, api_url: str, *, ui_url: str | None = None) -> None:
        self.api_url = api_url.rstrip("/")
        self._ui_url = (ui_url or self.api_url.removesuffix("/api")).rstrip("/")
        self._client = httpx.Client(
            base_url=self.api_url + "/",
            headers=_credentials(),
            auth=_basic(),
            timeout=_SECONDS,
            trust_env=False,
            follow_redirects=False,
        )

    def start(
        self,
        parameters: Mapping[str, Any],
        *,
        idempotency_key: str,
        deployment: str = DEPLOYMENT,
        tags: tuple[str, ...] = (),
    ) -> FlowRun:
        """Start a flow run of a deployment, or find the one that this key started before.

        Raises
        ------
        DeploymentMissing
            If the server does not know it.
        ServiceUnavailable
            If the server does not answer, or not as it should.
        """
        path = "/".join(quote(part, safe="") for part in deployment.split("/"))
        found = self._ask("GET", f"deployments/name/{path}")
        if found is None:
            raise DeploymentMissing(
                f"Prefect at {self.api_url} has no deployment {deployment}",
                remedy="deploy it: tidemill up does, or prefect deploy --all beside prefect.yaml",
                deployment=deployment,
            )
        document = {
            "parameters": dict(parameters),
            "idempotency_key": idempotency_key,
            "tags": list(tags),
        }
        run = self._ask("POST", f"deployments/{found['id']}/create_flow_run", document)
        if run is None:
            raise self._away("the deployment vanished while it was called")
        return _flow_run(run)

    def flow_run(self, flow_run_id: str) -> FlowRun:
        """How a flow run stands; ``MISSING`` if the server does not know it.

        Raises
        ------
        ServiceUnavailable
            If the server does not answer.
        """
        found = self._ask("GET", f"flow_runs/{quote(flow_run_id, safe='')}")
        return FlowRun(flow_run_id, "MISSING") if found is None else _flow_run(found)

    def cancel(self, flow_run_id: str) -> None:
        """Call a flow run off; one that has ended, or is gone, stays as it is.

        Prefect ends one that has not begun at once; of one that runs it tells the worker, which
        ends the process.

        Raises
        ------
        ServiceUnavailable
            If the server does not answer, or does not want it now.
        """
        document = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        path = f"flow_runs/{quote(flow_run_id, safe='')}/set_state"
        if (found := self._ask("POST", path, document, has="status")) is None:
            return
        if found["status"] == "WAIT":
            raise self._away("it wants the flow run to be called off later")

    def healthy(self) -> bool:
        """Whether the server answers now."""
        try:
            return self._client.get("health", timeout=2.0).is_success
        except httpx.HTTPError:
            return False

    def run_url(self, flow_run_id: str) -> str | None:
        """The page of a flow run in Prefect's UI; None where no server is known."""
        if not self.api_url:
            return None
        return f"{self._ui_url}/runs/flow-run/{flow_run_id}"

    def close(self) -> None:
        """Let go of the connections."""
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

    def _ask(
        self, method: str, path: str, document: Any = None, *, has: str = "id"
    ) -> dict[str, Any] | None:
        try:
            answer = self._client.request(method, path, json=document)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise self._away(f"no answer ({type(exc).__name__})") from exc
        if answer.status_code == 404:
            return None
        if not answer.is_success:
            raise self._away(f"it answered {answer.status_code}")
        try:
            found = answer.json()
        except ValueError as exc:
            raise self._away("what it answered is no JSON") from exc
        if not isinstance(found, dict) or has not in found:
            raise self._away("what it answered is not Prefect's")
        return found

    def _away(self, what: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"Prefect at {self.api_url} cannot be used: {what}",
            remedy="start the server (tidemill up) or correct PREFECT_API_URL; the monitor goes on "
            "by itself",
            service="prefect",
            address=self.api_url,
        )


def _flow_run(document: Mapping[str, Any]) -> FlowRun:
    state = document.get("state_type") or (document.get("state") or {}).get("type") or "PENDING"
    return FlowRun(str(document["id"]), str(state), str(document.get("name") or ""))


def _credentials() -> dict[str, str]:
    key = os.environ.get("PREFECT_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _basic() -> tuple[str, str] | None:
    text = os.environ.get("PREFECT_API_AUTH_STRING")
    if not text or os.environ.get("PREFECT_API_KEY"):
        return None
    user, _, password = text.partition(":")
    return user, password
