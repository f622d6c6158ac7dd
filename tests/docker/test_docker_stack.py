"""The services of ours, as compose.yaml writes them, run as processes and do their work."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import re
import time

import boto3
import httpx
import psutil
import psycopg
import pytest
import websockets.sync.client
from botocore.config import Config
from botocore.exceptions import ClientError
from standardwebhooks.webhooks import Webhook
from tests.docker.asking import PATIENCE_SECONDS, ask, run_deployment, secret
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tidemill.samples import write_sample
from tidemill.testing.tcp_ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

OURS = ("prefect", "mlflow", "setup", "worker", "monitor")


def rows(stack, database: str, role: str, query: str) -> list[tuple]:
    """What a query says, asked with the role's own password."""
    host, port = stack.here.place(5432)
    with psycopg.connect(
        host=host,
        port=port,
        dbname=database,
        user=role,
        password=secret(stack, f"db_{role}"),
    ) as connection:
        return connection.execute(query).fetchall()


def store(stack, name: str):
    """A client of the store with the keys of a service."""
    profile = dict(re.findall(r"(aws_\w+) = (\S+)", secret(stack, f"s3_{name}")))
    own = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    place = stack.here.url(8333)
    return boto3.client("s3", endpoint_url=place, region_name="us-east-1", config=own, **profile)


def objects(stack, bucket: str) -> list[str]:
    """Names of what a bucket holds."""
    client = store(stack, "admin")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


@pytest.fixture(scope="module")
def trained(stack):
    """The main job has run through its deployment."""
    return run_deployment(stack, "train-model/train-model")


def test_the_main_job_registers_a_champion_in_postgresql_and_s3(stack, trained):
    """The deployment makes a champion: its record in PostgreSQL, every file of it in S3."""
    ((name, source),) = rows(
        stack,
        "mlflow",
        "mlflow",
        "select v.name, v.storage_location from registered_model_aliases a join model_versions v"
        " on v.name = a.name and v.version = a.version where a.alias = 'champion'",
    )
    assert name == "rides"
    assert source.startswith("s3://mlflow/artifacts/")
    prefix = source.removeprefix("s3://mlflow/")
    assert f"{prefix}/model.skops" in objects(stack, "mlflow")
    assert not list(stack.here.workspace.glob("mlflow.db*"))


def test_artifacts_never_depend_on_the_server(stack, trained):
    """No experiment, run or model has an address of MLflow's server as its place."""
    places = rows(
        stack,
        "mlflow",
        "mlflow",
        "select artifact_location from experiments union select artifact_uri from runs"
        " union select artifact_location from logged_models",
    )
    assert places
    assert {place.partition(":")[0] for (place,) in places} == {"s3"}


def test_data_are_pushed_to_the_remote(stack, trained):
    """`dvc push` in the worker's place reaches S3, with no setting in the workspace."""
    pushed = stack.run("worker", "dvc", "push")
    assert "pushed" in pushed
    assert "in sync" in stack.run("worker", "dvc", "status", "--cloud")
    assert all(name.startswith("cache/files/md5/") for name in objects(stack, "dvc"))
    assert "remote" not in (stack.here.workspace / ".dvc" / "config").read_text()


def test_the_monitor_serves_what_it_may_only_read(stack, trained):
    """Its MLflow user loads the champion, through the safe loader from S3, and cannot move it."""
    status = await_champion(stack, 1)
    assert status["model"] == "rides"

    user = f"monitor:{secret(stack, 'mlflow_monitor')}"
    move = {"name": "rides", "alias": "champion", "version": "1"}
    place = stack.here.url(5000, "api/2.0/mlflow/registered-models/alias")
    assert ask(place, move, basic=user)[0] == 403
    assert ask(place, move, basic=f"worker:{secret(stack, 'mlflow_worker')}")[0] == 200


