"""dvc.lock and DVC's own locks: read without DVC, and mended after a crash.

DVC writes dvc.lock in place. A commit of ours therefore keeps the whole file of before in
``.tidemill/dvc.lock.last`` and marks itself as under way; a mark that is found later means
that the commit was killed, and the file of before comes back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tidemill.errors import IntegrityError, WorkspaceBusy
from tidemill.storage import storage_errors, write_bytes

__all__ = ["guarded_lock", "lock_entry", "parse_lock", "read_lock", "repair"]

_DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")


def _lock(root: Path) -> Path:
    return root / "dvc.lock"


def _last(root: Path) -> Path:
    return root / ".tidemill" / "dvc.lock.last"


def _mark(root: Path) -> Path:
    return root / ".tidemill" / "dvc.lock.writing"


def read_lock(root: Path) -> Mapping[str, Any]:
    """The stages of dvc.lock by name; empty if there is none yet.

    Raises
    ------
    IntegrityError
        If the file is torn.
    """
    path = _lock(root)
    if not path.exists():
        return {}
    with storage_errors(path):
        content = path.read_bytes()
    stages = parse_lock(content)
    if stages is None:
        raise IntegrityError(
            f"{path} is damaged: it was changed, or its writer was killed",
            remedy="run: tidemill run (it restores the file)",
            path=str(path),
        )
    return stages


def lock_entry(root: Path, stage: str, kind: str) -> dict[str, str | None]:
    """Paths and DVC's hashes of the ``deps`` or ``outs`` of a stage, from dvc.lock."""
    entries = read_lock(root).get(stage, {}).get(kind, [])
    return {entry["path"]: entry.get("md5") for entry in entries}


def repair(root: Path) -> tuple[str, ...]:
    """Mend what a killed process left of dvc.lock and of DVC's lock; say what was done.

    The caller holds the workspace.

    Raises
    ------
    WorkspaceBusy
        If a DVC process is at work.
    """
    return tuple(found for found in (_repair_lock(root), _repair_rwlock(root)) if found)


def _repair_lock(root: Path) -> str | None:
    path, last, mark = _lock(root), _last(root), _mark(root)
    with storage_errors(path):
        content = path.read_bytes() if path.exists() else None
        kept = last.read_bytes() if last.exists() else None
    if not mark.exists() and (content is None or _is_sound(content)):
        return None
    _restore(path, kept if kept is not None and _is_sound(kept) else None)
    mark.unlink(missing_ok=True)
    if content == kept:
        return None
    what = "restored its last state" if kept is not None else "deleted it"
    return f"dvc.lock was damaged, or left unfinished by a killed process: {what}"


def _restore(path: Path, content: bytes | None) -> None:
    if content is not None:
        write_bytes(path, content)
        return
    with storage_errors(path):
        path.unlink(missing_ok=True)


@lru_cache(maxsize=4)
def _is_sound(content: bytes) -> bool:
    """Whether DVC itself would read such a dvc.lock; else it would refuse every command."""
    if parse_lock(content) is None:
        return False
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    return _fits(COMPILED_LOCKFILE_SCHEMA, _document(content))


def _fits(schema: Callable[[Any], Any], document: object) -> bool:
    from voluptuous import Invalid

    try:
        schema(document)
    except Invalid:
        return False
    return True


def _repair_rwlock(root: Path) -> str | None:
    path = root / ".dvc" / "tmp" / "rwlock"
    if _is_rwlock(path):
        return None
    from dvc.lock import LockError, make_lock

    # A DVC process writes the file only while it holds this guard: what is torn now is dead.
    guard = make_lock(str(path.with_name("rwlock.lock")), tmp_dir=str(path.parent))
    try:
        with guard:
            if _is_rwlock(path):
                return None
            with storage_errors(path):
                path.unlink()
    except LockError as exc:
        raise WorkspaceBusy(
            f"a DVC process is at work in {root}",
            remedy="wait for it to end, then run the same command again",
            path=str(root),
        ) from exc
    return "DVC's lock file .dvc/tmp/rwlock was torn by a killed process: removed it"


def _is_rwlock(path: Path) -> bool:
    with storage_errors(path):
        if not path.exists():
            return True
        try:
            document = json.loads(path.read_bytes())
        except ValueError:
            return False
    from dvc.rwlock import SCHEMA

    return _fits(SCHEMA, document)


@contextmanager
def guarded_lock(root: Path) -> Iterator[None]:
    """Let the body change dvc.lock; if it raises, or is killed, the file of before returns."""
    path, last, mark = _lock(root), _last(root), _mark(root)
    with storage_errors(path):
        before = path.read_bytes() if path.exists() else None
    _restore(last, before)
    write_bytes(mark, b"")
    try:
        yield
    except BaseException:
        _restore(path, before)
        mark.unlink(missing_ok=True)
        raise
    with storage_errors(path):
        after = path.read_bytes() if path.exists() else None
    _restore(last, after)
    mark.unlink(missing_ok=True)


def _document(content: bytes) -> Any:
    """As DVC itself reads the file: the parser in C takes a tenth of the time."""
    return YAML(typ="safe").load(content.decode("utf-8"))


@lru_cache(maxsize=4)
def parse_lock(content: bytes) -> Mapping[str, Any] | None:
    """The stages of the content of a dvc.lock; None if it is torn. A run reads one many times."""
    try:
        document = _document(content)
    except (YAMLError, UnicodeDecodeError):
        return None
    if not isinstance(document, Mapping) or "schema" not in document:
        return None
    stages = document.get("stages", {})
    whole = (
        content.endswith(b"\n")
        and isinstance(stages, Mapping)
        and all(_is_stage(stage) for stage in stages.values())
    )
    return MappingProxyType(dict(stages)) if whole else None


def _is_stage(stage: object) -> bool:
    if not isinstance(stage, Mapping) or "cmd" not in stage:
        return False
    return all(
        isinstance(stage.get(kind, []), list) and all(map(_is_entry, stage.get(kind, [])))
        for kind in ("deps", "outs")
    )


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str):
        return False
    digest = entry.get("md5")
    return digest is None or (isinstance(digest, str) and bool(_DIGEST.fullmatch(digest)))
