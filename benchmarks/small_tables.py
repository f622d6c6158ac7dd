"""Small tables, ten splits of each: the whole job as it is drafted, beside its peers' defaults.

The tables that scikit-learn ships, and three simulated ones. A fifth of the rows tests, another
fifth in each split; all sides learn and judge the same rows. Ours is what ``tidemill init`` and
``tidemill run`` do by themselves, up to the judged model, which learns nine tenths of the rows
that the peers learn. Peers: LightGBM and scikit-learn's histogram boosting, as they are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.table import Line, line

from tidemill.drafting import init_workspace
from tidemill.engines import open_engine
from tidemill.pipeline import run_pipeline
from tidemill.settings import Settings
from tidemill.storage import Workspace

SPLITS = 10
PEERS = ("lightgbm", "hist_gradient_boosting")
TARGET = "target"


def measure(folder: Path) -> dict[str, Any]:
    """The figures of every table, split and side; higher is better, log loss is negated."""
    found: dict[str, Any] = {}
    for name, (frame, task) in _tables():
        found[name] = {"rows": len(frame), "task": task, "splits": []}
        for split, (train, test) in enumerate(_splits(frame, task)):
            said = {"tidemill": _ours(folder / f"{name}-{split}", train, test, task)}
            said |= {peer: _peer(peer, train, test, task) for peer in PEERS}
            found[name]["splits"].append(said)
            shutil.rmtree(folder / f"{name}-{split}")
    return found


def lines(found: dict[str, Any]) -> list[Line]:
    """By how much each peer is better in the mean, beside twice the error of that mean."""
    told = []
    for name, of_table in found.items():
        for peer in PEERS:
            ahead = np.array([s[peer] - s["tidemill"] for s in of_table["splits"]])
            # Splits share most of their rows (Nadeau and Bengio, 2003).
            error = ahead.std(ddof=1) * (1 / len(ahead) + 1 / 4) ** 0.5
            what = f"{name}, {of_table['rows']:,} rows: {peer} better by"
            told.append(line(what, ahead.mean(), 2 * error))
    return told


def _tables() -> Iterator[tuple[str, tuple[pd.DataFrame, str]]]:
    from sklearn import datasets

    shipped: dict[str, tuple[Callable[..., Any], str]] = {
        "breast cancer": (datasets.load_breast_cancer, "binary"),
        "wine": (datasets.load_wine, "multiclass"),
        "iris": (datasets.load_iris, "multiclass"),
        "digits": (datasets.load_digits, "multiclass"),
        "diabetes": (datasets.load_diabetes, "regression"),
    }
    for name, (load, task) in shipped.items():
        yield name, (_frame(*load(return_X_y=True), task), task)
    noisy = datasets.make_classification(600, 20, n_informative=6, flip_y=0.1, random_state=1)
    yield "noisy classes", (_frame(*noisy, "binary"), "binary")
    rare = datasets.make_classification(
        1500, 20, n_informative=6, weights=[0.9], flip_y=0.02, random_state=2
    )
    yield "rare class", (_frame(*rare, "binary"), "binary")
    yield (
        "friedman",
        (
            _frame(*datasets.make_friedman1(400, 10, noise=2.0, random_state=3), "regression"),
            "regression",
        ),
    )


def _frame(X: Any, y: Any, task: str) -> pd.DataFrame:
    frame = pd.DataFrame(np.asarray(X), columns=[f"x{i}" for i in range(X.shape[1])])
    frame[TARGET] = y if task == "regression" else [f"c{code}" for code in y]
    return frame


def _splits(frame: pd.DataFrame, task: str) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    from sklearn.model_selection import train_test_split

    for seed in range(SPLITS):
        like = None if task == "regression" else frame[TARGET]
        train, test = train_test_split(frame, test_size=0.2, random_state=seed, stratify=like)
        yield train, test


def _ours(root: Path, train: pd.DataFrame, test: pd.DataFrame, task: str) -> float:
    raw = root / "raw"
    raw.mkdir(parents=True)
    train.to_csv(raw / "train.csv", index=False)
    test.to_csv(raw / "test.csv", index=False)
    settings = Settings(workers=1)
    workspace = Workspace.at(root / "workspace")
    with open_engine(settings) as engine:
        init_workspace(
            workspace,
            source=str(raw),
            target=TARGET,
            time=None,
            key=None,
            assignments=["sharding.holdout.by=file", "sharding.holdout.test=test.csv"],
            engine=engine,
        )
        run_pipeline(workspace, settings=settings, engine=engine, until="evaluate")
    test_figures = json.loads((workspace.reports / "metrics.json").read_text())["test"]
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "r2"}[task]
    value = float(test_figures[metric])
    return -value if metric == "log_loss" else value


def _peer(peer: str, train: pd.DataFrame, test: pd.DataFrame, task: str) -> float:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import log_loss, r2_score, roc_auc_score

    regression = task == "regression"
    if peer == "lightgbm":
        model = (LGBMRegressor if regression else LGBMClassifier)(verbosity=-1, random_state=1)
    else:
        kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
        model = kind(random_state=1)
    model.fit(train.drop(columns=TARGET), train[TARGET])
    X, y = test.drop(columns=TARGET), test[TARGET]
    if regression:
        return float(r2_score(y, model.predict(X)))
    said = model.predict_proba(X)
    if task == "binary":
        return float(roc_auc_score(y == model.classes_[1], said[:, 1]))
    return -float(log_loss(y, said, labels=model.classes_))
