"""Keeps processes alive: starts them on a leash, restarts what dies, leaves nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psutil

from tidemill.errors import ServiceUnavailable
from tidemill.orchestration.server import health_status
from tidemill.orchestration.services import ManagedService
from tidemill.storage import storage_errors

__all__ = ["Supervisor", "leashed"]

GRACE_SECONDS = 8.0
HEALTHY_SECONDS = 120.0
STABLE_SECONDS = 60.0
MAX_BACKOFF_SECONDS = 30.0
_POLL_SECONDS = 0.25
_PR_SET_CHILD_SUBREAPER = 36


def leashed(
    service: ManagedService, log: Path, *, grace_seconds: float = GRACE_SECONDS
) -> subprocess.Popen[bytes]:
    """Start a service that ends, with all it started, when this process does."""
    script = Path(__file__).with_name("leash.py")
    arguments = [sys.executable, "-P", str(script), str(os.getpid()), str(grace_seconds)]
    with storage_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    with file:
        return subprocess.Popen(  # noqa: S603
            [*arguments, *service.command],
            cwd=service.folder,
            env=service.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Ctrl-C is for us: we stop the services in order.
            start_new_session=True,
        )


class Supervisor:
    """Services that are running, and what to do when one is not.

    Parameters
    ----------
    logs : Path
        Folder of one log file for each service.
    tell : callable
        Takes one line for people.
    grace_seconds : float
        How long a service may take to stop before it is killed.
    """

    def __init__(
        self, logs: Path, tell: Callable[[str], None], *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._grace_seconds = grace_seconds
        self._logs = logs
        self._tell = tell
        self._children: dict[str, _Child] = {}

    def start(self, service: ManagedService) -> None:
        """Start a service; :meth:`wait_healthy` says when it is well."""
        self._children[service.name] = _Child(service, self.log(service), self._grace_seconds)

    def log(self, service: ManagedService) -> Path:
        """Where the service writes."""
        return self._logs / f"{service.name.replace(' ', '-')}.log"

    def wait_healthy(self, service: ManagedService, stopped: Callable[[], bool]) -> bool:
        """Wait until the service answers; False if ``stopped`` said so first.

        Raises
        ------
        ServiceUnavailable
            If it ended, or did not answer within two minutes.
        """
        child = self._children[service.name]
        deadline = time.monotonic() + HEALTHY_SECONDS
        while not stopped():
            if service.health is None or health_status(service.health, timeout_seconds=2.0) == 200:
                return True
            if child.process.poll() is not None or time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"the {service.name} did not start: {_last_line(self.log(service))}",
                    remedy=f"look at {self.log(service)}",
                    service=service.name,
                    log=str(self.log(service)),
                )
            time.sleep(_POLL_SECONDS)
        return False

    def tend(self) -> None:
        """Start again what died, after a pause that grows with every death in a row."""
        for child in self._children.values():
            if child.tend():
                self._tell(
                    f"{child.service.name} ended (exit code {child.code}); starting it again in "
                    f"{child.pause:.0f} s; its log: {self.log(child.service)}"
                )
        self._bury_adopted()

    def close(self) -> None:
        """Stop every service, the last one first, and wait until all their processes are gone."""
        for child in reversed(self._children.values()):
            child.process.terminate()
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(self._grace_seconds + 5.0)
            child.process.kill()
            child.process.wait()
        self._children.clear()
        self._bury_adopted()

    def __enter__(self) -> Supervisor:
        _adopt_orphans(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        _adopt_orphans(False)

    def _bury_adopted(self) -> None:
        # When a leash itself is killed, what it held comes to us: we started none of it.
        known = {child.process.pid for child in self._children.values()}
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid not in known and process.environ().get("TIDEMILL_SERVICE"):
                    process.send_signal(signal.SIGKILL)
                    process.wait(1.0)


class _Child:
    def __init__(self, service: ManagedService, log: Path, grace_seconds: float) -> None:
        marked = {**service.environment, "TIDEMILL_SERVICE": service.name}
        self.service = ManagedService(
            service.name, service.command, service.folder, marked, service.address, service.health
        )
        self._log = log
        self._grace_seconds = grace_seconds
        self.pause = 0.0
        self.code = 0
        self._again_at: float | None = None
        self._begin()

    def tend(self) -> bool:
        """Look after the process; True if it was just found dead."""
        if self._again_at is not None:
            if time.monotonic() >= self._again_at:
                self._begin()
            return False
        code = self.process.poll()
        if code is None:
            return False
        lived = time.monotonic() - self._began
        self.pause = (
            1.0
            if lived > STABLE_SECONDS or not self.pause
            else min(self.pause * 2, MAX_BACKOFF_SECONDS)
        )
        self.code = code
        self._again_at = time.monotonic() + self.pause
        return True

    def _begin(self) -> None:
        self._again_at = None
        self._began = time.monotonic()
        self.process = leashed(self.service, self._log, grace_seconds=self._grace_seconds)


def _adopt_orphans(adopt: bool) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else "it said nothing"
