"""Commands of tests that start by a fork: what all of them import is imported once.

A start of ``tidemill`` or ``dvc`` is seconds of imports, and ``dvc repro`` starts ten. Here one
process has imported them; programs of the same names tell it what to run, where, and with which
files and environment, and end as that ended. A test whose law is about the installed commands
themselves names them by their path instead.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidemill.testing.workspaces import made_once

__all__ = ["IMPORTED", "forked_commands"]

IMPORTED = (
    "skops.io",  # first: it looks through every module that is there
    "dvc.cli",
    "dvc.commands.repro",
    "dvc.repo",
    "lightgbm",
    "matplotlib.figure",
    "mlflow.sklearn",
    "optuna",
    "sklearn.pipeline",
    "tidemill.cli",
    "tidemill.ingestion.checks.gx_session",
    "tidemill.pipeline",
)

_PROGRAM = """\
#!{python} -IS
import json, os, signal, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect({address!r})
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: peer.sendall(f"{{number}}\\n".encode()))
order = dict(arguments=sys.argv, folder=os.getcwd(), environment=dict(os.environ))
socket.send_fds(peer, [b" "], [0, 1, 2])
peer.sendall(json.dumps(order).encode() + b"\\n")
code = int(peer.makefile().readline() or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if code != -signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextmanager
def forked_commands(base: Path) -> Iterator[Path]:
    """A folder of programs for ``PATH``: ``tidemill``, ``dvc``, and ``forked-python SCRIPT ...``.

    Parameters
    ----------
    base : Path
        pytest's base folder: its workers share one process, which ends with the last of them.
    """
    home = made_once(base, "commands", _write_programs)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lease = _lease(home) or _start(home)
    with lease:
        yield home / "bin"


def _write_programs(home: Path) -> None:
    (home / "bin").mkdir()
    for name in _RUN:
        program = home / "bin" / name
        program.write_text(
            _PROGRAM.format(python=sys.executable, address=str(home / "orders")), encoding="utf-8"
        )
        program.chmod(0o755)


def _lease(home: Path) -> socket.socket | None:
    lease = socket.socket(socket.AF_UNIX)
    try:
        lease.connect(str(home / "leases"))
    except OSError:
        lease.close()
        return None
    return lease


def _start(home: Path) -> socket.socket:
    with (home / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-m", "tidemill.testing.forks", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    while process.poll() is None:
        if (lease := _lease(home)) is not None:
            threading.Thread(target=process.wait, daemon=True).start()
            return lease
        time.sleep(0.05)
    raise RuntimeError(f"the commands did not start: {(home / 'log').read_text()}")


def _serve(home: Path) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("a fork would leave threads behind")
    gc.freeze()  # or each child would copy what it looks through
    orders, leases = (_listen(home / name) for name in ("orders", "leases"))
    held = {leases.accept()[0]}
    while held:
        ready, _, _ = select.select([orders, leases, *held], [], [])
        for found in ready:
            if found is orders:
                _take(orders.accept()[0], {orders, leases, *held})
            elif found is leases:
                held.add(leases.accept()[0])
            else:  # its worker has ended
                held.discard(found)
                found.close()
        _reap()


def _listen(address: Path) -> socket.socket:
    address.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen(64)
    return listening


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _take(peer: socket.socket, others: set[socket.socket]) -> None:
    """Run an order in a child of a child of its own, which waits for it."""
    if os.fork():
        peer.close()
        return
    try:
        for other in others:
            other.close()
        _, files, _, _ = socket.recv_fds(peer, 1, 3)
        with peer.makefile(encoding="utf-8") as lines:
            order = json.loads(lines.readline())
        if (child := os.fork()) == 0:
            peer.close()
            _become(order, files)
        for file in files:
            os.close(file)
        _watch(child, peer)
    finally:
        os._exit(0)


def _watch(child: int, peer: socket.socket) -> None:
    """Hand on signals, kill the child of a program that was killed, and say how it ended."""
    ended = os.pidfd_open(child)
    awaited: list[Any] = [peer, ended]
    while True:
        ready, _, _ = select.select(awaited, [], [])
        if ended in ready:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            peer.sendall(f"{code}\n".encode())
            return
        numbers = peer.recv(64).split() or [b"%d" % signal.SIGKILL]
        for number in numbers:
            os.kill(child, int(number))


def _become(order: dict[str, Any], files: list[int]) -> None:
    """Be the program that was started; never returns."""
    code: Any = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv = order["arguments"]
        sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        code = _RUN[Path(sys.argv[0]).name]()
    except SystemExit as exc:
        code = exc.code
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _end(code: Any) -> None:
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _tidemill() -> Any:
    from tidemill.cli import main

    return main()


def _dvc() -> Any:
    return importlib.import_module("dvc.cli").main()


def _script() -> Any:
    sys.argv = sys.argv[1:]
    return runpy.run_path(sys.argv[0], run_name="__main__") and 0


_RUN: dict[str, Callable[[], Any]] = {"tidemill": _tidemill, "dvc": _dvc, "forked-python": _script}

if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
