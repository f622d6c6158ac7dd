"""Runs of the command line for test_doors_kill.py, each in a forked process of its own.

Each line of stdin is one run:
``{"arguments": [...], "environment": {...}, "log": "...", "kill_at": N or null, ...}``. The
run's process id is printed, then how it ended (its exit code, or minus the signal).

With ``kill_at`` the run kills itself at its N-th change of a file: an audit hook counts opens
for writing, renames, links, removals and new folders, just before each is done. With
``kill_past`` it does so at the next change after a file whose path ends so got its name.
Otherwise it writes how many changes it has seen beside the log.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}


def install_counter(order: dict, counted: Path) -> None:
    """Count changes of files below the workspace in this process; kill it where it is asked."""
    seen, armed = 0, False
    me, root = os.getpid(), order["root"]

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen, armed
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if os.getpid() != me or not str(path).startswith(root):
            return
        seen += 1
        if armed or seen == order["kill_at"]:
            os.kill(me, signal.SIGKILL)
        past = order["kill_past"]
        armed = bool(past) and event == "os.rename" and str(arguments[1]).endswith(past)

    sys.addaudithook(hook)
    atexit.register(lambda: counted.write_text(str(seen)))


def run(order: dict) -> None:
    """Become a run of the command line; never returns."""
    os.setsid()
    os.environ.update(order["environment"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["tidemill", *order["arguments"]]
    install_counter(order, Path(order["log"] + ".changes"))
    from tidemill.cli import main

    main()


def serve() -> None:
    """Fork a run for each line."""
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                run(order)
            except SystemExit as ended:
                code = ended.code or 0
            finally:
                atexit._run_exitfuncs()
                os._exit(code if isinstance(code, int) else 1)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
