"""What the stages cost: CPU seconds a row, requests to a bucket a shard and file, bytes a row.

CPU seconds are of one process, the difference of two tables of the sample (``SIZES`` rows), so that
what a start costs is in none of them. Requests are counted where they pass, between the job and
moto's server, for small tables of several files and shards. ``fitted`` makes of them the rates that
``tidemill.pipeline.capacity`` reckons with, and ``python docs/make_capacity.py`` its page.
"""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from benchmarks.table import Line

from tidemill.drafting import init_workspace
from tidemill.engines import open_engine
from tidemill.pipeline import Quiet, run_pipeline
from tidemill.pipeline.capacity import StageRate, TableRates
from tidemill.pipeline.summary import StageRun
from tidemill.samples import write_sample
from tidemill.settings import Settings
from tidemill.storage import ShardManifest, Workspace
from tidemill.testing.http_proxy import HttpProxy, http_proxy
from tidemill.testing.tcp_ports import free_ports

SIZES = (300_000, 1_200_000)
FILES, SHARDS = (3, 6), (4, 12)
"""Of the tables whose requests are counted."""
PIECE_BYTES = 168.0
"""Of a row between its part and its shard: Arrow, not compressed (28 more are its key)."""
SENT = {"ingest": 90.0, "shard": 231.0, "train": 150.0, "refit": 150.0}
"""Bytes of a row that a stage sends: parts and keys; pieces and shards; the reduced matrix."""
WARM = 20_000
LINEAR = ("training.learner=sgd", "reduction.encode=one_hot", "reduction.impute=mean")
LINEAR += ("reduction.scale=standard",)
ROUNDS = "training.params={num_iterations: 100}"
KEYS = {"AWS_ACCESS_KEY_ID": "tide", "AWS_SECRET_ACCESS_KEY": "mill-secret"}


def measure(folder: Path) -> dict[str, Any]:
    """CPU seconds by stage of two tables, for both kinds of learners; requests by stage."""
    ways = {"lightgbm": (ROUNDS,), "sgd": LINEAR}
    with own_environment():
        for own in ways.values():  # what is imported once is in no figure
            _spent(folder, WARM, own)
        sizes = {name: [_spent(folder, rows, own) for rows in SIZES] for name, own in ways.items()}
        requests = list(_counted(folder))
    return {"sizes": sizes, "requests": requests}


def fitted(found: Mapping[str, Any]) -> TableRates:
    """The rates: what a million rows, a file and a shard more cost."""
    sizes = {name: pair[-1] for name, pair in found["sizes"].items()}
    large = sizes["lightgbm"]
    seconds = {
        name: {stage: _slope(pair, stage) for stage in pair[0]["cpu_seconds"]}
        for name, pair in found["sizes"].items()
    }
    tables = {(one["files"], one["shards"]): one for one in found["requests"]}
    stages = {}
    for stage in ("ingest", "shard", "reduce", "train", "evaluate", "refit"):
        requests = {kind: _requests(tables, stage, kind) for kind in ("reads", "writes")}
        sent = SENT.get(stage, 0.0)
        if stage in ("train", "refit"):
            for learner, own in seconds.items():
                name = f"{learner} {stage}"
                stages[name] = StageRate(own[stage], **requests, sent_bytes=sent)
        else:
            stages[stage] = StageRate(seconds["lightgbm"][stage], **requests, sent_bytes=sent)
    return TableRates(
        source_bytes=round(large["source_bytes"] / large["rows"], 1),
        shard_bytes=round(large["shard_bytes"] / large["rows"], 1),
        piece_bytes=PIECE_BYTES,
        features=30,
        manifest_bytes=round(_a_shard(tables, lambda one: one["manifest_bytes"])),
        stages=stages,
    )


def _slope(pair: list[Mapping[str, Any]], stage: str) -> float:
    """CPU seconds of a million rows."""
    small, large = pair
    spent = large["cpu_seconds"][stage] - small["cpu_seconds"][stage]
    return round(spent / (large["rows"] - small["rows"]) * 1e6, 1)


def _requests(tables: Mapping[tuple[int, int], Any], stage: str, kind: str) -> tuple[float, float]:
    def asked(one: Any) -> float:
        return float(one["stages"][stage].get(kind, 0))

    return round(_a_file(tables, asked), 1), round(_a_shard(tables, asked), 1)


def _a_file(tables: Mapping[tuple[int, int], Any], of: Any) -> float:
    (few, many), shards = FILES, SHARDS
    found = [(of(tables[many, one]) - of(tables[few, one])) / (many - few) for one in shards]
    return max(0.0, statistics.mean(found))


