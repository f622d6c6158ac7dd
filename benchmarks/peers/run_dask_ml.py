"""Dask-ML on two workers of one thread: ``run_dask_ml.py FOLDER``."""

from __future__ import annotations

import json
import sys

import dask
import dask.dataframe as dd
from benchmarks.rides import NUMBERS, TIME
from dask.distributed import Client, LocalCluster
from dask_ml.decomposition import PCA
from dask_ml.impute import SimpleImputer
from dask_ml.linear_model import LogisticRegression
from dask_ml.preprocessing import StandardScaler
from sklearn.metrics import roc_auc_score


def main(folder: str) -> None:
    dask.config.set({"dataframe.convert-string": False})
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster):
        print(json.dumps({"roc_auc": fitted(folder)}))


def fitted(folder: str) -> float:
    """The ROC AUC on the last fifth by time."""
    frame = dd.read_csv(f"{folder}/*.csv", usecols=[*NUMBERS, TIME, "cancelled"], dtype=object)
    for name in NUMBERS:
        frame[name] = dd.to_numeric(frame[name], errors="coerce").astype("float32")
    time = dd.to_datetime(frame[TIME], errors="coerce")
    frame = frame.assign(hour=time.dt.hour, day=time.dt.dayofweek, at=time)
    frame = frame[frame["at"].notnull() & frame["cancelled"].notnull()]
    columns = [*NUMBERS, "hour", "day"]
    frame = frame[[*columns, "at", "cancelled"]].persist()
    cut = frame["at"].astype("int64").quantile(0.8).compute()
    before = frame["at"].astype("int64") < cut
    fit, test = frame[before], frame[~before]
    steps = [SimpleImputer(), StandardScaler(), PCA(20)]
    X = fit[columns].astype("float32")
    for step in steps[:2]:
        X = step.fit_transform(X)
    X = X.to_dask_array(lengths=True)
    X = steps[2].fit_transform(X)
    y = fit["cancelled"].isin(["True", "true", "1"]).astype("int8").to_dask_array(lengths=True)
    model = LogisticRegression(solver="lbfgs").fit(X, y)
    Z = test[columns].astype("float32")
    for step in steps[:2]:
        Z = step.transform(Z)
    Z = steps[2].transform(Z.to_dask_array(lengths=True))
    truth = test["cancelled"].isin(["True", "true", "1"]).compute()
    return float(roc_auc_score(truth, model.predict_proba(Z).compute()[:, 1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
