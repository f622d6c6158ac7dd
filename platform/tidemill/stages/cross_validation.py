"""Cross-validation of a small table, whose few validation rows would decide by chance.

A trial is judged by the mean over folds of the training and validation rows, and the rounds that
the judged model learns are those at which the mean of the folds' curves is best. Folds are as the
table is: forward in time where its test rows are the latest, stratified where there are classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.config import TrainingConfig
from tidemill.contracts import Blocks, Fit, FloatMatrix, Scalar
from tidemill.learning import fit, of_one_process, predict_scores
from tidemill.metrics import HIGHER_IS_BETTER, Lead, figures_of
from tidemill.schema import Role, TableSchema, Task
from tidemill.stages.blocks import ReducedBlocks, ReducePart
from tidemill.stages.context import StageContext
from tidemill.storage import ShardManifest, read_blocks
from tidemill.tuning import Report

__all__ = [
    "FOLDS",
    "CrossValidation",
    "Judgement",
    "MatrixBlocks",
    "is_small",
    "quarter_splits",
    "split_rows",
]

SMALL_ROWS = 10_000
"""Training and validation rows up to which validation rows alone (a tenth) decide by chance: of
1,000 the standard error of an ROC AUC is near .015, more than what most parameters change."""

FOLDS = 5
_REPEATED_ROWS = 1_000
"""Folds of half of them, or fewer, are drawn again with another seed, to so many judged rows."""
_MOST_REPEATS = 3

Split = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Judgement(NamedTuple):
    """What the folds say of parameters.

    Parameters
    ----------
    values : (folds,) float64
        The figure of each fold; NaN where its rows do not define one.
    share : float
        Rows that a fold holds out beside those that it learns.
    rounds : int or None
        Where the mean of the folds' curves is best; None of a learner without a curve.
    """

    values: npt.NDArray[np.float64]
    share: float
    rounds: int | None

    @property
    def value(self) -> float:
        """The mean over folds; NaN where none defines the figure."""
        return mean_of(self.values)

    @property
    def error(self) -> float:
        """Standard error of the mean, see :func:`mean_error`."""
        return mean_error(self.values, self.share)


@dataclass(frozen=True)
class MatrixBlocks:
    """Rows of a small table in memory as one block; a :class:`tidemill.contracts.Blocks`.

    Parameters
    ----------
    names : tuple of str
    X : (rows, n_features) float32
    y : (rows,)
        float64 for regression, else int32 class codes.
    """

    names: tuple[str, ...]
    X: FloatMatrix
    y: npt.NDArray[Any]

    @classmethod
    def of(cls, blocks: Blocks) -> Self:
        """All rows of ``blocks``, in their order."""
        read = list(blocks)
        if not read:
            return cls(blocks.names, np.empty((0, len(blocks.names)), np.float32), np.empty(0))
        Xs, ys = zip(*read, strict=True)
        return cls(blocks.names, np.concatenate(Xs), np.concatenate(ys))

    @property
    def rows(self) -> tuple[int, ...]:
        """Those of the block."""
        return (len(self.y),)

    @property
    def shards(self) -> tuple[str, ...]:
        """One, without a name of its own."""
        return ("rows",)

    def read(self, block: int) -> tuple[FloatMatrix, npt.NDArray[Any]]:  # noqa: ARG002
        """The matrix and the target."""
        return self.X, self.y

    def take(self, blocks: Sequence[int]) -> Self:
        """All rows, or none."""
        return self if blocks else self.at(np.empty(0, np.int64))

    def at(self, rows: npt.NDArray[np.int64]) -> Self:
        """Those rows alone."""
        return replace(self, X=self.X[rows], y=self.y[rows])

    def __iter__(self) -> Iterator[tuple[FloatMatrix, npt.NDArray[Any]]]:
        return iter([(self.X, self.y)] if len(self.y) else [])


def is_small(manifest: ShardManifest) -> bool:
    """Whether the rows that are learnt and validated on are too few to be split once."""
    return manifest.rows(Role.TRAIN) + manifest.rows(Role.VALIDATION) <= SMALL_ROWS


@dataclass(frozen=True)
class CrossValidation:
    """The objective of a trial over folds; picklable, with the rows in it.

    Parameters
    ----------
    training : TrainingConfig
    rows : MatrixBlocks
        Training and validation rows.
    splits : tuple of (learnt, held out)
        Of row numbers, see :func:`split_rows`.
    schema : TableSchema
    metric : str
    seed : int
    warnings : tuple of str
        What was said while the rows were reduced.

    Notes
    -----
    Memory: the rows three times, and a fit.
    """

    training: TrainingConfig
    rows: MatrixBlocks
    splits: tuple[Split, ...]
    schema: TableSchema
    metric: str
    seed: int
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        context: StageContext,
        manifest: ShardManifest,
        blocks: ReducedBlocks,
        training: TrainingConfig,
        *,
        folds: int,
        metric: str,
        seed: int,
    ) -> Self:
        """Over ``blocks``, those of training and validation rows of the manifest."""
        rows = MatrixBlocks.of(blocks)
        splits = split_rows(
            rows.y if manifest.schema.task is not Task.REGRESSION else None,
            times=_times(context, manifest, blocks),
            n_rows=len(rows.y),
            folds=folds,
            seed=seed,
        )
        return cls(training, rows, splits, manifest.schema, metric, seed, blocks.warnings)

    @property
    def learnt(self) -> MatrixBlocks:
        """What a fold learns, where it learns the most."""
        return self.rows.at(max((learnt for learnt, _ in self.splits), key=len))

    def __call__(self, params: dict[str, Scalar], report: Report) -> float:
        """Return the mean of the folds' figures; reports it after each fold."""
        return self.judge(params, report).value

    def judge(self, params: Mapping[str, Scalar], report: Report | None = None) -> Judgement:
        """Learn and judge each fold."""
        fits: list[tuple[Fit, float]] = []
        for number, (learnt, held_out) in enumerate(self.splits, start=1):
            fits.append(self._fold(params, self.rows.at(learnt), self.rows.at(held_out)))
            so_far = mean_of(np.array([value for _, value in fits]))
            if report is not None and np.isfinite(so_far):
                report(number, so_far)
        curves = [fitted.curve for fitted, _ in fits]
        values, rounds = np.array([value for _, value in fits]), None
        if all(curves):
            followed = fits[0][0].metric
            mean = _mean_curve(curves, [len(held_out) for _, held_out in self.splits])
            best = np.argmax(mean) if HIGHER_IS_BETTER[followed] else np.argmin(mean)
            rounds = int(best) + 1
            if followed == self.metric:  # one number of rounds for all folds, not each its best
                values = np.array([_at(curve, rounds) for curve in curves])
        shares = [len(held_out) / len(learnt) for learnt, held_out in self.splits]
        return Judgement(values, float(np.mean(shares)), rounds)

    def lead(self, one: Judgement, other: Judgement) -> Lead:
        """By how much ``one`` is better than ``other``, fold by fold."""
        sign = 1.0 if HIGHER_IS_BETTER[self.metric] else -1.0
        ahead = sign * (one.values - other.values)
        return Lead(mean_of(ahead), mean_error(ahead, one.share))

    def _fold(
        self, params: Mapping[str, Scalar], learnt: MatrixBlocks, held_out: MatrixBlocks
    ) -> tuple[Fit, float]:
        fitted = fit(
            of_one_process(self.training),
            params,
            learnt,
            held_out,
            task=self.schema.task,
            classes=self.schema.classes,
            seed=self.seed,
            metric=self.metric,
        )
        figures = figures_of(
            self.schema.task,
            predict_scores(fitted.estimator, held_out.X, self.schema.task),
            held_out.y,
            classes=self.schema.classes,
            edges=self.schema.target.edges,
        )
        return fitted, float(figures.values()[self.metric])


