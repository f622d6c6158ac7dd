"""The fitted feature map: from raw columns to the matrix that learners see."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin

from tidemill.features.columns import Frame
from tidemill.features.encoder import Encoder
from tidemill.features.sequence import FittedStep

__all__ = ["Reducer"]


class Reducer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Impute, encode and scale raw columns, then lead them through steps.

    It is fitted when it is made: ``fit_reducer`` computes the description below from shards,
    and ``fit`` changes nothing. Everything it knows are plain lists, dicts, texts, numbers and
    arrays, so that skops stores it and needs to trust this class alone.

    Parameters
    ----------
    features : list of dict
        The raw features that are used, in table order. ``name`` and ``kind`` always;
        ``numeric``, ``boolean``, ``datetime``: ``slots``, ``fills`` (None keeps NaN), ``means``,
        ``scales`` (one entry, or one for each of ``parts``) and ``missing_slot``;
        ``one_hot``: ``labels``, ``slots``, ``rare_slot`` and ``missing_slot``;
        ``ordinal``: ``slots`` (one), ``labels``, ``values``, ``rare_value``, ``missing_value``;
        ``target``: ``slots``, ``buckets`` and ``values``, (buckets + 1, slots) float32 whose last
        row is of what is missing. A column with many categories may be there twice, by its kept
        categories and by the target.
        ``text``: ``slots``, ``terms`` (n_terms,) int32, hashes in order, ``rarity`` (n_terms,)
        float32 and ``values`` (n_terms + 1, slots) float32, coefficients and the intercept.
        A slot is a position in ``encoded``; -1 is a column that the selection dropped. How cells
        are read stands in ``source`` (``type``, ``style``, ``convention`` of
        :class:`tidemill.schema.SourceColumn`) and, of numbers, in ``narrow`` (whether float32);
        reducers of earlier revisions have neither, and read any spelling.
    encoded : list of str
        Names of the encoded, scaled and selected columns.
    components : (n_components, n_encoded) float64 or None
        Of the step ``project``, where that is the only one; else None.
    center : (n_encoded,) float64 or None
        Mean of the encoded columns, taken off before projecting.
    seen : list of str
        Names of the raw feature columns of the training table, used or not.
    missing_values : list of str or None
        Texts that mean 'missing' there.
    steps : list of dict or None
        What comes after encoding, in order: ``step``, ``kept``, ``names`` and ``state`` of each
        (:class:`tidemill.features.sequence.FittedStep`).

    Notes
    -----
    Memory: the output and a few thousand rows of the encoded matrix. Infinities, and values
    that float32 cannot hold once scaled, count as missing. Categories that training did not
    know go to the rare bucket if the feature has one, else to zeros.

    Examples
    --------
    >>> age = {"name": "age", "kind": "numeric", "slots": [0], "fills": [40.0], "means": [40.0],
    ...        "scales": [10.0], "missing_slot": -1}
    >>> Reducer([age], ["age"]).transform({"age": [30.0, None, 55.0]})
    array([[-1. ],
           [ 0. ],
           [ 1.5]], dtype=float32)
    """

    fitted_rows: Any = None
    """Beside what a model holds: the :class:`~tidemill.features.fitted_rows.FittedRows` that say
    how the rows are reduced that it was fitted on; None: as any other."""

    # Stored reducers of earlier revisions have none.
    missing_values: list[str] | None = None
    steps: list[dict[str, Any]] | None = None

    def __init__(
        self,
        features: list[dict[str, Any]],
        encoded: list[str],
        components: npt.NDArray[np.float64] | None = None,
        center: npt.NDArray[np.float64] | None = None,
        seen: list[str] | None = None,
        missing_values: list[str] | None = None,
        steps: list[dict[str, Any]] | None = None,
    ) -> None:
        self.features = features
        self.encoded = encoded
        self.components = components
        self.center = center
        self.seen = seen
        self.missing_values = missing_values
        self.steps = steps

    def fit(self, X: Any = None, y: Any = None) -> Self:  # noqa: ARG002
        """Return self: a reducer is fitted when it is made."""
        return self

    def transform(self, X: Frame) -> npt.NDArray[np.float32]:
        """Reduce the rows of ``X``, read as the table was that was learnt from.

        Parameters
        ----------
        X : pandas.DataFrame, pyarrow.Table or mapping of name to array
            Has at least the columns of ``feature_names_in_``, in any order.

        Returns
        -------
        (rows, n_out) float32, C-contiguous

        Raises
        ------
        SchemaMismatch
            If columns are missing or there twice, or a cell cannot be read as what it should be.
        """
        encoder, steps = self._compiled()
        return encoder.through(X, steps) if steps else encoder.encode(X, np.float32)

    def transform_folds(self, X: Frame, folds: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The same of rows of these folds, (rows,), where tables are of every fold."""
        encoder, steps = self._compiled()
        if steps:
            return encoder.through(X, steps, folds)
        return encoder.encode(X, np.float32, folds=folds)

    def get_feature_names_out(
        self,
        input_features: Any = None,  # noqa: ARG002
    ) -> npt.NDArray[np.object_]:
        """Names of the output columns; (n_out,) of str."""
        steps = self._stored_steps()
        return np.array(steps[-1]["names"] if steps else self.encoded, dtype=object)

    def _stored_steps(self) -> list[dict[str, Any]]:
        """What comes after encoding; a projection that stands alone is two arrays."""
        if self.components is None or self.center is None:
            return self.steps or []
        names = [f"pca{number}" for number in range(len(self.components))]
        state = {"components": self.components, "center": self.center}
        return [{"step": "project", "kept": None, "names": names, "state": state}]

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """Names of the raw columns that :meth:`transform` needs; (n_features_in_,) of str."""
        names = dict.fromkeys(feature["name"] for feature in self.features)
        return np.array(list(names), dtype=object)

    @property
    def n_features_in_(self) -> int:
        """Number of raw columns that :meth:`transform` needs."""
        return len(self.feature_names_in_)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("_parts", None)  # compiled again where it is needed
        state.pop("fitted_rows", None)
        if self.steps is None:  # as it was before there could be any
            state.pop("steps", None)
        return state

    @property
    def requires(self) -> tuple[str, ...]:
        """Packages that its steps need, beside those of tidemill."""
        _, steps = self._compiled()
        return tuple(package for fitted in steps for package in fitted.step.requires)

    def _compiled(self) -> tuple[Encoder, tuple[FittedStep, ...]]:
        parts: tuple[Encoder, tuple[FittedStep, ...]] | None = self.__dict__.get("_parts")
        if parts is None:
            encoder = Encoder(self.features, len(self.encoded), self.missing_values or ())
            steps = tuple(FittedStep.of(step) for step in self._stored_steps())
            parts = self._parts = encoder, steps
        return parts
