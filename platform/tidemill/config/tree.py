"""Which settings there are, by their dotted paths, and which one was meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from types import UnionType
from typing import get_args

from pydantic import BaseModel

from tidemill.config.params import Params
from tidemill.errors import nearest

__all__ = ["nearest_setting", "setting_of", "settings_in"]

LIKE = 0.75
"""From here on two names are one, misspelt; a parameter of a learner may be like a setting's."""


def setting_of(location: Sequence[str]) -> list[str]:
    """The setting that pydantic means: without the branch of a union that it tried."""
    model: type[BaseModel] | None = Params
    depth = 0
    while model is not None and depth < len(location):
        field = model.model_fields.get(location[depth])
        depth += 1
        if field is None:
            break
        if str(field.annotation).startswith("dict"):
            model, depth = _each(field.annotation), depth + 1
        else:
            model = _section(field.annotation)
    return list(location[:depth])


def nearest_setting(location: Sequence[str]) -> str | None:
    """The dotted path that was meant by one that there is not; None if none is close.

    One of the same last part wherever it stands; else a misspelt one beside it, a parameter of
    what stands there, or a misspelt one elsewhere.

    >>> nearest_setting(["dataset", "skip_lines"]), nearest_setting(["tuning", "trails"])
    ('dataset.csv.skip_lines', 'tuning.trials')
    >>> nearest_setting(["training", "learning_rate"]), nearest_setting(["sead"])
    ('training.params.learning_rate', 'seed')
    >>> nearest_setting(["stages", "mine", "read"]), nearest_setting(["stages", "mine", "least"])
    ('stages.mine.reads', 'stages.mine.params.least')
    """
    *above, name = location
    paths = list(_paths(Params, location))
    if same := [path for path in paths if path.split(".")[-1] == name]:
        return _most_like(".".join(location), same)
    start = ".".join([*above, ""])
    beside = [p.removeprefix(start) for p in paths if p.startswith(start)]
    close = nearest(name, [p for p in beside if "." not in p])
    if close is not None and _alike(name, close) >= LIKE:
        return start + close
    if above and f"{start}params" in paths:
        return f"{start}params.{name}"
    if close is not None:
        return start + close
    misspelt = nearest(name, {p.split(".")[-1] for p in paths})
    if misspelt is None or _alike(name, misspelt) < LIKE:
        return None
    return _most_like(".".join(location), [p for p in paths if p.split(".")[-1] == misspelt])


def settings_in(location: Sequence[str]) -> list[str]:
    """The settings of a section, by their names; none where the path leads to no section.

    >>> settings_in(["dataset", "sample"])
    ['fraction', 'rows', 'by', 'at_least', 'seed']
    """
    above = [*location, ""]
    start = ".".join(above)
    inner = [path.removeprefix(start) for path in _paths(Params, above) if path.startswith(start)]
    return [name for name in inner if "." not in name]


def _most_like(path: str, paths: Sequence[str]) -> str:
    return max(paths, key=lambda other: _alike(path, other))


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _paths(
    model: type[BaseModel], location: Sequence[str], above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Of every section and setting; of sections by name (``stages``) those of the one meant."""
    for name, field in model.model_fields.items():
        path = (*above, name)
        yield ".".join(path)
        inner = _section(field.annotation)
        if inner is None and tuple(location[: len(path)]) == path and len(location) > len(path):
            inner, path = _each(field.annotation), (*path, location[len(path)])
        if inner is not None:
            yield from _paths(inner, location, path)


def _each(annotation: object) -> type[BaseModel] | None:
    """The section that each value of a mapping is, or a field where it is not null."""
    return next((inner for kind in get_args(annotation) if (inner := _section(kind))), None)


def _section(annotation: object) -> type[BaseModel] | None:
    """The section that a field is, or may be."""
    if isinstance(annotation, UnionType):
        return _each(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None
