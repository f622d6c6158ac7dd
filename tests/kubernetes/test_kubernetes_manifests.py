"""The manifests of kubernetes/: rendered by kubectl, valid, and of one mind with the product."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
from distributed.cli import dask_scheduler, dask_worker
from ruamel.yaml import YAML

from tidemill.config import load_params
from tidemill.engines import open_engine
from tidemill.settings import Settings
from tidemill_monitor.monitor_settings import MonitorSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kubernetes"
VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest that the page names, and the newest whose schemas are here."""
DEPLOYMENTS = {"worker", "monitor", "dask-scheduler", "dask-worker"}
MARK = re.compile(r"\{file:/run/secrets/([\w-]+)\}")
PORTS = {"http": 80, "https": 443}
COMPOSE = YAML(typ="safe", pure=True).load(ROOT / "docker" / "compose.yaml")["services"]


def rendered(folder: str) -> list[dict]:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl renders the manifests: install Kubernetes' client, 1.27 or newer")
    command = ["kubectl", "kustomize", str(FOLDER / folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(YAML(typ="safe", pure=True).load_all(done.stdout))


@pytest.fixture(scope="session")
def example() -> list[dict]:
    """What `kubectl apply -k kubernetes/example` sends; never change it."""
    return rendered("example")


def pods(documents: list[dict]) -> dict[str, dict]:
    """The pod's template of each Deployment."""
    found = {d["metadata"]["name"]: d for d in documents if d["kind"] == "Deployment"}
    return {name: d["spec"]["template"] for name, d in found.items()}


def containers(documents: list[dict]) -> Iterator[tuple[str, dict, dict]]:
    """Name, container and pod of each."""
    for pod in pods(documents).values():
        for one in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            yield one["name"], one, pod


def container(documents: list[dict], name: str) -> dict:
    return next(one for known, one, _ in containers(documents) if known == name)


def given(documents: list[dict], one: dict) -> dict[str, str]:
    """The environment that it is started with."""
    maps = {d["metadata"]["name"]: d["data"] for d in documents if d["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in one.get("envFrom", ()):
        found |= maps[source["configMapRef"]["name"]]
    return found | {each["name"]: each["value"] for each in one.get("env", ())}


def of_kind(documents: list[dict], kind: str) -> dict[str, dict]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


# What may be wrong with them, a sentence each.


def invalid(documents: list[dict]) -> Iterator[str]:
    """What Kubernetes' own schemas refuse; a kind that they do not know is refused too."""
    for version in VERSIONS:
        for document in documents:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as exc:
                yield f"{version}: {document['kind']}: {exc.message}"
            except kubernetes_validate.SchemaNotFoundError as exc:
                yield f"{version}: {exc.message}"


def unconfined(documents: list[dict]) -> Iterator[str]:
    """What runs with more rights, or less bounded, than it needs."""
    for name, one, pod in containers(documents):
        spec, own = pod["spec"], one.get("securityContext", {})
        user = spec.get("securityContext", {})
        if not (user.get("runAsNonRoot") and user.get("runAsUser") == 10001):
            yield f"{name} may be root"
        if user.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} holds a token of the cluster"
        if own != {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }:
            yield f"{name} is not confined"
        bounds = one.get("resources", {})
        if not {"cpu", "memory"} <= bounds.get("requests", {}).keys() & bounds.get("limits", {}):
            yield f"{name} has no bounds"
        for volume in spec["volumes"]:
            if volume.keys() & {"hostPath", "nfs"}:
                yield f"{name} needs a disk of its machine, or a shared one"
            if "sizeLimit" not in volume.get("emptyDir", {"sizeLimit": 1}):
                yield f"{name} may fill its machine's disk"


def unprobed(documents: list[dict]) -> Iterator[str]:
    """What nobody asks whether it is well; of compose's services otherwise than there."""
    for name, pod in pods(documents).items():
        (one,) = pod["spec"]["containers"]
        if not {"startupProbe", "livenessProbe"} <= one.keys():
            yield f"{name} is not asked whether it lives"
        named = {port["name"] for port in one.get("ports", ())}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = one.get(probe, {}).get("httpGet", {}).get("port")
            if port is not None and port not in named:
                yield f"{name}: its {probe} asks port {port}"
        served = [s for s in of_kind(documents, "Service").values() if selects(s, pod)]
        if served and "readinessProbe" not in one:
            yield f"{name} is served before it is ready"
        if name in COMPOSE:
            check = COMPOSE[name]["healthcheck"]["test"][1:]
            if one["startupProbe"].get("exec", {}).get("command") != check:
                yield f"{name} is well otherwise than in compose.yaml"


def selects(service: dict, pod: dict) -> bool:
    return service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def homeless(documents: list[dict]) -> Iterator[str]:
    """Paths that are not there, or cannot be written."""
    for name, one, _ in containers(documents):
        mounted = {m["mountPath"]: not m.get("readOnly") for m in one["volumeMounts"]}
        words = [*one.get("command", ()), *one.get("args", ())]
        probes = [one.get(probe, {}) for probe in ("startupProbe", "livenessProbe")]
        words += [word for probe in probes for word in probe.get("exec", {}).get("command", ())]
        for word in words:
            if (
                word.startswith("/opt/tidemill/")
                and not (ROOT / word[len("/opt/tidemill/") :]).is_file()
            ):
                yield f"{name}: the image has no {word}"
        environment = given(documents, one)
        written = [environment.get(key) for key in ("TIDEMILL_CACHE_DIR", "TIDEMILL_WORKSPACE")]
        written += [environment.get("PREFECT_RESULTS_LOCAL_STORAGE_PATH")]
        written += [w.partition("=")[2] for w in words if w.startswith("--local-directory=")]
        written += ["/tmp"] if name != "workspace" else []
        for path in written:
            if path and not any(Path(path).is_relative_to(m) for m, own in mounted.items() if own):
                yield f"{name} cannot write to {path}"


def unknown(documents: list[dict]) -> Iterator[str]:
    """Names of settings that nothing of ours reads, and values that are none."""
    fields = {
        field.validation_alias or f"{prefix}{name.upper()}"
        for prefix, of in (("TIDEMILL_", Settings), ("TIDEMILL_MONITOR_", MonitorSettings))
        for name, field in of.model_fields.items()
    }
    known = fields | {"AWS_REGION"}
    for service in COMPOSE.values():
        known |= service.get("environment", {}).keys()
    for name, one, _ in containers(documents):
        environment = given(documents, one)
        for key in environment:
            if key not in known and not key.startswith("DASK_DISTRIBUTED__"):
                yield f"{name}: nothing reads {key}"
        if name in COMPOSE:
            for key in COMPOSE[name]["environment"].keys() - environment.keys():
                yield f"{name} is not told {key}, which compose.yaml tells it"
        if engine := environment.get("TIDEMILL_ENGINE"):
            host, _, port = engine.partition("://")[2].partition(":")
            services = of_kind(documents, "Service")
            if host not in services or services[host]["spec"]["ports"][0]["port"] != int(port):
                yield f"{name}: nothing answers at {engine}"


def unheard(documents: list[dict]) -> Iterator[str]:
    """Commands that compose.yaml, or Dask, has otherwise; ports at which nothing listens."""
    listens = {"monitor": {8010}, "dask-scheduler": {8786, 8787}, "dask-worker": {8787, 8788, 8789}}
    for name, one, _ in containers(documents):
        if name in COMPOSE and one["args"] != COMPOSE[name]["command"]:
            yield f"{name} is started otherwise than by compose.yaml"
        if name in COMPOSE and one["image"].rpartition("/")[2] != COMPOSE[name]["image"]:
            yield f"{name} is of another image than in compose.yaml"
        if one.get("args", [""])[0] == "dask":
            yield from _misspelt(name, one["args"])
        ports = {port["containerPort"] for port in one.get("ports", ())}
        if ports != listens.get(name, set()):
            yield f"{name} does not listen on {ports}"
    for name, service in of_kind(documents, "Service").items():
        behind = [pod for pod in pods(documents).values() if selects(service, pod)]
        named = {p["name"] for pod in behind for p in pod["spec"]["containers"][0].get("ports", ())}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in named:
                yield f"nothing is behind the service {name}"


def _misspelt(name: str, words: list[str]) -> Iterator[str]:
    command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[1]]
    try:
        parsed = command.make_context(name, list(words[2:]), resilient_parsing=False).params
    except Exception as exc:
        yield f"{name}: {exc}"
        return
    if words[1] == "worker" and (parsed["nthreads"], parsed["n_workers"]) != (1, "1"):
        yield f"{name} has more than one thread"
    if left := parsed.get("preload_argv"):
        yield f"{name}: {left} is no option"


def told(documents: list[dict]) -> Iterator[str]:
    """Secrets that stand in a manifest, are not mounted, or are mounted for nothing."""
    for kind in of_kind(documents, "Secret"):
        yield f"the secret {kind} stands in the manifests"
    secret = re.compile("PASSWORD|SECRET|TOKEN|AUTH_STRING|_KEY$|ACCESS_KEY|CREDENTIAL")
    for name, pod in pods(documents).items():
        everything = (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
        used = set()
        for one in everything:
            for key, value in given(documents, one).items():
                marks = MARK.findall(value)
                file = value.removeprefix("/run/secrets/")
                used |= {*marks} | ({file} if file != value else set())
                if secret.search(key) and not marks and file == value:
                    yield f"{name}: {key} is no secret's file"
                if urlsplit(value).password:
                    yield f"{name}: a password in {key}"
        mounted = {
            item["path"]
            for volume in pod["spec"]["volumes"]
            for item in volume.get("secret", {}).get("items", ())
        }
        if used != mounted:
            yield f"{name} uses {sorted(used)} and has {sorted(mounted)}"
        if name in COMPOSE and mounted != set(COMPOSE[name]["secrets"]):
            yield f"{name} has other secrets than in compose.yaml"


def mistaken(documents: list[dict]) -> Iterator[str]:
    """Variables that Kubernetes makes of services, read as settings of that name."""
    for name, pod in pods(documents).items():
        if pod["spec"].get("enableServiceLinks") is not False:
            yield f"{name} is told the services' addresses as variables"


def cut_off(documents: list[dict]) -> Iterator[str]:
    """Connections that are needed and that no policy lets through."""
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(documents).items()}
    policies = [d["spec"] for d in documents if d["kind"] == "NetworkPolicy"]

    def lets(way: str, source: str | None, target: str | None, port: int) -> bool:
        own, peer = (source, target) if way == "egress" else (target, source)
        for policy in policies:
            if policy["podSelector"]["matchLabels"].items() <= labels[own].items():
                for rule in policy.get(way, ()):
                    peers = rule.get("to" if way == "egress" else "from")
                    chosen = [
                        p["podSelector"]["matchLabels"] for p in peers or () if "podSelector" in p
                    ]
                    fits = peers is None or (
                        peer and any(c.items() <= labels[peer].items() for c in chosen)
                    )
                    if fits and {"protocol": "TCP", "port": port} in rule["ports"]:
                        return True
        return False

    for pod in labels:
        closed = [p for p in policies if not p.keys() & {"ingress", "egress"}]
        if not any(p["podSelector"]["matchLabels"].items() <= labels[pod].items() for p in closed):
            yield f"{pod} is open to all"
    inside = [("worker", "monitor", 8010), ("worker", "dask-scheduler", 8786)]
    inside += [("dask-worker", "dask-scheduler", 8786), ("dask-scheduler", "dask-worker", 8788)]
    inside += [("dask-worker", "dask-worker", 8788), ("dask-scheduler", "dask-worker", 8789)]
    for source, target, port in inside:
        for way in ("egress", "ingress"):
            if {source, target} <= labels.keys() and not lets(way, source, target, port):
                yield f"{source} does not reach {target}:{port} ({way})"
    addresses = next((d["data"] for d in documents if "PREFECT_API_URL" in d.get("data", {})), {})
    asks = {"monitor": set(addresses), "dask-worker": {"AWS_ENDPOINT_URL_S3"}}
    asks["worker"] = set(addresses) - {"TIDEMILL_MONITOR_STORE"}
    for pod, keys in asks.items():
        for key in sorted(k for k in keys if "://" in addresses.get(k, "") and "PUBLIC" not in k):
            address = urlsplit(addresses[key])
            port = address.port or PORTS[address.scheme]
            if pod in labels and not lets("egress", pod, None, port):
                yield f"{pod} does not reach {key}"


CHECKS = (invalid, unconfined, unprobed, homeless, unknown, unheard, told, mistaken, cut_off)


def faults(documents: list[dict]) -> list[str]:
    return [fault for check in CHECKS for fault in check(documents)]


def test_the_example_is_without_fault(example):
    """Valid for Kubernetes, and its names, paths, ports and commands are those of the product."""
    assert faults(example) == []
    assert pods(example).keys() == DEPLOYMENTS
    assert {one["image"] for _, one, _ in containers(example)} == {
        "registry.example/tidemill:0.1.0"
    }
    assert {d["metadata"]["namespace"] for d in example} == {"tidemill"}


def test_the_base_alone_runs_without_dask(example):
    """The overlay adds the cluster, and the worker's engine; nothing else differs."""
    base = rendered("base")
    assert pods(base).keys() == {"worker", "monitor"}
    assert list(unconfined(base)) == list(cut_off(base)) == list(unprobed(base)) == []
    own = container(base, "worker")["env"]
    more = [one for one in container(rendered("dask"), "worker")["env"] if one not in own]
    assert more == [{"name": "TIDEMILL_ENGINE", "value": "dask://dask-scheduler:8786"}]


def test_the_settings_are_taken(example, tmp_path, monkeypatch):
    """By the product itself, from the environment of each container and the given workspace."""
    data = next(d["data"] for d in example if "params.yaml" in d.get("data", {}))
    (tmp_path / "params.yaml").write_text(data["params.yaml"])
    params = load_params(tmp_path)
    assert params.storage.url.startswith("s3://")
    assert params.dataset.source.startswith("s3://")
    assert params.ingestion.suite == "expectations/suite.json"
    assert json.loads(data["suite.json"])["expectations"]
    for name in ("worker", "monitor"):
        for key, value in given(example, container(example, name)).items():
            monkeypatch.setenv(key, value)
    settings, monitor = Settings(), MonitorSettings()
    assert (settings.workers, str(settings.cache_dir), settings.cache_gb) == (2, "/cache", 20)
    with open_engine(settings) as engine:
        assert engine.workers == 2
    assert (monitor.port, monitor.root) == (8010, Path("/workspace"))
    assert monitor.store.startswith("postgresql+psycopg://")
    assert "localhost" in monitor.hosts
    # As a service called tidemill-monitor would have it set, without enableServiceLinks: false.
    monkeypatch.setenv("TIDEMILL_MONITOR_PORT", "tcp://10.0.0.7:8010")
    with pytest.raises(ValueError, match="port"):
        MonitorSettings()


def test_the_cluster_is_disrupted_one_worker_at_a_time(example):
    """What there is one of has no budget: it would hold up every drain of its node."""
    budgets = of_kind(example, "PodDisruptionBudget")
    assert budgets.keys() == {"dask-worker"}
    spec = budgets["dask-worker"]["spec"]
    assert spec["maxUnavailable"] == 1
    labels = pods(example)["dask-worker"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    for name, one in of_kind(example, "Deployment").items():
        if name != "dask-worker":
            assert (one["spec"]["replicas"], one["spec"]["strategy"]) == (1, {"type": "Recreate"})


def spec(documents: list[dict], name: str) -> dict:
    return pods(documents)[name]["spec"]


def renamed(environment: list[dict], old: str, new: str) -> None:
    next(one for one in environment if one["name"] == old)["name"] = new


BREAKS = {
    "a removed API": (
        invalid,
        lambda d: of_kind(d, "PodDisruptionBudget")["dask-worker"].update(
            apiVersion="policy/v1beta1"
        ),
        "Couldn't find schema",
    ),
    "a misspelt field": (
        invalid,
        lambda d: spec(d, "monitor").update(terminationGracePeriod=3),
        "terminationGracePeriod",
    ),
    "a number for a text": (
        invalid,
        lambda d: container(d, "worker")["env"][1].update(value=2),
        "2 is not of type",
    ),
    "root": (
        unconfined,
        lambda d: spec(d, "worker")["securityContext"].update(runAsUser=0),
        "worker may be root",
    ),
    "a root that can be written": (
        unconfined,
        lambda d: container(d, "setup")["securityContext"].update(readOnlyRootFilesystem=False),
        "setup is not confined",
    ),
    "no limits": (
        unconfined,
        lambda d: container(d, "dask-worker").pop("resources"),
        "dask-worker has no bounds",
    ),
    "a shared disk": (
        unconfined,
        lambda d: spec(d, "worker")["volumes"].append(
            {"name": "x", "nfs": {"server": "nas", "path": "/"}}
        ),
        "worker needs a disk",
    ),
    "another page": (
        unprobed,
        lambda d: container(d, "monitor")["startupProbe"]["exec"]["command"].pop(2),
        "monitor is well otherwise",
    ),
    "a cache that cannot be written": (
        homeless,
        lambda d: container(d, "dask-worker")["env"][0].update(value="/var/cache"),
        "dask-worker cannot write to /var/cache",
    ),
    "a script that the image has not": (
        homeless,
        lambda d: container(d, "setup")["args"].__setitem__(1, "/opt/tidemill/docker/setup.py"),
        "the image has no /opt/tidemill/docker/setup.py",
    ),
    "a variable that nothing reads": (
        unknown,
        lambda d: renamed(
            container(d, "worker")["env"], "TIDEMILL_CACHE_GB", "TIDEMILL_CACHE_SIZE"
        ),
        "nothing reads TIDEMILL_CACHE_SIZE",
    ),
    "a variable left out": (
        unknown,
        lambda d: container(d, "monitor")["env"].pop(0),
        "monitor is not told TIDEMILL_MONITOR_WORKSPACE",
    ),
    "an engine elsewhere": (
        unknown,
        lambda d: of_kind(d, "Service")["dask-scheduler"]["metadata"].update(name="dask"),
        "nothing answers at dask://dask-scheduler:8786",
    ),
    "another command": (
        unheard,
        lambda d: container(d, "worker")["args"].append("--limit=2"),
        "worker is started otherwise",
    ),
    "an option that Dask has not": (
        unheard,
        lambda d: container(d, "dask-worker")["args"].append("--memory=2GiB"),
        "--memory",
    ),
    "two threads": (
        unheard,
        lambda d: container(d, "dask-worker")["args"].__setitem__(4, "--nthreads=2"),
        "more than one thread",
    ),
    "a service of nothing": (
        unheard,
        lambda d: of_kind(d, "Service")["monitor"]["spec"]["selector"].update(a="b"),
        "nothing is behind the service monitor",
    ),
    "a secret in a manifest": (
        told,
        lambda d: d.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "stringData": {}}
        ),
        "the secret t stands",
    ),
    "a secret in an environment": (
        told,
        lambda d: container(d, "worker")["env"].append(
            {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}
        ),
        "AWS_SECRET_ACCESS_KEY is no secret's file",
    ),
    "a secret that is not mounted": (
        told,
        lambda d: spec(d, "dask-worker")["volumes"][2]["secret"]["items"].clear(),
        "dask-worker uses ['s3_worker'] and has []",
    ),
    "links to services": (
        mistaken,
        lambda d: spec(d, "monitor").pop("enableServiceLinks"),
        "monitor is told the services' addresses",
    ),
    "a policy left out": (
        cut_off,
        lambda d: d.remove(of_kind(d, "NetworkPolicy")["dask-scheduler"]),
        "dask-worker does not reach dask-scheduler:8786 (ingress)",
    ),
    "a door left open": (
        cut_off,
        lambda d: d.remove(of_kind(d, "NetworkPolicy")["closed"]),
        "monitor is open to all",
    ),
    "a server on another port": (
        cut_off,
        lambda d: next(m for m in d if "PREFECT_API_URL" in m.get("data", {}))["data"].update(
            PREFECT_API_URL="http://prefect:4200/api"
        ),
        "worker does not reach PREFECT_API_URL",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_found(example, name):
    """The checks above can fail: each of these is told."""
    broken = copy.deepcopy(example)
    check, change, fault = BREAKS[name]
    change(broken)
    if check is invalid:  # reads Kubernetes' schemas for each
        broken = [one for one in broken if one not in example]
    found = list(check(broken))
    assert any(fault in one for one in found), found