def _a_shard(tables: Mapping[tuple[int, int], Any], of: Any) -> float:
    files, (few, many) = FILES, SHARDS
    found = [(of(tables[one, many]) - of(tables[one, few])) / (many - few) for one in files]
    return max(0.0, statistics.mean(found))


def lines(found: dict[str, Any]) -> list[Line]:
    """None: the figures are inputs of a plan."""
    del found
    return []


class Meter(Quiet):
    """An observer that reads a counter when a stage begins, and when it has ended."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.read, self.found = read, dict[str, Any]()

    def stage_started(self, stage: str) -> None:  # noqa: ARG002
        """Read."""
        self._before = self.read()

    def stage_finished(self, run: StageRun) -> None:
        """Read again."""
        self.found[run.stage] = self.read() - self._before


def cpu_seconds() -> float:
    """Of this process and of those of its children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


@contextmanager
def own_environment() -> Iterator[None]:
    """The environment of before, afterwards."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def made(root: Path, rows: int, files: int, own: tuple[str, ...], source: str = "") -> Workspace:
    """A workspace for a table of the sample; nothing is run yet."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    raw = root.parent / f"rides-{rows}-{files}"
    if not raw.exists():
        write_sample(raw, rows=rows, months=files, seed=42)
    settings = ["tuning.trials=0", "dataset.name=rides", *own]
    with open_engine(Settings(workers=1)) as engine:
        init_workspace(
            Workspace.at(root),
            source=source or str(raw),
            target="cancelled",
            time="requested_at",
            key="ride_id",
            assignments=settings,
            engine=engine,
        )
    return Workspace.at(root)


def _spent(folder: Path, rows: int, own: tuple[str, ...]) -> dict[str, Any]:
    workspace = made(folder / f"ws-{rows}", rows, 6, own)
    meter = Meter(cpu_seconds)
    settings = Settings(workers=1)
    with open_engine(settings) as engine:
        run_pipeline(workspace, settings=settings, engine=engine, observer=meter, until="refit")
    manifest = ShardManifest.read(workspace.shards)
    raw = folder / f"rides-{rows}-6"
    return {
        "rows": rows,
        "cpu_seconds": {name: round(spent, 2) for name, spent in meter.found.items()},
        "source_bytes": sum(file.stat().st_size for file in raw.iterdir()),
        "shard_bytes": sum(shard.file.bytes for shard in manifest.shards),
        "shards": len(manifest.shards),
    }


def _counted(folder: Path) -> Iterator[dict[str, Any]]:
    os.environ.update(KEYS, AWS_REGION="us-east-1")
    with _server(folder) as proxy:
        for files, shards in itertools.product(FILES, SHARDS):
            bucket = f"t{files}-{shards}"
            boto3.client("s3", endpoint_url=proxy.address).create_bucket(Bucket=bucket)
            os.environ["TIDEMILL_CACHE_DIR"] = str(folder / f"cache-{bucket}")
            own = (f"storage.url=s3://{bucket}/lake", f"sharding.shards={shards}")
            quick = "training.params={num_iterations: 5}"
            workspace = made(folder / bucket, 6_000, files, (*own, quick))
            meter = Meter(lambda: Counter(map(_kind, proxy.passed)))
            settings = Settings(workers=1)
            with open_engine(settings) as engine:
                run_pipeline(
                    workspace, settings=settings, engine=engine, observer=meter, until="refit"
                )
            found = len(ShardManifest.read(workspace.shards).shards)
            size = (workspace.shards / "manifest.json").stat().st_size
            names = (workspace.shards / "contents.json").stat().st_size
            yield {
                "files": files,
                "shards": found,
                "manifest_bytes": size + names,
                "stages": {name: dict(counts) for name, counts in meter.found.items()},
            }


def _kind(one: Any) -> str:
    return "reads" if one.method in ("GET", "HEAD") and "list-type" not in one.path else "writes"


@contextmanager
def _server(folder: Path) -> Iterator[HttpProxy]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with http_proxy(f"http://127.0.0.1:{port}") as proxy:
            os.environ["AWS_ENDPOINT_URL"] = proxy.address
            _await(proxy)
            yield proxy
    finally:
        server.kill()
        server.wait()


def _await(proxy: HttpProxy) -> None:
    ends = time.monotonic() + 60
    while True:
        try:
            boto3.client("s3", endpoint_url=proxy.address).list_buckets()
            return
        except Exception:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)
