"""dvc.yaml as an image of the graph: written from it, and compared with it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tidemill.errors import ConfigError
from tidemill.storage import storage_errors, write_bytes

__all__ = [
    "COMMAND",
    "Out",
    "StageSpec",
    "check_dvc_yaml",
    "dvc_document",
    "uncached_outs",
    "write_dvc_yaml",
]

_HEADER = """\
# The stages as DVC sees them: `dvc repro` runs what `tidemill run` runs, and leaves the same
# bytes. It keeps these stages equal to its own graph; stages that you add stay as they are.
"""
COMMAND = "tidemill stage"
"""With a stage's name after it, what runs it."""

_SECTIONS = {"out": "outs", "metric": "metrics", "plot": "plots"}


@dataclass(frozen=True, slots=True)
class Out:
    """What a stage leaves at ``path``, relative to the workspace.

    Parameters
    ----------
    path : str
    persist : bool
        DVC leaves it in place before it runs the stage.
    cache : bool
        DVC keeps its content, so that it can be checked out, pushed and pulled.
    kind : {"out", "metric", "plot"}
    """

    path: str
    persist: bool = False
    cache: bool = True
    kind: Literal["out", "metric", "plot"] = "out"

    def to_yaml(self) -> str | dict[str, dict[str, bool]]:
        """The form it has in dvc.yaml."""
        flags = {}
        if self.persist:
            flags["persist"] = True
        if not self.cache:
            flags["cache"] = False
        return {self.path: flags} if flags else self.path


@dataclass(frozen=True, slots=True)
class StageSpec:
    """What dvc.yaml says of a stage: its command, what it reads and what it leaves.

    Parameters
    ----------
    name, command : str
    deps : tuple of str
        Paths relative to the workspace.
    outs : tuple of Out
    params : tuple of str
        Keys or sections of params.yaml; each must be written there, ``{}`` if empty.
    always : bool
        DVC takes it for changed each time: what it reads is nothing that DVC can hash.
    """

    name: str
    command: str
    deps: tuple[str, ...] = ()
    outs: tuple[Out, ...] = ()
    params: tuple[str, ...] = ()
    always: bool = False


def dvc_document(stages: Sequence[StageSpec]) -> dict[str, Any]:
    """The dvc.yaml that says what the stages say.

    >>> stage = StageSpec("ingest", "tidemill stage ingest", deps=("data/raw",))
    >>> dvc_document([stage])["stages"]["ingest"]["deps"]
    ['data/raw']
    """
    return {"stages": {stage.name: _stage(stage) for stage in stages}}


def _stage(stage: StageSpec) -> dict[str, Any]:
    document: dict[str, Any] = {"cmd": stage.command}
    if deps := sorted(stage.deps):
        document["deps"] = deps
    if stage.params:
        document["params"] = sorted(stage.params)
    for kind, section in _SECTIONS.items():
        if outs := [out.to_yaml() for out in stage.outs if out.kind == kind]:
            document[section] = outs
    if stage.always:
        document["always_changed"] = True
    return document


def write_dvc_yaml(root: Path, document: Mapping[str, Any]) -> bool:
    """Let ``root/dvc.yaml`` say what ``document`` says, atomically; the user's own stages stay.

    Returns
    -------
    bool
        Whether it was written.
    """
    path = root / "dvc.yaml"
    if path.exists() and not check_dvc_yaml(root, document):
        return False
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    with storage_errors(path):
        text = path.read_text(encoding="utf-8") if path.exists() else _HEADER + "stages: {}\n"
    written = yaml.load(text)
    stages = written.get("stages") if isinstance(written, Mapping) else None
    if not isinstance(stages, Mapping):
        written = {"stages": {}}
    written["stages"] = {**document["stages"], **_strangers(written["stages"], document)}
    out = io.StringIO()
    yaml.dump(written, out)
    header = "" if out.getvalue().startswith("#") else _HEADER
    write_bytes(path, (header + out.getvalue()).encode())
    return True


def _strangers(found: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Stages that the graph does not have, less those that it had once."""
    return {
        name: stage
        for name, stage in found.items()
        if name not in document["stages"] and not _once_ours(name, stage)
    }


def _once_ours(name: str, stage: object) -> bool:
    return isinstance(stage, Mapping) and stage.get("cmd") == f"{COMMAND} {name}"


def check_dvc_yaml(root: Path, document: Mapping[str, Any]) -> list[str]:
    """Say in which places ``root/dvc.yaml`` differs from ``document``; empty if in none.

    The order of entries, comments and writing style do not matter. Stages of the user's own
    are no difference.

    Raises
    ------
    ConfigError
        If dvc.yaml is not YAML.
    """
    path = root / "dvc.yaml"
    if not path.exists():
        return ["dvc.yaml is missing"]
    try:
        with storage_errors(path):
            found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"dvc.yaml is not valid YAML: {exc}",
            remedy="delete dvc.yaml: the next tidemill run writes it again",
            path=str(path),
        ) from exc
    stages = found.get("stages") if isinstance(found, Mapping) else None
    given = stages if isinstance(stages, Mapping) else {}
    gone = (name for name in given if name not in document["stages"])
    return [
        *(
            difference
            for name, stage in document["stages"].items()
            for difference in _compare(name, stage, given.get(name))
        ),
        *(f"stage {name} is gone" for name in gone if _once_ours(name, given[name])),
    ]


def uncached_outs(content: bytes) -> frozenset[str]:
    """The outputs whose content DVC does not keep, by a dvc.yaml; none of what is no YAML.

    >>> sorted(uncached_outs(b"stages: {ingest: {outs: [a, b: {cache: false}]}}"))
    ['b']
    """
    try:
        found = YAML(typ="safe", pure=True).load(content.decode())
    except (YAMLError, UnicodeDecodeError):
        return frozenset()
    stages = found.get("stages") if isinstance(found, Mapping) else None
    return frozenset(
        path
        for stage in (stages.values() if isinstance(stages, Mapping) else ())
        if isinstance(stage, Mapping)
        for path, flags in _entries(stage.get("outs")).items()
        if flags.get("cache") is False
    )


def _compare(name: str, wanted: Mapping[str, Any], found: object) -> Iterable[str]:
    if not isinstance(found, Mapping):
        yield f"stage {name} is missing"
        return
    for key in sorted({*wanted, *found}):
        if key == "cmd":
            if found.get(key) != wanted[key]:
                yield f"stage {name}: cmd is {found.get(key)!r}, not {wanted[key]!r}"
            continue
        have, want = _entries(found.get(key)), _entries(wanted.get(key))
        for entry in sorted(want.keys() | have.keys()):
            if entry not in have:
                yield f"stage {name}: {key} lacks {entry}"
            elif entry not in want:
                yield f"stage {name}: {key} has {entry}, which the graph does not"
            elif have[entry] != want[entry]:
                yield f"stage {name}: {key}: {entry} has {have[entry]}, not {want[entry]}"


def _entries(given: object) -> dict[str, dict[str, Any]]:
    """Entries of a list in dvc.yaml with their flags, those that say nothing left out."""
    items = given if isinstance(given, (list, tuple)) else [] if given is None else [given]
    entries: dict[str, dict[str, Any]] = {}
    for item in items:
        if isinstance(item, Mapping):
            for path, flags in item.items():
                kept = flags if isinstance(flags, Mapping) else {"": flags}
                defaults = {"persist": False, "cache": True}
                entries[str(path)] = {
                    key: value
                    for key, value in kept.items()
                    if key not in defaults or defaults[key] != value
                }
        else:
            entries[str(item)] = {}
    return entries
