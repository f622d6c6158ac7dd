"""What is to be retrained, what came of it, and the folder in which its receipts lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tidemill.errors import UsageError
from tidemill.ingestion import LabelledRows
from tidemill.pipeline import StageRun
from tidemill.storage import Workspace, find_hashed, read_hashed, sweep_others, write_hashed

__all__ = ["Order", "Outcome", "Rows", "keep_outcome", "outcome_of", "receipts", "sweep"]

Rows = Callable[[], Iterable[pa.RecordBatch | pa.Table | LabelledRows]]

_OUTCOME = "outcome.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be retrained, and why.

    Parameters
    ----------
    decision : str
        Names the retraining: the same again goes on, or finds it done.
    reason : str
        One sentence.
    accused : tuple of str
        The figures that confirmed the champion's harm, the most telling first; empty where none
        is named. The first decides on proof, unless the tuned figure is among them.
    """

    decision: str
    reason: str = ""
    accused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.decision):
            raise UsageError(
                f"{self.decision!r} cannot name a retraining",
                remedy="use letters, digits, - and _, at most 64",
                decision=self.decision,
            )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a retraining.

    Parameters
    ----------
    facts : dict
        ``model``, ``version`` (of the challenger), ``champion`` (the version it was compared
        with), ``promoted``, ``reason``, figures and rows; also in outcome.json.
    stages : tuple of StageRun
        The steps, with what they cost; empty if all was done before.
    """

    facts: dict[str, Any]
    stages: tuple[StageRun, ...] = ()


def outcome_of(workspace: Workspace, decision: str) -> Outcome | None:
    """The outcome of a finished retraining; None while it is not."""
    kept = find_hashed(receipts(workspace, decision) / _OUTCOME)
    return None if kept is None else Outcome(kept)


def keep_outcome(
    workspace: Workspace, order: Order, facts: dict[str, Any], stages: Sequence[StageRun]
) -> Outcome:
    """Write down what became of a retraining, and keep nothing else that is large."""
    path = receipts(workspace, order.decision) / _OUTCOME
    write_hashed(path, facts)
    sweep(workspace, order.decision)
    return Outcome(read_hashed(path), tuple(stages))


def sweep(workspace: Workspace, decision: str) -> None:
    """Remove what a finished retraining has left beside its outcome: copies of live rows.

    The caller holds the workspace lock. Again, after a kill: goes on.
    """
    sweep_others(receipts(workspace, decision), {_OUTCOME})


def receipts(workspace: Workspace, decision: str) -> Path:
    """Where a retraining leaves what it has done, step by step."""
    return workspace.hidden / "retrain" / decision
