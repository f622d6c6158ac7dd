"""Reading the sample's rows beside readers of other people: CPU seconds and peak memory.

Ours gives typed batches with the true position of each row and a fault for each bad cell; the
peers give typed batches, bad columns as text. One thread each, a process of its own, in turn.
``TIDEMILL_BENCH_ROWS`` (default 100000) makes the table larger.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from benchmarks.measure import run
from benchmarks.table import Line, line

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion import list_source, look_result, read_split
from tidemill.samples import write_sample

ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "100000"))
PAIRS = 3
BATCH_ROWS = 65_536
PEERS = {"csv": ("pyarrow", "duckdb"), "jsonl": ("pyarrow", "duckdb"), "parquet": ("pyarrow",)}


def measure(folder: Path) -> dict[str, Any]:
    """Of each format: ours and each peer in turn, the medians of their figures."""
    _write(folder)
    found: dict[str, Any] = {}
    for form, peers in PEERS.items():
        turns = [{who: _turn(folder, form, who) for who in ("ours", *peers)} for _ in range(PAIRS)]
        found[form] = {
            who: {figure: statistics.median(turn[who][figure] for turn in turns) for figure in one}
            for who, one in turns[0].items()
        }
    return found


def lines(found: dict[str, Any]) -> list[Line]:
    """Ratios to each peer; JSON lines go through Python, and may cost ten times as much."""
    return [
        line(f"read {form}: {figure}, ours / {peer}", ways["ours"][name] / ways[peer][name], aim)
        for form, ways in found.items()
        for peer in PEERS[form]
        for figure, name, aim in (
            ("CPU seconds", "cpu_seconds", 10.0 if form == "jsonl" else 1.5),
            ("peak memory", "peak_memory_bytes", 2.0),
        )
    ]


def _write(folder: Path) -> None:
    """The same rows in each format, a folder each, one file."""
    for form in PEERS:
        (folder / form).mkdir(exist_ok=True)
    (path,) = write_sample(folder / "csv", rows=ROWS, months=1, seed=1)
    table = pyarrow.csv.read_csv(path)
    pyarrow.parquet.write_table(table, folder / "parquet" / "rides.parquet")
    with (folder / "jsonl" / "rides.jsonl").open("w") as file:
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            file.writelines(json.dumps(row, default=str) + "\n" for row in batch.to_pylist())


def _turn(folder: Path, form: str, who: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.reading", who, form, str(folder / form)]
    place = str(Path(__file__).parents[1])
    done = run(command, cwd=folder, environment={"PYTHONPATH": place})
    told = json.loads(done.stdout)
    assert told["rows"] == ROWS, told
    return {
        "cpu_seconds": told["cpu_seconds"],
        "peak_memory_bytes": done.peak_memory_bytes,
    }


def _spent() -> float:
    """CPU seconds of this process and of the one that parses Parquet for it."""
    root = psutil.Process()
    every = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(times.user + times.system for times in every)


def _ours(form: str, folder: Path) -> Iterator[int]:
    del form  # found by the look, which is no part of the reading
    dataset = DatasetConfig(source=str(folder), target="cancelled", time="requested_at")
    listing = list_source(dataset, folder, LocalEngine())
    schema = look_result(dataset, listing, folder).schema
    yield 0
    for split in listing.splits:
        for batch in read_split(split, schema, dataset, listing, folder, batch_rows=BATCH_ROWS):
            yield len(batch.rows) + len(batch.rejects)


def _pyarrow(form: str, folder: Path) -> Iterator[int]:
    (path,) = folder.iterdir()
    readers = {
        "csv": lambda: pyarrow.csv.open_csv(path),
        "jsonl": lambda: pyarrow.json.open_json(path),
        "parquet": lambda: pyarrow.parquet.ParquetFile(path).iter_batches(BATCH_ROWS),
    }
    yield 0
    for batch in readers[form]():
        yield batch.num_rows


def _duckdb(form: str, folder: Path) -> Iterator[int]:
    (path,) = folder.iterdir()
    reader = {"csv": "read_csv", "jsonl": "read_json"}[form]
    with duckdb.connect(config={"threads": 1}) as connection:
        yield 0
        found = connection.execute(f"SELECT * FROM {reader}(?)", [str(path)])
        for batch in found.to_arrow_reader(BATCH_ROWS):
            yield batch.num_rows


def main() -> None:
    """One turn: ``WHO FORM FOLDER``."""
    who, form, folder = sys.argv[1:]
    pa.set_cpu_count(1)
    counts = {"ours": _ours, "pyarrow": _pyarrow, "duckdb": _duckdb}[who](form, Path(folder))
    next(counts)  # all is ready
    before = _spent()
    rows = sum(counts)
    print(json.dumps({"rows": rows, "cpu_seconds": _spent() - before}))


if __name__ == "__main__":
    main()
