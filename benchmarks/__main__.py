"""Run the benches, write benchmarks/results/*.json, print the table: ``make bench``.

``python -m benchmarks [--rows 2000000 10000000] [--repeats 3] [--folder DIR]``
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import job, make_run

RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[2_000_000, 10_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where tables and workspaces go")
    parser.add_argument("--skip-make-run", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [] if asked.skip_make_run else _make_run(folder)
        lines += _job(folder, asked.rows, asked.repeats)
    print(_table(lines))


def _make_run(folder: Path) -> list[dict[str, Any]]:
    found = make_run.measure(folder)
    lines = [
        _line("make run, 200k rows, fresh PREFECT_HOME: seconds", found["fresh"]["seconds"], 90),
        _line(
            "  of which outside the stages, and register", found["fresh"]["overhead_seconds"], 40
        ),
        _line("  the same with tidemill up", found["with_up"]["overhead_seconds"], 15),
    ]
    _write("make_run", found, lines)
    return lines


def _job(folder: Path, sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    found = [job.compare(folder, rows, repeats if rows < 5_000_000 else 1) for rows in sizes]
    for result in found:
        big = result["rows"] >= 5_000_000
        name = f"whole job, {result['rows'] / 1e6:g}M rows"
        lines.append(
            _line(f"{name}: wall, ours / plain", result["wall_ratio"], 1.0 if big else 1.3)
        )
        if big:
            lines.append(_line(f"{name}: memory, ours / plain", result["memory_ratio"], 1 / 6))
    if len(found) > 1:
        growth = found[-1]["ours"]["peak_mb"] / found[0]["ours"]["peak_mb"]
        lines.append(_line("peak memory, largest / smallest table", growth, 1.15))
    _write("job", {"runs": found}, lines)
    return lines


def _line(what: str, measured: float, target: float) -> dict[str, Any]:
    return {
        "what": what,
        "target": round(target, 3),
        "measured": round(measured, 3),
        "met": measured <= target,
    }


def _write(name: str, found: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
        "lines": lines,
        "details": found,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def _table(lines: list[dict[str, Any]]) -> str:
    rows = [
        f"| {x['what']} | {x['target']} | {x['measured']} | {'yes' if x['met'] else 'no'} |"
        for x in lines
    ]
    return "\n".join(["| work | target | measured | met |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    main()
