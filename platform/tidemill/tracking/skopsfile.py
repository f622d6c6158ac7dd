"""A pipeline as skops bytes: the same bytes for the same pipeline, and read without trust."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.storage import hash_bytes
from tidemill.tracking.allowed import REDUCERS, allowed_types, trusted_types

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["canonical", "forbidden_types", "read_pipeline", "type_name"]

_SCHEMA = "schema.json"
_ENTRY = re.compile(r"[0-9a-f]{64}\.npy")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can carry
_MAX_DEPTH = 400
_MAX_REPEATS = 8  # equal arrays are stored once; only small ones are found often
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
    compressed or unknown entries, no shared nodes, no array that declares more than it has. Then
    skops audits it again with our list, and what it built is checked before it may predict.

    Raises
    ------
    ValueError
        If something else is in it. Damaged bytes can raise whatever zipfile, numpy or skops
        raise; nothing of the content has run then.
    """
    names = _check_archive(content)
    return _checked_pipeline(_load(content, trusted_types(names)))


def _load(content: bytes, trusted: tuple[str, ...]) -> Any:
    import skops.io

    return skops.io.loads(content, trusted=list(trusted))


def _check_archive(content: bytes) -> frozenset[str]:
    """The names of all types in it, which are allowed."""
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
        # Entries may not lie over each other either: what is read is what is there.
        sizes = {entry.filename: entry.file_size for entry in entries}
        if sum(sizes.values()) > len(content) or any(
            e.file_size != e.compress_size for e in entries
        ):
            raise ValueError("its entries declare more than there is")
        schema = json.loads(archive.read(_SCHEMA))
        for name in names:
            if name != _SCHEMA:
                _check_array(name, archive.read(name))
    if not isinstance(schema, dict) or schema.get("protocol") != 2:
        raise ValueError("it is of another version of the skops format")
    forbidden = forbidden_types(schema)
    if forbidden:
        raise ValueError(f"it holds types that are not allowed: {', '.join(forbidden)}")
    read = sum(sizes.get(str(node["file"]), 0) for node in _nodes(schema) if "file" in node)
    if read > _MAX_REPEATS * len(content):
        raise ValueError("it reads its arrays over and over")
    return frozenset(name for _, name in _types(schema))


def _check_array(name: str, data: bytes) -> None:
    """Refuse an array whose header declares another size than follows it, or objects."""
    import numpy as np

    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"its array {name} is of another version")
    shape, _, kind = np.lib.format.read_array_header_1_0(stream)
    if kind.hasobject or not kind.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"its array {name} holds no plain values")
    if math.prod(shape) * kind.itemsize != len(data) - stream.tell():
        raise ValueError(f"its array {name} declares another size than it has")


def forbidden_types(schema: Any) -> tuple[str, ...]:
    """Names of the types in a skops schema that are not on the allow-list, sorted."""
    found = set(_types(schema))
    allowed = allowed_types(frozenset(name for _, name in found))
    return tuple(sorted({name for loader, name in found if name not in allowed.get(loader, ())}))


def _types(schema: Any) -> Iterator[tuple[str, str]]:
    """Loader and type of every node."""
    for node in _nodes(schema):
        if "__id__" in node:
            raise ValueError("its nodes refer to each other")
        if "__loader__" not in node:
            continue
        name = f"{node.get('__module__')}.{node.get('__class__')}"
        if not node.keys() <= _KEYS:
            raise ValueError(f"a node of type {name} has unknown fields")
        yield str(node["__loader__"]), name


def _checked_pipeline(loaded: Any) -> Pipeline:
    from sklearn.pipeline import Pipeline

    from tidemill.features.described import check_reducer
    from tidemill.learning import check_estimator

    if type(loaded) is not Pipeline or [name for name, _ in loaded.steps] != ["reducer", "learner"]:
        raise ValueError("it is not a pipeline of a reducer and a learner")
    (_, reducer), (_, learner) = loaded.steps
    if type_name(reducer) not in REDUCERS:
        raise ValueError("its first step is not a reducer of tidemill's")
    check_estimator(learner, check_reducer(reducer))
    return loaded


def type_name(value: object) -> str:
    """The full name of its type."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
