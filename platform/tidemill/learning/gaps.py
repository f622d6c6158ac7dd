"""What learners that need every value say where one is missing."""

from __future__ import annotations

from tidemill.errors import ConfigError

__all__ = ["missing_refused"]


def missing_refused(learner: str) -> ConfigError:
    """The error for a learner's name, to raise."""
    return ConfigError(
        f"{learner} cannot learn from missing values",
        remedy="set reduction.impute to mean, median or zero, or training.learner to one that "
        "takes them",
        learner=learner,
    )
