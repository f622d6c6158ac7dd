"""compose.yaml and its Dockerfiles, read; and its services, run as processes of this machine."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tidemill.orchestration.services import ManagedService
from tidemill.orchestration.supervisor import leashed
from tidemill.testing.postgres import find_postgres
from tidemill.testing.tcp_ports import free_ports
from tidemill.testing.workspaces import small_workspace

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PORTS = (5432, 8333, 4200, 5000, 8080, 8010)
Hold = Callable[[list[str], dict[str, str], Path], subprocess.Popen[bytes]]
HOSTS = ("postgres", "s3", "prefect", "mlflow", "monitor", "localhost", "127.0.0.1", "0.0.0.0")


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile."""

    word: str
    text: str


def read_dockerfile(path: Path) -> list[Step]:
    """Its instructions, with continued lines joined and comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    words = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [Step(word.upper(), text.strip()) for word, _, text in words]


def interpolated(value: object, environment: Mapping[str, str]) -> object:
    """The value with ``${NAME:-default}`` and ``${NAME:?why}`` replaced, as compose does it."""
    if isinstance(value, dict):
        return {key: interpolated(one, environment) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, environment) for one in value]
    if not isinstance(value, str):
        return value

    def put(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        found = environment.get(name)
        if not found and kind == ":?":
            raise KeyError(f"{name}: {text}")
        return found or text or ""

    return re.sub(r"\$\{(\w+)(:[-?])?([^}]*)\}", put, value)


@pytest.fixture(scope="session")
def document() -> dict:
    """compose.yaml as it is written."""
    yaml = YAML(typ="safe", pure=True)
    return yaml.load(DOCKER / "compose.yaml")


@pytest.fixture(scope="session")
def dockerfile():
    """Reads a Dockerfile of the repository."""
    return lambda name: read_dockerfile(ROOT / name)


class Here:
    """Where on this machine the addresses and paths of the containers are."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.workspace, self.secrets = base / "workspace", base / "secrets"
        self._address = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, HOSTS))}):(\d+)\b")

    def text(self, text: str, service: str) -> str:
        """A word of a command, a value of an environment: for this machine."""
        paths = {
            "/opt/venv/bin": str(interpreter().parent),
            "/opt/tidemill": str(ROOT),
            "/run/secrets": str(self.secrets),
            "/workspace": str(self.workspace),
            "/tmp": str(self.tmp(service)),
        }
        inside = "|".join(map(re.escape, paths))
        text = re.sub(rf"(?<![\w.-])({inside})(?![\w-])", lambda m: paths[m[1]], text)
        text = self._address.sub(lambda m: f"127.0.0.1:{self.ports.get(int(m[2]), m[2])}", text)
        option, equals, value = text.rpartition("=")
        if value == "0.0.0.0":
            value = "127.0.0.1"
        if value.isdigit() and int(value) in self.ports:
            value = str(self.ports[int(value)])
        return f"{option}{equals}{value}"

    def tmp(self, service: str) -> Path:
        """Its /tmp."""
        return self.base / "tmp" / service

    def url(self, port: int, path: str = "") -> str:
        """What a container's port is here."""
        return f"http://127.0.0.1:{self.ports[port]}/{path}"


def interpreter() -> Path:
    """The Python with the packages of the image: this one, or that of an image-like folder."""
    return Path(os.environ.get("TIDEMILL_IMAGE_PYTHON", sys.executable))


@functools.cache
def can_confine() -> bool:
    """Whether this machine lets us make a read-only view of itself and change the user."""
    if os.getuid() or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    trial = ["unshare", "-m", "sh", "-c", "mount --make-rprivate / && mount -o remount,bind,ro /"]
    return subprocess.run(trial, capture_output=True).returncode == 0


def confined(
    command: list[str], *, user: str, tmpfs: list[Path], writable: list[Path], stash: Path
) -> list[str]:
    """The command without root's rights, on a read-only root with the tmpfs and volumes alone."""
    uid, _, gid = user.partition(":")
    mounts = [f"mount --bind {quoted(path)} {quoted(path)}" for path in writable]
    mounts += [f"mount -t tmpfs -o mode=1777 tmpfs {quoted(path)}" for path in tmpfs]
    drop = f"setpriv --reuid={uid} --regid={gid} --clear-groups --no-new-privs --bounding-set=-all"
    script = [
        "mount --make-rprivate /",
        *_opened(stash),
        *mounts,
        "mount -o remount,bind,ro /",
        f'exec {drop} -- "$@"',
    ]
    return ["unshare", "-m", "sh", "-ec", "\n".join(script), "sh", *command]


def quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _opened(stash: Path) -> list[str]:
    """Make what the image would hold visible to anybody, also below a folder that is closed."""
    python = interpreter()
    needed = {python.parents[1], python.resolve().parents[1], ROOT}
    closed = {
        path: next((up for up in reversed(path.parents) if not up.stat().st_mode & 0o001), None)
        for path in sorted(needed)
    }
    hidden = {
        path: stash / str(number) for number, path in enumerate(p for p in closed if closed[p])
    }
    for place in hidden.values():
        place.mkdir(parents=True, exist_ok=True)
    return [
        *(f"mount --bind {quoted(path)} {quoted(place)}" for path, place in hidden.items()),
        *(f"mount -t tmpfs -o mode=755 tmpfs {quoted(up)}" for up in {closed[p] for p in hidden}),
        *(
            f"mkdir -p {quoted(path)} && mount --bind {quoted(place)} {quoted(path)}"
            for path, place in hidden.items()
        ),
    ]


class Stack:
    """The services of compose.yaml as processes: same commands, environments, health checks."""

    def __init__(self, document: dict, base: Path) -> None:
        self.here = Here(base)
        given = {"TIDEMILL_WORKSPACE": "/workspace"}
        self.services = interpolated(document["services"], given)
        steps = read_dockerfile(DOCKER / "Dockerfile")
        last = max(number for number, step in enumerate(steps) if step.word == "FROM")
        image = {step.word: step.text for step in steps[last:]}
        self._image_env = dict(pair.split("=", 1) for pair in shlex.split(image["ENV"]))
        self._entrypoint = YAML(typ="safe").load(image["ENTRYPOINT"])
        self._folder = image["WORKDIR"]
        self._processes: list[subprocess.Popen[bytes]] = []
        self.confined = can_confine()

    def environment(self, name: str) -> dict[str, str]:
        """What the service's process is started with."""
        written = {**self._image_env, **self.services[name]["environment"]}
        here = {key: self.here.text(str(value), name) for key, value in written.items()}
        named = {key: "127.0.0.1" for key in here if key.endswith("HOST") and here[key] in HOSTS}
        return {**here, **named}

    def command(self, name: str, words: list[str]) -> list[str]:
        """A command in the service's container: the entry point first, confined if we may."""
        service = self.services[name]
        mapped = [self.here.text(word, name) for word in [*self._entrypoint, *words]]
        if not self.confined:
            return mapped
        volumes = [one.rpartition(":")[2] for one in service.get("volumes", [])]
        return confined(
            mapped,
            user=service["user"],
            tmpfs=[Path(self.here.text(one.partition(":")[0], name)) for one in service["tmpfs"]],
            writable=[Path(self.here.text(path, name)) for path in volumes],
            stash=self.here.base / "stash",
        )

    def working(self, name: str) -> Path:
        """Where its commands begin."""
        return Path(self.here.text(self.services[name].get("working_dir", self._folder), name))

    def folder(self, name: str) -> Path:
        """Its private folder, which it may use as /tmp."""
        tmp = self.here.tmp(name)
        tmp.mkdir(parents=True, exist_ok=True)
        tmp.chmod(0o1777)
        return tmp

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start one of our services."""
        self.folder(name)
        command = self.command(name, self.services[name]["command"])
        return self.hold(name, command, self.environment(name), self.working(name))

    def hold(self, name: str, command: list[str], environment: dict[str, str], folder: Path):
        """Start a process that ends with this one."""
        process = leashed(ManagedService(name, tuple(command), folder, environment), self.log(name))
        self._processes.append(process)
        return process

    def run(self, name: str, *words: str, **given: str) -> str:
        """``docker compose run --rm -e GIVEN NAME WORDS``: what it says."""
        self.folder(name)
        done = subprocess.run(
            self.command(name, list(words)),
            env={**self.environment(name), **given},
            cwd=self.working(name),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self, name: str) -> Path:
        """Where it writes."""
        return self.here.base / "logs" / f"{name}.log"

    def await_healthy(self, name: str, process: subprocess.Popen[bytes], seconds: float = 600):
        """Ask as the health check of compose.yaml asks, until it is well."""
        deadline = time.monotonic() + seconds
        while not self.is_healthy(name):
            assert process.poll() is None, f"{name} ended: {self._tail(name)}"
            assert time.monotonic() < deadline, f"{name} is not well: {self._tail(name)}"
            time.sleep(0.3)

    def is_healthy(self, name: str) -> bool:
        """What the health check of compose.yaml says now."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.check(name, words).returncode == 0

    def check(self, name: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        """A health check in the service's container: without its entry point."""
        check = [self.here.text(word, name) for word in words]
        sockets = {"PGHOST": str(self.folder("postgres")), "PGPORT": str(self.here.ports[5432])}
        environment = {**self._image_env_here(name), **sockets}
        return subprocess.run(check, env=environment, capture_output=True, text=True)

    def await_end(self, name: str, process: subprocess.Popen[bytes], seconds: float = 600):
        """Wait for a service that does one thing."""
        assert process.wait(seconds) == 0, self._tail(name)

    def close(self) -> None:
        """End everything, the last one first."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(30)

    def _image_env_here(self, name: str) -> dict[str, str]:
        return {key: self.here.text(value, name) for key, value in self._image_env.items()}

    def _tail(self, name: str) -> str:
        return "\n" + self.log(name).read_text(errors="replace")[-4000:]


def in_order(services: Mapping[str, dict]) -> list[str]:
    """The services, each after those that it depends on."""
    placed: list[str] = []
    while len(placed) < len(services):
        ready = [
            name
            for name, service in services.items()
            if name not in placed and set(service.get("depends_on", {})) <= set(placed)
        ]
        assert ready, "depends_on goes in a circle"
        placed += ready
    return placed


# What the page of PostgreSQL's image says of *.sh files at a first start, and what was left there.
_RUN_OR_SOURCE = """
set -Eeo pipefail
if [ -x "$1" ]; then "$1"; else . "$1"; fi
echo "went on: $- $(declare -F)"
"""


class PostgresImage:
    """What the image of PostgreSQL does on an empty folder, with the server of this machine.

    ``hold`` starts a process: it gets the command, the environment and the folder.
    """

    def __init__(self, service: dict, folder: Path, secrets: Path, port: int, hold: Hold) -> None:
        self.folder, self.secrets, self.port, self._hold = folder, secrets, port, hold
        self._data = folder / "data"
        self._options = service["command"][1:]
        given = {
            name: value.replace("/run/secrets", str(secrets))
            for name, value in service["environment"].items()
        }
        # The entry point reads it and takes it away; programs find the server by the rest.
        self._password_file = Path(given.pop("POSTGRES_PASSWORD_FILE"))
        password = self._password_file.read_text()
        given |= {"POSTGRES_PASSWORD": password, "PGPASSWORD": password}
        self.environment = {**os.environ, **given, "PGHOST": str(folder), "PGPORT": str(port)}
        self._as = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        if os.getuid():
            self._as = []
        else:
            shutil.chown(folder, "nobody", "nogroup")

    def first_start(self, script: Path) -> subprocess.Popen[bytes]:
        """Make the data, run the script beside a server that only it reaches, serve."""
        self.make_data()
        first = self.serve("-h", "")
        done = self.run_script(script)
        self.stop(first)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.serve()

    def make_data(self) -> None:
        """An empty data folder becomes one of PostgreSQL's."""
        user = self.environment["POSTGRES_USER"]
        initdb = ["initdb", "--pgdata", str(self._data), "--username", user, "--no-sync"]
        initdb += ["--pwfile", str(self._password_file), "--auth-local=trust"]
        done = self._run([*initdb, *self.environment["POSTGRES_INITDB_ARGS"].split()])
        assert done.returncode == 0, done.stdout + done.stderr

    def serve(self, *options: str) -> subprocess.Popen[bytes]:
        """Start the server and wait until it answers on its socket."""
        place = ["-D", str(self._data), "-k", str(self.folder), "-p", str(self.port), "-F"]
        place += ["-h", "127.0.0.1", *options]
        command = [*self._as, "postgres", *place, *self._options]
        process = self._hold(command, self.environment, self.folder)
        deadline = time.monotonic() + 600
        while self._run(["pg_isready", "-q"]).returncode:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    def run_script(self, script: Path) -> subprocess.CompletedProcess[str]:
        """Run a script as the entry point does: one that may not be executed is sourced."""
        return self._run(["bash", "-c", _RUN_OR_SOURCE, "docker-entrypoint", str(script)])

    def health(self, service: dict) -> subprocess.CompletedProcess[str]:
        """What the health check of compose.yaml says."""
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD"
        return self._run([word.replace("/opt/tidemill", str(ROOT)) for word in words])

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End the server in order."""
        done = self._run(["pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "stop"])
        assert done.returncode == 0, done.stdout + done.stderr
        process.wait(60)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        words, places = [*self._as, *command], {"env": self.environment, "cwd": self.folder}
        return subprocess.run(words, capture_output=True, text=True, **places)


def start_s3(stack: Stack) -> subprocess.Popen[bytes]:
    """A store that speaks S3, in place of the one of compose.yaml."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1"]
    command += ["-p", str(stack.here.ports[8333])]
    process = stack.hold("s3", command, dict(os.environ), stack.folder("s3"))
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", stack.here.ports[8333]), 1).close()
            return process
        time.sleep(0.2)
    raise AssertionError(stack.log("s3").read_text())


