"""Workers get addresses: whose functions still hold a path of this machine is listed here."""

from __future__ import annotations

import pickle
import pickletools

import pytest

from tidemill.config import load_params
from tidemill.engines import LocalEngine
from tidemill.settings import Settings
from tidemill.stages import (
    StageContext,
    run_evaluate,
    run_reduce,
    run_refit,
    run_register,
    run_train,
    run_tune,
    score_files,
)
from tidemill.storage import Workspace
from tidemill.tracking import Tracker

BY_PATH = {"score", "hash the source", "hash features", "compare features"}
"""Labels of maps that hold a path: of the table to score, and of the exchange that copies of rows
are counted through. The same are left in look, ingest and shard: source and exchange.
"""


class Watching(LocalEngine):
    """Notes the labels of what it runs, and of that which holds a path."""

    def __init__(self):
        super().__init__(1)
        self.seen, self.by_path = set(), set()

    def map(self, function, items, *, label, **told):
        self._look(label, function, items)
        return super().map(function, items, label=label, **told)

    def fold(self, function, items, merge, *, label, **told):
        self._look(label, function, items)
        return super().fold(function, items, merge, label=label, **told)

    def stream(self, function, items, *, label, **told):
        self._look(label, function, [])
        return super().stream(function, items, label=label, **told)

    def _look(self, label, function, items):
        self.seen.add(label)
        content = pickle.dumps((function, list(items)), protocol=0)
        if any("Path" in str(argument) for _, argument, _ in pickletools.genops(content)):
            self.by_path.add(label)


@pytest.fixture
def watched(finished, copy):
    """A context over a copy of the finished workspace."""
    root = copy(finished)
    tracker = Tracker(f"sqlite:///{root}/mlflow.db", "rides")
    return StageContext(Workspace.at(root), Settings(), Watching(), tracker)


def test_workers_get_addresses(watched, tmp_path):
    """From shards to a scored table: what maps hold, packed as an engine ships it."""
    params = load_params(watched.workspace.root)
    run_reduce(watched, reduction=params.reduction)
    run_tune(watched, tuning=params.tuning, training=params.training, seed=params.seed)
    run_train(watched, training=params.training, seed=params.seed)
    run_evaluate(watched, evaluation=params.evaluation)
    run_refit(watched, training=params.training, reduction=params.reduction, seed=params.seed)
    run_register(watched, params=params)
    source = next((watched.workspace.root / "data" / "raw").iterdir())
    score_files(watched, params=params, source=str(source), output=tmp_path / "out.parquet")
    assert watched.engine.by_path == BY_PATH
    assert len(watched.engine.seen) > 8, sorted(watched.engine.seen)
