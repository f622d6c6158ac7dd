"""The secret of an installation, and what its processes get to see."""

from __future__ import annotations

import os

import httpx
import pytest

from tidemill.errors import ConfigError, ServiceUnavailable
from tidemill.orchestration import links, services
from tidemill.orchestration.environments import flow_environment
from tidemill.orchestration.owner import Installation, known_auth
from tidemill.settings import Settings, told_clients
from tidemill.storage import Workspace

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws",
    "AZURE_STORAGE_KEY": "azure",
    "DATABASE_URL": "postgresql://u:p@h/d",
    "GITHUB_TOKEN": "github",
    "GOOGLE_APPLICATION_CREDENTIALS": "/google.json",
    "HTTPS_PROXY": "http://u:p@proxy",
    "MLFLOW_TRACKING_PASSWORD": "mine",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "flask",
    "PGPASSWORD": "pg",
    "PREFECT_API_KEY": "cloud",
    "PREFECT_SERVER_DATABASE_PASSWORD": "db",
    "PREFECT_LOGGING_TOKEN": "log",
    "SLACK_WEBHOOK": "https://hooks.example/secret",
    "TIDEMILL_MONITOR_KEY": "operate everything",
    "TIDEMILL_MONITOR_WEBHOOK_SECRET": "whsec",
    "TIDEMILL_OWNER_CREDENTIAL": "a:b",
}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Workspace:
    """A workspace of an owner with many secrets."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    monkeypatch.setenv("TIDEMILL_WORKERS", "3")
    (tmp_path / "params.yaml").write_text("dataset: {name: rides, source: a.csv, target: y}\n")
    return Workspace.at(tmp_path)


@pytest.fixture
def at() -> services.Addresses:
    """Addresses of an installation of our own."""
    return services.Addresses.of(Settings(MLFLOW_TRACKING_URI=None), "127.0.0.1", 4200, 5000, 8010)


def test_the_worker_has_what_flows_need_and_no_more(place, at):
    """Credentials of Prefect and MLflow, the monitor's lesser key; none of the owner's secrets."""
    owner = Installation.of(place)
    seen = services.worker(place, at, owner, "tm_worker").environment

    assert seen["PREFECT_API_AUTH_STRING"] == owner.credential("prefect")
    assert seen["MLFLOW_TRACKING_PASSWORD"] == owner.password("mlflow")
    assert seen["TIDEMILL_MONITOR_KEY"] == "tm_worker"
    assert (seen["PREFECT_LOGGING_LEVEL"], seen["TIDEMILL_WORKERS"]) == ("DEBUG", "3")
    assert seen["PATH"]
    everything = "\n".join(seen.values())
    assert [value for value in SECRETS.values() if value in everything.splitlines()] == []
    assert owner.secret not in everything
    assert "PREFECT_API_KEY" not in seen


def test_keys_of_a_store_come_along_where_it_is_named(place, monkeypatch):
    """An address in params.yaml brings the keys of its kind; the owner may name others."""
    place.params.write_text("dataset: {name: rides, source: 's3://bucket/a', target: y}\n")
    found = flow_environment(place, foreign_mlflow=False)
    assert found["AWS_SECRET_ACCESS_KEY"] == "aws"
    assert {"AZURE_STORAGE_KEY", "GITHUB_TOKEN", "PGPASSWORD"} & set(found) == set()

    place.params.write_text("dataset: {name: rides, source: a.csv, target: y}\n")
    monkeypatch.setenv("TIDEMILL_WORKER_ENVIRONMENT", "GITHUB_TOKEN, PG*")
    found = flow_environment(place, foreign_mlflow=False)
    assert (found["GITHUB_TOKEN"], found["PGPASSWORD"]) == ("github", "pg")
    assert "AWS_SECRET_ACCESS_KEY" not in found

    # An MLflow of the owner's own is opened with the owner's credentials.
    found = flow_environment(place, foreign_mlflow=True)
    assert found["MLFLOW_TRACKING_PASSWORD"] == "mine"


def test_each_service_knows_its_own_credential_only(place, at):
    """A service's process holds no other service's password, and not what both come from."""
    owner = Installation.of(place)
    settings = Settings(MLFLOW_TRACKING_URI=at.mlflow_uri)
    prefect = services.prefect_server(at, owner, place.root)
    mlflow = services.mlflow_server(place, settings, at, owner)
    for service, own, other in ((prefect, "prefect", "mlflow"), (mlflow, "mlflow", "prefect")):
        everything = "\n".join(service.environment.values())
        assert owner.password(own) in everything
        assert owner.password(other) not in everything
        assert owner.secret not in everything
        assert owner.password(own) not in " ".join(service.command)
        assert owner.password(own) not in repr(service)
    # A shell that read the clients' file names the server; the server's store is the workspace's.
    assert mlflow.environment["TIDEMILL_MLFLOW_STORE"].startswith("sqlite:///")


def test_the_secret_is_made_once_and_for_its_owner_only(place):
    """Files that only the owner reads; damaged, it says what to do."""
    owner = Installation.of(place)
    assert Installation.of(place).secret == owner.secret
    assert owner.secret not in repr(owner)
    assert owner.folder.stat().st_mode & 0o777 == 0o700
    owner.tell_clients({"PREFECT_API_URL": "http://127.0.0.1:4200/api", "A_B": "it"})
    for name in ("secret", "clients.sh"):
        assert (owner.folder / name).stat().st_mode & 0o777 == 0o600
    assert told_clients(place.root)["A_B"] == "it"

    (owner.folder / "secret").write_text("no secret\n")
    with pytest.raises(ConfigError, match="secret of this installation") as caught:
        Installation.of(place)
    assert "delete it" in caught.value.remedy


def test_a_run_finds_the_credential_of_its_own_up(place, at, monkeypatch):
    """Of exactly that address, unless the environment has one."""
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    owner = Installation.of(place)
    assert known_auth(place, at.prefect_api) is None
    owner.tell_clients(services.client_environment(at, owner))
    assert known_auth(place, at.prefect_api + "/") == owner.credential("prefect")
    assert known_auth(place, "http://prefect.example/api") is None
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "x:y")
    assert known_auth(place, at.prefect_api) == "x:y"


def test_links_need_a_running_up(place):
    """What to start, where nothing answers."""
    with pytest.raises(ServiceUnavailable, match="answers") as caught:
        links(place)
    assert caught.value.remedy == "start it: tidemill up"


def test_the_temporary_server_answers_its_run_only(api_url):
    """Without its credential, from another origin or by another name: nothing."""
    make = f"{api_url}/flows/"
    flow = {"name": "planted"}
    assert httpx.post(make, json=flow).status_code == 401
    assert httpx.post(make, content='{"name": "planted"}').status_code == 401
    for header in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        assert httpx.post(make, json=flow, headers=header).status_code in (403, 421)
    assert httpx.get(f"{api_url}/health").status_code == 200
    auth = tuple(os.environ["PREFECT_API_AUTH_STRING"].split(":"))
    assert httpx.get(f"{make}name/planted", auth=auth).status_code == 404
