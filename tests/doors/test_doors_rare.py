"""A rare positive class: which figure is followed, why, and who is judged by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tidemill.config import load_params, set_params
from tidemill.drafting import init_workspace
from tidemill.drift import Reference
from tidemill.engines import LocalEngine
from tidemill.learners import uncalibrated
from tidemill.retraining import Order
from tidemill.retraining.job import RetrainingJob
from tidemill.settings import Settings
from tidemill.stages import StageContext, score_files
from tidemill.storage import Workspace, read_json
from tidemill.testing.workspaces import run_here
from tidemill.tracking import Registry, Tracker, load_champion

_AP, _AUC = "average_precision", "roc_auc"


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """A workspace of 5,000 rows, 3% of them positive, after a whole run; and what that said."""
    root = tmp_path_factory.mktemp("rare") / "ws"
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.normal(size=(5000, 3)), columns=list("abc"))
    score = table["a"] + 0.5 * table["b"] + 0.3 * rng.normal(size=5000)
    table["fraud"] = np.where(score > np.quantile(score, 0.97), "yes", "no")
    (root / "data" / "raw").mkdir(parents=True)
    table.to_csv(root / "data" / "raw" / "all.csv", index=False)
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data" / "raw"),
            target="fraud",
            time=None,
            key=None,
            assignments=[
                "dataset.name=payments",
                "tuning.trials=0",
                "tuning.folds=0",
                "training.params={num_iterations: 20}",
                "training.class_weight=balanced",
                "training.threshold={recall: 0.9}",
            ],
            engine=engine,
        )
    return root, run_here(root)


def test_average_precision_is_followed_and_the_reason_told(rare):
    """By the fit, the verdict, the version and the monitor; boosting takes smaller steps."""
    root, summary = rare
    facts = {run.stage: run.result.facts for run in summary.stages}
    for stage in ("tune", "evaluate"):
        assert facts[stage]["metric"].startswith("average precision: ")
        assert facts[stage]["metric"].endswith("'yes', the positive class, which is rare")
    tuned = read_json(root / "models" / "params.json")
    assert (tuned["metric"], tuned["params"]) == (_AP, {"learning_rate": 0.05})
    assert read_json(root / "reports" / "metrics.json")["metric"] == _AP
    assert summary.facts["metric"] == _AP
    assert load_champion(f"sqlite:///{root}/mlflow.db", "payments").metric == _AP
    made = read_json(root / ".tidemill" / "work" / "register" / "reference.json")
    assert Reference.from_json(made).metric == _AP


def test_what_serves_has_the_calibration_of_what_was_judged(rare):
    """It was chosen on validation rows that the judged model had not learnt."""
    root, summary = rare
    judged = read_json(root / "models" / "candidate" / "training.json")
    serving = read_json(root / "models" / "serving" / "refit.json")
    assert judged["calibration"]["kind"] == "platt"
    assert serving["calibration"] == judged["calibration"]
    (facts,) = [run.result.facts for run in summary.stages if run.stage == "train"]
    assert facts["calibration"].startswith("platt: log loss ")
    metrics = read_json(root / "reports" / "metrics.json")
    for figure in ("brier", "log_loss"):
        assert metrics["test"][figure] < metrics["uncalibrated"][figure]


def test_balanced_weights_leave_the_share_of_positives(rare):
    """The mean probability on test rows is near the share, and far below what was learnt."""
    root, _ = rare
    model = load_champion(f"sqlite:///{root}/mlflow.db", "payments").judged
    rows = pd.read_csv(root / "data" / "raw" / "all.csv")
    X = model[0].transform(rows.drop(columns="fraud"))
    said = model[-1].predict_proba(X)[:, 1]
    assert said.mean() == pytest.approx(0.03, abs=0.01)
    assert uncalibrated(model[-1]).predict_proba(X)[:, 1].mean() > 0.06
    metrics = read_json(root / "reports" / "metrics.json")
    assert metrics["test"]["log_loss"] < metrics["baseline"]["log_loss"]


def test_the_threshold_that_has_the_recall_decides(rare, tmp_path):
    """It is stored with the model: reports, MLflow's predict, score and reference go by it."""
    root, summary = rare
    judged = read_json(root / "models" / "candidate" / "training.json")["calibration"]["threshold"]
    assert (
        read_json(root / "models" / "serving" / "refit.json")["calibration"]["threshold"] == judged
    )
    assert 0 < judged < 0.5
    operating = read_json(root / "reports" / "metrics.json")["operating"]
    assert operating["threshold"] == judged
    assert operating["recall"] == pytest.approx(0.9, abs=0.15)
    (facts,) = [run.result.facts for run in summary.stages if run.stage == "train"]
    assert facts["threshold"] == judged
    champion = load_champion(f"sqlite:///{root}/mlflow.db", "payments")
    rows = pd.read_csv(root / "data" / "raw" / "all.csv").drop(columns="fraud")
    said = champion.pipeline.predict_proba(rows)[:, 1]
    assert champion.pipeline.predict(rows).tolist() == np.where(said > judged, "yes", "no").tolist()
    made = Reference.from_json(
        read_json(root / ".tidemill" / "work" / "register" / "reference.json")
    )
    assert made.threshold == Reference.from_json(made.to_json()).threshold == judged
    assert made.merged_outputs().columns["prediction"].counts["yes"] > 0.04 * 1000
    scored = tmp_path / "scored.parquet"
    with LocalEngine(1) as engine:
        tracker = Tracker(f"sqlite:///{root}/mlflow.db", "payments")
        context = StageContext(Workspace.at(root), Settings(), engine, tracker)
        source = str(root / "data" / "raw" / "all.csv")
        told = score_files(context, params=load_params(root), source=source, output=scored)
    frame = pd.read_parquet(scored)
    assert told.facts["threshold"] == judged
    assert ((frame["decision"] == "yes") == (frame["score"] > judged)).all()
    assert ((frame["prediction"] == "yes") == (frame["score"] > 0.5)).all()
    assert (frame["decision"].astype(str) != frame["prediction"].astype(str)).any()


def test_a_champion_keeps_the_figure_that_it_was_judged_by(rare):
    """Whatever the rows say now: retraining and registration judge by the champion's, and say so.

    One that is named in params.yaml wins.
    """
    root, _ = rare
    tracker = Tracker(f"sqlite:///{root}/mlflow.db", "payments")
    number = Registry(tracker).champion("payments").version
    tracker.client().set_model_version_tag("payments", str(number), "tidemill.metric", _AUC)
    with LocalEngine(1) as engine:
        context = StageContext(Workspace.at(root), Settings(), engine, tracker)
        order = Order("decision")
        for named, figure in ((None, _AUC), (_AP, _AP)):
            params = load_params(root)
            if named:
                evaluation = params.evaluation.model_copy(update={"metric": named})
                params = params.model_copy(update={"evaluation": evaluation})
            job = RetrainingJob.begun(context, params, order, None)
            assert job.figures == (figure, figure)
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(set_params(text, ["training.params.num_iterations=25"]))
    again = run_here(root)
    assert again.facts["metric"] == _AUC
    assert again.facts["challenger"] > 0.9
    (said,) = [run.result.warnings for run in again.stages if run.stage == "register"]
    assert any("set evaluation.metric to average_precision" in text for text in said)
    versions = {one.version: one.metric for one in Registry(tracker).versions("payments")}
    assert set(versions.values()) == {_AUC}