def await_champion(stack, version: int) -> dict:
    """The monitor's status, once it serves the version."""
    address, key = stack.here.url(8010, "v1/status"), secret(stack, "monitor_worker_key")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        code, status = ask(address, bearer=key)
        if code == 200 and (status["champion"] or {}).get("version") == version:
            return status
        assert time.monotonic() < deadline, status
        time.sleep(1)


def test_nobody_gets_in_without_a_password(stack):
    """Prefect, MLflow and the monitor refuse; a role opens no database but its own."""
    refused = {
        "prefect": ask(stack.here.url(4200, "api/flows/filter"), {}),
        "mlflow": ask(stack.here.url(5000, "api/2.0/mlflow/experiments/get?experiment_id=0")),
        "monitor": ask(stack.here.url(8010, "v1/status")),
    }
    assert {name: code for name, (code, _) in refused.items()} == dict.fromkeys(refused, 401)
    with pytest.raises(psycopg.OperationalError):
        rows(stack, "mlflow", "monitor", "select 1")


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, None),
        ({"origin": "{own}"}, None),
        ({"host": "{service}:80"}, None),
        ({"host": "evil.example"}, 421),
        ({"host": "{service}.evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    ],
)
def test_a_page_of_elsewhere_reaches_nothing_with_the_secret_in_hand(stack, headers, refusal):
    """Another host or origin is refused by each service; its own names and pages are not."""
    for name, (port, path, given) in doors(stack).items():
        own = stack.here.url(port).rstrip("/")
        sent = {key: text.format(own=own, service=name) for key, text in headers.items()}
        code, _ = ask(f"{own}/{path}", headers={**given, **sent})
        assert code == (refusal or 200), (name, headers)


def doors(stack) -> dict[str, tuple[int, str, dict[str, str]]]:
    """Of each service: its port, a page that asks for a secret, and the header that opens it."""

    def basic(text: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    admin = f"admin:{secret(stack, 'mlflow_admin')}"
    monitor = {"authorization": f"Bearer {secret(stack, 'monitor_worker_key')}"}
    return {
        "prefect": (4200, "api/admin/version", basic(secret(stack, "prefect_auth"))),
        "mlflow": (5000, "api/2.0/mlflow/experiments/get?experiment_id=0", basic(admin)),
        "monitor": (8010, "v1/status", monitor),
    }


@pytest.mark.parametrize("port", [4200, 5000, 8010])
def test_a_websocket_of_elsewhere_is_refused(stack, port):
    """No handshake from a foreign page, and none without a secret."""
    address = stack.here.url(port, "api/events/in").replace("http", "ws")
    for origin, token in (("http://evil.example", secret(stack, "prefect_auth")), (None, "wrong")):
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            greet(address, origin, token)


def greet(address: str, origin: str | None, token: str) -> None:
    """Prefect's greeting, as far as an answer to it."""
    kind = ["prefect"]
    with websockets.sync.client.connect(address, origin=origin, subprotocols=kind) as one:
        one.send(json.dumps({"type": "auth", "token": token}))
        one.recv(timeout=30)


def test_mlflow_asks_for_a_user_on_routes_of_every_kind(stack):
    """Also where its own user store has no rule: closed, not open."""
    kinds = ["", "version", "graphql", "ajax-api/3.0/mlflow/assistant/config", "gateway/x"]
    kinds += ["api/3.0/mlflow/jobs/1", "v1/traces", "ajax-api/2.0/mlflow/upload-artifact"]
    for path in kinds:
        for document in (None, {}):
            code, _ = ask(stack.here.url(5000, path), document)
            assert code in (401, 403, 404, 405), (path, document, code)


def test_prefects_pages_open_with_its_password(stack):
    """Without it a form; with it the whole interface, from a root that cannot be written."""
    own = stack.here.url(4200).rstrip("/")
    with httpx.Client(base_url=own, headers={"accept": "text/html"}, trust_env=False) as browser:
        assert browser.get("/").status_code == 401
        password = {"password": secret(stack, "prefect_auth")}
        assert browser.post("/tidemill/open", data=password).status_code == 200
        page = browser.get("/", follow_redirects=True)
        assert (page.status_code, "<script" in page.text) == (200, True)
        settings = browser.get("/ui-settings").json()
        assert (settings["api_url"], settings["auth"]) == (f"{own}/api", None)


def test_a_prefect_without_its_pages_is_ill(stack):
    """Its own health stays good where it cannot lay its pages down; the health check does not."""
    if stack.in_containers or not stack.confined:
        pytest.skip("shown with processes, by root with unshare and setpriv")
    service, (port,) = stack.services["prefect"], free_ports(1)
    words = [*service["command"][:-1], str(port)]
    environment = stack.environment("prefect")
    environment["PREFECT_SERVER_UI_STATIC_DIRECTORY"] = "/usr/prefect-ui"
    command = stack.command("prefect", words)
    process = stack.hold("prefect-blind", command, environment, stack.working("prefect"))
    own, deadline = f"http://127.0.0.1:{port}/", time.monotonic() + PATIENCE_SECONDS
    while not healthy(f"{own}api/health"):
        assert process.poll() is None, stack.log("prefect-blind").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    *check, address = service["healthcheck"]["test"][1:]
    assert stack.check("prefect", [*check, address]).returncode == 0
    done = stack.check("prefect", [*check, own])
    assert (done.returncode, done.stderr) == (1, f"{own}: HTTP Error 404: Not Found\n")
    process.terminate()


def healthy(address: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(address, trust_env=False).status_code == 200
    return False


def test_no_process_shows_a_secret(stack):
    """Logs and command lines hold none of the secrets."""
    words = {
        part
        for path in stack.here.secrets.iterdir()
        for part in path.read_text().replace(":", " ").replace('"', " ").split()
        if len(part) > 40
    }
    assert len(words) > 15
    logs = "".join(stack.log(name).read_text(errors="replace") for name in OURS)
    assert not [word for word in words if word in logs]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            assert not [word for word in words if word in line], line


def test_a_service_is_as_confined_as_here_it_can_be(stack):
    """User 10001 without rights; the root file system is read-only, /tmp and the workspace not."""
    if not stack.confined:
        pytest.skip("needs root, unshare and setpriv")
    script = (
        "id -u; grep CapBnd /proc/self/status; for f in /opt/tidemill /usr $TMPDIR /workspace; "
        'do touch "$f/trial" 2>/dev/null && echo yes || echo no; done; rm -f /workspace/trial'
    )
    said = stack.run("worker", "sh", "-c", script).split()
    assert said == ["10001", "CapBnd:", "0" * 16, "no", "no", "yes", "yes"]


def test_one_retraining_through_the_monitor(stack, trained):
    """Live rows, their truth, a signed request: Prefect retrains, the monitor serves the winner."""
    await_champion(stack, 1)
    for file in write_sample(stack.here.workspace / "live", rows=1500, months=3, seed=8):
        file.write_text(file.read_text().replace("\n1000", "\n7000"))  # ids of their own
    played = json.loads(
        stack.run(
            *("worker", "tidemill", "monitor", "replay", "--input", "/workspace/live", "--json"),
            TIDEMILL_MONITOR_KEY=secret(stack, "monitor_keys").split()[1],
        )
    )
    assert played["labels"] > 1000

    decision = ended(stack, requested(stack))
    assert decision["state"] == "finished", (decision, stack.log("worker").read_text()[-4000:])
    versions = rows(
        stack,
        "mlflow",
        "mlflow",
        "select version, storage_location from model_versions where name = 'rides' order by 1",
    )
    assert [number for number, _ in versions] == [1, decision["challenger_version"]]
    assert versions[1][1].startswith("s3://mlflow/artifacts/")
    await_champion(stack, versions[1][0] if decision["promoted"] else 1)


def requested(stack) -> int:
    """A retraining asked for by a signed webhook: the decision."""
    body, now = json.dumps({"reason": "asked from outside"}), dt.datetime.now(dt.UTC)
    headers = {
        "webhook-id": "request-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret(stack, "monitor_webhook")).sign("request-1", now, body),
    }
    code, answer = ask(stack.here.url(8010, "v1/retrain"), json.loads(body), headers=headers)
    assert code == 202, answer
    return answer["decision_id"]


def ended(stack, decision_id: int) -> dict:
    """The decision, once it is closed."""
    key, deadline = secret(stack, "monitor_worker_key"), time.monotonic() + PATIENCE_SECONDS
    while True:
        _, listed = ask(stack.here.url(8010, "v1/decisions"), bearer=key)
        (found,) = [one for one in listed["items"] if one["id"] == decision_id]
        if found["closed_at"]:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(1)


@pytest.fixture
def containers(stack):
    """The stack, where it runs in containers."""
    if not stack.in_containers:
        pytest.skip("shown with containers")
    return stack


def test_the_image_is_small(containers, images):
    """Below 1.2 GB, as its record says; what runs is what the record names."""
    record = images.record["tidemill:0.1.0"]
    assert record["size_bytes"] < 1.2e9
    assert f"sha256:{containers.inspect('worker')['Image']}" == record["id"]


def test_every_library_of_the_image_can_be_loaded(containers):
    """What was taken out was needed by no other, and stripping broke none."""
    script = """
import ctypes, os, pathlib
paths = [str(path) for path in pathlib.Path("/opt/venv").rglob("*.so*")]
for path in paths:
    try:
        ctypes.CDLL(path)
    except OSError as exc:
        print(path, exc)
print(len(paths) > 300, flush=True)
os._exit(0)  # some do not like to be taken down by a Python that never imported them
"""
    assert containers.exec("worker", "python", "-c", script) == "True\n"


def test_the_private_network_leads_nowhere(containers):
    """Without a way out where no port is published; with one for the monitor's alerts."""
    routes = {name: containers.exec(name, "cat", "/proc/net/route") for name in OURS[3:]}
    ways = {name: [line.split()[1] for line in text.splitlines()] for name, text in routes.items()}
    assert {name: "00000000" in way for name, way in ways.items()} == {
        "worker": False,
        "monitor": True,
    }


def test_keys_of_the_store_open_what_is_written(containers, trained):
    """The store itself refuses: the monitor writes no model, the worker sees no archive."""
    for name, ask_for, refused in (
        ("monitor", lambda one: one.list_objects_v2(Bucket="mlflow"), False),
        ("monitor", lambda one: one.put_object(Bucket="mlflow", Key="x", Body=b""), True),
        ("monitor", lambda one: one.list_objects_v2(Bucket="dvc"), True),
        ("worker", lambda one: one.list_objects_v2(Bucket="dvc"), False),
        ("worker", lambda one: one.list_objects_v2(Bucket="archive"), True),
        ("mlflow", lambda one: one.put_object(Bucket="mlflow", Key="x", Body=b""), True),
    ):
        with pytest.raises(ClientError) if refused else contextlib.nullcontext():
            ask_for(store(containers, name))


def test_each_service_is_well_again_after_a_restart(containers, trained):
    """One after the other; what it holds is still there, and so are those that need it."""
    services = [name for name in containers.services if name != "setup"]
    for name in services:
        containers.restart(name)
        for one in services:
            containers.await_healthy(one)
    containers.restart("setup")
    assert containers.wait("setup") == 0
    names = rows(containers, "mlflow", "mlflow", "select distinct name from model_versions")
    assert names == [("rides",)]
    run_deployment(containers, "train-model/train-model")
    address, key = containers.here.url(8010, "v1/status"), secret(containers, "monitor_worker_key")
    status = ask(address, bearer=key)[1]
    assert (status["model"], status["champion"]["trouble"]) == ("rides", None)
