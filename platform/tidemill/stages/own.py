"""A stage of the user's own: its function is called, and what it leaves is put in its place."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import numpy as np

from tidemill.addresses import implementation
from tidemill.config import OwnStageConfig
from tidemill.contracts import OwnStage, Scalar, StageJob
from tidemill.errors import IntegrityError, StageFailed, TidemillError, UsageError
from tidemill.stages.context import StageContext, StageResult
from tidemill.storage import (
    Workspace,
    digest_of,
    discard_directory,
    files_below,
    fresh_directory,
    hash_file,
    hash_json,
    is_left,
    place_of,
    put_in_place,
    read_output,
    write_hashed,
)

__all__ = ["code_files", "code_reachable", "own_figures", "own_record", "run_own"]

GROUP = "tidemill.stages"


def own_record(name: str) -> str:
    """Where a stage of the user's own notes what it was, read and left: relative to the root."""
    return f"reports/stage-{name}.json"


def own_figures(workspace: Workspace, name: str) -> dict[str, Scalar]:
    """What the stage's function returned."""
    record = workspace.root / own_record(name)
    return read_output(record, lambda document: dict(document["figures"]))


@contextmanager
def code_reachable(root: Path) -> Iterator[None]:
    """Let modules beside params.yaml be imported, here and in workers that begin inside.

    What is installed wins over them.
    """
    place = str(root)
    if place in sys.path:
        yield
        return
    sys.path.append(place)
    try:
        yield
    finally:
        sys.path.remove(place)


def code_files(name: str, call: str, root: Path) -> tuple[Path, ...]:
    """The files of code that a change of makes the stage run again: its package's, or its module.

    Nothing is imported.

    Raises
    ------
    UsageError
        If there is no such module.
    """
    top = call.partition(":")[0].partition(".")[0]
    found = _spec(top, root)
    if found is None:
        raise UsageError(
            f"stages.{name}.call: there is no module {top!r}",
            remedy=f"put {top}.py beside params.yaml, install the package, or correct "
            f"stages.{name}.call",
            call=call,
        )
    if found.submodule_search_locations is None:
        return (Path(found.origin),) if found.origin else ()
    folders = [Path(place) for place in found.submodule_search_locations]
    return tuple(file for folder in folders for file in files_below(folder, ".py"))


def _spec(top: str, root: Path) -> ModuleSpec | None:
    invalidate_caches()
    return PathFinder.find_spec(top, [*sys.path, str(root)])


def run_own(context: StageContext, name: str, config: OwnStageConfig, *, seed: int) -> StageResult:
    """Call the function, and put each of its writes into its place, whole.

    Raises
    ------
    StageFailed
        If the function raises, returns what are no figures, or leaves a place empty; if there
        lies what the stage has not left.
    UsageError
        If there is no such function.
    """
    root = context.workspace.root
    _require_own_places(name, config.writes, root)
    reads = {path: _there(root / path, name) for path in config.reads}
    code = _code_digest(name, config.call, root)
    work = fresh_directory(context.workspace.work("own", name))
    writes = {
        path: place_of(work / str(number), Path(path).name)
        for number, path in enumerate(config.writes)
    }
    job = StageJob(
        name=name,
        params=config.params,
        seed=seed,
        reads=reads,
        writes=writes,
        engine=context.engine,
        progress=context.progress,
    )
    figures = _figures(name, _called(job, config.call, root))
    for path, place in writes.items():
        _require_left(name, path, place)
    document = {
        "call": config.call,
        "code": code,
        "params": config.params,
        "reads": list(reads),
        "writes": {path: digest_of(place) for path, place in writes.items()},
        "figures": figures,
    }
    # First: what a killed run has put in place is then known to be the stage's.
    write_hashed(root / own_record(name), document)
    for path, place in writes.items():
        put_in_place(place, root / path)
    discard_directory(work)
    return StageResult(name, facts=figures)


