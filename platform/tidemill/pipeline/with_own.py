"""Stages of the user's own take their places among those of tidemill."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tidemill.config import OwnStageConfig, Params
from tidemill.errors import ConfigError, nearest
from tidemill.pipeline.source import shown
from tidemill.pipeline.stage import Stage
from tidemill.stages import code_files, own_record, run_own, run_register
from tidemill.versioning import Out

__all__ = ["with_own"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_KEPT = ("params.yaml", "dvc.yaml", "dvc.lock", "data/live", "mlflow.db", "mlartifacts")
_HIDDEN = (".tidemill", ".dvc", ".git")


def with_own(
    stages: Sequence[Stage[Params]], params: Params, root: Path
) -> tuple[Stage[Params], ...]:
    """The stages, each followed by those of the user's own that come after it.

    Where some come before ``register``, it reads what they noted, and tells MLflow of it.

    Raises
    ------
    ConfigError
        If a name is taken or no name, one comes after what there is not, two wait for each other,
        one writes what is another's, or reads what is left after it.
    UsageError
        If there is no module of a function.
    """
    if not params.stages:
        return tuple(stages)
    taken = [stage.name for stage in stages]
    for name, config in params.stages.items():
        _require_name(name, config, [*taken, *params.stages], taken)
    made = {name: _stage(name, config, root) for name, config in params.stages.items()}
    ordered = [*_following(None, params, made)]
    for stage in stages:
        ordered += [stage, *_following(stage.name, params, made)]
    if left := [name for name in made if made[name] not in ordered]:
        raise ConfigError(
            f"params.yaml: stages: {', '.join(left)} come after each other",
            remedy=f"let one of them come after a stage of tidemill: {', '.join(taken)}",
            stages=left,
        )
    _require_apart(ordered, params)
    return _noted_by_register(ordered, params)


def _stage(name: str, config: OwnStageConfig, root: Path) -> Stage[Params]:
    code = tuple(shown(file, root) for file in code_files(name, config.call, root))
    return Stage(
        name=name,
        run=lambda context, p: run_own(context, name, p.stages[name], seed=p.seed),
        deps=(*code, *config.reads),
        outs=(*map(Out, config.writes), Out(own_record(name), cache=False)),
        params=(f"stages.{name}", "seed"),
    )


def _following(
    anchor: str | None, params: Params, made: dict[str, Stage[Params]]
) -> list[Stage[Params]]:
    """Those after ``anchor`` in the order of params.yaml, each with those after it."""
    found = []
    for name, config in params.stages.items():
        if config.after == anchor:
            found += [made[name], *_following(name, params, made)]
    return found


def _noted_by_register(
    ordered: Sequence[Stage[Params]], params: Params
) -> tuple[Stage[Params], ...]:
    names = [stage.name for stage in ordered]
    if "register" not in names:
        return tuple(ordered)
    at = names.index("register")
    own = tuple(name for name in names[:at] if name in params.stages)
    register = replace(
        ordered[at],
        deps=(*ordered[at].deps, *map(own_record, own)),
        run=lambda context, p: run_register(context, params=p, own=own),
    )
    return (*ordered[:at], register, *ordered[at + 1 :])


def _require_name(
    name: str, config: OwnStageConfig, known: Sequence[str], taken: Sequence[str]
) -> None:
    if name in taken or not _NAME.fullmatch(name):
        why = "is a stage of tidemill" if name in taken else "is no name of a stage"
        raise ConfigError(
            f"params.yaml: stages.{name}: {name!r} {why}",
            remedy="give it another name: small letters, digits, - and _, at most 40",
            name=name,
        )
    if config.after is not None and config.after not in known:
        close = nearest(config.after, known)
        raise ConfigError(
            f"params.yaml: stages.{name}.after: there is no stage {config.after!r}",
            remedy=(f"did you mean {close!r}? " if close else "")
            + f"it may come after: {', '.join(other for other in known if other != name)}",
            after=config.after,
        )


def _require_apart(ordered: Sequence[Stage[Params]], params: Params) -> None:
    """Each path has one stage that leaves it, and nobody reads it before that."""
    for at, stage in enumerate(ordered):
        if stage.name not in params.stages:
            continue
        config = params.stages[stage.name]
        for path in config.writes:
            _require_own(stage.name, path, ordered)
        for path in (*config.reads, *config.writes):
            if PurePosixPath(path).parts[0] in _HIDDEN:
                raise _misplaced(stage.name, path, "is kept by tidemill, DVC or git")
        for later in ordered[at:]:
            for out in later.outs:
                for path in (p for p in config.reads if _meet(p, out.path)):
                    raise ConfigError(
                        f"params.yaml: stages.{stage.name} reads {path}, which {later.name} leaves "
                        "after it",
                        remedy=f"set stages.{stage.name}.after: {later.name}"
                        if later is not stage
                        else "let it read and write different paths",
                        path=path,
                    )


def _require_own(name: str, path: str, ordered: Sequence[Stage[Params]]) -> None:
    for other in ordered:
        if other.name != name and any(_meet(path, out.path) for out in other.outs):
            raise _misplaced(name, path, f"is left by {other.name}")
    if any(_meet(path, kept) for kept in _KEPT):
        raise _misplaced(name, path, "is kept by tidemill")
    if path in ("data", "models", "reports"):
        raise _misplaced(name, path, "holds what other stages leave")


def _misplaced(name: str, path: str, why: str) -> ConfigError:
    return ConfigError(
        f"params.yaml: stages.{name}: {path} {why}",
        remedy="let it write to a path of its own, such as "
        f"data/{name} or reports/{name}.json, and read what other stages leave",
        path=path,
    )


def _meet(one: str, other: str) -> bool:
    """Whether one path is the other, or lies in it."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)
