"""A pipeline as skops bytes: the same bytes for the same pipeline, and read without trust."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.storage import hash_bytes
from tidemill.tracking.allowed import ALLOWED, LEARNERS, REDUCERS, TRUSTED_TYPES

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["canonical", "forbidden_types", "read_pipeline"]

_SCHEMA = "schema.json"
_ENTRY = re.compile(r"[0-9a-f]{64}\.npy")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can carry
_MAX_DEPTH = 400
_KEYS = frozenset(
    {
        "__class__",
        "__loader__",
        "__module__",
        "__reduce__",
        "_skops_version",
        "content",
        "file",
        "is_json",
        "key_types",
        "protocol",
        "shape",
        "type",
    }
)


def canonical(content: bytes) -> bytes:
    """Rewrite what ``skops.io.dump`` wrote so that equal pipelines have equal bytes.

    skops names arrays and nodes by memory addresses and stamps the time on every entry. Here
    arrays are named by their SHA-256, addresses are left out (skops does without them: what it
    saved is a tree), and times are fixed.

    Notes
    -----
    O(size of the file) memory.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        names: dict[str, str] = {}
        arrays: dict[str, bytes] = {}
        for name in source.namelist():
            if name != _SCHEMA:
                data = source.read(name)
                names[name] = f"{hash_bytes(data)}.npy"
                arrays[names[name]] = data
        schema = json.loads(source.read(_SCHEMA))
    for node in _nodes(schema):
        node.pop("__id__", None)
        if "file" in node:
            node["file"] = names[node["file"]]
    text = json.dumps(schema, separators=(",", ":"), sort_keys=False)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, _SCHEMA, text.encode())
        for name in sorted(arrays):
            _add(archive, name, arrays[name])
    return target.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside ``schema``; refuses one nested deeper than a pipeline can be."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        if isinstance(node, dict):
            yield node
            waiting.extend((value, depth + 1) for value in node.values())
        elif isinstance(node, list):
            waiting.extend((value, depth + 1) for value in node)


def read_pipeline(content: bytes) -> Pipeline:
    """Load a pipeline from the bytes that :func:`canonical` made, and from nothing else.

    The structure is checked before anything is built: only allowed loaders and types, no
    compressed or unknown entries, no shared nodes. Then skops audits it again with our list.

    Raises
    ------
    ValueError
        If something else is in it. Damaged bytes can raise whatever zipfile, numpy or skops
        raise; nothing of the content has run then.
    """
    _check_archive(content)
    return _checked_pipeline(_load(content))


def _load(content: bytes) -> Any:
    import skops.io

    return skops.io.loads(content, trusted=list(TRUSTED_TYPES))


def _check_archive(content: bytes) -> None:
    if not content.startswith(b"PK"):
        raise ValueError("it is not a skops file")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        for entry in entries:
            # What is stored cannot grow when it is read: no bombs.
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its entry {entry.filename!r} is compressed")
            if entry.filename != _SCHEMA and not _ENTRY.fullmatch(entry.filename):
                raise ValueError(f"it has an unknown entry {entry.filename!r}")
        if len(set(names)) != len(names) or _SCHEMA not in names:
            raise ValueError("its entries are not those of a skops file")
        schema = json.loads(archive.read(_SCHEMA))
    if not isinstance(schema, dict) or schema.get("protocol") != 2:
        raise ValueError("it is of another version of the skops format")
    forbidden = forbidden_types(schema)
    if forbidden:
        raise ValueError(f"it holds types that are not allowed: {', '.join(forbidden)}")


def forbidden_types(schema: Any) -> tuple[str, ...]:
    """Names of the types in a skops schema that are not on the allow-list, sorted."""
    found = set()
    for node in _nodes(schema):
        if "__id__" in node:
            raise ValueError("its nodes refer to each other")
        if "__loader__" not in node:
            continue
        name = f"{node.get('__module__')}.{node.get('__class__')}"
        if name not in ALLOWED.get(str(node["__loader__"]), frozenset()):
            found.add(name)
        if not node.keys() <= _KEYS:
            raise ValueError(f"a node of type {name} has unknown fields")
    return tuple(sorted(found))


def _checked_pipeline(loaded: Any) -> Pipeline:
    from sklearn.pipeline import Pipeline

    if type(loaded) is not Pipeline or [name for name, _ in loaded.steps] != ["reducer", "learner"]:
        raise ValueError("it is not a pipeline of a reducer and a learner")
    (_, reducer), (_, learner) = loaded.steps
    if _type_name(reducer) not in REDUCERS or _type_name(learner) not in LEARNERS:
        raise ValueError("its steps are not a reducer and a learner of tidemill's")
    for group in getattr(learner, "_predictors", ()):
        for predictor in group:
            _check_tree(predictor, int(learner.n_features_in_))
    return loaded


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _check_tree(predictor: Any, n_features: int) -> None:
    """Refuse a tree whose indices would be read out of bounds, or whose walk would not end."""
    import numpy as np

    nodes = predictor.nodes
    here = np.flatnonzero(nodes["is_leaf"] == 0)
    inner = nodes[here]
    sound = len(nodes) > 0 and bool(np.all(inner["feature_idx"] < n_features))
    sound = sound and bool(np.all(inner["feature_idx"] >= 0))
    for side in ("left", "right"):
        child = inner[side].astype(np.int64)
        sound = sound and bool(np.all(child > here) and np.all(child < len(nodes)))
    # Reduced features are numbers: no tree of ours looks into the tables of category sets.
    if not sound or np.any(nodes["is_categorical"]):
        raise ValueError("a tree has node indices out of bounds")
