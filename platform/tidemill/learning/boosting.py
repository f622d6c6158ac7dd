"""LightGBM streamed from blocks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from tidemill.contracts import Blocks, Fit, FitJob, Parameter, TargetSummary
from tidemill.errors import ConfigError, WorkerLost
from tidemill.learning.continuing import added_models, start_scores
from tidemill.learning.quiet import load_lightgbm
from tidemill.learning.sharded import by_rank, by_shard
from tidemill.learning.streaming import BlockRows, binned
from tidemill.learning.targets import checked, class_counts, counted
from tidemill.learning.threads import usable_threads
from tidemill.schema import Task

__all__ = ["LightGbmLearner", "fitted_trees"]

_MAX_THREADS = 256
_OF_THE_NETWORK = re.compile(r"socket|connect|network|linker", re.IGNORECASE)
"""Words of LightGBM's errors where ranks do not reach each other."""
_REPORT_ROUNDS = 10
_OBJECTIVES = {
    Task.BINARY: "binary",
    Task.MULTICLASS: "multiclass",
    Task.REGRESSION: "regression",
}
_METRICS = {
    "roc_auc": "auc",
    "average_precision": "average_precision",
    "r2": "l2",
    "rmse": "rmse",
    "mae": "l1",
}
# In units of the raw score, before the learning rate. Where the start is sure of what is wrong
# now, rows weigh almost nothing and Newton's step knows no bounds: one tree would spoil the model.
_LARGEST_STEP_FROM_START = 2.0
_PATIENCE = "early_stopping_rounds"
_OWN = ("num_iterations", _PATIENCE, "num_threads")
_BY_KIND: Mapping[str, dict[str, Any]] = {
    "Booster": {},
    "Forest": {"boosting": "rf", "bagging_freq": 1},
}
_OF_THE_BINS = ("max_bin", "seed", "deterministic", "force_row_wise", "num_threads", "verbosity")
"""Settings on which the binned rows depend: trials that agree in them share those."""


class LightGbmLearner:
    """Boosted trees over LightGBM's binned dataset, which is filled block by block.

    Rounds stop when the validation figure has not improved for ``early_stopping_rounds``; the
    model is cut at the best round. The result does not depend on the number of threads.
    Going on from a model adds rounds to its own; the result holds both.

    Strategy ``distributed``: ``ranks`` processes boost together over LightGBM's own sockets, each
    with its share of the blocks; the result depends on how many there are, and on nothing else.

    Notes
    -----
    Memory: about 1 byte a value (the binned dataset), some 40 bytes a row and output, one block
    in float64, and a sample of 200,000 rows in float64 while bins are found.
    """

    strategies: ClassVar[tuple[str, ...]] = ("boosted",)
    spread: ClassVar[tuple[str, ...]] = ("distributed",)
    rounds: ClassVar[str] = "num_iterations"
    continues: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    wants_scaled: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "num_iterations": Parameter(
            300, low=1, whole=True, aliases=("n_estimators", "max_iter", "max_epochs")
        ),
        "learning_rate": Parameter(
            0.1, low=0, search={"low": 0.02, "high": 0.3, "log": True}, rare=0.05
        ),
        "num_leaves": Parameter(
            31, low=2, high=131_072, whole=True, search={"low": 7, "high": 127, "log": True}
        ),
        "max_depth": Parameter(-1, low=-math.inf, whole=True),
        "min_data_in_leaf": Parameter(
            20,
            low=0,
            whole=True,
            aliases=("min_child_samples",),
            search={"low": 5, "high": 200, "log": True},
        ),
        "min_sum_hessian_in_leaf": Parameter(1e-3, low=0, aliases=("min_child_weight",)),
        "min_gain_to_split": Parameter(0.0, low=0, aliases=("min_split_gain",)),
        "bagging_fraction": Parameter(1.0, low=0, high=1, aliases=("subsample",)),
        "bagging_freq": Parameter(0, low=-math.inf, whole=True, aliases=("subsample_freq",)),
        "feature_fraction": Parameter(
            1.0,
            low=0,
            high=1,
            aliases=("colsample_bytree",),
            search={"low": 0.4, "high": 1.0},
        ),
        "lambda_l1": Parameter(0.0, low=0, aliases=("reg_alpha",)),
        "lambda_l2": Parameter(
            0.0, low=0, aliases=("reg_lambda",), search={"low": 1e-6, "high": 10.0, "log": True}
        ),
        "path_smooth": Parameter(0.0, low=0),
        "extra_trees": Parameter(False),
        "max_bin": Parameter(255, low=2, whole=True),
        "early_stopping_rounds": Parameter(50, low=1, whole=True, aliases=("patience",)),
        "num_threads": Parameter(0, low=0, whole=True, aliases=("n_jobs",)),
    }
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]] = {
        Task.BINARY: ("roc_auc", "average_precision", "log_loss"),
        Task.MULTICLASS: ("log_loss",),
        Task.REGRESSION: ("r2", "rmse", "mae"),
    }

    estimators: ClassVar[tuple[str, ...]] = (
        "tidemill.learning.predictors.BoosterClassifier",
        "tidemill.learning.predictors.BoosterRegressor",
    )
    holds: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    trusted: ClassVar[tuple[str, ...]] = estimators
    requires: ClassVar[tuple[str, ...]] = ()

    def needed_bytes(self, strategy: str, rows: int, n_features: int, n_outputs: int) -> int:  # noqa: ARG002
        """Bins, label, weight; score, gradient and hessian; a sample and a block in float64."""
        fixed = 8 * n_features * min(rows, 200_000) * 2
        return rows * (n_features + 16 + 24 * n_outputs) + fixed

    def fit(self, job: FitJob) -> Fit:
        """Fill the binned dataset, boost, cut at the best round."""
        if job.strategy == "distributed":
            return _fitted_together(job)
        return fitted_trees(job)

    def check(self, estimator: Any, n_outputs: int) -> None:  # noqa: ARG002
        """The threads it wants; its text is checked when it is parsed."""
        threads = estimator.n_jobs
        if type(threads) is not int or not 1 <= threads <= _MAX_THREADS:
            raise ValueError(f"it wants {threads!r} threads")

    def weights(self, estimator: Any) -> npt.NDArray[np.float64]:
        """Gain of the splits by each column."""
        return np.asarray(estimator.booster.feature_importance("gain"), np.float64)


