"""What the training target looks like: class counts, or mean and standard deviation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, TargetSummary
from tidemill.errors import TargetUnusable
from tidemill.schema import Task

__all__ = ["checked", "class_counts", "counted", "known_target", "summarise_target"]


def summarise_target(train: Blocks, task: Task, classes: tuple[str, ...]) -> TargetSummary:
    """Summarise the target in one pass over the blocks.

    A caller that has the target's profile makes a :class:`TargetSummary` from it instead.

    Raises
    ------
    TargetUnusable
        If fewer than two classes occur.
    """
    if task is not Task.REGRESSION:
        counts = class_counts(train, len(classes))
        return checked(TargetSummary(counts=tuple(counts.tolist())), classes)
    rows, mean, m2 = 0, 0.0, 0.0
    for _, y in train:
        if not len(y):
            continue
        block_mean = float(y.mean())
        delta, total = block_mean - mean, rows + len(y)
        m2 += float(((y - block_mean) ** 2).sum()) + delta**2 * rows * len(y) / total
        mean += delta * len(y) / total
        rows = total
    return TargetSummary(mean=mean, std=math.sqrt(m2 / rows) if m2 > 0 else 1.0)


def known_target(summary: TargetSummary) -> TargetSummary:
    """The summary itself: what ``FitJob.summarised`` is made of where it is known."""
    return summary


def class_counts(blocks: Blocks, n_classes: int) -> npt.NDArray[np.int64]:
    """Rows of each class; (n_classes,). Memory of one block."""
    counts = np.zeros(n_classes, np.int64)
    for _, y in blocks:
        counts += np.bincount(y, minlength=n_classes)
    return counts


def counted(codes: npt.NDArray[Any], classes: tuple[str, ...]) -> TargetSummary:
    """The summary of class codes.

    >>> counted(np.array([0, 1, 1]), ("no", "yes", "perhaps")).counts
    (1, 2, 0)
    """
    return TargetSummary(tuple(np.bincount(codes, minlength=len(classes)).tolist()))


def checked(summary: TargetSummary, classes: tuple[str, ...]) -> TargetSummary:
    """Return ``summary`` if at least two classes occur in it."""
    if sum(count > 0 for count in summary.counts) < 2:
        raise TargetUnusable(
            "the training rows hold fewer than two classes of the target",
            remedy="look at sharding.holdout: the training rows must show at least two classes",
            classes=classes,
            counts=summary.counts,
        )
    return summary
