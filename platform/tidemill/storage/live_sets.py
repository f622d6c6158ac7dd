"""Live rows that were taken over for learning: the sets below data/live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import ObjectWriter
from tidemill.errors import IntegrityError
from tidemill.schema import TableSchema
from tidemill.storage.hashed import read_hashed
from tidemill.storage.manifest import MANIFEST, ValidatedManifest
from tidemill.storage.stores import open_store
from tidemill.storage.workspace import Workspace

__all__ = ["LEARNT_IDS", "SET_NOTE", "LiveSet", "live_sets", "write_learnt"]

LEARNT_IDS = "learnt.npy"
"""In each set: the sorted hashes of its rows, uint64."""

SET_NOTE = "set.json"
"""In each set, and written last: what it is."""

_PIECE_ROWS = 1 << 20

_LOST = (
    "bring the folder back from a copy of the workspace; or delete it and run `tidemill run`: its "
    "rows teach no more, and may judge models that learnt them"
)


@dataclass(frozen=True, slots=True)
class LiveSet:
    """Labelled live rows that one retraining has learnt from: a folder below data/live.

    Parameters
    ----------
    workspace : Workspace
    name : str
        A number that orders the sets, and the decision that made it.
    """

    workspace: Workspace
    name: str

    @property
    def place(self) -> Path:
        """The folder in the workspace, with its notes."""
        return self.workspace.live / self.name

    @property
    def validated(self) -> Path:
        """That of its typed rows and their manifest."""
        return self.place / "validated"

    def learnt(self) -> Iterator[npt.NDArray[np.uint64]]:
        """The hashes of its rows, sorted, piece by piece and none empty; (n,) uint64 each.

        Raises
        ------
        IntegrityError
            Before the first, if they are not what was written: rows that taught would judge. Sets
            of earlier releases noted no hash.

        Notes
        -----
        Memory: a piece, 8 MiB.
        """
        folder = self.workspace.stored(self.place)
        store, key = open_store(folder.store), folder.key(LEARNT_IDS)
        noted = read_hashed(self.place / SET_NOTE, remedy=_LOST).get("learnt", "")
        if store.size(key) is None or noted not in ("", store.sha256(key)):
            raise self._changed()
        file = folder.file(LEARNT_IDS)
        try:
            np.lib.format.read_magic(file)
            (rows,), _, _ = np.lib.format.read_array_header_1_0(file)
        except ValueError as exc:
            raise self._changed() from exc
        for start in range(0, rows, _PIECE_ROWS):
            piece = np.empty(min(_PIECE_ROWS, rows - start), np.uint64)
            store.read_range(key, file.tell() + start * piece.itemsize, piece.data)
            yield piece

    def _changed(self, name: str = LEARNT_IDS) -> IntegrityError:
        path = self.place / name
        return IntegrityError(f"{path} is not what was written", remedy=_LOST, path=str(path))

    def fits(self, schema: TableSchema) -> bool:
        """Whether its rows have the columns, types and classes of ``schema``.

        Raises
        ------
        IntegrityError
            If its manifest is missing, or not what was written.
        """
        try:
            own = ValidatedManifest.read(self.validated).schema
        except IntegrityError as exc:
            raise self._changed(f"{self.validated.name}/{MANIFEST}") from exc
        return bool(_shape(own) == _shape(schema))


def _shape(schema: TableSchema) -> Any:
    columns = [(c.name, c.physical, c.purpose) for c in schema.columns]
    return columns, schema.task, schema.classes


def write_learnt(file: ObjectWriter, hashes: npt.NDArray[np.uint64]) -> None:
    """Write hashes of rows as :meth:`LiveSet.learnt` reads them; (rows,) uint64."""
    np.lib.format.write_array(file, np.sort(hashes))


def live_sets(workspace: Workspace) -> tuple[LiveSet, ...]:
    """The sets below data/live, in the order in which they were appended."""
    if not workspace.live.is_dir():
        return ()
    names = sorted(f.parent.name for f in workspace.live.glob(f"*/{SET_NOTE}"))
    return tuple(LiveSet(workspace, name) for name in names if not name.startswith("."))