def _fitted_together(job: FitJob) -> Fit:
    """By all ranks at once, each with its shards; the classes are counted before."""
    from tidemill.learning.distributed import fit_together

    assert job.engine is not None  # noqa: S101 - who asks for such a strategy gives one
    target = TargetSummary()
    if job.task is not Task.REGRESSION:
        count = partial(class_counts, n_classes=len(job.classes))
        counts = job.engine.fold(count, by_shard(job.train), np.add, label="count the classes")
        target = checked(TargetSummary(tuple(counts.tolist())), job.classes)
    shares = by_rank(job.train, job.ranks)
    most, outputs = max(sum(share.rows) for share in shares), _n_outputs(job)
    held = LightGbmLearner().needed_bytes(job.strategy, most, len(job.train.names), outputs)
    return fit_together(_of_rank, job, shares, target=target, needed_bytes=held)


def _n_outputs(job: FitJob) -> int:
    return len(job.classes) if job.task is Task.MULTICLASS else 1


def _of_rank(job: FitJob, network: Mapping[str, Any]) -> Fit:
    """A rank's part, in a process of its own; all ranks come to the same trees."""
    threads = int(job.number("num_threads")) or 1  # a worker has one
    return fitted_trees(job, network={**network, "num_threads": threads})


def fitted_trees(
    job: FitJob, *, kind: str = "Booster", network: Mapping[str, Any] = MappingProxyType({})
) -> Fit:
    """Fit by LightGBM.

    Parameters
    ----------
    job : FitJob
        Without ``early_stopping_rounds`` among its parameters it has all its rounds.
    kind : str
        ``Booster``, whose trees add up, or ``Forest``, whose trees are averaged: what the types
        of :mod:`tidemill.learning.predictors` begin with.
    network : mapping
        LightGBM's settings where ranks fit together.
    """
    from tidemill.learning import predictors

    lightgbm = load_lightgbm()
    try:
        booster, curve = _boost(job, {**_settings(job), **_BY_KIND[kind], **network}, bool(network))
    except lightgbm.basic.LightGBMError as exc:
        if network and _OF_THE_NETWORK.search(str(exc)):
            raise WorkerLost(
                f"a rank lost the others: {str(exc)[:300]}",
                remedy="run the same command again: the training begins anew; if it happens "
                "again, look at the network between the workers",
            ) from exc
        raise ConfigError(
            f"training.params: lightgbm refuses: {str(exc)[:300]}",
            remedy="correct training.params",
        ) from exc
    stopped = bool(curve) and _PATIENCE in job.params
    rounds = booster.best_iteration if stopped else booster.current_iteration()
    text = _portable(booster.model_to_string(num_iteration=rounds))
    if job.start is not None:
        text = added_models(job.start.model, text)
    what = "Regressor" if job.task is Task.REGRESSION else "Classifier"
    labels = () if job.task is Task.REGRESSION else (list(job.classes),)
    estimator = getattr(predictors, kind + what)(text, *labels)
    return Fit(estimator, job.strategy, job.metric, tuple(curve), rounds)


