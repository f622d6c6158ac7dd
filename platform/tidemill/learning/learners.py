"""The learners by name."""

from __future__ import annotations

from typing import Any

from tidemill.errors import ConfigError, nearest
from tidemill.learning.boosting import LightGbmLearner
from tidemill.learning.histogram import HistGradientBoostingLearner
from tidemill.learning.learner import Learner
from tidemill.learning.sgd import SgdLearner
from tidemill.schema import Task

__all__ = ["LEARNERS", "default_space"]

LEARNERS: dict[str, type[Learner]] = {
    "sgd": SgdLearner,
    "hist_gradient_boosting": HistGradientBoostingLearner,
    "lightgbm": LightGbmLearner,
}


def default_space(learner: str, task: Task) -> dict[str, dict[str, Any]]:
    """Where to search for a learner's parameters, in the form of params.yaml.

    >>> default_space("sgd", Task.BINARY)["alpha"]
    {'low': 1e-07, 'high': 0.01, 'log': True}
    """
    if learner not in LEARNERS:
        close = nearest(learner, LEARNERS)
        raise ConfigError(
            f"training.learner: there is no {learner!r}",
            remedy=f"set training.learner to {close or ' or '.join(LEARNERS)}",
            nearest=close,
        )
    return LEARNERS[learner]().space(task)
