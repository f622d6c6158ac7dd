"""A raw window to drift findings, beside Evidently's preset and NannyML's univariate drift.

A reference of 1,000,000 x 100 normal doubles and a window of 100,000 in which one feature is half
a standard deviation off, both Parquet. Every run is a process of its own, in turn, peers each in
an environment of its own, made from its lock: raw rows to accused features, imports apart. Ours
runs twice: the reference built from its raw rows with thresholds and all, and read as it was
stored. The peers store no reference: theirs is read and gone through each time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.peer_environments import PEERS, REPOSITORY, peer_python
from benchmarks.table import Line, line

FEATURES, REFERENCE_ROWS, WINDOW_ROWS = 100, 1_000_000, 100_000
SHIFTED, SHIFT = "f37", 0.5
GROUP_ROWS = 50_000
PAIRS, LONG_SECONDS = 3, 180.0
"""Runs of each side; of a peer only one if that takes longer than three minutes."""

# They would tell their makers that they were used, over the network.
SILENT = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}

NAMES = {"evidently": "Evidently's preset", "nannyml": "NannyML"}

Run = dict[str, Any]


def measure(folder: Path) -> dict[str, Any]:
    """All sides on the same files, ours before and after each peer's run."""
    window, reference = folder / "window.parquet", folder / "reference.parquet"
    _write(reference, REFERENCE_ROWS, np.random.default_rng(1), shift=0.0)
    _write(window, WINDOW_ROWS, np.random.default_rng(2), shift=SHIFT)
    store = folder / "store"
    found: dict[str, Any] = {"load": [], "pairs": {}}
    for peer in NAMES:
        python = peer_python(folder, peer)
        pairs: list[dict[str, Run]] = []
        while len(pairs) < PAIRS and not (pairs and pairs[0]["peer"]["seconds"] > LONG_SECONDS):
            ours = _run(folder, Path(sys.executable), "tidemill", window, store, reference)
            theirs = _run(folder, python, peer, window, reference)
            stored = _run(folder, Path(sys.executable), "tidemill", window, store)
            pairs.append({"built": ours, "peer": theirs, "stored": stored})
            found["load"].append(os.getloadavg())
        found["pairs"][peer] = pairs
    found["peers_accuse_wrongly"] = {
        peer: [_wrong(pair["peer"]) for pair in pairs] for peer, pairs in found["pairs"].items()
    }
    found["peers_miss"] = {
        peer: [_misses(pair["peer"]) for pair in pairs] for peer, pairs in found["pairs"].items()
    }
    return found


def lines(found: dict[str, Any]) -> list[Line]:
    """The lines of the table; targets are held to Evidently's preset, NannyML is information."""
    told = []
    for peer, pairs in found["pairs"].items():
        known = peer == "evidently"
        for way, times in (("built", 20), ("stored", 150)):
            least = times if known else 1
            what = f"reference {way}: {NAMES[peer]}, times ours"
            told += [
                line(what, _ratio(pairs, "seconds", way), least, least=True),
                line("  in CPU seconds", _ratio(pairs, "cpu_seconds", way), least, least=True),
                line(
                    f"  memory, ours / {NAMES[peer]}",
                    1 / _ratio(pairs, "peak_memory_bytes", way),
                    0.1 if known else 1,
                ),
            ]
    ours = [pair[way] for p in found["pairs"].values() for pair in p for way in ("built", "stored")]
    told.append(line("features accused wrongly, of 99", max(_wrong(one) for one in ours), 0))
    told.append(line("runs that miss the shifted feature", sum(_misses(one) for one in ours), 0))
    return told


def _write(path: Path, rows: int, rng: np.random.Generator, *, shift: float) -> None:
    """Normal doubles, generated and written in row groups of 50,000 rows."""
    names = [f"f{i:02d}" for i in range(FEATURES)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    # A dictionary of values that all differ would make the files larger and slower for everybody.
    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for _ in range(rows // GROUP_ROWS):
            matrix = rng.standard_normal((FEATURES, GROUP_ROWS))
            matrix[names.index(SHIFTED)] += shift
            writer.write_table(pa.table([pa.array(column) for column in matrix], schema=schema))


def _run(folder: Path, python: Path, side: str, *paths: Path) -> Run:
    command = [str(python), str(PEERS / f"run_{side}.py"), *map(str, paths)]
    where = {"PYTHONPATH": str(REPOSITORY), **SILENT}
    # Each tells its own high-water mark: sampling gigabytes of pages from outside slows a peer.
    told = subprocess.run(
        command, cwd=folder, env=os.environ | where, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    found: Run = json.loads(told.strip().splitlines()[-1])
    return found


def _ratio(pairs: list[dict[str, Run]], figure: str, way: str) -> float:
    """How many times ours the peer's figure is; the median of the pairs."""
    return statistics.median(pair["peer"][figure] / pair[way][figure] for pair in pairs)


def _wrong(one: Run) -> int:
    return len(set(one["accused"]) - {SHIFTED})


def _misses(one: Run) -> bool:
    return SHIFTED not in one["accused"]
