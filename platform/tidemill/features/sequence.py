"""Steps of the reducer: made from params.yaml, and as they stand in a stored reducer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tidemill.config import ReductionConfig
from tidemill.contracts import FloatMatrix, Step
from tidemill.errors import ConfigError
from tidemill.steps import STEPS

__all__ = ["FittedStep", "chosen", "configured_steps"]


def configured_steps(config: ReductionConfig) -> list[tuple[str, Step]]:
    """The steps that the reduction section asks for, by name, not yet fitted.

    Raises
    ------
    ConfigError
        If missing values are kept (``impute: none``), and come to a step that does not take them.
    """
    steps: list[tuple[str, Step]] = []
    gaps = config.impute == "none"
    for name, own in config.named_steps:
        if name == "project" and config.project == "none":
            continue
        kind = STEPS[name]
        if gaps and not kind.takes_missing:
            other = (
                "reduction.project to none" if name == "project" else "reduction.steps without it"
            )
            raise ConfigError(
                f"reduction.steps: {name} needs values, and impute: none keeps missing ones",
                remedy=f"set reduction.impute to mean, median or zero, or {other}, or name a step "
                "before it that fills them",
                step=name,
            )
        gaps = gaps and not kind.fills_missing
        defaults = {key: parameter.default for key, parameter in kind.settings.items()}
        section = {key: getattr(config, key) for key in kind.section}
        steps.append((name, kind(**section, **defaults | own)))
    return steps


@dataclass(frozen=True, slots=True)
class FittedStep:
    """A fitted step and its place.

    Parameters
    ----------
    name : str
        That of :data:`tidemill.steps.STEPS`, or its address.
    step : Step
    kept : tuple of int or None
        Which columns of the step before come in; None: all.
    names : tuple of str
        The columns that it makes.
    """

    name: str
    step: Step
    kept: tuple[int, ...] | None
    names: tuple[str, ...]

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """(rows, n_in) float64, overwritten, to (rows, len(names)).

        Raises
        ------
        ValueError
            If the step makes another number of rows or columns than it has names for.
        """
        made = self.step.transform(chosen(matrix, self.kept))
        if made.shape != (len(matrix), len(self.names)):  # NumPy would repeat a single column
            raise ValueError(
                f"the step {self.name!r} made {made.shape} of {len(matrix)} rows for "
                f"{len(self.names)} names"
            )
        return made

    def to_document(self) -> dict[str, Any]:
        """As a reducer stores it: plain values, and arrays in ``state``."""
        return {
            "step": self.name,
            "kept": None if self.kept is None else list(self.kept),
            "names": list(self.names),
            "state": dict(self.step.state()),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_document` wrote.

        Raises
        ------
        ValueError
            If the step's state does not fit together.
        """
        kept = document["kept"]
        return cls(
            document["step"],
            STEPS[document["step"]].restored(document["state"]),
            None if kept is None else tuple(kept),
            tuple(document["names"]),
        )


def chosen(matrix: FloatMatrix, columns: Sequence[int] | None) -> FloatMatrix:
    """These columns of a matrix, in float64; all, where there is no choice."""
    return np.asarray(matrix if columns is None else matrix[:, list(columns)], np.float64)
