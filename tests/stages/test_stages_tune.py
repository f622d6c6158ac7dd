"""What the trials of a scheduler learn and are judged by, and what the stage says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tidemill.config import TrainingConfig, set_params
from tidemill.contracts import Trial
from tidemill.errors import ConfigError
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.stages import tune
from tidemill.stages.blocks import ReducedBlocks
from tidemill.storage import StoreFolder
from tidemill.testing.workspaces import copy_workspace, run_here, small_workspace
from tidemill.tuning import Study

SCHEMA = TableSchema(
    (Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "string"),), Task.BINARY, ("no", "yes")
)


def blocks(*rows):
    """Blocks of so many rows, that are never read."""
    parts = tuple((f"{number:05d}", 0, count) for number, count in enumerate(rows))
    return ReducedBlocks(StoreFolder("nowhere", ""), ("x",), parts, "int32")


def test_a_larger_share_holds_the_rows_of_a_smaller():
    """The first ones of each block; all of them at last."""
    given = (TrainingConfig(), blocks(8000, 4000), blocks(4000), SCHEMA, "roc_auc", 1)
    objective = tune.Objective(*given, fewest_rows=100)
    shares = [1 / 16, 1 / 4, 1]
    learnt, judging = zip(*(objective.rows_of(share) for share in shares), strict=True)
    assert [part.rows for part in learnt] == [(500, 250), (2000, 1000), (8000, 4000)]
    assert [part.rows for part in judging] == [(250,), (1000,), (4000,)]
    assert {part.blocks[0][:2] for part in learnt} == {("00000", 0)}


def test_few_rows_do_not_judge():
    """A small share is judged by twice the fewest rows that a trial learns, or all there are."""
    given = (TrainingConfig(), blocks(80_000), blocks(30_000), SCHEMA, "roc_auc", 1)
    objective = tune.Objective(*given, fewest_rows=10_000)
    assert objective.rows_of(1 / 8)[1].rows == (20_000,)
    assert tune.Objective(*given, fewest_rows=50_000).rows_of(1 / 8)[1].rows == (30_000,)


@pytest.mark.parametrize(
    ("shares", "fewest"),
    [((), 10_000), ((0.5, 0.5), 10_000), ((0.99, 0.01), 50_000), ((0.4, 0.6, 0.0), 10_000)],
)
def test_a_rare_class_needs_more_rows(shares, fewest):
    """500 of its rows, on average; a class that no row has asks for none."""
    assert tune._fewest_rows(shares) == fewest


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    """A workspace whose table is large enough for rungs of 300 rows."""
    asked = ["tuning.trials=5", "tuning.folds=0", "tuning.scheduler=halving"]
    root = small_workspace(tmp_path_factory.mktemp("rungs") / "ws", rows=6000, settings=asked)
    run_here(root, until="reduce")
    return root


def tuned(reduced, folder, *asked):
    root = copy_workspace(reduced, folder / "ws")
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), list(asked)))
    said = run_here(root, until="tune").stages[-1].result.facts
    return said, json.loads((Path(root) / "models/params.json").read_text())


def test_the_stage_tells_how_many_learnt_how_many_rows(reduced, tmp_path, monkeypatch):
    """The value that it leaves is of all rows; the same again."""
    monkeypatch.setattr(tune, "_FEWEST_ROWS", 250)
    monkeypatch.setattr(tune, "_FEWEST_OF_A_CLASS", 10)
    said, found = tuned(reduced, tmp_path / "a")
    assert said["rungs"] == "5 on 1,068, 2 on 4,289 rows"
    assert found == tuned(reduced, tmp_path / "b")[1]
    plain, alone = tuned(reduced, tmp_path / "c", "tuning.trials=1")
    assert "rungs" not in plain
    assert alone["params"] == {}
    assert found["value"] >= alone["value"]


def test_folds_learn_all_rows(reduced, tmp_path):
    """A small table needs no rungs, and each of its trials counts once."""
    said, found = tuned(reduced, tmp_path, "tuning.folds=2")
    assert said["folds"] == 2
    assert "rungs" not in said
    assert found["trials"] == 5


def test_a_threshold_that_train_could_not_find_is_refused_before_the_search(reduced, tmp_path):
    """Folds need no validation rows, and the threshold does."""
    asked = ("tuning.folds=2", "sharding.holdout.validation=0", "training.threshold=f1")
    with pytest.raises(ConfigError, match=r"training\.threshold: validation rows choose it"):
        tuned(reduced, tmp_path, *asked)


def test_a_search_that_was_cut_is_told():
    """What it found depends on the machine; a whole one says nothing."""
    trial = Trial(0, {}, 0.5, "complete")
    whole = Study({}, 0.5, 0, (trial,), complete=True, metric="roc_auc", direction="maximize")
    assert tune._cut(whole) == ()
    assert "cut after 1 trials" in tune._cut(replace(whole, complete=False))[0]
