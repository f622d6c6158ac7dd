"""Which Prefect API a run talks to: the one that is configured, or a temporary server of its own.

Nothing here imports Prefect: the server starts while the rest of the program still loads.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

import tidemill
from tidemill.errors import ServiceUnavailable
from tidemill.settings import APART
from tidemill.storage import Workspace, hash_bytes, shared_lock
from tidemill.web import CREDENTIAL_VARIABLE

__all__ = ["TemporaryServer", "health_status", "prefect_home", "require_prefect"]

STARTUP_SECONDS = 120.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 10.0

# The UI, automations and the event feed are of no use to one run; block types (storage,
# notifications) are registered by a server that somebody looks at. Task runs are written in
# batches: one transaction for each event makes the server lag behind a fast stage.
_QUIET_SERVER = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}

_DATABASES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
_OF_CLIENTS = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")


def prefect_home() -> Path:
    """Where Prefect keeps its database: ``PREFECT_HOME``, or ``~/.prefect``."""
    return Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()


@contextmanager
def database_lock(workspace: Workspace) -> Iterator[None]:
    """Hold Prefect's database: two ``tidemill up`` would write the same deployments into it.

    Raises
    ------
    WorkspaceBusy
        If another workspace's holds it, on this machine and for this user.
    """
    named = next((name for name in _DATABASES if os.environ.get(name)), None)
    if named is None:
        path = prefect_home() / "tidemill-up.lock"
        what = f"Prefect's database in {path.parent}"
        home = shlex.quote(str(workspace.hidden / "prefect"))
        own = f"run PREFECT_HOME={home} tidemill up, with --prefect-port, --mlflow-port and "
        own += "--monitor-port of its own"
    else:
        key = hash_bytes(os.environ[named].encode())[:16]
        path = Path.home() / ".prefect" / f"tidemill-up-{key}.lock"
        what, own = f"the database in {named}", f"name another one in {named}"
    remedy = f"stop that `tidemill up`, or give this workspace a Prefect of its own: {own}"
    with shared_lock(path, workspace, f"{what} is used", remedy):
        yield


def health_status(address: str, *, timeout_seconds: float = ANSWER_SECONDS) -> int | None:
    """Return the HTTP status that ``address`` answers with, or None if nothing answers."""
    # A proxy has no business between us and an address that the user or we chose.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=timeout_seconds) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code
    except (OSError, http.client.HTTPException, ValueError):
        return None


def require_prefect(api_url: str) -> None:
    """Make sure that a Prefect API answers at ``api_url``.

    Raises
    ------
    ServiceUnavailable
        If nothing answers there, or something else than Prefect does.
    """
    status = health_status(f"{api_url.rstrip('/')}/health")
    if status is not None and (status < 400 or status in (401, 403)):
        return
    what = (
        "nothing answers" if status is None else f"what answers is no Prefect API (HTTP {status})"
    )
    raise ServiceUnavailable(
        f"PREFECT_API_URL is {api_url}, and {what} there",
        remedy="start the server (tidemill up), correct the address (it ends with /api), or unset "
        "PREFECT_API_URL for a temporary server",
        service="prefect",
        address=api_url,
        status=status,
    )


class TemporaryServer:
    """A Prefect server for one run, on a free port of 127.0.0.1.

    ``start`` returns at once; ``wait`` returns when the server answers. The server keeps its
    database in :func:`prefect_home` and ends with this process, even when that is killed. It
    answers only who sends ``auth``, a ``user:password`` of this one server.
    """

    def __init__(self) -> None:
        self.api_url = ""
        self.auth = f"run:{secrets.token_hex(32)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = threading.Event()
        self._status: int | None = None
        self._errors: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        return self._process.pid if self._process else None

    @property
    def ready(self) -> bool:
        """Whether the server answered already (or will not any more)."""
        return self._answered.is_set()

    def start(self) -> TemporaryServer:
        """Start the server and return without waiting for it."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            port = listener.getsockname()[1]
            self.api_url = f"http://127.0.0.1:{port}/api"
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
            self._process = subprocess.Popen(  # noqa: S603
                self._command(listener.fileno()),
                env=_server_environment(self.auth),
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                # Ctrl-C is for the run, which still has to tell the server how it ended.
                start_new_session=True,
            )
        threading.Thread(target=self._watch, name="prefect-server-watch", daemon=True).start()
        return self

    def wait(self, *, meanwhile: Callable[[], bool] = lambda: False) -> None:
        """Return when the server answers.

        Parameters
        ----------
        meanwhile : callable
            Useful work in small steps; called until it returns False or the server answers.

        Raises
        ------
        ServiceUnavailable
            If the server ended, or did not answer within two minutes.
        """
        while not self.ready and meanwhile():
            pass
        self._answered.wait(STARTUP_SECONDS + 1)
        if self._status == 200:
            return
        said = self._last_words()
        self.stop()
        raise ServiceUnavailable(
            f"the temporary Prefect server did not start: {said or 'no answer in time'}",
            remedy="look at PREFECT_HOME and the disk, or run without Prefect: tidemill run "
            "--direct",
            service="prefect",
            address=self.api_url,
        )

    def stop(self) -> None:
        """End the server, gently first."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def __enter__(self) -> TemporaryServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _command(self, descriptor: int) -> list[str]:
        script = Path(__file__).with_name("serve_prefect.py")
        lock = prefect_home() / "tidemill-server-start.lock"
        return [sys.executable, "-P", str(script), str(descriptor), str(os.getpid()), str(lock)]

    def _watch(self) -> None:
        self._status = health_status(f"{self.api_url}/health", timeout_seconds=STARTUP_SECONDS)
        self._answered.set()

    def _last_words(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def _server_environment(auth: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _OF_CLIENTS}
    rooms = str(Path(tidemill.__file__).parents[1])
    search = os.pathsep.join(path for path in (rooms, kept.get("PYTHONPATH", "")) if path)
    # A stage's memory is that of its work: the meter leaves processes marked so apart.
    return {
        **kept,
        **_QUIET_SERVER,
        APART: "1",
        "PYTHONPATH": search,
        CREDENTIAL_VARIABLE: auth,
    }
