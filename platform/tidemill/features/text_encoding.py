"""Free text as what its words say of the target: TF-IDF and a linear model, told across folds.

A column becomes one number, the score of a linear model of its terms; of more than two classes one
for each. A training row is told by the model of the other folds, every other row by the mean of
those models. How strongly the models are held back is what tells most of rows that they have not
seen, and by the same it is known whether that is more than chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tidemill.config import ReductionConfig
from tidemill.contracts import EncodedColumn, Engine, Progress
from tidemill.features.category_sums import target_names
from tidemill.features.drafts import Draft
from tidemill.features.row_folds import RowFolds
from tidemill.features.text_samples import TextSample, sample_texts
from tidemill.features.text_terms import LARGEST_TERMS, only_terms, text_fold, weigh_terms
from tidemill.profiling import Profile
from tidemill.schema import ColumnType, Task
from tidemill.storage import ShardManifest, StoreFolder

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["EncodedText", "TextEncoding", "encode_texts"]

_FOLDS = 5
_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
_JUDGED_CELLS = 2**22
_LEAST_TEXTS = 2
_CHANCE = 3.0

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EncodedText:
    """What was measured of a column of free text, and what came of it.

    Parameters
    ----------
    feature : str
    encoded : bool
    why : str
    rows : int
        Whose texts the models learnt: all, or as many as the bound on memory allows.
    terms : int
        Words and pairs of words that are told apart.
    strength : float
        How strongly the models follow the texts: the inverse of the penalty, ``C``.
    explained : float
        Share of the target's variance that it explains of rows that its models have not seen.
    score : float
        That in standard deviations of what chance explains.
    """

    feature: str
    encoded: bool
    why: str
    rows: int = 0
    terms: int = 0
    strength: float = 0.0
    explained: float = 0.0
    score: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As it stands in reports/reduction.json."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TextEncoding:
    """The columns of free text, those that are left out too.

    Parameters
    ----------
    drafts : dict of str to Draft
    folded : dict of str to (n_folds * (n_terms + 1), n_columns) float32
        The models that tell the training rows of each fold, of those that are encoded.
    measured : tuple of EncodedText
    """

    drafts: Mapping[str, Draft] = field(default_factory=dict)
    folded: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    measured: tuple[EncodedText, ...] = ()


def encode_texts(
    manifest: ShardManifest,
    folder: StoreFolder,
    profile: Profile,
    config: ReductionConfig,
    folds: RowFolds,
    *,
    engine: Engine,
    progress: Progress | None = None,
) -> TextEncoding:
    """Encode the columns of free text; one pass over them, none where there are none.

    Notes
    -----
    Memory: see :func:`~tidemill.features.text_samples.sample_texts`; here some six times the
    sample of one column.
    """
    schema = manifest.schema
    names = tuple(column.name for column in schema.features if column.type is ColumnType.TEXT)
    if config.text == "drop":
        told = [EncodedText(name, False, "reduction.text: drop") for name in names]
        return TextEncoding({one.feature: _without(one) for one in told}, {}, tuple(told))
    if not names:
        return TextEncoding()
    targets = target_names(schema, profile)
    samples = sample_texts(
        manifest, folder, names, targets, folds, engine=engine, progress=progress
    )
    drafts, folded, measured = {}, {}, []
    for name in names:
        known = profile.columns[name]
        missing = known.nulls == known.rows
        column = _Text(name, samples.pop(name), folds.count, schema.task)
        best, models = column.measured(config.text, missing=missing)
        measured.append(best)
        if best.encoded:
            drafts[name], folded[name] = column.draft(models, targets, config)
        else:
            drafts[name] = _without(best)
    return TextEncoding(drafts, folded, tuple(measured))


def _without(told: EncodedText) -> Draft:
    flaw = EncodedColumn(told.feature, 0.0, 0.0, told.why)
    return Draft({"name": told.feature, "kind": "one_hot", "slots": [0]}, (flaw,))


class _Text:
    """One column's sample, and the models of its terms."""

    def __init__(self, name: str, sample: TextSample, folds: int, task: Task) -> None:
        self._name, self._task = name, task
        self._targets = sample.targets
        self._folds = text_fold(sample.folds, folds, _FOLDS)
        self._rows = len(sample.hashes)
        terms, texts = np.unique(sample.counts.indices, return_counts=True)
        kept = np.flatnonzero(texts >= _LEAST_TEXTS)
        if len(kept) > LARGEST_TERMS:  # the most frequent; of equals the first by their numbers
            kept = np.sort(kept[np.argsort(-texts[kept], kind="stable")[:LARGEST_TERMS]])
        self._terms = terms[kept].astype(np.int32)
        rarity = np.log((1 + self._rows) / (1 + texts[kept])) + 1
        self._rarity = rarity.astype(np.float32)
        self._weights = weigh_terms(only_terms(sample.counts, self._terms), self._rarity)
        cells = max(self._weights.nnz * self._targets.shape[1], 1)
        self._judged = range(min(max(_JUDGED_CELLS // cells, 1), _FOLDS))

    def measured(self, wanted: str, *, missing: bool) -> tuple[EncodedText, Values]:
        """What it tells at best, and the models; (n_folds, n_terms + 1, n_targets)."""
        if missing or not len(self._terms):
            why = "all values are missing" if missing else "no word is in two texts"
            return EncodedText(self._name, False, why, self._rows), np.empty(0)
        tried = {each: self._models(each, self._judged) for each in _STRENGTHS}
        told = {each: self._told(models)[0] for each, models in tried.items()}
        strength = max(_STRENGTHS, key=lambda each: round(told[each], 6))
        models = tried[strength]
        rest = range(len(self._judged), _FOLDS)
        models[list(rest)] = self._models(strength, rest)[list(rest)]
        correlation, rows = self._told(models)
        score = correlation * math.sqrt(rows)
        encoded = (score > _CHANCE or wanted == "target") and bool(models.any())
        best = EncodedText(
            self._name,
            encoded,
            _why(wanted, score, correlation),
            self._rows,
            len(self._terms),
            strength,
            round(max(correlation, 0.0) ** 2, 6),
            round(score, 1),
        )
        return best, models

    def draft(
        self, models: Values, targets: tuple[str, ...], config: ReductionConfig
    ) -> tuple[Draft, npt.NDArray[np.float32]]:
        """Its description by the mean of the models, and those of each fold."""
        mean_model = self._completed(models)
        scores = self._scores(models)
        names = [f"{self._name}.score{f'={t}' if len(targets) > 1 else ''}" for t in targets]
        columns = []
        for at, name in enumerate(names):
            mean, variance = float(scores[:, at].mean()), float(scores[:, at].var())
            columns.append(
                EncodedColumn(name, mean, variance, "" if variance > 0 else "all values are equal")
            )
            if config.scale == "standard":
                for each in (models, mean_model[None]):
                    each[:, -1, at] -= mean
                    each[:, :, at] /= math.sqrt(variance) or 1.0
        feature = {
            "name": self._name,
            "kind": "text",
            "slots": list(range(len(columns))),
            "terms": self._terms,
            "rarity": self._rarity,
            "values": mean_model.astype(np.float32),
        }
        flat = models.reshape(-1, len(columns)).astype(np.float32)
        return Draft(feature, tuple(columns)), flat

    def _models(self, strength: float, wanted: range) -> Values:
        """Those that tell the rows of the wanted folds: of all other rows; else zeros."""
        models = np.zeros((_FOLDS, len(self._terms) + 1, self._targets.shape[1]))
        for fold in wanted:
            others = np.flatnonzero(self._folds != fold)
            weights = self._weights[others]
            for at, y in enumerate(self._targets[others].T):
                if len(y) and y.min() < y.max():
                    models[fold, :, at] = _linear(weights, y, strength, self._task)
        return models

    def _completed(self, models: Values) -> Values:
        """The mean of the models that learnt; the others become what it tells on average.

        A constant: the mean of the models itself has learnt the rows that the others are to tell.
        """
        known = models.any(axis=1)
        mean: Values = models.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        told = np.asarray(self._weights.mean(axis=0)).ravel() @ mean[:-1] + mean[-1]
        models[:, -1] = np.where(known, models[:, -1], told)
        return mean

    def _scores(self, models: Values) -> Values:
        """What each row of the sample is told; (rows, n_targets)."""
        scores = np.zeros(self._targets.shape)
        for fold, model in enumerate(models):
            rows = self._folds == fold
            scores[rows] = self._weights[rows] @ model[:-1] + model[-1]
        return scores

    def _told(self, models: Values) -> tuple[float, int]:
        """How what rows are told goes with their target, on average; and of how many rows."""
        rows = np.isin(self._folds, np.flatnonzero(models.any(axis=(1, 2))))
        if not rows.any():
            return 0.0, 1
        scores, targets = (_centred(each[rows]) for each in (self._scores(models), self._targets))
        sizes = np.sqrt(np.square(scores).sum(axis=0) * np.square(targets).sum(axis=0))
        found = (scores * targets).sum(axis=0) / np.where(sizes > 0, sizes, np.inf)
        return float(found.mean()), int(rows.sum())


def _centred(values: Values) -> Values:
    found: Values = values - values.mean(axis=0)
    return found


def _linear(weights: csr_matrix, y: Values, strength: float, task: Task) -> Values:
    """The coefficients of a logistic or ridge model, the intercept last; (n_terms + 1,)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVR

    settings = {"C": strength, "dual": True, "tol": 0.1, "max_iter": 1000, "random_state": 0}
    if task is Task.REGRESSION:  # squares beyond a margin of nothing: ridge
        mean, unit = y.mean(), y.std() or 1.0
        model = LinearSVR(loss="squared_epsilon_insensitive", epsilon=0.0, **settings)
        model.fit(weights, (y - mean) / unit)
        found = np.append(model.coef_, model.intercept_) * unit
        found[-1] += mean
        return found
    model = LogisticRegression(solver="liblinear", **settings).fit(weights, y > 0)
    coefficients: Values = np.append(model.coef_, model.intercept_)
    return coefficients


def _why(wanted: str, score: float, correlation: float) -> str:
    share = max(correlation, 0.0) ** 2
    said = f"its words explain {share:.1%} of the target's variance in rows not learnt"
    if score > _CHANCE:
        return said
    return f"{said}, as chance may" + (", and is wanted" if wanted == "target" else "")
