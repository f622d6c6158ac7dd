"""Searches LightGBM's parameters by hand: ``run_search.py tpe|halving MATRICES TRIALS``.

Prints the best figure on the validation rows of a fit on all rows, and by CPU seconds the best so
far.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as ours has it

import lightgbm
import numpy as np
from sklearn.metrics import roc_auc_score

ROUNDS, PATIENCE = 300, 50


def main() -> None:
    """Load, search, print."""
    kind, folder, trials = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    rows = [np.load(folder / f"{name}.npy") for name in ("train-x", "train-y")]
    held_out = [np.load(folder / f"{name}.npy") for name in ("validation-x", "validation-y")]
    search = by_tpe if kind == "tpe" else by_halving
    history = search(rows, held_out, trials)
    print(json.dumps({"value": max(value for _, value in history), "history": history}))


def by_tpe(rows: list[Any], held_out: list[Any], trials: int) -> list[tuple[float, float]]:
    """Each trial on all rows, with early stopping, as its users write it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    history: list[tuple[float, float]] = []

    def objective(trial: Any) -> float:
        params = {
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 7, 127, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 200, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-6, 10.0, log=True),
        }
        train = lightgbm.Dataset(rows[0], rows[1])
        booster = lightgbm.train(
            {**params, "objective": "binary", "metric": "auc", "verbosity": -1, "seed": 1},
            train,
            num_boost_round=ROUNDS,
            valid_sets=[lightgbm.Dataset(*held_out, reference=train)],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
        value = float(booster.best_score["valid_0"]["auc"])
        best = max([value, *(one for _, one in history)])
        history.append((time.process_time(), best))
        return value

    sampler = optuna.samplers.TPESampler(seed=1)
    optuna.create_study(direction="maximize", sampler=sampler).optimize(objective, trials)
    return history


def by_halving(rows: list[Any], held_out: list[Any], trials: int) -> list[tuple[float, float]]:
    """scikit-learn's, judged by the same validation rows; then the best once on all rows."""
    from scipy.stats import loguniform, uniform
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV, PredefinedSplit

    X, y = (np.concatenate(both) for both in zip(rows, held_out, strict=True))
    fold = np.repeat([-1, 0], [len(rows[1]), len(held_out[1])])
    space = {
        "learning_rate": loguniform(0.02, 0.3),
        "num_leaves": [round(math.exp(x)) for x in np.linspace(math.log(7), math.log(127), 60)],
        "min_child_samples": [round(math.exp(x)) for x in np.linspace(math.log(5), math.log(200))],
        "colsample_bytree": uniform(0.4, 0.6),
        "reg_lambda": loguniform(1e-6, 10.0),
    }
    model = lightgbm.LGBMClassifier(n_estimators=ROUNDS, random_state=1, verbosity=-1)
    found = HalvingRandomSearchCV(
        model, space, n_candidates=trials, factor=4, min_resources=len(y) // 64,
        cv=PredefinedSplit(fold), scoring="roc_auc", refit=False, random_state=1,
    ).fit(X, y)  # fmt: skip
    best = lightgbm.LGBMClassifier(
        **{**model.get_params(), **found.best_params_},
    ).fit(*rows)
    value = float(roc_auc_score(held_out[1], best.predict_proba(held_out[0])[:, 1]))
    return [(time.process_time(), value)]


if __name__ == "__main__":
    main()
