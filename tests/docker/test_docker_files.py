"""What compose.yaml, the Dockerfiles and .dockerignore promise, read from the files."""

from __future__ import annotations

import base64
import http.server
import importlib.util
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tidemill_monitor.monitor_settings import MonitorSettings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = ["docker/Dockerfile", "docker/s3/Dockerfile"]
SERVICES = ["postgres", "s3", "prefect", "mlflow", "setup", "worker", "monitor"]
OURS = ["prefect", "mlflow", "setup", "worker", "monitor"]
WEB = {"prefect": 4200, "mlflow": 5000, "monitor": 8010}
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|AUTH_STRING|_KEY$|ACCESS_KEY|CREDENTIAL", re.I)
COMPOSE_DEFAULT = re.compile(r"\$\{(\w+):-([^}]*)\}")
MARK = re.compile(r"\{file:/run/secrets/([\w-]+)\}")
PINNED = re.compile(r"^[\w./-]+:(?=.*\d)[\w.-]+(@sha256:[0-9a-f]{64})?$")


@pytest.fixture
def services(document):
    return document["services"]


def test_compose_obeys_the_specification():
    """The compose specification's own schema, as check-jsonschema carries it, accepts the file."""
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_misspelt_key_is_no_compose_file(tmp_path):
    """The check above can fail: `heathcheck` is refused."""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DOCKER / "compose.yaml").read_text().replace("healthcheck:", "heathcheck:"))
    command = [sys.executable, "-m", "check_jsonschema"]
    done = subprocess.run(
        [*command, "--builtin-schema", "vendor.compose-spec", str(wrong)], capture_output=True
    )
    assert done.returncode != 0


def test_the_services_are_those_that_the_tests_know(services):
    """A new service must be looked at by every test here."""
    assert sorted(services) == sorted(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(services, name):
    """Not root, nothing writable but tmpfs and volumes, no capabilities, bounded, started again."""
    service = services[name]
    uid, _, gid = service["user"].replace("${TIDEMILL_UID:-10001}", "10001").partition(":")
    assert uid.isdigit()
    assert int(uid) > 0
    assert gid not in ("", "0")
    assert service["read_only"] is True
    assert any(one.startswith("/tmp:") for one in service["tmpfs"])
    assert all("size=" in one for one in service["tmpfs"])
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert not any("docker.sock" in one for one in service.get("volumes", []))
    limits = service["deploy"]["resources"]["limits"]
    assert limits["cpus"]
    assert limits["memory"]
    assert service["pids_limit"] > 0
    assert service["restart"] == ("no" if name == "setup" else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_whether_it_is_well(services, name):
    """A command without a shell, with limits; the one that ends by itself says it by its end."""
    check = services[name]["healthcheck"]
    if name == "setup":
        assert check == {"disable": True}
        return
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_a_published_port_is_well_when_its_page_is(services, name):
    """The check asks for the page that people open there, with the secret that opens it."""
    service = services[name]
    check = service["healthcheck"].get("test", [])
    ports = [one.rpartition(":")[2] for one in service.get("ports", [])]
    assert [f"http://127.0.0.1:{port}/" for port in ports] == check[-1:] * ("--page" in check)
    for file in re.findall(r"/run/secrets/([\w-]+)", " ".join(check)):
        assert file in service["secrets"]


def test_a_service_starts_after_what_it_needs(services):
    """Every need names a service and how far that must be; nothing waits for a mere start."""
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, name
            ends = services[needed]["restart"] == "no"
            expected = "service_completed_successfully" if ends else "service_healthy"
            assert how["condition"] == expected, (name, needed)


def test_only_the_web_ports_are_published_and_only_here(services):
    """Prefect, MLflow and the monitor, each on this machine's own address."""
    published = {name: s["ports"] for name, s in services.items() if s.get("ports")}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in WEB.items()}


@pytest.mark.parametrize("outside", [{}, {"TIDEMILL_MONITOR_PUBLIC_URL": "https://tides.example"}])
def test_people_are_given_addresses_that_they_can_open(services, outside, monkeypatch):
    """Links lead to published ports, or where the installation says; flows report inside."""
    for name, value in services["monitor"]["environment"].items():
        filled = COMPOSE_DEFAULT.sub(lambda m: outside.get(m[1], m[2]), value)
        monkeypatch.setenv(name, filled)
    settings = MonitorSettings()
    monitor = outside.get("TIDEMILL_MONITOR_PUBLIC_URL", f"http://127.0.0.1:{WEB['monitor']}")
    assert settings.link_url == monitor
    assert settings.report_url == f"http://monitor:{WEB['monitor']}"
    assert settings.mlflow_link == f"http://127.0.0.1:{WEB['mlflow']}"
    assert settings.prefect_link == f"http://127.0.0.1:{WEB['prefect']}"
    assert {"monitor", urlsplit(monitor).hostname} <= settings.hosts


def test_the_network_of_databases_leads_nowhere(document):
    """Everything is on the private network; only what is published has another."""
    assert document["networks"]["inside"] == {"internal": True}
    for name, service in document["services"].items():
        assert service["networks"] == (["inside", "web"] if name in WEB else ["inside"]), name


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_an_environment_or_a_command(services, name):
    """What is named like a secret is a file below /run/secrets; addresses hold no password."""
    service = services[name]
    for key, value in service.get("environment", {}).items():
        if SECRET_NAME.search(key):
            assert MARK.fullmatch(value) or value.startswith("/run/secrets/"), key
    for text in [*service.get("environment", {}).values(), *service.get("command", [])]:
        assert not re.search(r"://[^/@\s]*:[^/@\s]*@", str(text)), text
        assert not re.search(r"[0-9a-fA-F]{20,}", str(text)), text


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gets_the_secrets_that_it_uses_and_no_others(services, name):
    """Every file below /run/secrets that it names is granted, and every one granted is used."""
    service = services[name]
    said = json.dumps([service.get("environment", {}), service.get("command", [])])
    used = set(re.findall(r"/run/secrets/([\w-]+)", said))
    if name == "postgres":
        used |= {f"db_{role}" for role in re.findall(r"^role (\w+)", _init_script(), re.M)}
    if name == "s3":
        used |= set(re.findall(r"/run/secrets/([\w-]+)", (DOCKER / "s3/Dockerfile").read_text()))
    assert sorted(service["secrets"]) == sorted(used)


def _init_script() -> str:
    return (DOCKER / "postgres" / "init.sh").read_text()


def test_secrets_are_files_that_one_command_makes(document, tmp_path):
    """make_secrets.py makes exactly those of compose.yaml, readable, in a closed folder, once."""
    files = {name: one["file"] for name, one in document["secrets"].items()}
    assert all(file == f"secrets/{name}" for name, file in files.items())

    script = [sys.executable, str(DOCKER / "make_secrets.py"), str(tmp_path / "made")]
    subprocess.run(script, check=True, capture_output=True, umask=0o077)
    made = {path.name: path for path in (tmp_path / "made").iterdir()}
    assert sorted(made) == sorted(files)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.values()} == {0o444}
    before = {name: path.read_text() for name, path in made.items()}
    assert len(set(before.values())) == len(before)

    again = subprocess.run(script, capture_output=True, text=True)
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr
    assert before == {name: path.read_text() for name, path in made.items()}


