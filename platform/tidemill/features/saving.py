"""A reducer as files: JSON for the description, npy for the arrays. Equal reducers, equal bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import read_array, write_array

from tidemill.errors import IntegrityError
from tidemill.steps import STEPS
from tidemill.storage import (
    discard_file,
    files_below,
    hash_bytes,
    read_file,
    read_output,
    write_bytes,
    write_hashed,
)

if TYPE_CHECKING:
    from tidemill.features.reducer import Reducer

__all__ = ["load_reducer", "save_reducer"]

_DESCRIPTION = "reducer.json"
_PROJECTION = ("components", "center")
_FORMAT = 1


def save_reducer(reducer: Reducer, folder: Path) -> None:
    """Write ``reducer.json``, and a ``.npy`` for each array of its steps."""
    found = {name: getattr(reducer, name) for name in _PROJECTION}
    steps: list[dict[str, Any]] = []
    for number, step in enumerate(reducer.steps or []):
        arrays = {k: value for k, value in step["state"].items() if isinstance(value, np.ndarray)}
        found |= {f"step{number}.{name}": array for name, array in arrays.items()}
        plain = {k: value for k, value in step["state"].items() if k not in arrays}
        steps.append({**step, "state": plain})
    written = {name: _npy(array) for name, array in found.items() if array is not None}
    document = {
        "format": _FORMAT,
        "features": reducer.features,
        "encoded": reducer.encoded,
        "seen": reducer.seen,
        "missing_values": reducer.missing_values,
        "projects": reducer.components is not None,
        "arrays": {name: hash_bytes(content) for name, content in written.items()},
        **({"steps": steps} if steps else {}),
    }
    for left in files_below(folder, ".npy"):
        if left.parent == folder and left.stem not in written:
            discard_file(left)
    for name, content in written.items():
        write_bytes(folder / f"{name}.npy", content)
    write_hashed(folder / _DESCRIPTION, document)


def load_reducer(folder: Path) -> Reducer:
    """Read what :func:`save_reducer` wrote.

    Raises
    ------
    IntegrityError
        If a file is missing or is not what it should be, or a step of it is not known here:
        neither entered nor named in params.yaml.
    """
    from tidemill.features.reducer import Reducer

    document: dict[str, Any] = read_output(folder / _DESCRIPTION, dict)
    hashes = document.get("arrays", {})  # reducers of before they were kept have none
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}")
        arrays = [
            _read(folder / f"{name}.npy", hashes.get(name)) if document["projects"] else None
            for name in _PROJECTION
        ]
        steps = document.get("steps", [])
        named = [step["step"] for step in steps]
        for name in hashes.keys() - _PROJECTION:
            place, _, key = name.removeprefix("step").partition(".")
            steps[int(place)]["state"][key] = _read(folder / f"{name}.npy", hashes[name])
        reducer = Reducer(
            features=document["features"],
            encoded=document["encoded"],
            components=arrays[0],
            center=arrays[1],
            seen=document["seen"],
            missing_values=document.get("missing_values"),
            steps=steps or None,
        )
    except (IntegrityError, LookupError, TypeError, ValueError, EOFError) as exc:
        raise IntegrityError(
            f"{folder / _DESCRIPTION} holds no reducer that can be read: {exc}",
            remedy=f"bring {folder} back with `dvc checkout`, or delete it and run: tidemill run",
            path=str(folder),
        ) from exc
    for step in named:
        STEPS.told(step, str(folder / _DESCRIPTION))
    return reducer


def _npy(array: npt.NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _read(path: Path, sha256: str | None) -> npt.NDArray[np.float64]:
    content = read_file(path)
    if sha256 is not None and hash_bytes(content) != sha256:
        raise ValueError(f"{path.name} is not what was written")
    array: npt.NDArray[np.float64] = read_array(io.BytesIO(content), allow_pickle=False)
    return array
