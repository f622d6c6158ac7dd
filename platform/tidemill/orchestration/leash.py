"""A command on a leash: it and everything it starts end with the process that asked for it.

A script, run by its path with ``python -P``: ``leash.py PARENT_PID GRACE_SECONDS COMMAND...``. Ends
with the command's exit code. When it is told to stop (SIGTERM) or the parent is gone, it asks the
command to stop, waits, and then kills whatever is left of its descendants.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

POLL_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    # Linux only; elsewhere the polling below does what it can.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def end_all(command: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Ask the command to stop; after the grace, kill all that is left."""
    if command.poll() is None:
        command.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(grace_seconds)
    # Killing a process can hand its children to us (we are the subreaper): look again.
    while left := [process for process in _descendants() if not _dead(process)]:
        _signal(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=1.0)
    command.poll()
    bury(command)


def bury(command: subprocess.Popen[bytes]) -> None:
    """Reap what has ended of those that the command left to us; its own end is its ``poll``'s.

    As their subreaper we are the parent of its orphans: until we ask how one ended it stays in the
    process table, and a service that lives for months would fill it.
    """
    if sys.platform != "linux":
        return  # nobody is left to us
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == command.pid:
                return  # seen first; the next poll takes it, and then the others
            os.waitpid(ended.si_pid, 0)


def _dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def hold(arguments: list[str], parent: int, stopped: Callable[[], bool], grace: float) -> int:
    """Run the command until it ends, the parent ends or somebody says stop."""
    command = subprocess.Popen(  # noqa: S603
        arguments,
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    while command.poll() is None and os.getppid() == parent and not stopped():
        bury(command)
        time.sleep(POLL_SECONDS)
    end_all(command, grace)
    return command.returncode if command.returncode is not None else 1


def main() -> int:
    """Hold the command named in the arguments."""
    parent, grace, *arguments = sys.argv[1:]
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: told.append(number))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    code = hold(arguments, int(parent), lambda: bool(told), float(grace))
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
