"""``training.learner: auto`` behind both doors, and what follows the pick."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from tidemill.config import load_params, read_params, set_params
from tidemill.errors import ConfigError
from tidemill.retraining.job import _as_the_champion
from tidemill.testing.workspaces import copy_workspace, output_hashes, run_here, small_workspace

AUTO = (
    "training.learner=auto",
    "training.params={}",
    "tuning.space={}",
    "tuning.trials=1",
    "reduction.impute=auto",
    "reduction.encode=auto",
    "reduction.scale=auto",
)
GIVEN = "dataset: {source: a, target: y}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace whose params.yaml leaves the learner open; nothing has run."""
    return small_workspace(tmp_path_factory.mktemp("auto") / "ws", rows=2000, settings=AUTO)


@pytest.fixture(scope="module")
def picked(made, tmp_path_factory):
    """The same after a run, with what the run said."""
    root = copy_workspace(made, tmp_path_factory.mktemp("picked") / "ws")
    return root, run_here(root)


def facts_of(summary, stage):
    return next(run.result.facts for run in summary.stages if run.stage == stage)


def test_a_run_says_what_it_picked_and_takes_it(picked):
    """One learner from the reducer to the serving model."""
    root, summary = picked
    told = json.loads((root / "models/reducer/learner.json").read_text())
    assert facts_of(summary, "reduce")["learner"] == told["learner"]
    assert facts_of(summary, "reduce")["learner_why"] == told["why"]
    assert facts_of(summary, "train")["learner"] == told["learner"]
    for place in ("candidate/training.json", "serving/refit.json"):
        assert json.loads((root / "models" / place).read_text())["learner"] == told["learner"]
    assert run_here(root).stages[3].state == "current"


@pytest.mark.slow
def test_dvc_leaves_the_same_bytes(picked, made, tmp_path, shell):
    """Up to the parameters; the reducer of a pick depends on the training section too."""
    root = copy_workspace(made, tmp_path / "ws")
    shell(root, "dvc", "repro", "tune")
    half = ("look", "ingest", "shard", "reduce", "tune")
    assert output_hashes(root, *half) == output_hashes(picked[0], *half)
    reduce = YAML(typ="safe").load(root / "dvc.yaml")["stages"]["reduce"]
    assert reduce["params"] == ["reduction", "seed", "training", "tuning"]


def test_another_learner_is_reduced_for_anew(picked, tmp_path):
    """Named after a pick, it has the encoding that it wants, and no pick stands beside it."""
    root = copy_workspace(picked[0], tmp_path / "ws")
    was = json.loads((root / "models/reducer/learner.json").read_text())["learner"]
    other = "lightgbm" if was == "linear" else "linear"
    path = root / "params.yaml"
    path.write_text(set_params(path.read_text(), [f"training.learner={other}"]))
    assert run_here(root, until="reduce").stages[-1].state == "ran"
    assert not (root / "models/reducer/learner.json").exists()


def test_a_retraining_keeps_the_champions_learner(made):
    """And reduces as that wants it; a learner that is named stays the named one."""
    params = load_params(made)
    for name, encode in (("linear", "one_hot"), ("forest", "ordinal")):
        kept = _as_the_champion(params, SimpleNamespace(metadata={"learner": name}))
        assert (kept.training.learner, kept.reduction.encode) == (name, encode)
    named = read_params(GIVEN + "training: {learner: sgd}")
    kept = _as_the_champion(named, SimpleNamespace(metadata={"learner": "forest"}))
    assert kept.training.learner == "sgd"


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("training: {learner: auto, params: {alpha: 1}}", "training.params"),
        ("training: {learner: auto, strategy: boosted}", "training.strategy"),
        ("training: {learner: auto}\ntuning: {space: {alpha: {low: 1, high: 2}}}", "tuning.space"),
    ],
)
def test_what_is_one_learners_own_is_refused_with_auto(text, setting):
    """No learner is known that could have it; the remedy works."""
    with pytest.raises(ConfigError, match=f"{setting}: is one learner's"):
        read_params(GIVEN + text)
    named = "lightgbm" if "boosted" in text else "linear"
    assert read_params(GIVEN + text.replace("auto", named)).training.learner == named


def test_auto_reduces_as_each_learner_wants():
    """And before a projection, which takes no missing values, as that wants."""
    text = GIVEN + "reduction: {impute: auto, encode: auto, scale: auto%s}"
    open_, projects = (read_params(text % more).reduction for more in ("", ", project: pca"))
    asked = {"linear": open_, "lightgbm": open_, "forest": projects}
    found = {name: one.for_learner(name) for name, one in asked.items()}
    ways = {name: (one.impute, one.encode, one.scale) for name, one in found.items()}
    assert ways == {
        "linear": ("mean", "one_hot", "standard"),
        "lightgbm": ("none", "ordinal", "none"),
        "forest": ("mean", "ordinal", "standard"),
    }
