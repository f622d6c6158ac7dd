"""A reducer as files: JSON for the description, npy for the arrays. Equal reducers, equal bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import read_array, write_array

from tidemill.errors import IntegrityError
from tidemill.features.fitted_rows import TOLD, FittedRows
from tidemill.features.row_folds import RowFolds
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

__all__ = ["load_fitted_rows", "load_reducer", "save_reducer"]

_DESCRIPTION = "reducer.json"
_PROJECTION = ("components", "center")
_FORMAT = 1


def save_reducer(reducer: Reducer, folder: Path) -> None:
    """Write ``reducer.json``, and a ``.npy`` for each array of its features and steps.

    What training rows are told goes along, for :func:`load_fitted_rows`.
    """
    found = {name: getattr(reducer, name) for name in _PROJECTION}
    features = _without_arrays(reducer.features, "feature", found)
    steps = [dict(step) for step in reducer.steps or []]
    states = _without_arrays([step["state"] for step in steps], "step", found)
    fitted_rows = reducer.fitted_rows
    if fitted_rows is not None:
        tables = [{"values": table} for table in fitted_rows.folded.values()]
        _without_arrays(tables, "fitted_rows", found)
    written = {name: _npy(array) for name, array in found.items() if array is not None}
    document = {
        "format": _FORMAT,
        "features": features,
        "encoded": reducer.encoded,
        "seen": reducer.seen,
        "missing_values": reducer.missing_values,
        "projects": reducer.components is not None,
        "arrays": {name: hash_bytes(content) for name, content in written.items()},
        **({"fitted_rows": fitted_rows.rule()} if fitted_rows is not None else {}),
        **(
            {"steps": [{**s, "state": state} for s, state in zip(steps, states, strict=True)]}
            if steps
            else {}
        ),
    }
    for left in files_below(folder, ".npy"):
        if left.parent == folder and left.stem not in written:
            discard_file(left)
    for name, content in written.items():
        write_bytes(folder / f"{name}.npy", content)
    write_hashed(folder / _DESCRIPTION, document)


def load_reducer(folder: Path) -> Reducer:
    """Read what :func:`save_reducer` wrote, without what training rows are told.

    Raises
    ------
    IntegrityError
        If a file is missing or is not what it should be, or a step of it is not known here:
        neither entered nor named in params.yaml.
    """
    return _load(folder, fitted_rows=False)


def load_fitted_rows(folder: Path) -> FittedRows | None:
    """How the rows are reduced that the reducer in a folder was fitted on; None: as any other.

    Raises
    ------
    IntegrityError
        As :func:`load_reducer`.
    """
    found: FittedRows | None = _load(folder, fitted_rows=True).fitted_rows
    return found


def _load(folder: Path, *, fitted_rows: bool) -> Reducer:
    document: dict[str, Any] = read_output(folder / _DESCRIPTION, dict)
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}")
        named = [step["step"] for step in document.get("steps", [])]
        reducer = _reducer(folder, document, fitted_rows=fitted_rows)
    except (IntegrityError, LookupError, TypeError, ValueError, EOFError) as exc:
        raise IntegrityError(
            f"{folder / _DESCRIPTION} holds no reducer that can be read: {exc}",
            remedy=f"bring {folder} back with `dvc checkout`, or delete it and run: tidemill run",
            path=str(folder),
        ) from exc
    for step in named:
        STEPS.told(step, str(folder / _DESCRIPTION))
    return reducer


def _reducer(folder: Path, document: dict[str, Any], *, fitted_rows: bool) -> Reducer:
    from tidemill.features.reducer import Reducer

    hashes = document.get("arrays", {})  # reducers of before they were kept have none
    features, steps = document["features"], document.get("steps", [])
    arrays: list[npt.NDArray[Any] | None] = [None, None]
    if document["projects"]:
        arrays = [_read(folder / f"{name}.npy", hashes.get(name)) for name in _PROJECTION]
    targets = [feature for feature in features if feature["kind"] in TOLD]
    tables: list[dict[str, Any]] = [{} for _ in targets]
    holders = {
        "feature": features,
        "step": [step["state"] for step in steps],
        **({"fitted_rows": tables} if fitted_rows else {}),
    }
    for name in hashes.keys() - _PROJECTION:
        holder, place, key = _place(name)
        if holder in holders:
            holders[holder][place][key] = _read(folder / f"{name}.npy", hashes[name])
    reducer = Reducer(
        features=features,
        encoded=document["encoded"],
        components=arrays[0],
        center=arrays[1],
        seen=document["seen"],
        missing_values=document.get("missing_values"),
        steps=steps or None,
    )
    if fitted_rows and "fitted_rows" in document:
        rule = document["fitted_rows"]
        named = zip(targets, tables, strict=True)
        folded = {feature["name"]: table["values"] for feature, table in named}
        folds = RowFolds(**{**rule, "ends": tuple(rule["ends"])})
        reducer.fitted_rows = FittedRows.of(reducer, folds, folded)
    return reducer


def _without_arrays(
    holders: Sequence[Mapping[str, Any]], kind: str, found: dict[str, Any]
) -> list[dict[str, Any]]:
    """The same without arrays, which go to ``found`` by kind, place and name."""
    plain = []
    for place, holder in enumerate(holders):
        arrays = {key: value for key, value in holder.items() if isinstance(value, np.ndarray)}
        found |= {f"{kind}{place}.{key}": array for key, array in arrays.items()}
        plain.append({key: value for key, value in holder.items() if key not in arrays})
    return plain


def _place(name: str) -> tuple[str, int, str]:
    """Kind, place and name of an array; ValueError of what is no such name."""
    kind, _, key = name.partition(".")
    holder = kind.rstrip("0123456789")
    return holder, int(kind.removeprefix(holder)), key


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _read(path: Path, sha256: str | None) -> npt.NDArray[Any]:
    content = read_file(path)
    if sha256 is not None and hash_bytes(content) != sha256:
        raise ValueError(f"{path.name} is not what was written")
    array: npt.NDArray[Any] = read_array(io.BytesIO(content), allow_pickle=False)
    return array
