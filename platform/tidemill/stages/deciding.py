"""deciding: which figure the search, the fit and the gates follow, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tidemill.errors import ConfigError, nearest
from tidemill.features import training_profile
from tidemill.metrics import (
    HIGHER_IS_BETTER,
    class_shares,
    default_metric,
    in_words,
    is_rare,
    metric_names,
)
from tidemill.profiling import CategoryProfile
from tidemill.schema import Task
from tidemill.storage import ShardManifest, StoreFolder

__all__ = ["ChosenMetric", "choose_metric", "metric_of_champion", "training_shares"]


@dataclass(frozen=True, slots=True)
class ChosenMetric:
    """The figure that is followed; why, in a clause; and whether the positive class is rare."""

    name: str
    why: str
    rare: bool

    @property
    def said(self) -> str:
        """The figure and the reason, for people."""
        return f"{in_words(self.name)}: {self.why}"


def choose_metric(
    wanted: str, manifest: ShardManifest, shards: StoreFolder, *, setting: str
) -> ChosenMetric:
    """The figure that ``setting`` names; ``auto`` fits the task and the training rows' classes.

    Only rows of the source count: those that a retraining appended change nothing.

    Raises
    ------
    ConfigError
        If it is no figure of the task; the nearest is offered.

    Notes
    -----
    Memory: one profile a block of a shard, and their sum.
    """
    schema = manifest.schema
    task, classes = schema.task, schema.classes
    names = tuple(name for name in metric_names(task) if name in HIGHER_IS_BETTER)
    if wanted not in ("auto", *names):
        close = nearest(wanted, names)
        raise ConfigError(
            f"{setting}: {wanted!r} is no figure of a {task.value} model",
            remedy=(f"did you mean {close!r}? " if close else "")
            + f"set {setting} to auto or one of: {', '.join(names)}",
            metric=wanted,
            available=names,
            nearest=close,
        )
    shares = training_shares(manifest, shards)
    rare = is_rare(task, shares)
    if wanted != "auto":
        return ChosenMetric(wanted, f"{setting} says so", rare)
    return ChosenMetric(default_metric(task, shares), _why(task, shares, classes), rare)


def training_shares(manifest: ShardManifest, shards: StoreFolder) -> tuple[float, ...]:
    """Shares of the classes in the source's training rows; empty for regression.

    Memory: one profile a block of a shard, and their sum.
    """
    if manifest.schema.task is Task.REGRESSION:
        return ()
    profile = training_profile(manifest.of_origin(""), shards)
    target = profile.columns[manifest.schema.target.name]
    assert isinstance(target, CategoryProfile)  # noqa: S101 - what is not regressed has classes
    return tuple(class_shares(target.counts, manifest.schema.classes).tolist())


def _why(task: Task, shares: tuple[float, ...], classes: tuple[str, ...]) -> str:
    if task is not Task.BINARY:
        return f"the default of a {task.value} task"
    told = f"{shares[1]:.2%} of the training rows are {classes[1]!r}, the positive class"
    if is_rare(task, shares):
        return f"{told}, which is rare"
    if is_rare(task, shares[::-1]):
        return (
            f"{told}; {classes[0]!r} is the rare one, and is followed as such where it is the "
            f"positive one (dataset.positive: {classes[0]!r})"
        )
    return told


def metric_of_champion(
    wanted: str, own: str, champion: str | None, figures: Collection[str]
) -> str:
    """The figure by which a challenger and its champion are both judged.

    Parameters
    ----------
    wanted : str
        ``evaluation.metric``.
    own : str
        The one that was chosen for the challenger.
    champion : str or None
        The one that the champion was registered with; None where there is none, or it is not
        known.
    figures : collection of str
        Those that the task has.

    >>> metric_of_champion("auto", "average_precision", "roc_auc", ("roc_auc", "brier"))
    'roc_auc'
    >>> metric_of_champion("brier", "brier", "roc_auc", ("roc_auc", "brier"))
    'brier'
    """
    return champion if wanted == "auto" and champion is not None and champion in figures else own
