"""Run the benches, write benchmarks/results/*.json, print the table: ``make bench``.

``python -m benchmarks [NAME ...] [--folder DIR]``; without names, all of them in turn.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.table import Line, table

RESULTS = Path(__file__).with_name("results")
BENCHES = (
    "make_run",
    "job",
    "wide",
    "driver_memory",
    "reading",
    "elsewhere",
    "capacity",
    "spreading",
    "linear",
    "search",
    "small_tables",
    "free_text",
    "databases",
    "refit_origins",
    "drift_window",
    "drift_alarms",
    "drift_delay",
    "harm_alarms",
    "ledger_append",
    "monitor_http",
    "guard_start",
)
"""Modules with ``measure(folder) -> document`` and ``lines(document)``."""


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--folder", type=Path, help="where tables and workspaces go")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        lines: list[Line] = []
        for name in asked.names or BENCHES:
            lines += _run(name, folder / name)
    print(table(lines))


def _run(name: str, folder: Path) -> list[Line]:
    bench = importlib.import_module(f"benchmarks.{name}")
    folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()
    found = bench.measure(folder)
    lines: list[Line] = bench.lines(found)
    _write(name, load, found, lines)
    return lines


def _write(name: str, load: tuple[float, ...], found: Any, lines: list[Line]) -> None:
    RESULTS.mkdir(exist_ok=True)
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": load,
        },
        "lines": lines,
        "details": found,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()
