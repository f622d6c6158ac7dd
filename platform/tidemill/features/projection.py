"""Exact principal components from merged co-moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Comoments, FloatMatrix, Parameter, TrainingColumns
from tidemill.errors import ConfigError
from tidemill.features.kernels import LARGEST

__all__ = ["ProjectStep", "Projection", "principal_components"]

_DIGITS = 9
_TIE = 1e-6
_LONGEST = 1.0 + 1e-6  # components are rows of length one


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal components.

    Parameters
    ----------
    components : (n_components, n_features) float64
        Orthonormal rows, by falling variance; the largest loading of each is positive (of
        loadings that tie to 1e-6, the first).
    center : (n_features,) float64
    explained : (n_components,) float64
        Share of the whole variance that each explains.
    """

    components: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    explained: npt.NDArray[np.float64]


class ProjectStep:
    """Principal components in place of the columns."""

    settings: ClassVar[Mapping[str, Parameter]] = {}
    section: ClassVar[tuple[str, ...]] = ("components",)
    takes_missing: ClassVar[bool] = False
    fills_missing: ClassVar[bool] = False
    only_drops: ClassVar[bool] = False
    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, components: int | float = 0.95) -> None:
        self._wanted = components
        self._found: Projection

    def fit(self, training: TrainingColumns) -> Mapping[str, str]:
        """All columns go in."""
        self._found = principal_components(training.moments(), self._wanted)
        return {}

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        """``pca0``, ``pca1``, ..."""
        return tuple(f"pca{number}" for number in range(len(self._found.components)))

    def transform(self, matrix: FloatMatrix) -> FloatMatrix:
        """(rows, n_components) float64."""
        matrix -= self._found.center
        projected: FloatMatrix = matrix @ self._found.components.T
        return projected

    def explain(self) -> Mapping[str, Any]:
        """The share of variance of each component."""
        return {"explained_variance": self._found.explained.tolist()}

    def state(self) -> Mapping[str, Any]:
        """``components`` and ``center``."""
        return {"components": self._found.components, "center": self._found.center}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Self:
        """Of arrays that a fit could have left."""
        components, center = state["components"], state["center"]
        width = np.shape(center)[0] if np.ndim(center) == 1 else -1
        count = np.shape(components)[0] if np.ndim(components) == 2 else -1
        _check_array("components", components, (count, width), _LONGEST)
        _check_array("center", center, (width,), LARGEST)
        step = cls()
        step._found = Projection(components, center, np.zeros(len(components)))
        return step


def _check_array(name: str, array: Any, shape: tuple[int, ...], largest: float) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != shape:
        raise ValueError(f"the {name} of its reducer are not of {shape[-1]} columns")
    if not np.all(np.abs(array) <= largest):
        raise ValueError(f"the {name} of its reducer are not finite, or beyond {largest:.3g}")


def principal_components(moments: Comoments, components: int | float) -> Projection:
    """The leading eigenvectors of the covariance of all rows.

    Parameters
    ----------
    moments : Comoments
        Of all rows.
    components : int or float
        How many; or, below 1, the share of variance that they explain together. At most as
        many as there are columns.

    Raises
    ------
    ConfigError
        If ``components`` is neither.

    Notes
    -----
    Equal to scikit-learn's PCA on the same rows to 1e-6, up to sign, where eigenvalues differ
    by more than about 1e-6 of the largest: closer ones span the same plane in any rotation.
    O(n_features^2) memory.

    >>> from tidemill.profiling import Moments
    >>> x = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    >>> principal_components(Moments.of(x, ("a", "b")), 1).components.round(3)
    array([[0.707, 0.707]])
    """
    values, vectors = np.linalg.eigh(moments.covariance)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
    explained = (values / values.sum()).round(_DIGITS)
    count = _count(explained, components)
    vectors = vectors[:count].round(_DIGITS) + 0.0
    sizes = np.abs(vectors)
    first = (sizes >= sizes.max(axis=1, keepdims=True) - _TIE).argmax(axis=1)
    signs = np.sign(vectors[np.arange(count), first])
    return Projection(
        np.ascontiguousarray(vectors * signs[:, None] + 0.0),
        moments.mean.round(_DIGITS) + 0.0,
        explained[:count],
    )


def _count(explained: npt.NDArray[np.float64], components: int | float) -> int:
    if isinstance(components, int) and components >= 1:
        return min(components, len(explained))
    if isinstance(components, float) and 0.0 < components <= 1.0:
        enough = int(np.searchsorted(explained.cumsum(), components, side="right")) + 1
        return min(enough, len(explained))
    raise ConfigError(
        f"reduction.components is {components}",
        remedy="set reduction.components to a whole number, or to a share of variance below 1",
        value=components,
    )
