"""The peer: the same job as a plain script, everything in memory.

read_csv, the checks of the suite as masks, the last fifth by time as test, impute + scale + one-hot
+ PCA + SGD in one scikit-learn pipeline, roc_auc, logged to MLflow.
Usage: python plain.py FOLDER MLFLOW_URI
"""

import json
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from benchmarks.rides import KEY, NUMBERS, TARGET, TEXTS, TIME, TIMES
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def main(folder: str, uri: str) -> None:
    """Run the job and print its figure as JSON."""
    started = time.perf_counter()
    frame = checked(read(folder)).sort_values(TIME)
    numbers = [*NUMBERS, *calendar(frame)]
    cut = int(len(frame) * 0.8)
    X, y = frame[[*numbers, "is_airport", *TEXTS]], frame[TARGET].astype(int)
    model = pipeline(numbers)
    model.fit(X.iloc[:cut], y.iloc[:cut])
    auc = roc_auc_score(y.iloc[cut:], model.predict_proba(X.iloc[cut:])[:, 1])
    track(model, auc, uri)
    seconds = time.perf_counter() - started
    print(json.dumps({"roc_auc": auc, "rows": len(frame), "seconds": seconds}))


def read(folder: str) -> pd.DataFrame:
    """All rows, typed."""
    frame = pd.concat(
        (pd.read_csv(path) for path in sorted(Path(folder).glob("*.csv"))), ignore_index=True
    )
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(np.float32)
    for name in TIMES:
        frame[name] = pd.to_datetime(frame[name], errors="coerce")
    return frame


def checked(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the suite's expectations let pass."""
    assert frame[KEY].is_unique
    good = (
        frame[[TARGET, TIME, KEY, "pickup_zone"]].notna().all(axis=1)
        & frame["distance_km"].between(0, 500)
        & frame["fare_total"].between(0, 2000)
        & (frame["pickup_zone"] != "unknown")
        & (frame["promised_dropoff_at"] >= frame["promised_pickup_at"])
        & frame["passengers"].notna()
    )
    assert good.mean() > 0.9
    return frame[good]


def calendar(frame: pd.DataFrame) -> list[str]:
    """Hour and weekday of the times as further columns; their names."""
    names = []
    for name in TIMES:
        frame[f"{name}_hour"] = frame[name].dt.hour.astype(np.float32)
        frame[f"{name}_day"] = frame[name].dt.dayofweek.astype(np.float32)
        names += [f"{name}_hour", f"{name}_day"]
    return names


def pipeline(numbers: list[str]) -> Pipeline:
    """Impute, scale, one-hot, PCA, SGD."""
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    encoded = OneHotEncoder(
        min_frequency=0.001,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
        dtype=np.float32,
    )
    columns = ColumnTransformer(
        [("numbers", scaled, [*numbers, "is_airport"]), ("texts", encoded, TEXTS)]
    )
    return Pipeline(
        [
            ("columns", columns),
            ("pca", PCA(20, svd_solver="covariance_eigh")),
            ("sgd", SGDClassifier(loss="log_loss", random_state=42)),
        ]
    )


def track(model: Pipeline, auc: float, uri: str) -> None:
    """Log figure and model to MLflow."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("plain")
    with mlflow.start_run():
        mlflow.log_metric("roc_auc", auc)
        mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            skops_trusted_types=["numpy.dtype"],
            pip_requirements=["scikit-learn"],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
