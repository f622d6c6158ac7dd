"""A run that is killed in the middle of a stage: run_killed.py WORKSPACE."""

from __future__ import annotations

import os
import signal
import sys
import time

from tidemill.engines import LocalEngine
from tidemill.orchestration import run_through_prefect
from tidemill.settings import load_settings
from tidemill.storage import Workspace


def pipeline(_workspace, *, execute, **_):
    """One stage, in which the process dies."""

    def call():
        # The task's state travels as an event: the server should know that it runs.
        time.sleep(3)
        os.kill(os.getpid(), signal.SIGKILL)

    execute("ingest", call)


if __name__ == "__main__":
    run_through_prefect(
        Workspace.at(sys.argv[1]), load_settings(), engine=LocalEngine(1), pipeline=pipeline
    )
