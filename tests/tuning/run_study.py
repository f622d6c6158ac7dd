"""Run a study in a process of its own; print it as JSON. Used by the tests, which kill it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tidemill.config import TuningConfig
from tidemill.engines import open_engine
from tidemill.settings import Settings
from tidemill.tuning import Report, search

SPACE = {
    "x": {"low": -2.0, "high": 2.0},
    "rate": {"low": 1e-4, "high": 1.0, "log": True},
    "depth": {"low": 1, "high": 9, "step": 2},
    "kind": {"choices": ["a", "b", None]},
}


def objective(params, report: Report, *, counter: Path, seconds: float) -> float:
    """A bowl, reached over five steps; every call is counted by a file's lines."""
    with counter.open("a") as file:
        file.write("called\n")
    bowl = params["x"] ** 2 + (params["rate"] - 0.1) ** 2 + abs(params["depth"] - 5) / 10
    value = bowl + (0.5 if params["kind"] == "b" else 0.0) + (1 - report.share)
    for step in range(5):
        time.sleep(seconds)
        report(step, value + 1.0 / (step + 1))
    return value


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--scheduler", default="none")
    parser.add_argument("--seconds", type=float, default=0.0)
    args = parser.parse_args()
    with open_engine(Settings(workers=args.workers)) as engine:
        study = search(
            partial(objective, counter=args.folder / "calls", seconds=args.seconds),
            SPACE,
            config=TuningConfig(
                sampler=args.sampler,
                scheduler=args.scheduler,
                trials=args.trials,
                workers=args.workers,
            ),
            metric="loss",
            direction="minimize",
            seed=7,
            storage=args.folder / "study.journal",
            engine=engine,
            least_share=0.01,
        )
    json.dump(asdict(study), sys.stdout)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "random")
    main()
