"""Which objects of a store apart the workspace's versions need, by the contents that name them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.errors import IntegrityError
from tidemill.storage import CONTENTS, PublishedNames, hash_bytes
from tidemill.versioning.dvc_graph import uncached_outs
from tidemill.versioning.failures import dvc_errors
from tidemill.versioning.lockfile import parse_lock
from tidemill.versioning.repository import commits_of, content_at

__all__ = ["Needed", "needed_contents"]

_LOCK, _GRAPH = "dvc.lock", "dvc.yaml"
_OURS = ("data/validated", "data/quarantine", "data/shards")


@dataclass(frozen=True, slots=True)
class Needed:
    """What one version needs.

    Parameters
    ----------
    version : str
        ``workspace``, or a commit.
    contents : mapping of str to str
        By place: the hash of its contents. A place that keeps its files is left out, as is one
        that DVC did not keep by the version's dvc.yaml: nothing brings it back.
    unknown : tuple of str
        Places of which DVC's cache lacks the names, or dvc.lock where it is torn.
    """

    version: str
    contents: dict[str, str]
    unknown: tuple[str, ...] = ()


def needed_contents(root: Path, *, commits: bool = True) -> Iterator[Needed]:
    """What the workspace needs as it is now, and each commit that changed dvc.lock.

    Raises
    ------
    IntegrityError
        If a contents.json is not what was written, or git does not tell all commits.
    StorageFailed
        If the disk refuses.
    """
    now = {
        place.parent.relative_to(root).as_posix(): PublishedNames.read(place.parent).sha256
        for top in ("data", ".tidemill")
        for place in sorted((root / top).rglob(CONTENTS))
    }
    yield Needed("workspace", now)
    found = commits_of(root, _LOCK) if commits else []
    if not found:
        return
    cache, known = _cache(root), dict[str, str | None]()
    for commit in found:
        contents, unknown = {}, []
        stages = parse_lock(content_at(root, commit, _LOCK))
        if stages is None:
            unknown.append(_LOCK)
        uncached = uncached_outs(content_at(root, commit, _GRAPH))
        for place, md5 in _outs(stages or {}):
            if place in uncached:
                continue
            if md5 not in known:
                known[md5] = _named(cache, md5)
            named = known[md5]
            if named is None:
                unknown.append(place)
            elif named:
                contents[place] = named
        yield Needed(commit, contents, tuple(unknown))


def _outs(stages: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for stage in stages.values():
        for out in stage.get("outs", []):
            if out["path"] in _OURS and out.get("md5"):
                yield out["path"], out["md5"]


def _cache(root: Path) -> Path:
    from dvc.repo import Repo

    with dvc_errors(root), Repo(str(root)) as repo:
        return Path(repo.cache.local.path)


def _named(cache: Path, md5: str) -> str | None:
    """The hash of a folder's contents; empty where it keeps its files, None where not known."""
    try:
        listed = json.loads(_cached(cache, md5))
        of = next((file["md5"] for file in listed if file["relpath"] == CONTENTS), None)
        return hash_bytes(_cached(cache, of)) if of else ""
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as exc:
        raise IntegrityError(
            f"{cache} has something else than the folder {md5} in its place",
            remedy="take it away there, and bring it back with: dvc fetch --all-commits",
            path=str(cache),
        ) from exc


def _cached(cache: Path, md5: str) -> bytes:
    return (cache / md5[:2] / md5[2:]).read_bytes()
