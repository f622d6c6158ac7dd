"""A reducer as files: JSON for the description, npy for the arrays. Equal reducers, equal bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tidemill.errors import IntegrityError
from tidemill.storage import read_json, storage_errors, write_bytes, write_json

if TYPE_CHECKING:
    from tidemill.features.reducer import Reducer

__all__ = ["load_reducer", "save_reducer"]

_DESCRIPTION = "reducer.json"
_ARRAYS = ("components", "center")
_FORMAT = 1


def save_reducer(reducer: Reducer, folder: Path) -> None:
    """Write ``reducer.json``, and ``components.npy`` and ``center.npy`` where it projects."""
    document = {
        "format": _FORMAT,
        "features": reducer.features,
        "encoded": reducer.encoded,
        "seen": reducer.seen,
        "projects": reducer.components is not None,
    }
    for name in _ARRAYS:
        array = getattr(reducer, name)
        path = folder / f"{name}.npy"
        if array is None:
            with storage_errors(path):
                path.unlink(missing_ok=True)
        else:
            write_bytes(path, _npy(array))
    write_json(folder / _DESCRIPTION, document)


def load_reducer(folder: Path) -> Reducer:
    """Read what :func:`save_reducer` wrote.

    Raises
    ------
    IntegrityError
        If a file is missing or is not what it should be.
    """
    from tidemill.features.reducer import Reducer

    document: dict[str, Any] = read_json(folder / _DESCRIPTION)
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}")
        arrays = [_read(folder / f"{n}.npy") if document["projects"] else None for n in _ARRAYS]
        return Reducer(
            features=document["features"],
            encoded=document["encoded"],
            components=arrays[0],
            center=arrays[1],
            seen=document["seen"],
        )
    except (KeyError, TypeError, ValueError, EOFError, FileNotFoundError) as exc:
        raise IntegrityError(
            f"{folder} holds no reducer that can be read: {exc}",
            remedy="delete it and run the stage that makes it again: tidemill run",
            path=str(folder),
        ) from exc


def _npy(array: npt.NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _read(path: Path) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = np.load(path, allow_pickle=False)
    return array
