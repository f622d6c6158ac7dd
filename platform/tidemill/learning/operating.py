"""The threshold that a model of two classes decides by, found on rows that it has not learnt."""

from __future__ import annotations

from typing import Any

from tidemill.config import ThresholdConfig
from tidemill.contracts import Blocks
from tidemill.errors import ConfigError
from tidemill.learning.scoring import predict_scores
from tidemill.metrics import OPERATING_THRESHOLD, ScoreHistogram, decided_above, find_threshold
from tidemill.profiling import fold
from tidemill.schema import Task

__all__ = ["LEAST_ROWS", "find_operating", "require_threshold"]

LEAST_ROWS = 10
"""Of each class: of fewer held-out rows neither curve nor threshold is sure."""

Wanted = str | float | ThresholdConfig


def require_threshold(wanted: Wanted, task: Task, held_out: int) -> None:
    """Refuse what could not be had, before anything is fitted.

    Parameters
    ----------
    wanted : float, "f1" or ThresholdConfig
        ``training.threshold``.
    task : Task
    held_out : int
        Validation rows.

    Raises
    ------
    ConfigError
        If the target has not two classes, or no rows can choose.
    """
    if task is not Task.BINARY and wanted != OPERATING_THRESHOLD:
        raise ConfigError(
            f"training.threshold: a {task.value} target has no threshold to decide by",
            remedy="take training.threshold out",
            task=str(task),
        )
    if not isinstance(wanted, float) and not held_out:
        raise ConfigError(
            "training.threshold: validation rows choose it, and sharding.holdout.validation is 0",
            remedy="set training.threshold to a number, or sharding.holdout.validation above 0",
        )


def find_operating(
    estimator: Any, held_out: Blocks, task: Task, wanted: Wanted
) -> tuple[float, tuple[str, ...]]:
    """The threshold that is ``wanted``, and what should be known of it.

    Parameters
    ----------
    estimator : classifier
        With its probabilities set right already.
    held_out : Blocks
        Rows that it has not learnt; read only where one is to be found.
    task : Task
    wanted : float, "f1" or ThresholdConfig
        ``training.threshold``.

    Raises
    ------
    ConfigError
        See :func:`require_threshold`.

    Notes
    -----
    One pass. Memory: a block and its scores; a histogram of scores (2.5 MB at most).
    """
    require_threshold(wanted, task, sum(held_out.rows))
    if isinstance(wanted, float):
        return wanted, ()
    ranks = fold(ScoreHistogram.of(predict_scores(estimator, X, task), y == 1) for X, y in held_out)
    if not ranks.n_positive or not ranks.n_negative:
        said = "training.threshold: the validation rows are of one class only: it stays at "
        return OPERATING_THRESHOLD, (f"{said}{OPERATING_THRESHOLD:g}",)
    found = find_threshold(ranks, wanted)
    return found, tuple(filter(None, (_missed(ranks, found, wanted), _unsure(ranks))))


def _missed(ranks: ScoreHistogram, found: float, wanted: str | ThresholdConfig) -> str:
    if isinstance(wanted, str) or wanted.precision is None:
        return ""
    precision, recall = decided_above(ranks, found)
    if precision >= wanted.precision:
        return ""
    return (
        f"training.threshold: no threshold has a precision of {wanted.precision:g} on the "
        f"validation rows; {found:.3g} has the most, {precision:.3f} (recall {recall:.3f})"
    )


def _unsure(ranks: ScoreHistogram) -> str:
    least = min(ranks.n_positive, ranks.n_negative)
    if least >= LEAST_ROWS:
        return ""
    return f"training.threshold: {least} validation rows of a class chose it, which is little"
