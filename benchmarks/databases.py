"""A table of PostgreSQL's as typed batches, and as shards, beside connectorx and pandas.

The table are the simulated rides (a key, a time, 22 numbers, five texts, the target; bad cells are
NULL), in a server of the bench's own. *The read alone*, imports apart: ours compares the marks of
each range with those of the listing, and yields batches (the listing before, once a run, is told
apart); connectorx reads it whole into Arrow over one connection.
*To shards*: ``tidemill run --direct --until shard``, with all its checks; pandas reads chunks and
writes each as Parquet. The server's CPU seconds are told apart. ``TIDEMILL_BENCH_ROWS`` (default
2000000) makes it smaller.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import psutil
import psycopg
from benchmarks.measure import run
from benchmarks.peer_environments import PEERS, REPOSITORY, peer_python
from benchmarks.peers.stopwatch import Stopwatch
from benchmarks.rides import KEY, NUMBERS, TARGET, TEXTS, TIME
from benchmarks.table import Line, line

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion import list_source, look_result, read_split
from tidemill.samples import write_sample
from tidemill.testing.postgres import postgres_server

ROWS = int(os.environ.get("TIDEMILL_BENCH_ROWS", "2000000"))
REPEATS = 2
BATCH_ROWS = 65_536
COLUMNS = {
    KEY: "BIGINT",
    TIME: "TIMESTAMP",
    **dict.fromkeys(NUMBERS, "DOUBLE"),
    **dict.fromkeys(TEXTS, "VARCHAR"),
    TARGET: "BOOLEAN",
}


def measure(folder: Path) -> dict[str, Any]:
    """Each way in turn, ``REPEATS`` times."""
    python = peer_python(folder, "connectorx")
    with postgres_server() as server:
        address = server.new_database().replace("+psycopg", "").replace("tide:tide@", "tide@")
        _fill(address, folder)
        process = psutil.Process(_parent(server.port))
        ways = {
            "ours": [sys.executable, "-m", "benchmarks.databases", f"{address}#rides"],
            "connectorx": [str(python), str(PEERS / "run_connectorx.py"), f"{address}#rides"],
            "shards": [],
            "pandas": [str(python), str(PEERS / "run_read_sql.py"), f"{address}#rides"],
        }
        rounds = [
            {name: _once(folder, name, command, address, process) for name, command in ways.items()}
            for _ in range(REPEATS)
        ]
    read = {round_[name]["rows"] for round_ in rounds for name in ("ours", "connectorx", "pandas")}
    if len(read) != 1:
        raise RuntimeError(f"they did not read the same: {rounds}")
    return {"rows": read.pop(), "columns": len(COLUMNS), "rounds": rounds}


def lines(found: dict[str, Any]) -> list[Line]:
    """Ours as times connectorx's, pandas' as times ours."""

    def ratio(one: str, other: str, figure: str) -> float:
        return statistics.median(r[one][figure] / r[other][figure] for r in found["rounds"])

    size = f"{found['rows']:,} rows of PostgreSQL"
    return [
        line(
            f"{size}, the read alone: wall, ours / connectorx",
            ratio("ours", "connectorx", "seconds"),
            1.0,
        ),
        line(
            "  CPU seconds, without the server's", ratio("ours", "connectorx", "cpu_seconds"), 1.0
        ),
        line(
            "  CPU seconds of the server, listing with it",
            ratio("ours", "connectorx", "server_cpu_seconds"),
            1.0,
        ),
        line("  peak memory", ratio("ours", "connectorx", "peak_mb"), 1.0),
        line(
            f"{size}, to shards: wall, pandas / ours",
            ratio("pandas", "shards", "seconds"),
            4.0,
            least=True,
        ),
        line(
            "  CPU seconds, without the server's",
            ratio("pandas", "shards", "cpu_seconds"),
            4.0,
            least=True,
        ),
        line("  peak memory, pandas / ours", ratio("pandas", "shards", "peak_mb"), 1.0, least=True),
    ]


def _once(
    folder: Path, name: str, command: list[str], address: str, server: psutil.Process
) -> dict[str, float]:
    before = _spent(server)
    if name == "shards":
        found = _to_shards(folder / "workspace", address)
    elif name == "pandas":
        shutil.rmtree(folder / "chunks", ignore_errors=True)
        found = _measured([*command, str(folder / "chunks")], folder)
    else:
        found = _measured(command, folder)
    return {**found, "server_cpu_seconds": round(_spent(server) - before, 2)}


def _measured(command: list[str], folder: Path) -> dict[str, float]:
    done = run(command, cwd=folder, environment={"PYTHONPATH": str(REPOSITORY)})
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "rows": told["rows"],
        "seconds": told.get("seconds", done.seconds),
        "cpu_seconds": told.get("cpu_seconds", done.cpu_seconds),
        "listing_seconds": told.get("listing_seconds", 0.0),
        "peak_mb": round(told.get("peak_memory_bytes", done.peak_memory_bytes) / 1e6, 1),
    }


def _to_shards(workspace: Path, address: str) -> dict[str, float]:
    shutil.rmtree(workspace, ignore_errors=True)
    tool = [sys.executable, "-m", "tidemill"]
    init = [*tool, "init", str(workspace), "--source", f"{address}#rides", "--target", TARGET]
    run([*init, "--time", TIME, "--key", KEY], cwd=workspace.parent)
    command = [*tool, "run", "--direct", "--until", "shard"]
    done = run(command, cwd=workspace, environment={"TIDEMILL_WORKERS": "2"})
    return {
        "seconds": round(done.seconds, 2),
        "cpu_seconds": round(done.cpu_seconds, 2),
        "peak_mb": round(done.peak_memory_bytes / 1e6, 1),
    }


def _fill(address: str, folder: Path) -> None:
    """The rides, typed by DuckDB, through one COPY."""
    raw, clean = folder / f"rides-{ROWS}", folder / f"rides-{ROWS}.csv"
    if not clean.exists():
        write_sample(raw, rows=ROWS, months=12, seed=42)
        chosen = ", ".join(
            f'TRY_CAST("{name}" AS {kind}) AS "{name}"' for name, kind in COLUMNS.items()
        )
        with duckdb.connect() as connection:
            files = f"read_csv('{raw}/*.csv', all_varchar=true)"
            connection.execute(f"CREATE TABLE raw AS SELECT * FROM {files}")
            connection.execute(
                f"COPY (SELECT DISTINCT ON ({KEY}) {chosen} FROM raw WHERE {KEY} IS NOT NULL "
                f"ORDER BY {KEY}) TO '{clean}' (HEADER)"
            )
    declared = ", ".join(
        f'"{n}" {k.replace("DOUBLE", "DOUBLE PRECISION")}' for n, k in COLUMNS.items()
    )
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE rides ({declared}, PRIMARY KEY ({KEY}))")
        with (
            connection.cursor().copy("COPY rides FROM STDIN (FORMAT csv, HEADER)") as copy,
            clean.open("rb") as file,
        ):
            while block := file.read(1 << 20):
                copy.write(block)
        connection.execute("VACUUM ANALYZE rides")


def _parent(port: int) -> int:
    found = [
        c.pid
        for c in psutil.net_connections("tcp")
        if c.status == "LISTEN" and c.laddr.port == port
    ]
    return int(found[0] or 0)


def _spent(server: psutil.Process) -> float:
    """CPU seconds of the server's processes, those that ended among them."""
    times = [server.cpu_times(), *(child.cpu_times() for child in server.children())]
    own = sum(one.user + one.system for one in times)
    return float(own + times[0].children_user + times[0].children_system)


def main() -> None:
    """The read alone, ours: ``ADDRESS``."""
    (address,) = sys.argv[1:]
    folder = Path.cwd()
    dataset = DatasetConfig(source=address, target=TARGET, time=TIME, key=KEY)
    began = time.perf_counter()
    listing = list_source(dataset, folder, LocalEngine())
    schema = look_result(dataset, listing, folder).schema
    listed = time.perf_counter() - began
    watch, rows = Stopwatch(), 0
    watch.imported()
    for split in listing.splits:
        for batch in read_split(split, schema, dataset, listing, folder, batch_rows=BATCH_ROWS):
            rows += len(batch.rows) + len(batch.rejects)
    watch.tell(rows=rows, listing_seconds=listed)


if __name__ == "__main__":
    main()
