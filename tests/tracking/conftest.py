"""Fitted pipelines, and fresh sqlite stores that need not be initialised for each test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking._tracking_service import utils
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline

from tidemill.features.reducer import Reducer
from tidemill.testing.shells import forking_shell
from tidemill.testing.workspaces import copy_workspace
from tidemill.tracking import Registry, Tracker, save_candidate
from tidemill.tracking.store import make_store


def frame(rows: int = 400) -> pd.DataFrame:
    """Raw rows: two numbers, a category, a boolean."""
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "distance": rng.gamma(2.0, 3.0, rows).astype("float32"),
            "fare": rng.normal(12.0, 4.0, rows).astype("float32"),
            "zone": rng.choice(["airport", "centre", "harbour"], rows),
            "rain": rng.random(rows) < 0.3,
        }
    )


def reducer(*, by_target: bool = False) -> Reducer:
    """What a fit on such rows gives: two scaled numbers and a one-hot category.

    ``by_target``: the category by the target, too.
    """
    number = {"slots": [0], "fills": [6.0], "means": [6.0], "scales": [4.0], "missing_slot": -1}
    features = [
        {"name": "distance", "kind": "numeric", **number},
        {"name": "fare", "kind": "numeric", **number, "slots": [1], "means": [12.0]},
        {
            "name": "zone",
            "kind": "one_hot",
            "labels": ["airport", "centre"],
            "slots": [2, 3],
            "rare_slot": 4,
            "missing_slot": -1,
        },
    ]
    encoded = ["distance", "fare", "zone=airport", "zone=centre", "zone=rare"]
    if by_target:
        values = np.linspace(0.0, 1.0, 2 * 17, dtype=np.float32).reshape(17, 2)
        told = {"name": "zone", "kind": "target", "slots": [5, 6], "buckets": 16}
        features.append({**told, "values": values})
        encoded += ["zone.mean", "zone.count"]
    return Reducer(features, encoded, seen=["distance", "fare", "zone", "rain"])


def pipeline(seed: int = 1, *, trees: bool = False) -> Pipeline:
    """A fitted pipeline of a real reducer and a real learner."""
    rows, reduced = frame(), reducer(by_target=trees)
    labels = np.where(rows["fare"] + rows["distance"] > 18, "late", "on time")
    learner = (
        HistGradientBoostingClassifier(max_iter=4, random_state=seed)
        if trees
        else SGDClassifier(loss="log_loss", random_state=seed)
    )
    learner.fit(reduced.transform(rows), labels)
    return Pipeline([("reducer", reduced), ("learner", learner)])


@dataclass(frozen=True)
class Place:
    """A workspace's part in MLflow, with one saved candidate."""

    root: Path
    candidate: Path
    digest: str

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def tracker(self, experiment: str = "rides") -> Tracker:
        return Tracker(self.uri, experiment)

    def register(self, key: str = "run-1", name: str = "rides", **more) -> int:
        """Open a run and register the candidate, as the pipeline does."""
        tracker = self.tracker()
        run_id = tracker.open_run(key, "run", {})
        done = Registry(tracker).register(
            self.candidate, model_name=name, run_id=run_id, digest=self.digest, **more
        )
        tracker.finish(run_id)
        return done.version

    def another(self, seed: int) -> Place:
        """The same store with another candidate."""
        folder = self.root / "models" / f"candidate-{seed}"
        return Place(self.root, folder, save_candidate(pipeline(seed), folder, example=frame(5)))

    def copied(self, folder: Path) -> Place:
        """The same in another folder, with all that is registered."""
        # MLflow remembers by run where its files lie, and a copy holds the same runs.
        utils._artifact_repos_cache.clear()
        root = copy_workspace(self.root, folder / self.root.name)
        return Place(root, root / "models" / "candidate", self.digest)

    def stored(self) -> Path:
        """The one model folder in the artifact store."""
        (seal,) = self.root.glob("mlartifacts/**/candidate.json")
        return seal.parent


@pytest.fixture(scope="session")
def shell(tmp_path_factory):
    """Run a script in a folder, by a fork of a process that has imported MLflow."""
    with forking_shell(tmp_path_factory.getbasetemp()) as run:
        yield run


@pytest.fixture(scope="session")
def raw_frame():
    """Makes raw rows."""
    return frame


@pytest.fixture(scope="session")
def make_pipeline():
    """Makes a fitted pipeline."""
    return pipeline


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A store and a candidate, made once."""
    root = tmp_path_factory.mktemp("template")
    make_store(root / "mlflow.db")
    digest = save_candidate(
        pipeline(), root / "models" / "candidate", example=frame(5), metadata={"task": "binary"}
    )
    return root, digest


@pytest.fixture(scope="session")
def make_place(template):
    """Makes a fresh store (in a folder with a space and a hash in its name) and a candidate."""
    made, digest = template

    def place_in(folder: Path) -> Place:
        root = Path(shutil.copytree(made, folder / "my rides #1"))
        return Place(root, root / "models" / "candidate", digest)

    return place_in


@pytest.fixture
def place(make_place, tmp_path):
    """A fresh store and a candidate."""
    return make_place(tmp_path)
