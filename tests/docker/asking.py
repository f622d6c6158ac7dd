"""What a person asks of running services, with the secrets of the stack."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request

PATIENCE_SECONDS = 900.0


def secret(stack, name: str) -> str:
    return (stack.here.secrets / name).read_text().strip()


def ask(address: str, document=None, *, basic=None, bearer=None, headers=None):
    """The answer's status and JSON."""
    headers = {"content-type": "application/json", **(headers or {})}
    if basic:
        headers["authorization"] = "Basic " + base64.b64encode(basic.encode()).decode()
    if bearer:
        headers["authorization"] = f"Bearer {bearer}"
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(address, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode(errors="replace")


def run_deployment(stack, name: str) -> str:
    """Start a deployment as a person would; the id of the flow run that completed."""
    api, basic = stack.here.url(4200, "api"), secret(stack, "prefect_auth")
    _, deployment = ask(f"{api}/deployments/name/{name}", basic=basic)
    _, run = ask(f"{api}/deployments/{deployment['id']}/create_flow_run", {}, basic=basic)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (state := ask(f"{api}/flow_runs/{run['id']}", basic=basic)[1])["state_type"] not in (
        "COMPLETED",
        "FAILED",
        "CRASHED",
    ):
        assert time.monotonic() < deadline, state["state"]
        time.sleep(0.5)
    assert state["state_type"] == "COMPLETED", (state["state"], stack.log("worker").read_text())
    return run["id"]
