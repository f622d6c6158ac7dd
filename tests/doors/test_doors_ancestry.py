"""Test rows judge a model as far as none of its lessons held them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import set_params
from tidemill.engines import LocalEngine
from tidemill.profiling import RowSketch
from tidemill.schema import Role
from tidemill.settings import Settings
from tidemill.stages import StageContext
from tidemill.stages.ancestry import (
    LIMIT,
    Learnt,
    Unlearnt,
    ancestry_of,
    frozen_rows,
    lessons_of,
)
from tidemill.storage import ShardManifest, Workspace, read_block
from tidemill.testing.workspaces import run_here
from tidemill.tracking import Tracker, load_champion


def change(root: Path, *assignments: str) -> None:
    """Write settings to params.yaml."""
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), list(assignments)))


def context_of(root: Path) -> StageContext:
    """What a stage is given."""
    settings = Settings(workers=1, MLFLOW_TRACKING_URI=None)
    tracker = Tracker(f"sqlite:///{root}/mlflow.db", "rides")
    return StageContext(Workspace.at(root), settings, LocalEngine(1), tracker)


@pytest.fixture(scope="module")
def shards(finished: Path) -> tuple[StageContext, ShardManifest, Learnt]:
    """The context, the manifest, and the one lesson that the champion has had."""
    champion = load_champion(f"sqlite:///{finished}/mlflow.db", "rides")
    (lesson,) = ancestry_of(champion.metadata)
    return context_of(finished), ShardManifest.read(finished / "data/shards"), lesson


def live_lesson(context: StageContext, manifest: ShardManifest, role: Role) -> Learnt:
    """The rows of a role, as if labelled live rows had been learnt."""
    played = tuple(replace(s, role=Role.TRAIN) for s in manifest.of(role))
    (lesson,) = lessons_of(context, replace(manifest, shards=played))
    return replace(lesson, rows_of="0001-d1", until=None)


def test_a_version_says_which_rows_it_learnt(shards):
    """The record in the sealed metadata is that of training and validation rows."""
    context, manifest, lesson = shards
    assert lesson.rows_of == manifest.key
    assert lesson.to_json() == lessons_of(context, manifest)[0].to_json()
    assert frozen_rows(context, manifest, {"champion 1": [lesson]}).said == ""


def test_test_rows_that_were_learnt_do_not_judge(shards):
    """Of the test rows those judge that no lesson held, and it is said whose lesson held others."""
    context, manifest, lesson = shards
    every = live_lesson(context, manifest, Role.TEST).sketch.hashes
    half = RowSketch.of(every[::2], LIMIT)
    guilty = replace(live_lesson(context, manifest, Role.TEST), sketch=half)
    found = frozen_rows(
        context, manifest, {"the candidate": [lesson], "champion 3": [lesson, guilty]}
    )
    assert found.usable
    assert found.said.startswith("champion 3 learnt 50% of the test rows")
    shard = manifest.of(Role.TEST)[0].file
    judging = found.only.rows(read_block(context.workspace.shards / shard.path, 0))
    assert 0.3 < judging.mean() < 0.7


def test_where_all_were_learnt_nothing_judges(shards):
    """Too few rows are left: the frozen shards say nothing about that model."""
    context, manifest, lesson = shards
    guilty = live_lesson(context, manifest, Role.TEST)
    found = frozen_rows(context, manifest, {"champion 3": [lesson, guilty]})
    assert not found.usable
    assert "too few to judge by" in found.said


def test_copies_of_training_rows_accuse_nobody(shards):
    """Live rows that repeat training rows take no test row away."""
    context, manifest, lesson = shards
    copies = live_lesson(context, manifest, Role.TRAIN)
    assert frozen_rows(context, manifest, {"champion 3": [lesson, copies]}).only is None


def test_rows_before_the_test_rows_are_none_of_them(shards):
    """A lesson that ended before the test rows begin needs no look, whatever its columns."""
    context, manifest, lesson = shards
    before = replace(lesson, rows_of="other", columns="other")
    assert frozen_rows(context, manifest, {"champion 3": [before]}).usable
    found = frozen_rows(context, manifest, {"champion 3": [replace(before, until=None)]})
    assert not found.usable
    assert "other columns" in found.said


def test_a_version_without_a_record_is_taken_on_trust_and_it_is_said(shards):
    """A version of an earlier tidemill is compared as ever, with a remark."""
    context, manifest, lesson = shards
    found = frozen_rows(context, manifest, {"the candidate": [lesson], "champion 1": None})
    assert found.usable
    assert found.only is None
    assert found.said == "which rows champion 1 has learnt was not noted"


def test_rows_of_which_nothing_is_known_do_not_judge():
    """Beyond the last hash of a full sketch a row might have been learnt."""
    table = pa.table({"x": np.arange(1000.0), "y": pa.array(["no", "yes"] * 500)})
    only = Unlearnt(("x", "y"), np.uint64(2**63), np.empty(0, np.uint64))
    assert 0.4 < only.rows(table).mean() < 0.6


@pytest.mark.slow
def test_another_hold_out_gives_the_champion_no_advantage(finished, copy: Callable[..., Path]):
    """Rows that the champion learnt are test rows now: both are judged by the others."""
    root = copy(finished)
    change(root, "sharding.holdout.by=hash", "seed=11", "tuning.trials=0")
    facts = run_here(root).facts
    assert facts["version"] == 2
    assert "champion 1 learnt" in facts["promotion_reason"]
    assert "others" in facts["promotion_reason"]
    learnt = ancestry_of(load_champion(f"sqlite:///{root}/mlflow.db", "rides", version=2).metadata)
    assert [lesson.rows_of for lesson in learnt] == [ShardManifest.read(root / "data/shards").key]


@pytest.mark.slow
def test_better_parameters_on_unchanged_data_are_promoted(finished, copy: Callable[..., Path]):
    """The frozen rows judge both: the candidate that beats the champion serves."""
    root = copy(finished)
    change(root, "training.params={num_iterations: 60, learning_rate: 0.1}", "training.refit=none")
    facts = run_here(root).facts
    assert facts["promoted"] is True
    assert "beats champion 1" in facts["promotion_reason"]
    assert "learnt" not in facts["promotion_reason"]
