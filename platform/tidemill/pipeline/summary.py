"""What a run did, stage by stage, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidemill.contracts import WorkerCosts
from tidemill.stages import StageResult

__all__ = ["RunSummary", "StageRun"]


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage of one run: what it said, and what it cost.

    ``state`` is ``ran`` or ``current``; a current stage cost nothing and says nothing new.
    ``seconds`` and ``peak_memory_bytes`` are those of this machine; ``workers`` is what workers at
    an address told besides, None where there were none.
    """

    stage: str
    state: str
    seconds: float
    peak_memory_bytes: int
    result: StageResult
    workers: WorkerCosts | None = None

    def worker_figures(self) -> dict[str, float]:
        """What workers at an address told, by the names of the summary; often nothing."""
        if self.workers is None:
            return {}
        return {
            "worker_cpu_seconds": round(self.workers.cpu_seconds, 3),
            "worker_peak_memory_mb": round(self.workers.peak_memory_bytes / 1e6, 1),
        }


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did."""

    stages: tuple[StageRun, ...]
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document of reports/summary.json."""
        return {
            **self.facts,
            "seconds": round(self.seconds, 3),
            "stages": [
                {
                    "stage": run.stage,
                    "state": run.state,
                    "seconds": round(run.seconds, 3),
                    "peak_memory_mb": round(run.peak_memory_bytes / 1e6, 1),
                    **run.worker_figures(),
                    **({"warnings": list(run.result.warnings)} if run.result.warnings else {}),
                }
                for run in self.stages
            ],
        }
