"""Runs of the command line for test_doors_kill.py, each in a forked process of its own.

``forked-python`` starts it, which has imported what every run imports.

Each line of stdin is one run:
``{"arguments": [...], "environment": {...}, "log": "...", "kill_at": N or null, ...}``. The
run's process id is printed, then how it ended (its exit code, or minus the signal).

With ``kill_at`` or ``kill_past`` the run kills itself at a change of a file (``Changes``);
otherwise it writes how many changes it has seen beside the log.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from pathlib import Path

from tidemill.testing.kills import Changes


def run(order: dict) -> None:
    """Become a run of the command line; never returns."""
    os.setsid()
    os.environ.update(order["environment"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["tidemill", *order["arguments"]]
    seen = Changes(order["root"], kill_at=order["kill_at"], kill_past=order["kill_past"])
    counted = Path(order["log"] + ".changes")
    atexit.register(lambda: counted.write_text(str(seen.seen)))
    from tidemill.cli import main

    main()


def serve() -> None:
    """Fork a run for each line."""
    assert threading.active_count() == 1, "a fork would leave threads behind"
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
