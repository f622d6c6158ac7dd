"""Estimators as skops bytes that depend on the estimator alone."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

__all__ = ["to_skops"]

_EPOCH = (1980, 1, 1, 0, 0, 0)


def to_skops(estimator: Any) -> bytes:
    """The skops file of ``estimator``, equal for equal estimators.

    skops names what it stores by memory addresses and stamps its entries with the time; here
    they are numbered in order of appearance and carry the zip format's first date. The file is
    an ordinary skops file.

    >>> from sklearn.linear_model import SGDClassifier
    >>> to_skops(SGDClassifier()) == to_skops(SGDClassifier())
    True
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as stored:
        schema = json.loads(stored.read("schema.json"))
        numbers: dict[str, str] = {}
        _collect(schema, numbers)
        schema = _renumbered(schema, numbers)
        members = {
            _renamed(name, numbers): stored.read(name)
            for name in stored.namelist()
            if name != "schema.json"
        }
    members["schema.json"] = json.dumps(schema, sort_keys=True).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name], zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _collect(node: Any, numbers: dict[str, str]) -> None:
    if isinstance(node, dict):
        if "__id__" in node:
            numbers.setdefault(str(node["__id__"]), str(len(numbers) + 1))
        for value in node.values():
            _collect(value, numbers)
    elif isinstance(node, list):
        for value in node:
            _collect(value, numbers)


def _renumbered(node: Any, numbers: dict[str, str]) -> Any:
    if isinstance(node, dict):
        renumbered = {key: _renumbered(value, numbers) for key, value in node.items()}
        if "__id__" in node:
            renumbered["__id__"] = int(numbers[str(node["__id__"])])
        if isinstance(node.get("file"), str):
            renumbered["file"] = _renamed(node["file"], numbers)
        return renumbered
    if isinstance(node, list):
        return [_renumbered(value, numbers) for value in node]
    return node


def _renamed(name: str, numbers: dict[str, str]) -> str:
    stem, dot, suffix = name.partition(".")
    return numbers.get(stem, stem) + dot + suffix
