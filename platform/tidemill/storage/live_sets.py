"""Live rows that were taken over for learning: the sets below data/live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.errors import IntegrityError
from tidemill.schema import TableSchema
from tidemill.storage.hashed import read_hashed
from tidemill.storage.hashing import hash_file
from tidemill.storage.manifest import ValidatedManifest
from tidemill.storage.workspace import Workspace

__all__ = ["LEARNT_IDS", "SET_NOTE", "LiveSet", "live_sets"]

LEARNT_IDS = "learnt.npy"
"""In each set: the sorted hashes of its rows, uint64."""

SET_NOTE = "set.json"
"""In each set, and written last: what it is."""

_LOST = (
    "bring the folder back from a copy of the workspace; or delete it and run `tidemill run`: its "
    "rows teach no more, and may judge models that learnt them"
)


@dataclass(frozen=True, slots=True)
class LiveSet:
    """Labelled live rows that one retraining has learnt from: a folder below data/live.

    Parameters
    ----------
    name : str
        A number that orders the sets, and the decision that made it.
    folder : Path
    """

    name: str
    folder: Path

    @property
    def validated(self) -> Path:
        """Its typed rows and their manifest."""
        return self.folder / "validated"

    def learnt_ids(self) -> Path:
        """The file of the hashes of its rows, as it was written.

        Raises
        ------
        IntegrityError
            If it is not: rows that taught would judge. Sets of earlier releases noted no hash.
        """
        path = self.folder / LEARNT_IDS
        if read_hashed(self.folder / SET_NOTE, remedy=_LOST).get("learnt", "") not in (
            "",
            hash_file(path) if path.is_file() else None,
        ):
            raise IntegrityError(f"{path} is not what was written", remedy=_LOST, path=str(path))
        return path

    def fits(self, schema: TableSchema) -> bool:
        """Whether its rows have the columns, types and classes of ``schema``."""
        own = ValidatedManifest.read(self.validated).schema
        return bool(_shape(own) == _shape(schema))


def _shape(schema: TableSchema) -> Any:
    columns = [(c.name, c.physical, c.purpose) for c in schema.columns]
    return columns, schema.task, schema.classes


def live_sets(workspace: Workspace) -> tuple[LiveSet, ...]:
    """The sets below data/live, in the order in which they were appended."""
    if not workspace.live.is_dir():
        return ()
    folders = sorted(f.parent for f in workspace.live.glob(f"*/{SET_NOTE}"))
    return tuple(LiveSet(f.name, f) for f in folders if not f.name.startswith("."))
