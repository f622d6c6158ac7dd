"""What the files for more machines promise: the flows' cluster, and its workers elsewhere."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from distributed.cli import dask_scheduler, dask_worker
from ruamel.yaml import YAML
from tests.docker.asking import run_deployment

from tidemill.config import set_params

DOCKER = Path(__file__).parents[2] / "docker"
FILES = ("cluster.yaml", "cluster_worker.yaml")
GIVEN = {
    "TIDEMILL_CLUSTER_ADDRESS": "10.0.0.1",
    "TIDEMILL_ADDRESS": "10.0.0.2",
    "TIDEMILL_WORKERS": "4",
}


def read(name: str) -> dict:
    """The file with the addresses that its first lines tell to export."""
    text = re.sub(r"\$\{(\w+):[-?][^}]*\}", lambda m: GIVEN[m[1]], (DOCKER / name).read_text())
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("name", FILES)
def test_the_files_obey_the_specification(name, tmp_path):
    """Compose's own schema accepts them, and what they tell to export is what they ask for."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(DOCKER / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    text = (DOCKER / name).read_text()
    exported = set(re.findall(r"export (\w+)=", text))
    assert set(re.findall(r"\$\{(\w+):", text)) == exported


def test_the_flows_run_on_the_cluster(document):
    """The worker's engine is the scheduler; it and the store are published at one address alone."""
    services = read("cluster.yaml")["services"]
    assert services["worker"]["environment"]["TIDEMILL_ENGINE"] == "dask://dask:8786"
    assert services["dask"]["ports"] == ["10.0.0.1:8786:8786"]
    assert services["s3"]["ports"] == ["10.0.0.1:8333:8333"]
    assert set(document["networks"]) >= set(services["dask"]["networks"])
    buckets = document["services"]["setup"]["environment"]["TIDEMILL_SETUP_BUCKETS"].split()
    assert "lake" in buckets
    scheduler = dask_scheduler.main.make_context("dask", services["dask"]["command"][2:]).params
    assert (scheduler["host"], scheduler["port"]) == ("0.0.0.0", "8786")
    assert not scheduler["preload_argv"]


def test_a_worker_elsewhere_reaches_the_first_machine_and_is_reached():
    """One thread a process; its key of the store opens what the worker's does."""
    document = read("cluster_worker.yaml")
    worker = document["services"]["dask-worker"]
    assert worker["command"][2] == "tcp://10.0.0.1:8786"
    asked = dask_worker.main.make_context("dask", worker["command"][2:]).params
    assert (asked["nthreads"], asked["n_workers"], asked["host"]) == (1, "4", "10.0.0.2")
    assert not asked["preload_argv"]
    environment = worker["environment"]
    assert environment["AWS_ENDPOINT_URL_S3"] == "http://10.0.0.1:8333"
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == "/run/secrets/s3_worker"
    assert worker["secrets"] == list(document["secrets"]) == ["s3_worker"]
    (volume,) = worker["volumes"]
    place = volume.partition(":")[2]
    written = [environment["TMPDIR"], environment["TIDEMILL_CACHE_DIR"], asked["local_directory"]]
    assert all(Path(path).is_relative_to(place) for path in written)


def test_both_have_no_more_rights_than_they_need(document):
    """As the services of compose.yaml, of the same image."""
    ours = document["services"]["worker"]
    for name, one in (("cluster.yaml", "dask"), ("cluster_worker.yaml", "dask-worker")):
        service = read(name)["services"][one]
        for key in ("image", "read_only", "init", "cap_drop", "security_opt", "restart", "logging"):
            assert service[key] == ours[key], (name, key)
        assert service["user"] == "10001:10001"


def joined(one, other):
    """Two files of compose's as one, as compose joins them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **other, **{k: joined(one[k], other[k]) for k in one.keys() & other.keys()}}
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *(each for each in other if each not in one)]
    return other


def own_address() -> str:
    """An address of this machine that containers reach."""
    every = (each for found in psutil.net_if_addrs().values() for each in found)
    return next(
        each.address
        for each in every
        if each.family is socket.AF_INET and not each.address.startswith("127.")
    )


@pytest.fixture
def cluster(document, furnished):
    """Containers of both machines on this one; the second is its own network's, not a bridge's."""
    yaml, written = YAML(typ="safe", pure=True), document
    for name in FILES:
        written = joined(written, yaml.load(DOCKER / name))
    here = own_address()
    given = {"TIDEMILL_CLUSTER_ADDRESS": here, "TIDEMILL_ADDRESS": here, "TIDEMILL_WORKERS": "2"}
    stack = furnished(written, **given)
    # Ports that are published are free ones here.
    elsewhere = json.dumps(stack.services["dask-worker"])
    for inside, outside in stack.here.published.items():
        elsewhere = elsewhere.replace(f"{here}:{inside}", f"{here}:{outside}")
    stack.services["dask-worker"] = json.loads(elsewhere)
    params = stack.here.workspace / "params.yaml"
    asked = ["dataset.source=s3://lake/raw", "storage.url=s3://lake/tidemill"]
    params.write_text(set_params(params.read_text(), asked))
    stack.open()
    return stack


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_main_job_runs_on_workers_that_see_the_store_alone(cluster):
    """By its deployment: the rows lie in the bucket, and what was spread ran in the other's."""
    put = "import s3fs; s3fs.S3FileSystem().put('/workspace/data/raw', 'lake/', recursive=True)"
    cluster.run("worker", "python", "-c", put)
    run_deployment(cluster, "train-model/train-model")
    told = json.loads((cluster.here.workspace / "reports" / "summary.json").read_text())
    costs = {one["stage"]: one.get("worker_cpu_seconds", 0) for one in told["stages"]}
    assert min(costs[stage] for stage in ("ingest", "shard", "reduce", "evaluate")) > 0, costs
    said = json.loads(cluster.run("worker", "tidemill", "data", "status", "--json"))
    assert [row["missing"] for row in said["versions"]] == [0] * len(said["versions"])
    assert said["objects"] > 10
    assert not list((cluster.here.workspace / "data").rglob("*.parquet"))
    secrets = cluster.exec("dask-worker", "sh", "-c", "echo /run/secrets/*")
    assert secrets.strip() == "/run/secrets/s3_worker"