def _called(job: StageJob, call: str, root: Path) -> Any:
    """What the function returns; what it raises says where."""
    with code_reachable(root):
        _forget(call.partition(":")[0].partition(".")[0], root)
        function: OwnStage = implementation(
            call, {}, group=GROUP, setting=f"stages.{job.name}.call"
        )
        if not callable(function):
            raise UsageError(
                f"stages.{job.name}.call: {call!r} is {type(function).__name__}, no function",
                remedy=f"let stages.{job.name}.call name a function that is called with the job",
                call=call,
            )
        try:
            with redirect_stdout(sys.stderr):  # stdout is the document's, of --json
                return function(job)
        except TidemillError:
            raise
        except (Exception, SystemExit) as exc:  # sys.exit of a stage is no exit of the run
            file, line = _place(exc, code_files(job.name, call, root))
            raise StageFailed(
                f"the stage {job.name} raised {type(exc).__name__}: {exc}",
                remedy=f"mend {file}, line {line}, and run the same again; what "
                "the stage was writing is not in the workspace",
                stage=job.name,
                place=f"{file}:{line}",
            ) from exc


def _place(exc: BaseException, code: Sequence[Path]) -> tuple[str, int | None]:
    """The innermost line of the stage's own code: what it calls is seldom what is to be mended."""
    frames = traceback.extract_tb(exc.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) in code]
    last = (own or frames)[-1]
    return last.filename, last.lineno


def _forget(top: str, root: Path) -> None:
    """Let a module of the workspace be read anew: this process may know another state of it."""
    found = _spec(top, root)
    places = [found.origin, *(found.submodule_search_locations or ())] if found else []
    if any(place and Path(place).is_relative_to(root) for place in places):
        for name in [n for n in sys.modules if n == top or n.startswith(f"{top}.")]:
            del sys.modules[name]


def _there(path: Path, name: str) -> Path:
    if not is_left(path):
        raise StageFailed(
            f"the stage {name} reads {path}, and there is nothing",
            remedy=f"put it there, or correct stages.{name}.reads and stages.{name}.after",
            stage=name,
            path=str(path),
        )
    return path


def _require_own_places(name: str, paths: Iterable[str], root: Path) -> None:
    """Refuse to replace what somebody else has put there: it would be lost."""
    record = root / own_record(name)
    try:
        left = read_output(record, lambda found: set(found["writes"])) if is_left(record) else set()
    except IntegrityError:
        return  # it did run here, and is about to be made anew
    for path in paths:
        if path not in left and is_left(root / path):
            raise StageFailed(
                f"the stage {name} would replace {path}, which it has not left",
                remedy=f"move {path} away, or correct stages.{name}.writes",
                stage=name,
                path=path,
            )


def _require_left(name: str, path: str, place: Path) -> None:
    if not is_left(place):
        raise StageFailed(
            f"the stage {name} has left nothing at {path}",
            remedy=f"let its function write to job.writes[{path!r}], or take {path} out of "
            f"stages.{name}.writes",
            stage=name,
            path=path,
        )


def _figures(name: str, returned: Any) -> dict[str, Scalar]:
    figures = {} if returned is None else returned
    if isinstance(figures, Mapping):  # a sum of NumPy's or pandas' is a number like any other
        figures = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in figures.items()
        }
    if not isinstance(figures, Mapping) or not all(
        isinstance(key, str) and _is_figure(value) for key, value in figures.items()
    ):
        raise StageFailed(
            f"the stage {name} returned {_shown(figures)}, which are no figures",
            remedy="let its function return finite numbers, texts and booleans by name, or None",
            stage=name,
        )
    return dict(figures)


def _is_figure(value: object) -> bool:
    return isinstance(value, str | bool | int) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _code_digest(name: str, call: str, root: Path) -> str:
    files = code_files(name, call, root)
    return hash_json([[file.name, hash_file(file)] for file in files])