def test_the_worker_holds_no_key_that_its_flows_do_not_need(services, tmp_path):
    """Its key of the monitor reads and reports; nothing opens databases, users or other buckets."""
    script = [sys.executable, str(DOCKER / "make_secrets.py"), str(tmp_path / "made")]
    subprocess.run(script, check=True, capture_output=True)
    lines = (tmp_path / "made" / "monitor_keys").read_text().splitlines()
    scopes = {key: scope for scope, key in map(str.split, lines)}
    assert scopes.pop((tmp_path / "made" / "monitor_worker_key").read_text()) == "retrain"
    assert list(scopes.values()) == ["operate"]
    needed = ["mlflow_worker", "monitor_worker_key", "prefect_auth", "s3_worker"]
    assert sorted(services["worker"]["secrets"]) == needed


def test_every_service_with_pages_has_the_guard_in_front(services):
    """The same for all: foreign hosts and origins are refused, and no other server is published."""
    modules = {name: services[name]["command"][2] for name in WEB}
    assert modules == {
        "prefect": "tidemill.orchestration.serve_prefect",
        "mlflow": "tidemill.tracking.serve_mlflow",
        "monitor": "tidemill_monitor",
    }
    for name in WEB:
        given = services[name]["environment"]
        hosts = given.get("TIDEMILL_ALLOWED_HOSTS") or given["TIDEMILL_MONITOR_ALLOWED_HOSTS"]
        assert hosts == f"{name},${{TIDEMILL_ALLOWED_HOSTS:-}}"
    assert services["worker"]["environment"]["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"


def test_prefects_pages_lie_where_they_can_be_written(services):
    """It copies them at its start, by default beside its code, which is read-only."""
    prefect = services["prefect"]
    place = prefect["environment"]["PREFECT_SERVER_UI_STATIC_DIRECTORY"]
    assert any(place.startswith(one.partition(":")[0] + "/") for one in prefect["tmpfs"])


def test_the_databases_are_made_with_what_the_image_leaves(services):
    """The image's entry point unsets POSTGRES_PASSWORD_FILE before it runs init.sh."""
    used = set(re.findall(r"\$\{?([A-Z_]+)", _init_script()))
    assert used == {"POSTGRES_USER", "TIDEMILL_SECRETS"}
    assert used <= set(services["postgres"]["environment"])


def test_a_role_is_not_made_without_its_password(tmp_path):
    """A secret that is absent or empty ends the first start by its name."""
    (tmp_path / "db_prefect").write_text("")
    environment = {"PATH": os.environ["PATH"], "TIDEMILL_SECRETS": f"{tmp_path}/"}
    done = subprocess.run(
        ["sh", str(DOCKER / "postgres" / "init.sh")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/db_prefect is absent or empty\n"


def test_the_keys_of_the_store_are_as_narrow_as_written(tmp_path):
    """The monitor may read models and no more; the worker's key opens the worker's buckets."""
    script = [sys.executable, str(DOCKER / "make_secrets.py"), str(tmp_path / "made")]
    subprocess.run(script, check=True, capture_output=True)
    document = json.loads((tmp_path / "made" / "s3_identities").read_text())
    actions = {one["name"]: set(one["actions"]) for one in document["identities"]}
    assert not any("Write:mlflow" in actions[name] for name in ("monitor", "mlflow"))
    assert "Admin" not in actions["worker"] | actions["monitor"] | actions["mlflow"]
    for one in document["identities"]:
        profile = (tmp_path / "made" / f"s3_{one['name']}").read_text()
        assert one["credentials"][0]["secretKey"] in profile


def test_images_are_pinned(services, dockerfile):
    """A version, never `latest`; the same for every base."""
    images = [service["image"] for service in services.values()]
    for name in DOCKERFILES:
        steps = dockerfile(name)
        images += [step.text.partition("=")[2] for step in steps if step.word == "ARG"]
    assert len(images) == len(SERVICES) + len(DOCKERFILES)
    for image in images:
        assert PINNED.match(image), image
        assert "latest" not in image


def test_what_is_built_is_what_is_run(services):
    """Each Dockerfile has its image, and each image of ours its Dockerfile."""
    built = {s["build"]["dockerfile"] for s in services.values() if "build" in s}
    assert built == set(DOCKERFILES)
    assert all(services[name]["build"]["dockerfile"] == "docker/Dockerfile" for name in OURS)
    assert all(s["build"]["context"] == ".." for s in services.values() if "build" in s)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_obeys_the_rules(dockerfile, name):
    """Another user than root, a health check, starts without a shell, adds nothing by address."""
    steps = dockerfile(name)
    words = [step.word for step in steps]
    users = [step.text for step in steps if step.word == "USER"]
    assert users[-1] == "10001:10001"
    last = max(number for number, word in enumerate(words) if word == "USER")
    assert not {"RUN", "COPY"} & set(words[last:])
    assert "ADD" not in words
    assert "HEALTHCHECK" in words[last:]
    for step in steps:
        if step.word in ("CMD", "ENTRYPOINT"):
            assert isinstance(json.loads(step.text), list)
        if step.word == "RUN":
            assert not re.search(r"curl|wget |sudo|\| *sh\b|chmod 777|--trusted-host", step.text)
            if "apt-get install" in step.text:
                assert "--no-install-recommends" in step.text
                assert "rm -rf /var/lib/apt/lists/*" in step.text
        if step.word in ("ENV", "ARG"):
            assert not SECRET_NAME.search(step.text.partition("=")[0]), step


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_a_dockerfile_copies_is_there_and_comes_into_the_build(dockerfile, name):
    """Every path exists, and .dockerignore lets it through."""
    for step in dockerfile(name):
        if step.word == "COPY" and not step.text.startswith("--from"):
            *sources, _ = step.text.split()
            for source in sources:
                assert (ROOT / source).exists(), source
                assert not ignored(source), source


def test_layers_are_ordered_by_how_often_they_change(dockerfile):
    """A change of code makes no layer of packages anew, when it is built and in what is pulled."""
    stages: dict[str, list[str]] = {}
    for step in dockerfile("docker/Dockerfile"):
        if step.word == "FROM":
            base, _, name = step.text.partition(" AS ")
            stages[name] = stages.get(base, [])[:]
            served = stages[name]
        if step.word in ("RUN", "COPY"):
            served.append(f"{step.word} {step.text}")
    code = re.compile(r"COPY (.* )?(platform|monitoring)$")
    assert not [text for text in stages["packages"] if code.match(text)]
    assert [text for text in stages["code"] if code.match(text)]
    copied = [text for text in served if re.match("COPY --from|COPY flows", text)]
    assert [text.split()[1] for text in copied] == ["--from=packages", "--from=code", "flows"]


def test_every_package_has_its_hash_and_is_compiled(dockerfile):
    """pip demands hashes for every lock, builds nothing from elsewhere and leaves bytecode."""
    runs = [step.text for step in dockerfile("docker/Dockerfile") if step.word == "RUN"]
    installs = [part for text in runs for part in text.split("&&") if "pip install" in part]
    assert len(installs) == 3
    for words in map(shlex.split, installs):
        assert "--no-compile" not in words
        if "-r" in words:
            assert "--require-hashes" in words
            assert words[words.index("-r") + 1].endswith(".lock")
        else:
            assert {"--no-deps", "--no-build-isolation"} <= set(words)


def pins(path: Path) -> dict[str, str]:
    """Versions by name, of a lock."""
    return dict(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;]+)", path.read_text(), re.M))


def test_every_pin_of_the_locks_has_a_hash_and_no_index():
    """A pin without a hash would be refused, an index's address would bind others to it."""
    for path in (ROOT / "requirements-docker.lock", DOCKER / "build.lock"):
        text = path.read_text()
        entries = re.split(r"\n(?=[a-z0-9])", text.strip())
        assert all("--hash=sha256:" in entry for entry in entries)
        assert "index-url" not in text
        assert "://" not in text


def test_the_image_holds_what_the_tests_run_with():
    """Of the packages of the image, the tests have the same versions; the core's are in it."""
    image, core = pins(ROOT / "requirements-docker.lock"), pins(ROOT / "requirements.lock")
    tests = pins(ROOT / "requirements-dev.lock")
    assert {name: tests.get(name) for name in image} == image
    assert {name: image.get(name) for name in core} == core
    assert {"boto3", "dvc-s3", "s3fs", "psycopg", "asyncpg", "flask-wtf"} <= set(image)


def test_only_tools_of_the_build_are_taken_out_again(dockerfile):
    """Uninstalled is exactly what build.lock brought and the image does not need, and pip."""
    (text,) = [s.text for s in dockerfile("docker/Dockerfile") if "pip uninstall" in s.text]
    gone = set(shlex.split(text.partition("pip uninstall --yes")[2].partition("&&")[0]))
    tools = set(pins(DOCKER / "build.lock")) - set(pins(ROOT / "requirements-docker.lock"))
    assert gone == tools | {"pip"}


def test_what_is_taken_out_of_packages_serves_nobody(tmp_path):
    """Tests, C sources, Arrow's server go; modules, stubs, data and hand-laid libraries stay."""
    kept = ["p/tests.py", "p/testing/a.py", "p/a.pyi", "p/c.json", "pyarrow/libarrow.so.25"]
    kept += ["p.libs/liba.so.1.2.3", "pyarrow/libarrow_python.so.25", "p/flight.py"]
    gone = ["p/tests/test_a.py", "p/sub/tests/data.csv", "p/a.c", "p/a.h", "p/a.pyx", "p/a.pxd"]
    gone += ["pyarrow/flight.py", "pyarrow/libarrow_flight.so.25", "pyarrow/libarrow_python.so"]
    for name in kept + gone:
        (tmp_path / "venv" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "venv" / name).write_text("")
    (tmp_path / "strip").write_text('#!/bin/sh\nfor one in "$@"; do echo "$one"; done\n')
    (tmp_path / "strip").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    slim = ["sh", str(DOCKER / "slim.sh"), str(tmp_path / "venv")]
    done = subprocess.run(slim, env=environment, capture_output=True, text=True, check=True)
    left = [path for path in (tmp_path / "venv").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path / "venv")) for path in left) == sorted(kept)
    stripped = [one.removeprefix("./") for one in done.stdout.split()[1:]]
    assert sorted(stripped) == ["pyarrow/libarrow.so.25", "pyarrow/libarrow_python.so.25"]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out: the last pattern that fits it, or a parent, says."""
    out = False
    parts = Path(path).parts
    ancestry = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keep = pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        tail = pattern.removeprefix("**/")
        fits = any(
            fnmatch(one, pattern) or ("**/" in pattern and fnmatch(one.split("/")[-1], tail))
            for one in ancestry
        )
        out = (not keep) if fits else out
    return out


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".dvc/config.local",
        ".tidemill/monitor/ledger.db",
        "data/raw/rides.csv",
        "docker/secrets/db_admin",
        "docker/.env",
        ".env",
        "mlflow.db",
        "mlartifacts/1/model",
        "models/candidate/model.skops",
        "params.yaml",
        "platform/tidemill/__pycache__/cli.pyc",
        "monitoring/tidemill_monitor/.env",
    ],
)
def test_data_history_and_secrets_stay_out_of_a_build(path):
    """The build's context holds what the image needs and nothing else."""
    assert ignored(path)


