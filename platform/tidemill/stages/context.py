"""What a stage is given besides its settings and inputs, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidemill.contracts import Engine, Progress
from tidemill.settings import Settings
from tidemill.storage import StoreFolder, Workspace
from tidemill.tracking import Tracker

__all__ = ["StageContext", "StageResult"]


@dataclass(frozen=True, slots=True)
class StageContext:
    """Where a stage works and with what; the same behind every door.

    ``changed`` is what the run was told to change in params.yaml: ``{"seed": "42 -> 7"}``.
    ``anew`` lets a stage take nothing over from the version before.
    """

    workspace: Workspace
    settings: Settings
    engine: Engine
    tracker: Tracker
    progress: Progress | None = None
    changed: Mapping[str, str] = field(default_factory=dict)
    anew: bool = False

    @property
    def shards(self) -> StoreFolder:
        """The shards, as workers reach them."""
        return self.workspace.stored(self.workspace.shards)


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage says about itself.

    Parameters
    ----------
    stage : str
    facts : mapping of str to scalar
        The figures of the summary.
    tables : mapping of str to list of rows
        Small tables for people.
    links : mapping of str to str
        Addresses of pages about this result.
    warnings : tuple of str
        What a person should know although the stage succeeded.
    """

    stage: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
