"""A table of many columns, from ``tidemill init`` to validated: CPU seconds and peak memory.

A quarter of the columns beside it says whether the cost grows with the columns or their square;
PyArrow's reading of the same file and writing of it as one Parquet file, without a check, a type
of its own or a profile, says what of it no care could save.
``TIDEMILL_BENCH_COLUMNS`` (default 39917) and ``TIDEMILL_BENCH_ROWS`` (6000) make it smaller.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
from benchmarks.measure import run
from benchmarks.table import Line, line

COLUMNS = int(os.environ.get("TIDEMILL_BENCH_COLUMNS", "39917"))
ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "6000"))
TOOL = [sys.executable, "-m", "tidemill"]


def write_wide(path: Path, columns: int, rows: int) -> None:
    """One in ten columns holds words, half hold counts that are mostly 0, the others reals."""
    random = np.random.default_rng(5)
    pools = (
        np.array(["red", "green", "blue", "cyan"]),
        np.array(["0"] * 90 + [str(count) for count in range(1, 11)]),
        np.array([f"{value / 1000:.3f}" for value in range(-5000, 5000)]),
    )
    kind = np.array([0, 1, 1, 1, 1, 1, 2, 2, 2, 2])[np.arange(columns - 1) % 10]
    with path.open("w") as file:
        file.write(",".join(["label", *(f"x{at}" for at in range(columns - 1))]) + "\n")
        for _ in range(rows):
            cells = np.empty(columns - 1, object)
            for number, pool in enumerate(pools):
                chosen = kind == number
                cells[chosen] = pool[random.integers(0, len(pool), int(chosen.sum()))]
            label = "yes" if random.random() < 0.4 else "no"
            file.write(f"{label},{','.join(cells)}\n")


def measure(folder: Path) -> dict[str, Any]:
    """Of a quarter of the columns and of all: init, and run until validated, one worker."""
    return {str(columns): _measured(folder, columns) for columns in (COLUMNS // 4, COLUMNS)}


def _measured(folder: Path, columns: int) -> dict[str, Any]:
    source, workspace = folder / f"{columns}.csv", folder / f"ws{columns}"
    write_wide(source, columns, ROWS)
    environment = {"TIDEMILL_WORKERS": "1"}
    init = [*TOOL, "init", str(workspace), "--source", str(source), "--target", "label", "--json"]
    ingest = [*TOOL, "run", "--direct", "--until", "ingest", "--json", "-w", str(workspace)]
    runs = [run(command, cwd=folder, environment=environment) for command in (init, ingest)]
    plain = [sys.executable, "-m", "benchmarks.wide", str(source), str(folder / "plain.parquet")]
    place = str(Path(__file__).parents[1])
    peer = run(plain, cwd=folder, environment={"PYTHONPATH": place})
    source.unlink()
    return {
        "pyarrow_cpu_seconds": peer.cpu_seconds,
        "pyarrow_peak_memory_bytes": peer.peak_memory_bytes,
        "init_cpu_seconds": runs[0].cpu_seconds,
        "ingest_cpu_seconds": runs[1].cpu_seconds,
        "cpu_seconds": sum(each.cpu_seconds for each in runs),
        "peak_memory_bytes": max(each.peak_memory_bytes for each in runs),
    }


def lines(found: dict[str, Any]) -> list[Line]:
    """Seconds and memory at both widths, and the ratio between them."""
    few, many = found.values()
    ratio = many["cpu_seconds"] / few["cpu_seconds"]
    return [
        line(f"wide: {ROWS} x {COLUMNS}, init to validated, CPU seconds", many["cpu_seconds"], 60),
        line("wide: peak memory, GiB", many["peak_memory_bytes"] / 2**30, 2),
        line("wide: four times the columns, times the CPU seconds", ratio, 4.5),
        line(
            "wide: CPU seconds, times PyArrow's reading and writing",
            many["cpu_seconds"] / many["pyarrow_cpu_seconds"],
            3,
        ),
    ]


def copy_plainly(source: Path, parquet: Path) -> None:
    """CSV to one zstd Parquet file, by PyArrow alone, in one thread."""
    options = pyarrow.csv.ReadOptions(use_threads=False, block_size=1 << 28)
    with (
        pyarrow.csv.open_csv(source, options) as batches,
        pyarrow.parquet.ParquetWriter(parquet, batches.schema, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


if __name__ == "__main__":
    copy_plainly(*map(Path, sys.argv[1:]))
