"""Durable, unique events into the ledger, beside rows of JSON put into SQLite by executemany.

Four threads append batches of 1,000 rows x 30 float32 features, each waiting until its batch is
durable. The peer gets its rows as JSON texts that are ready, keeps the ids in a primary key and
commits once a batch, with the same durability (WAL, synchronous=FULL).

``ids_in_sqlite`` says why the ledger has an index of ids of its own: ids alone, hashed, put into a
16-byte primary key of SQLite's that knows many.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from benchmarks.table import Line, line

from tidemill.ledger import EventBatch, Ledger

ROWS = 1000
FEATURES = 30
THREADS = 4
OUTCOMES = ("prediction", "score")


def measure(
    folder: Path, *, batches: int = 300, known_ids: int = 5_000_000, repeats: int = 3
) -> dict[str, Any]:
    """Rows a second of both, in turn; then the ledger's again with many ids known."""
    pairs = [
        (
            _ledger(folder / f"ledger-{turn}.db", batches),
            _plain(folder / f"plain-{turn}.db", batches),
        )
        for turn in range(repeats)
    ]
    ours = statistics.median(a["rows_per_second"] for a, _ in pairs)
    plain = statistics.median(b["rows_per_second"] for _, b in pairs)
    return {
        "rows_per_batch": ROWS,
        "features": FEATURES,
        "threads": THREADS,
        "ours": ours,
        "ours_cpu_seconds_per_million_rows": statistics.median(a["cpu"] for a, _ in pairs),
        "plain": plain,
        "plain_cpu_seconds_per_million_rows": statistics.median(b["cpu"] for _, b in pairs),
        "ratio": ours / plain,
        "with_known_ids": _with_known_ids(folder / "known.db", batches, known_ids),
        "ids_in_sqlite": ids_in_sqlite(folder / "ids.db"),
    }


def ids_in_sqlite(path: Path, *, known: int = 2_000_000, new: int = 1_000_000) -> dict[str, Any]:
    """CPU seconds a million ids alone, hashed to 16 bytes, cost as a primary key WITHOUT ROWID."""
    with closing(_sqlite(path)) as database:
        database.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, seq INTEGER) WITHOUT ROWID")
        random = np.random.default_rng(42)
        for _ in range(0, known, 50_000):
            _insert_ids(database, random.bytes(16 * 50_000))
        cpu = time.process_time()
        for _ in range(0, new, THREADS * ROWS):  # a commit holds what the threads wait for
            _insert_ids(database, random.bytes(16 * THREADS * ROWS))
        spent = time.process_time() - cpu
    return {"known_ids": known, "cpu_seconds_per_million_ids": spent / new * 1e6}


def _insert_ids(database: sqlite3.Connection, hashes: bytes) -> None:
    ids = ((hashes[start : start + 16], start) for start in range(0, len(hashes), 16))
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", ids)
    database.execute("COMMIT")


def _sqlite(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    return database


def lines(found: dict[str, Any]) -> list[Line]:
    """The lines of the table."""
    return [
        line("ledger, durable rows/s, ours / executemany of JSON", found["ratio"], 3, least=True),
        line("ledger alone: rows/s", found["ours"], 100_000, least=True),
    ]


def _ledger(path: Path, batches: int) -> dict[str, float]:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        return _timed(_tables(batches, "x"), lambda table: _append(ledger, table))


def _with_known_ids(path: Path, batches: int, known: int) -> dict[str, Any]:
    process = psutil.Process()
    with Ledger.open(f"sqlite:///{path}", queue_bytes=64 << 20) as ledger:
        for start in range(0, known, 50_000):
            ids = pa.array([f"known-{number}" for number in range(start, start + 50_000)])
            at = pa.array(np.zeros(len(ids), "datetime64[us]"))
            kind = pa.array(["a"] * len(ids))
            table = pa.table({"event_id": ids, "at": at, "prediction": kind})
            ledger.events.append(EventBatch(table, 1), timeout=120)
        time.sleep(5)  # segments are merged beside the writer
        before = process.memory_info().rss
        tables = _tables(batches, "y")
        found = _timed(tables, lambda table: _append(ledger, table))
        repeated = pa.array([f"known-{number * 977 % known}" for number in range(ROWS)])
        again = ledger.events.append(
            EventBatch(tables[0][0].set_column(0, "event_id", repeated), 1, OUTCOMES)
        )
        health = ledger.health()
    return {
        "known_ids": known,
        "rows_per_second": found["rows_per_second"],
        "cpu_seconds_per_million_rows": found["cpu"],
        "duplicates_found": len(again.duplicates) / len(set(repeated.to_pylist())),
        "rss_mb_before": before / 1e6,
        "rss_mb_after": process.memory_info().rss / 1e6,
        "index_mb": (health.filter_bytes + 24 * health.memory_ids) / 1e6,
        "segments": health.segments,
    }


def _append(ledger: Ledger, table: pa.Table) -> None:
    receipt = ledger.events.append(EventBatch(table, 1, OUTCOMES), timeout=120)
    if receipt.accepted != len(table):
        raise RuntimeError("a new row was taken for a duplicate")


def _plain(path: Path, batches: int) -> dict[str, float]:
    database = _sqlite(path)
    database.execute("CREATE TABLE events (event_id TEXT PRIMARY KEY, body TEXT NOT NULL)")
    lock = threading.Lock()

    def insert(rows: list[tuple[str, str]]) -> None:
        with lock:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?)", rows)
            database.execute("COMMIT")

    work = [[_json_rows(table) for table in several] for several in _tables(batches, "x")]
    found = _timed(work, insert)
    database.close()
    return found


def _json_rows(table: pa.Table) -> list[tuple[str, str]]:
    return [
        (row["event_id"], json.dumps({**row, "at": row["at"].isoformat()}))
        for row in table.to_pylist()
    ]


def _timed(work: Sequence[Sequence[Any]], send: Callable[[Any], None]) -> dict[str, float]:
    def run(several: Sequence[Any]) -> None:
        for batch in several:
            send(batch)

    threads = [threading.Thread(target=run, args=(several,)) for several in work]
    started, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = ROWS * sum(len(several) for several in work)
    return {
        "rows_per_second": rows / (time.perf_counter() - started),
        "cpu": (time.process_time() - cpu) / rows * 1e6,
    }


def _tables(batches: int, name: str) -> list[list[pa.Table]]:
    random = np.random.default_rng(42)
    features = {
        f"feature_{i}": pa.array(random.normal(size=ROWS).astype(np.float32))
        for i in range(FEATURES)
    }
    rest = {
        "at": pa.array(np.datetime64("2026-01-01", "us") + np.arange(ROWS)),
        "prediction": pa.array(np.where(random.random(ROWS) < 0.5, "yes", "no")),
        "score": pa.array(random.random(ROWS)),
        **features,
    }
    return [
        [
            pa.table({"event_id": [f"{name}-{thread}-{n}-{i}" for i in range(ROWS)], **rest})
            for n in range(batches // THREADS)
        ]
        for thread in range(THREADS)
    ]