def _boost(
    job: FitJob, settings: dict[str, Any], together: bool
) -> tuple[Any, list[tuple[int, float]]]:
    if job.shelf is None or job.start is not None or together:
        return _boosted(job, settings, _filled(job, settings, counts=not together))
    # What min_data_in_leaf leaves out of the bins would be one trial's, and no other's.
    binning = {name: settings[name] for name in _OF_THE_BINS} | {"feature_pre_filter": False}
    key = (job.train, job.validation, job.balanced, binning)
    with job.shelf.borrowed(key, partial(_filled, job, binning, counts=True)) as rows:
        return _boosted(job, settings, rows)


class _Filled(NamedTuple):
    """The binned rows that are learnt; those that stop the fit, and how their target varies."""

    train: Any
    held_out: Any
    variance: float


def _filled(job: FitJob, settings: Mapping[str, Any], *, counts: bool) -> _Filled:
    rows = BlockRows(job.train)
    train = _begun(job, job.train, binned(rows, settings, weights=_weights(job)))
    if counts and job.task is not Task.REGRESSION:
        checked(counted(rows.labels.astype(np.int64), job.classes), job.classes)
    if not job.has_validation:
        return _Filled(train, None, 0.0)
    rows = BlockRows(job.validation)
    held = binned(rows, settings, weights=_weights(job), like=train)
    variance = float(rows.labels.var(dtype=np.float64))
    return _Filled(train, _begun(job, job.validation, held), variance)


def _boosted(
    job: FitJob, settings: dict[str, Any], rows: _Filled
) -> tuple[Any, list[tuple[int, float]]]:
    import lightgbm

    curve: list[tuple[int, float]] = []
    callbacks: list[Callable[[Any], None]] = []
    if rows.held_out is not None:
        callbacks = [_follow(job, curve, rows.variance)]
        if _PATIENCE in job.params:
            patience = int(job.number(_PATIENCE))
            callbacks.append(lightgbm.early_stopping(patience, verbose=False))
    booster = lightgbm.train(
        settings,
        rows.train,
        num_boost_round=int(job.number("num_iterations")),
        valid_sets=[] if rows.held_out is None else [rows.held_out],
        callbacks=callbacks,
    )
    return booster, curve


def _begun(job: FitJob, blocks: Blocks, dataset: Any) -> Any:
    """The dataset, its rows where ``job.start`` has brought them.

    LightGBM cannot warm start from sequences by itself: init_model wants the raw matrix.
    """
    if job.start is not None:
        dataset.set_init_score(start_scores(job.start.booster, blocks))
    return dataset


def _settings(job: FitJob) -> dict[str, Any]:
    values = sum(job.train.rows) * len(job.train.names)
    threads = int(job.number("num_threads")) or usable_threads(values)
    metric = _METRICS.get(job.metric)
    if metric is None:
        metric = "binary_logloss" if job.task is Task.BINARY else "multi_logloss"
    settings: dict[str, Any] = {k: v for k, v in job.params.items() if k not in _OWN}
    settings |= {
        "objective": _OBJECTIVES[job.task],
        "metric": metric,
        "seed": job.seed % 2**31,  # LightGBM's seed is a signed 32-bit integer
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": threads,
        "verbosity": -1,
    }
    if job.task is Task.MULTICLASS:
        settings["num_class"] = len(job.classes)
    if job.start is not None and job.task is not Task.REGRESSION:
        settings["max_delta_step"] = _LARGEST_STEP_FROM_START
    return settings


def _weights(job: FitJob) -> npt.NDArray[np.float64] | None:
    return job.target.class_weights() if job.balanced else None


def _follow(job: FitJob, curve: list[tuple[int, float]], variance: float) -> Callable[[Any], None]:
    def follow(environment: Any) -> None:
        value = float(environment.evaluation_result_list[0][2])
        if job.metric == "r2":
            value = 1.0 - value / max(variance, 1e-300)
        step = environment.iteration + 1
        curve.append((step, value))
        if job.report is not None and step % _REPORT_ROUNDS == 0:
            job.report(step, value)

    return follow


def _portable(text: str) -> str:
    # The number of threads changes nothing in the trees and must not change the bytes.
    return re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", text)
