"""What evaluate warns of: rows that are known, and rows that are learnt by heart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tidemill.config import load_params
from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.storage import Workspace, read_json
from tidemill.testing.workspaces import run_here

PARTS = ("train", "validation")


def _workspace(root, table: pd.DataFrame, *settings: str):
    (root / "data" / "raw").mkdir(parents=True)
    table.to_csv(root / "data" / "raw" / "all.csv", index=False)
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data" / "raw"),
            target="bought",
            time=None,
            key=None,
            assignments=[
                "dataset.name=few",
                "tuning.trials=0",
                "training.params={num_iterations: 10, learning_rate: 0.3}",
                *settings,
            ],
            engine=engine,
        )
    return root


@pytest.mark.slow
@pytest.mark.parametrize("bits", [6, 1], ids=["64 rows", "one feature"])
def test_few_distinct_rows_are_judged_as_they_are(tmp_path, bits):
    """The figure of the test rows is that of the truth, and copies are counted and warned of."""
    rng = np.random.default_rng(4)
    features = rng.integers(0, 2, (20_000, bits))
    chance = 1 / (1 + np.exp(-(features - 0.5) @ np.linspace(2.0, 0.5, bits)))
    table = pd.DataFrame(features, columns=[f"f{i}" for i in range(bits)])
    table["bought"] = np.where(rng.random(len(table)) < chance, "yes", "no")
    root = _workspace(tmp_path / "ws", table)
    summary = run_here(root, until="evaluate")
    metrics = read_json(root / "reports" / "metrics.json")
    truth = roc_auc_score(table["bought"] == "yes", chance)
    assert metrics["test"]["roc_auc"] == pytest.approx(truth, abs=0.03)
    assert metrics["copies"]["share"] == 1.0
    assert summary.facts["known_test_share"] == 1.0
    (said,) = [s.result.warnings for s in summary.stages if s.stage == "evaluate"]
    assert any("100.0% of the test rows have exactly the features" in text for text in said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "alarm"),
    [
        pytest.param(0.0, False, id="sure"),
        pytest.param(3.0, True, id="noisy"),
    ],
)
def test_two_tiny_losses_are_no_alarm(tmp_path, noise, alarm):
    """However many times the one is the other; rows with noise that were learnt by heart are."""
    rng = np.random.default_rng(5)
    # Rare in training, and therefore shrunk; common afterwards.
    share = np.where(np.arange(1500) < 960, 0.05, 0.9)
    code = rng.integers(0, 2, 1500) + 2 * (rng.random(1500) < share)
    table = pd.DataFrame({"code": code, "other": rng.normal(size=1500)})
    table["bought"] = 2.25 + 10 * (code % 2) + noise * rng.normal(size=1500)
    root = _workspace(
        tmp_path / "ws",
        table,
        "dataset.task=regression",
        "evaluation.metric=rmse",
        "training.params={num_iterations: 40, learning_rate: 0.5, min_child_samples: 1, "
        "lambda_l2: 1.0}",
        "sharding.holdout={by: order, validation: 0.2, test: 0.2}",
    )
    summary = run_here(root, until="evaluate")
    metrics = read_json(root / "reports" / "metrics.json")
    assert metrics["gap"] > load_params(root).evaluation.max_gap
    losses = [metrics[part]["rmse"] / metrics["baseline"]["rmse"] for part in PARTS]
    assert (max(losses) < 0.01) is not alarm, losses
    said = [text for stage in summary.stages for text in stage.result.warnings]
    assert any("by heart" in text for text in said) is alarm
