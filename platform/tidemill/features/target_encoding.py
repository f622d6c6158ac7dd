"""Categories as what the target was: for columns with more of them than are kept.

A column becomes the mean of the target in its category, drawn towards the mean of all where rows
are few. A training row is told what rows of other folds say
(:class:`~tidemill.features.row_folds.RowFolds`), every other row what all say. Where categories
change in time, which shows by older stretches misleading about later ones, a training row is told
what earlier stretches say, the older the less, and the logarithm of those rows.

How far means are drawn, and how fast the past is forgotten, is what best explains the target of
rows that are not in the statistics; by the same it is known whether that is more than chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.config import ReductionConfig
from tidemill.contracts import EncodedColumn, Engine, Progress
from tidemill.features.category_sums import n_buckets, sum_categories, target_names
from tidemill.features.drafts import Draft, pooled, settled
from tidemill.features.row_folds import RowFolds, all_of, earlier, others
from tidemill.profiling import CategoryProfile, NumericProfile, Profile
from tidemill.schema import ColumnType, TableSchema
from tidemill.storage import ShardManifest, StoreFolder

__all__ = ["EncodedByTarget", "TargetEncoding", "encode_by_target"]

_SMOOTHINGS = tuple(float(2**power) for power in range(11))
_MEMORIES = (0.8, 0.65, 0.5)
_MISLEADING = 1.1
_CHANCE = 3.0
_ROWS_EACH = 2
_DIGITS = 6

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EncodedByTarget:
    """What was measured of a column with many categories, and what came of it.

    Parameters
    ----------
    feature : str
    encoded : bool
    why : str
    categories, buckets : int
        An estimate; buckets that their hashes share.
    smoothing : float
        Rows by which each category's mean is drawn towards that of all.
    memory : float
        What a stretch of time counts where the next one counts 1; below 1 where categories change
        in time.
    explained : float
        Share of the target's variance that it explains of rows that are not in the statistics.
    score : float
        That in standard deviations of what chance explains.
    """

    feature: str
    encoded: bool
    why: str
    categories: int
    buckets: int = 0
    smoothing: float = 0.0
    memory: float = 1.0
    explained: float = 0.0
    score: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As it stands in reports/reduction.json."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TargetEncoding:
    """The columns that are encoded by the target.

    Parameters
    ----------
    folds : RowFolds
    drafts : dict of str to Draft
        By feature; described by what all training rows say.
    folded : dict of str to (n_folds * (n_buckets + 1), n_columns) float32
        What the rows of each fold are told.
    measured : tuple of EncodedByTarget
        Those that are not encoded too.
    """

    folds: RowFolds
    drafts: Mapping[str, Draft]
    folded: Mapping[str, npt.NDArray[np.float32]]
    measured: tuple[EncodedByTarget, ...]


def encode_by_target(
    manifest: ShardManifest,
    folder: StoreFolder,
    profile: Profile,
    config: ReductionConfig,
    *,
    engine: Engine,
    progress: Progress | None = None,
) -> TargetEncoding:
    """Encode what has more than ``max_categories`` categories; one pass over those columns.

    Where no column has, nothing is read.

    Notes
    -----
    Memory: see :func:`~tidemill.features.category_sums.sum_categories`; here some five times what
    is merged of one column.
    """
    folds = RowFolds.of(manifest, profile)
    wide = {} if config.high_cardinality == "rare" else _wide(manifest.schema, profile, config)
    refused = tuple(
        EncodedByTarget(name, False, "nearly every row has its own", round(known.n_distinct))
        for name, known in wide.items()
        if _names_rows(known)
    )
    wide = {name: known for name, known in wide.items() if not _names_rows(known)}
    if not wide:
        return TargetEncoding(folds, {}, {}, refused)
    targets = target_names(manifest.schema, profile)
    cells = folds.count * (1 + len(targets))
    buckets = {name: n_buckets(known, cells, len(wide)) for name, known in wide.items()}
    found = sum_categories(
        manifest, folder, buckets, targets, folds, engine=engine, progress=progress
    )
    drafts, folded, measured = {}, {}, list(refused)
    for name, sums in found.columns.items():
        column = _Column(name, sums, _spread(sums, manifest.schema, profile), folds)
        best = column.measured(round(wide[name].n_distinct), config.high_cardinality)
        measured.append(best)
        if best.encoded:
            drafts[name], folded[name] = column.draft(best, targets, config)
    return TargetEncoding(folds, drafts, folded, tuple(measured))


def _wide(
    schema: TableSchema, profile: Profile, config: ReductionConfig
) -> dict[str, CategoryProfile]:
    found = {}
    for column in schema.features:
        known = profile.columns[column.name]
        if column.type is not ColumnType.CATEGORICAL or not isinstance(known, CategoryProfile):
            continue
        if known.n_distinct > config.max_categories:
            found[column.name] = known
    return found


def _names_rows(known: CategoryProfile) -> bool:
    return known.n_distinct * _ROWS_EACH > known.rows - known.nulls


def _spread(sums: Values, schema: TableSchema, profile: Profile) -> Values:
    """The variance of each target over all rows; (n_targets,)."""
    known = profile.columns[schema.target.name]
    if isinstance(known, NumericProfile):
        return np.array([known.m2 / max(known.rows - known.nulls, 1)])
    rows, *targets = sums.sum(axis=(0, 1))
    shares: Values = np.array(targets) / rows
    return shares * (1 - shares)


class _Column:
    """One column's sums, and what they say of rows that are not in them."""

    def __init__(self, name: str, sums: Values, spread: Values, folds: RowFolds) -> None:
        self._name, self._sums, self._folds = name, sums, folds
        rows, *targets = sums.sum(axis=(0, 1))
        self._prior = np.array(targets) / rows
        self._spread = np.where(spread > 0, spread, np.inf)
        self._rows = rows

    def measured(self, categories: int, wanted: str) -> EncodedByTarget:
        """The best smoothing and memory, and whether they explain more than chance."""
        used = self._sums[:, self._sums[:, :, 0].any(axis=0)]
        (explained, score, smoothing), memory = self._best(used, others(used)), 1.0
        if self._folds.time:
            standing = self._best(used, earlier(used, 1.0))[0]
            forgetful = {each: self._best(used, earlier(used, each)) for each in _MEMORIES}
            fastest = max(forgetful, key=lambda each: forgetful[each][0])
            better = forgetful[fastest]
            if better[0] > _MISLEADING * standing and better[1] > _CHANCE:
                (explained, score, smoothing), memory = better, fastest
        encoded = wanted == "target" or score > _CHANCE
        return EncodedByTarget(
            self._name,
            encoded,
            _why(wanted, score, explained, changing=memory < 1.0),
            categories,
            self._sums.shape[1] - 1,
            smoothing,
            memory,
            explained,
            round(score, 1),
        )

    def _best(self, used: Values, known: Values) -> tuple[float, float, float]:
        """What is explained at best, that in deviations of chance, and by which smoothing."""
        rows, beyond = used[..., :1], used[..., 1:] - used[..., :1] * self._prior
        best = (0.0, 0.0, _SMOOTHINGS[-1])
        for smoothing in _SMOOTHINGS:
            off = self._means(known, smoothing) - self._prior
            noise = float((rows * off**2 / self._spread).sum())
            signal = float((off * beyond / self._spread).sum())
            explained = (2 * signal - noise) / (self._rows * len(self._prior))
            found = (round(explained, _DIGITS), signal / math.sqrt(noise or 1.0), smoothing)
            best = max(best, found, key=lambda one: one[0])
        return best

    def draft(
        self, best: EncodedByTarget, targets: tuple[str, ...], config: ReductionConfig
    ) -> tuple[Draft, npt.NDArray[np.float32]]:
        """Its description by all rows, and what the rows of each fold are told."""
        changing = best.memory < 1.0
        every = all_of(self._sums, best.memory)
        known = earlier(self._sums, best.memory) if changing else others(self._sums)
        values, folded = (self._means(said, best.smoothing) for said in (every, known))
        if changing:
            values, folded = (
                np.concatenate([means, np.log1p(said[..., :1])], axis=-1)
                for means, said in ((values, every), (folded, known))
            )
        occurring = self._sums[..., 0].sum(axis=0)
        names = [f"{self._name}.mean{f'={t}' if len(targets) > 1 else ''}" for t in targets]
        columns = []
        for at, name in enumerate([*names, f"{self._name}.count"] if changing else names):
            mean, variance = pooled(values[:, at], occurring)
            flaw = "" if variance > 0 else "all values are equal"
            columns.append(EncodedColumn(name, mean, variance, flaw))
            if config.scale == "standard":
                unit = np.sqrt(variance) or 1.0
                center, scale = settled(mean, unit), settled(unit, unit)
                values[:, at] = (values[:, at] - center) / scale
                folded[..., at] = (folded[..., at] - center) / scale
        feature = {
            "name": self._name,
            "kind": "target",
            "slots": list(range(len(columns))),
            "buckets": len(values) - 1,
            "values": values.astype(np.float32),
        }
        flat = folded.reshape(-1, len(columns)).astype(np.float32)
        return Draft(feature, tuple(columns)), flat

    def _means(self, known: Values, smoothing: float) -> Values:
        rows = known[..., :1]
        means: Values = self._prior + (known[..., 1:] - rows * self._prior) / (rows + smoothing)
        return means


def _why(wanted: str, score: float, explained: float, *, changing: bool) -> str:
    said = f"it explains {explained:.1%} of the target's variance in rows outside the statistics"
    if score > _CHANCE:
        return f"{said}; its categories change in time: the past alone tells" if changing else said
    return f"{said}, as chance may" + (", and is wanted" if wanted == "target" else "")
