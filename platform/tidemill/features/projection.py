"""Exact principal components from merged co-moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidemill.errors import ConfigError
from tidemill.profiling import Moments

__all__ = ["Projection", "principal_components"]

_DIGITS = 9
_TIE = 1e-6


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


def principal_components(moments: Moments, components: int | float) -> Projection:
    """The leading eigenvectors of the covariance of all rows.

    Parameters
    ----------
    moments : Moments
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
