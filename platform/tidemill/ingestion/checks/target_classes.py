"""The classes that a target has, in the order of training, and whether they can be learnt."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.errors import ConfigError, TargetUnusable, nearest
from tidemill.profiling import CategoryProfile, Profile
from tidemill.schema import TableSchema, Task
from tidemill.spelling import FALSE_TEXTS, TRUE_TEXTS

__all__ = ["class_labels", "target_problem"]


def target_problem(
    schema: TableSchema, profile: Profile | None, *, sampled: bool = False
) -> TargetUnusable | None:
    """The error for a classification target with too few or too many classes, or None.

    Parameters
    ----------
    schema : TableSchema
    profile : Profile or None
        Of the valid rows.
    sampled : bool
        Whether they are some of the rows alone: a class may be missing for that.
    """
    if schema.task is Task.REGRESSION or profile is None:
        return None
    found, name = profile.columns[schema.target.name], schema.target.name
    labels = _labels(schema, profile)
    complete = isinstance(found, CategoryProfile) and found.complete
    if complete and len(labels) >= 2 and (len(labels) == 2 or schema.task is Task.MULTICLASS):
        return None
    shown = ", ".join(repr(label) for label in labels[:5])
    few = sampled and len(labels) < 2
    return TargetUnusable(
        f"the target {name} has {len(labels)} different values ({shown}"
        f"{', ...' if len(labels) > 5 else ''}), which is no {schema.task} target",
        remedy=("draw more rows by dataset.sample, or some of each class (sample.by); or " * few)
        + "choose another dataset.target, set dataset.task, or give data with all classes",
        target=name,
        classes=labels[:20],
    )


def class_labels(schema: TableSchema, profile: Profile, positive: str | None) -> tuple[str, ...]:
    """The labels of a classification target in training order; empty for regression.

    Numbers are ordered by value, false before true (whatever the words), other texts by
    character; of a binary target the positive label comes last.

    Raises
    ------
    ConfigError
        If ``dataset.positive`` is none of them.
    """
    labels = _labels(schema, profile)
    if positive is None or schema.task is not Task.BINARY:
        return tuple(labels)
    if positive not in labels:
        close = nearest(positive, labels)
        raise ConfigError(
            f"dataset.positive is {positive!r}, but {schema.target.name} holds "
            f"{' and '.join(map(repr, labels))}",
            remedy="set dataset.positive to one of them"
            + (f" (nearest: {close!r})" if close else ""),
            positive=positive,
            classes=labels,
        )
    return tuple(sorted(labels, key=lambda label: label == positive))


def _labels(schema: TableSchema, profile: Profile) -> list[str]:
    found = profile.columns[schema.target.name]
    if schema.task is Task.REGRESSION or not isinstance(found, CategoryProfile):
        return []
    return _ordered(found.counts)


def _ordered(counts: Mapping[str, int]) -> list[str]:
    labels = [label for label, n in counts.items() if n]
    try:
        return sorted(labels, key=lambda label: (float(label), label))
    except ValueError:
        pass
    if all(label.lower() in (*FALSE_TEXTS, *TRUE_TEXTS) for label in labels):
        return sorted(labels, key=lambda label: (label.lower() in TRUE_TEXTS, label))
    return sorted(labels)
