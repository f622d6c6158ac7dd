"""A small pipeline under DVC's eyes; started as a process by the tests that kill it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tidemill.storage import workspace_lock
from tidemill.storage.workspace import Workspace
from tidemill.versioning import Out, StageSpec, Versions, dvc_document, ensure_repo, write_dvc_yaml

STAGES = (
    StageSpec(
        "shard",
        "mkdir -p data/shards && sort raw.csv > data/shards/0.txt",
        outs=(Out("data/shards", persist=True), Out("data/seen.txt", persist=True, cache=False)),
        params=("sharding",),
        deps=("${dataset.source}",),
    ),
    StageSpec(
        "train",
        "mkdir -p models && wc -l < data/shards/0.txt > models/model.txt",
        deps=("data/shards",),
        outs=(Out("models/model.txt"), Out("metrics.json", cache=False, kind="metric")),
        params=("training",),
    ),
)
PARAMS = "dataset: {source: raw.csv}\nsharding: {n: 1}\ntraining: {depth: 3}\n"


def make_workspace(root: Path) -> None:
    root.mkdir(exist_ok=True)
    (root / "raw.csv").write_text("c\na\nb\n")
    (root / "params.yaml").write_text(PARAMS)
    ensure_repo(root)
    write_dvc_yaml(root, document())


def document():
    """The commands leave what the functions below leave, so that dvc repro may run them."""
    found = dvc_document(STAGES)
    found["stages"]["shard"]["cmd"] += " && echo seen > data/seen.txt"
    found["stages"]["train"]["cmd"] += " && echo '{\"rows\": 3}' > metrics.json"
    return found


def shard(root: Path) -> None:
    (root / "data/shards").mkdir(parents=True, exist_ok=True)
    lines = sorted((root / "raw.csv").read_text().splitlines(keepends=True))
    (root / "data/shards/0.txt").write_text("".join(lines))
    (root / "data/seen.txt").write_text("seen\n")


def train(root: Path) -> None:
    (root / "models").mkdir(exist_ok=True)
    rows = len((root / "data/shards/0.txt").read_text().splitlines())
    (root / "models/model.txt").write_text(f"{rows}\n")
    (root / "metrics.json").write_text('{"rows": 3}\n')


FUNCTIONS = {"shard": shard, "train": train}


def run(root: Path) -> list[str]:
    """Run what is not current, in this process; the names of what ran."""
    ran = []
    with workspace_lock(Workspace.at(root)), Versions(root) as versions:
        versions.repair()
        for stage, function in FUNCTIONS.items():
            if not versions.is_current(stage):
                digests = versions.dep_digests(stage)
                function(root)
                versions.commit(stage, expected=digests)
                ran.append(stage)
    return ran


def kill_at_write(path: str, nth: int) -> None:
    """Die at the nth opening of ``path`` for writing, when its old content is gone.

    A path that ends in a slash means any opening, renaming or removal below it.
    """
    seen = 0

    def audit(event: str, args: tuple) -> None:
        nonlocal seen
        opened = event == "open" and ("w" in str(args[1] or "") or "a" in str(args[1] or ""))
        where = str(args[0]) if args else ""
        if path.endswith("/"):
            hit = (opened or event in ("os.rename", "os.remove")) and path in where
        else:
            hit = opened and where.endswith(path)
        if hit:
            seen += 1
            if seen == nth:
                if opened and "w" in args[1]:
                    os.close(os.open(args[0], os.O_CREAT | os.O_TRUNC | os.O_WRONLY))
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        kill_at_write(sys.argv[2], int(sys.argv[3]))
    print(*run(Path(sys.argv[1])))
