"""LightGBM streamed from blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tidemill.config import Scalar
from tidemill.contracts import Blocks
from tidemill.errors import ConfigError
from tidemill.learning.continuing import added_models, start_scores
from tidemill.learning.learner import Fit, Job
from tidemill.learning.parameters import number
from tidemill.learning.predictors import BoosterClassifier, BoosterRegressor
from tidemill.learning.quiet import load_lightgbm
from tidemill.learning.streaming import BlockRows, binned
from tidemill.learning.targets import TargetSummary, checked
from tidemill.learning.threads import usable_threads
from tidemill.schema import Task

__all__ = ["LightGbmLearner"]

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
_OWN = ("num_iterations", "early_stopping_rounds", "num_threads")


class LightGbmLearner:
    """Boosted trees over LightGBM's binned dataset, which is filled block by block.

    Rounds stop when the validation figure has not improved for ``early_stopping_rounds``; the
    model is cut at the best round. The result does not depend on the number of threads.
    Going on from a model adds rounds to its own; the result holds both.

    Notes
    -----
    Memory: about 1 byte a value (the binned dataset), some 40 bytes a row and output, one block
    in float64, and a sample of 200,000 rows in float64 while bins are found.
    """

    strategy: ClassVar[str] = "boosted"
    rounds: ClassVar[str] = "num_iterations"
    continues: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Scalar]] = {
        "num_iterations": 300,
        "learning_rate": 0.1,
        "num_leaves": 31,
        "max_depth": -1,
        "min_data_in_leaf": 20,
        "min_sum_hessian_in_leaf": 1e-3,
        "min_gain_to_split": 0.0,
        "bagging_fraction": 1.0,
        "bagging_freq": 0,
        "feature_fraction": 1.0,
        "lambda_l1": 0.0,
        "lambda_l2": 0.0,
        "path_smooth": 0.0,
        "extra_trees": False,
        "max_bin": 255,
        "early_stopping_rounds": 50,
        "num_threads": 0,
    }
    aliases: ClassVar[Mapping[str, str]] = {
        "n_estimators": "num_iterations",
        "max_iter": "num_iterations",
        "max_epochs": "num_iterations",
        "patience": "early_stopping_rounds",
        "min_child_samples": "min_data_in_leaf",
        "min_child_weight": "min_sum_hessian_in_leaf",
        "min_split_gain": "min_gain_to_split",
        "subsample": "bagging_fraction",
        "subsample_freq": "bagging_freq",
        "colsample_bytree": "feature_fraction",
        "reg_alpha": "lambda_l1",
        "reg_lambda": "lambda_l2",
        "n_jobs": "num_threads",
    }
    metrics: ClassVar[Mapping[Task, tuple[str, ...]]] = {
        Task.BINARY: ("roc_auc", "average_precision", "log_loss"),
        Task.MULTICLASS: ("log_loss",),
        Task.REGRESSION: ("r2", "rmse", "mae"),
    }

    def needed_bytes(self, rows: int, n_features: int, n_outputs: int) -> int:
        """Bins, label, weight; score, gradient and hessian; a sample and a block in float64."""
        fixed = 8 * n_features * min(rows, 200_000) * 2
        return rows * (n_features + 16 + 24 * n_outputs) + fixed

    def space(self, task: Task) -> dict[str, dict[str, Any]]:  # noqa: ARG002
        """Step, size, sampling and shrinkage of the trees; the same for every task."""
        return {
            "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
            "num_leaves": {"low": 7, "high": 127, "log": True},
            "min_data_in_leaf": {"low": 5, "high": 200, "log": True},
            "feature_fraction": {"low": 0.4, "high": 1.0},
            "lambda_l2": {"low": 1e-6, "high": 10.0, "log": True},
        }

    def fit(self, job: Job) -> Fit:
        """Fill the binned dataset, boost, cut at the best round."""
        lightgbm = load_lightgbm()
        try:
            booster, curve = _boost(job)
        except lightgbm.basic.LightGBMError as exc:
            raise ConfigError(
                f"training.params: lightgbm refuses: {str(exc)[:300]}",
                remedy="correct training.params",
            ) from exc
        rounds = booster.best_iteration if curve else booster.current_iteration()
        text = _portable(booster.model_to_string(num_iteration=rounds))
        if job.start is not None:
            text = added_models(job.start.model, text)
        estimator: BoosterClassifier | BoosterRegressor = (
            BoosterRegressor(text)
            if job.task is Task.REGRESSION
            else BoosterClassifier(text, list(job.classes))
        )
        return Fit(estimator, self.strategy, job.metric, tuple(curve), rounds)


def _boost(job: Job) -> tuple[Any, list[tuple[int, float]]]:
    import lightgbm

    settings = _settings(job)
    train_rows = BlockRows(job.train)
    train = _begun(job, job.train, binned(train_rows, settings, weights=_weights(job)))
    if job.task is not Task.REGRESSION:
        counts = np.bincount(train_rows.labels.astype(np.int64), minlength=len(job.classes))
        checked(TargetSummary(tuple(counts.tolist())), job.classes)
    curve: list[tuple[int, float]] = []
    callbacks: list[Callable[[Any], None]] = []
    held_out = []
    if job.has_validation:
        rows = BlockRows(job.validation)
        held = binned(rows, settings, weights=_weights(job), like=train)
        held_out = [_begun(job, job.validation, held)]
        patience = int(number(job.params, "early_stopping_rounds", low=1))
        callbacks = [
            _follow(job, curve, float(rows.labels.var(dtype=np.float64))),
            lightgbm.early_stopping(patience, verbose=False),
        ]
    booster = lightgbm.train(
        settings,
        train,
        num_boost_round=int(number(job.params, "num_iterations", low=1)),
        valid_sets=held_out,
        callbacks=callbacks,
    )
    return booster, curve


def _begun(job: Job, blocks: Blocks, dataset: Any) -> Any:
    """The dataset, its rows where ``job.start`` has brought them.

    LightGBM cannot warm start from sequences by itself: init_model wants the raw matrix.
    """
    if job.start is not None:
        dataset.set_init_score(start_scores(job.start.booster, blocks))
    return dataset


def _settings(job: Job) -> dict[str, Any]:
    values = sum(job.train.rows) * len(job.train.names)
    threads = int(number(job.params, "num_threads", low=0)) or usable_threads(values)
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


def _weights(job: Job) -> npt.NDArray[np.float64] | None:
    return job.target.class_weights() if job.balanced else None


def _follow(job: Job, curve: list[tuple[int, float]], variance: float) -> Callable[[Any], None]:
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