@pytest.fixture(scope="module")
def stack(document: dict) -> Iterator[Stack]:
    """Everything that compose.yaml starts, in its order, on a small workspace."""
    programs = find_postgres()
    if programs is None or not shutil.which("pg_isready"):
        pytest.skip("PostgreSQL's programs are not installed")
    base = Path(tempfile.mkdtemp(prefix="tidemill-docker-"))
    base.chmod(0o755)
    stack = Stack(document, base)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs), prepend=os.pathsep)
        try:
            _furnish(stack)
            for name in in_order(stack.services):
                _bring_up(stack, name)
            yield stack
        finally:
            stack.close()
            shutil.rmtree(base, ignore_errors=True)


def _furnish(stack: Stack) -> None:
    here = stack.here
    script = [sys.executable, str(DOCKER / "make_secrets.py"), str(here.secrets)]
    subprocess.run(script, check=True, capture_output=True)
    # Containers get each file by itself; here they are looked for in the folder.
    here.secrets.chmod(0o755)
    small_workspace(here.workspace)
    if os.getuid() == 0:
        uid, gid = map(int, stack.services["worker"]["user"].split(":"))
        for path in itertools.chain([here.workspace], here.workspace.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)


def _bring_up(stack: Stack, name: str) -> None:
    if name == "postgres":
        service, folder = stack.services[name], stack.folder(name)
        hold = functools.partial(stack.hold, name)
        image = PostgresImage(service, folder, stack.here.secrets, stack.here.ports[5432], hold)
        process = image.first_start(DOCKER / "postgres" / "init.sh")
        stack.await_healthy(name, process)
    elif name == "s3":
        start_s3(stack)
    elif stack.services[name]["restart"] == "no":
        stack.await_end(name, stack.start(name))
    else:
        stack.await_healthy(name, stack.start(name))


@pytest.fixture
def postgres_image(document: dict) -> Iterator[PostgresImage]:
    """PostgreSQL's image before its first start; what it started ends with the test."""
    programs = find_postgres()
    if programs is None or not shutil.which("pg_isready"):
        pytest.skip("PostgreSQL's programs are not installed")
    # A socket's path is short, and open to the user of the server.
    base = Path(tempfile.mkdtemp(prefix="tidemill-pg-"))
    base.chmod(0o755)
    make = [sys.executable, str(DOCKER / "make_secrets.py"), str(base / "secrets")]
    subprocess.run(make, check=True, capture_output=True)
    (base / "secrets").chmod(0o755)
    (base / "server").mkdir()
    processes = []

    def hold(command: list[str], environment: dict[str, str], folder: Path):
        service = ManagedService("postgres", tuple(command), folder, environment)
        processes.append(leashed(service, base / "log"))
        return processes[-1]

    service, (port,) = document["services"]["postgres"], free_ports(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs), prepend=os.pathsep)
        try:
            yield PostgresImage(service, base / "server", base / "secrets", port, hold)
        finally:
            for process in processes:
                process.terminate()
                process.wait(30)
            shutil.rmtree(base, ignore_errors=True)
