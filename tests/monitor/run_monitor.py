"""Serve a workspace in a process of its own, to be killed: run_monitor.py WORKSPACE PORT KEYS."""

import sys
from pathlib import Path

from tidemill_monitor.http_server import serve
from tidemill_monitor.monitor_settings import MonitorSettings

if __name__ == "__main__":
    root, port, keys = sys.argv[1:]
    serve(MonitorSettings(workspace=Path(root), port=int(port), keys_file=Path(keys)))
