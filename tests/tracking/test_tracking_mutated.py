"""Mutated models: with the seal as it was all are refused; sealed anew none crashes or grows."""

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import Pipeline

from tidemill.config import TrainingConfig
from tidemill.errors import ModelUntrusted
from tidemill.learning import fit
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.tracking import open_candidate
from tidemill.tracking.contents import FolderContents
from tidemill.tracking.skopsfile import canonical

SCRIPT = Path(__file__).with_name("mutated_models.py")
BATCH = 250
CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c"), Task.REGRESSION: ()}
SETTINGS = {
    "linear": {},
    "sgd": {},
    "hist_gradient_boosting": {"max_iter": 3},
    "lightgbm": {"num_iterations": 5, "num_leaves": 8},
    "forest": {"num_iterations": 5, "num_leaves": 8},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory, make_pipeline, raw_frame):
    """A folder with a model of every learner and task, and rows to predict."""
    folder = tmp_path_factory.mktemp("models")
    rows, reducer = raw_frame(), make_pipeline().steps[0][1]
    rows[:40].to_parquet(folder / "rows.parquet")
    X = reducer.transform(rows)
    figure = rows["fare"].to_numpy(np.float64) + rows["distance"].to_numpy(np.float64)
    for learner, params in SETTINGS.items():
        for task, classes in CLASSES.items():
            y = figure
            if classes:
                cuts = np.quantile(figure, np.arange(1, len(classes)) / len(classes))
                y = np.digitize(figure, cuts).astype(np.int32)
            block = ArrayBlocks(X, y, block_rows=400)
            settings = TrainingConfig(learner=learner)
            found = fit(settings, params, block, block, task=task, classes=classes, seed=3)
            model = Pipeline([("reducer", reducer), ("learner", found.estimator)])
            path = folder / f"{learner} {task.value}.skops"
            path.write_bytes(canonical(skops.io.dumps(model)))
    return folder


def tried(shell, folder, first, count):
    """What became of some mutated models, in a process of their own."""
    done = shell(folder, "forked-python", SCRIPT, folder, first, count, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-1500:])
    return json.loads(done.stdout)


def held(results, count):
    assert sum(r["refused"] + r["answered"] for r in results) == count
    assert [seed for r in results for seed in r["wrong"]] == []
    assert max(r["grown"] for r in results) < 200e6


def test_mutated_models_sealed_anew(models, shell):
    """A hundred: each is refused or answers with finite numbers."""
    results = [tried(shell, models, 0, 100)]
    held(results, 100)
    assert results[0]["refused"] > 50


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_mutated_models_sealed_anew(models, shell):
    """None of 10,000 crashes, hangs (20 s of the CPU) or grows by 200 MB."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda i: tried(shell, models, i * BATCH, BATCH), range(40)))
    held(results, 10_000)


class Changed(FolderContents):
    """A candidate's folder with other bytes in the place of its model."""

    def __init__(self, folder, content):
        super().__init__(folder)
        self.content = content

    def sizes(self):
        return {**super().sizes(), "model.skops": len(self.content)}

    def read(self, name, limit):
        return self.content[:limit] if name == "model.skops" else super().read(name, limit)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_models_under_their_old_seal(place, count):
    """All are refused, by name."""
    spec = importlib.util.spec_from_file_location("mutated_models", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mutated = module.mutated
    base = (place.candidate / "model.skops").read_bytes()
    for seed in range(count):
        content = mutated(base, seed)
        if content != base:
            with pytest.raises(ModelUntrusted, match=r"model\.skops"):
                open_candidate(Changed(place.candidate, content), digest=place.digest)