def test_secrets_stay_out_of_git():
    """The folder of secrets ignores everything but its own rule."""
    asked = ["git", "check-ignore", "--quiet", "docker/secrets/db_admin"]
    assert subprocess.run(asked, cwd=ROOT).returncode == 0


@pytest.fixture(scope="module")
def with_secrets():
    """The entry point, as a module."""
    spec = importlib.util.spec_from_file_location("with_secrets", DOCKER / "image/with_secrets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_entry_point_fills_in_secrets_and_becomes_the_command(tmp_path):
    """Whole values are replaced, one line end is dropped; the command is the same process."""
    (tmp_path / "pw").write_text("hunter2 {x}\n")
    code = "import os; print(os.environ['A'], os.environ['B'], os.getpid())"
    process = subprocess.Popen(
        [sys.executable, str(DOCKER / "image/with_secrets.py"), sys.executable, "-c", code],
        env={"A": f"{{file:{tmp_path}/pw}}", "B": "{other}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate()
    assert said.split() == ["hunter2", "{x}", "{other}", str(process.pid)]


@pytest.mark.parametrize("state", ["absent", "empty", "binary"])
def test_a_secret_that_is_not_there_stops_the_service_by_name(with_secrets, tmp_path, state):
    """The variable and the file are named; nothing starts with a half-filled environment."""
    path = tmp_path / "pw"
    if state != "absent":
        path.write_bytes(b"" if state == "empty" else b"\xff\xfe")
    with pytest.raises(with_secrets.SecretMissing, match=r"PGPASSWORD.*pw"):
        with_secrets.filled({"PGPASSWORD": f"{{file:{path}}}"})


class Pages(http.server.BaseHTTPRequestHandler):
    """A server with a page, a page for one user, text in place of one, and nothing else."""

    def do_GET(self):
        basic = self.headers["authorization"] == "Basic " + base64.b64encode(b"tide:mill").decode()
        status = {"/": 200, "/plain": 200, "/moved": 303, "/owned": 200 if basic else 401}
        self.send_response(status.get(self.path, 404))
        self.send_header("content-type", "text/plain" if self.path == "/plain" else "text/html")
        self.send_header("location", "/")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def pages():
    """Its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("--page {0}/", ""),
        ("--page {0}/moved", ""),
        ("{0}/plain", ""),
        ("--page {0}/plain", "{0}/plain: text/plain, no page"),
        ("--page {0}/absent", "{0}/absent: HTTP Error 404: Not Found"),
        ("--page {0}/owned", "{0}/owned: HTTP Error 401: Unauthorized"),
        ("--page --password={1}/both {0}/owned", ""),
        ("--page --user=tide --password={1}/word {0}/owned", ""),
        ("--page --user=other --password={1}/word {0}/owned", "{0}/owned: HTTP Error 401"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9/: <urlopen error"),
    ],
)
def test_the_health_check_tells_well_from_ill(pages, tmp_path, asked, why):
    """Well is a page that answers 200, to whom it is for; otherwise it says what was wrong."""
    (tmp_path / "both").write_text("tide:mill\n")
    (tmp_path / "word").write_text("mill\n")
    script = [sys.executable, str(DOCKER / "image/healthy.py")]
    words = asked.format(pages, tmp_path).split()
    done = subprocess.run([*script, *words], capture_output=True, text=True)
    assert done.returncode == (1 if why else 0)
    assert done.stderr.startswith(why.format(pages))
    assert bool(done.stderr) == bool(why)


def test_readers_are_told_which_engine_never_ran_it():
    """The pages say what was not tried."""
    for page in (DOCKER / "README.md", ROOT / "docs" / "docker.md", ROOT / "README.md"):
        assert re.search(r"[Nn]o Docker engine was at hand|never by\s+Docker's", page.read_text())
