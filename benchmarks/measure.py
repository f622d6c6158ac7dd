"""Run a command and measure it from outside: wall seconds, CPU seconds, peak memory of its tree."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tidemill.settings import APART

INTERVAL_SECONDS = 0.25


@dataclass(frozen=True)
class Measured:
    """One run: seconds, CPU seconds of the whole tree, the largest sum of memory over the tree."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    stdout: str


def run(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None
) -> Measured:
    """Run ``command`` to its end; memory is proportional set size, Prefect's server left out."""
    log = cwd / ".bench-stderr"
    started = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        peak, cpu = _watch(process)
    assert process.stdout is not None
    output = process.stdout.read()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{command} failed:\n{output}\n{log.read_text()[-3000:]}")
    return Measured(seconds, cpu, peak, output)


def _watch(process: subprocess.Popen[str]) -> tuple[int, float]:
    peak = 0
    cpu: dict[int, float] = {}
    while process.poll() is None:
        total = 0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            for member in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    if APART in member.environ():
                        continue
                    times = member.cpu_times()
                    cpu[member.pid] = times.user + times.system
                    total += member.memory_full_info().pss
        peak = max(peak, total)
        time.sleep(INTERVAL_SECONDS)
    return peak, sum(cpu.values())
