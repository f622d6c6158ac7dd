"""``up`` for a test: run_up.py WORKSPACE PREFECT MLFLOW MONITOR (ports); prints what it says."""

from __future__ import annotations

import sys

from tidemill.orchestration import up
from tidemill.settings import load_settings
from tidemill.storage import Workspace

if __name__ == "__main__":
    folder, prefect_port, mlflow_port, monitor_port = sys.argv[1:]
    up(
        Workspace.at(folder),
        settings=load_settings(),
        prefect_port=int(prefect_port),
        mlflow_port=int(mlflow_port),
        monitor_port=int(monitor_port),
        on_event=lambda text: print(text, flush=True),
    )
