"""What a run did, stage by stage, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidemill.stages import StageResult

__all__ = ["RunSummary", "StageRun"]


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage of one run: what it said, and what it cost.

    ``state`` is ``ran`` or ``current``; a current stage cost nothing and says nothing new.
    """

    stage: str
    state: str
    seconds: float
    peak_memory_bytes: int
    result: StageResult


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
                    **({"warnings": list(run.result.warnings)} if run.result.warnings else {}),
                }
                for run in self.stages
            ],
        }