def split_rows(
    classes: npt.NDArray[Any] | None,
    *,
    n_rows: int,
    folds: int,
    seed: int,
    times: npt.NDArray[np.int64] | None = None,
) -> tuple[Split, ...]:
    """Numbers of the rows that each fold learns and holds out.

    Parameters
    ----------
    classes : (rows,) int or None
        Codes, which every fold has in like shares; None of a number.
    n_rows : int
    folds : int
    seed : int
    times : (rows,) int64 or None
        Folds then learn what comes before what they hold out, and nothing is drawn by chance.

    Returns
    -------
    tuple of (learnt, held out)
        Repeated up to 500 rows. A fold that cannot learn all classes, or holds out one alone,
        is left out; there may be none.

    Notes
    -----
    By scikit-learn's splitters: TimeSeriesSplit, RepeatedStratifiedKFold, RepeatedKFold.
    """
    from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold, TimeSeriesSplit

    if n_rows < 2 * folds:
        return ()
    rows = np.arange(n_rows)
    if times is not None:
        order = np.argsort(times, kind="stable")
        found = [(order[a], order[b]) for a, b in TimeSeriesSplit(folds).split(rows)]
    else:
        kind = RepeatedKFold if classes is None else RepeatedStratifiedKFold
        repeats = min(max(_REPEATED_ROWS // n_rows, 1), _MOST_REPEATS)
        splitter = kind(n_splits=folds, n_repeats=repeats, random_state=seed)
        with warnings.catch_warnings():  # of a class with fewer rows than folds: left out below
            warnings.simplefilter("ignore", UserWarning)
            found = list(splitter.split(rows, classes))
    if classes is not None:
        whole = len(np.unique(classes))
        found = [
            (a, b)
            for a, b in found
            if len(np.unique(classes[a])) == whole and len(np.unique(classes[b])) > 1
        ]
    return tuple((np.sort(a), np.sort(b)) for a, b in found)


def _times(
    context: StageContext, manifest: ShardManifest, blocks: ReducedBlocks
) -> npt.NDArray[np.int64] | None:
    """The time of each row of the blocks, where test rows are the latest ones."""
    if manifest.holdout.get("by") != "time" or manifest.schema.time is None:
        return None
    name = manifest.schema.time.name
    times = {
        ReducePart.whole(entry).stem: np.concatenate(
            [
                np.asarray(table[name].cast(pa.int64()))
                for table in read_blocks(context.shards.verified(entry.file), columns=[name])
            ]
        )
        for role in (Role.TRAIN, Role.VALIDATION)
        for entry in manifest.of(role)
    }
    return np.concatenate([times[stem][at : at + rows] for stem, at, rows in blocks.blocks])


def mean_of(values: npt.NDArray[np.float64]) -> float:
    """The mean of those that are defined; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def mean_error(values: npt.NDArray[np.float64], share: float) -> float:
    """Standard error of the mean of ``values`` over folds; NaN of fewer than two.

    That of Nadeau and Bengio (2003): folds share most of what they learn, so more of them do not
    make it as small as independent ones would. ``share`` is held-out by learnt rows.
    """
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return float("nan")
    return float(known.std(ddof=1) * (1 / len(known) + share) ** 0.5)


def _at(curve: Sequence[tuple[int, float]], rounds: int) -> float:
    """The figure after so many rounds; one that ended before keeps its last."""
    return curve[min(rounds, len(curve)) - 1][1]


def _mean_curve(
    curves: Sequence[Sequence[tuple[int, float]]], weights: Sequence[int]
) -> npt.NDArray[np.float64]:
    """The mean figure at each round, weighted by the rows that were held out."""
    steps = max(len(curve) for curve in curves)
    values = np.array([[_at(curve, at + 1) for at in range(steps)] for curve in curves])
    return np.average(values, axis=0, weights=np.asarray(weights, np.float64))


def quarter_splits(splits: Sequence[Split], y: npt.NDArray[Any], task: Task) -> tuple[Split, ...]:
    """Splits that learn every fourth row; none where one of them would miss a class."""
    fewer = tuple((learnt[::4], held_out) for learnt, held_out in splits)
    if task is not Task.REGRESSION:
        classes = len(np.unique(y))
        if any(len(np.unique(y[learnt])) < classes for learnt, _ in fewer):
            return ()
    return fewer
