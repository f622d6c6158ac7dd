"""The real data sets of ../shared/data, from ``tidemill init`` to a registered model.

Each test types what a user would type, in a fresh workspace, and asks for a quality floor on
test rows that come later, or from another file, with the leaks left out.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tidemill.config import load_params
from tidemill.drafting import init_workspace
from tidemill.engines import open_engine
from tidemill.learning import fit, predict_scores
from tidemill.metrics import figures_of
from tidemill.pipeline import context_for, find_stage
from tidemill.schema import Role
from tidemill.settings import Settings
from tidemill.stages.blocks import reduced_blocks
from tidemill.storage import ShardManifest, Workspace
from tidemill.testing.commands import run_command

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

FLOORS = {
    "adult": 0.928,
    "elec2": 0.85,
    "fraud": 0.66,
    "fraud by ids": 0.40,
    "kddcup99": 0.965,
    "taxi": 0.755,
}

ADULT = """
tidemill init census --source adult/raw/adults.parquet --target class
    --set sharding.holdout.by=order --set sharding.holdout.test=0.3
"""
# date and nswprice give the answer away; 36000 is the first test row.
ELEC2 = """
tidemill init market --source elec2/elec2.csv --target class
    --set "dataset.drop=[date, nswprice]"
    --set sharding.holdout.by=order --set sharding.holdout.test=36000
    --set sharding.holdout.validation=0.2
"""
# The counts of 7 and 30 days grow while the simulation warms up, and would name the day.
FRAUD = """
tidemill init cards --source fraud_daily/daily_parquet --target TX_FRAUD
    --time TX_DATETIME --key TRANSACTION_ID
    --set "dataset.drop=[TX_FRAUD_SCENARIO, CUSTOMER_ID, TERMINAL_ID, TX_TIME_SECONDS,
        TX_TIME_DAYS, CUSTOMER_ID_NB_TX_7DAY_WINDOW, CUSTOMER_ID_NB_TX_30DAY_WINDOW,
        TERMINAL_ID_NB_TX_7DAY_WINDOW, TERMINAL_ID_NB_TX_30DAY_WINDOW]"
    --set "dataset.derive.TIMES_7DAY_AVERAGE=
        TX_AMOUNT / nullif(CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW, 0)"
    --set "dataset.derive.TIMES_30DAY_AVERAGE=
        TX_AMOUNT / nullif(CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW, 0)"
    --set "sharding.holdout.test='2018-04-29'"
"""
# The table as it comes, without what was gathered by id: two ids, a time, an amount.
FRAUD_IDS = """
tidemill init cards --source fraud_daily/daily_parquet --target TX_FRAUD
    --time TX_DATETIME --key TRANSACTION_ID
    --set "dataset.types={CUSTOMER_ID: categorical, TERMINAL_ID: categorical}"
    --set "dataset.drop=[TX_FRAUD_SCENARIO, TX_TIME_SECONDS, TX_TIME_DAYS, TX_DURING_WEEKEND,
        TX_DURING_NIGHT, CUSTOMER_ID_NB_TX_1DAY_WINDOW, CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW,
        CUSTOMER_ID_NB_TX_7DAY_WINDOW, CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW,
        CUSTOMER_ID_NB_TX_30DAY_WINDOW, CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW,
        TERMINAL_ID_NB_TX_1DAY_WINDOW, TERMINAL_ID_RISK_1DAY_WINDOW,
        TERMINAL_ID_NB_TX_7DAY_WINDOW, TERMINAL_ID_RISK_7DAY_WINDOW,
        TERMINAL_ID_NB_TX_30DAY_WINDOW, TERMINAL_ID_RISK_30DAY_WINDOW]"
"""
KDDCUP99 = """
tidemill init intrusions --source "kddcup99/*.parquet" --target attack
    --set "dataset.derive.attack=label <> 'normal'" --set "dataset.drop=[label]"
    --set sharding.holdout.by=file --set sharding.holdout.test=test_corrected.parquet
"""
# Whatever is known only when the ride is over is left out.
TAXI = """
tidemill init rides --source taxi_yellow/raw --target minutes --time pickup_datetime
    --set "dataset.derive.minutes=
        date_diff('second', pickup_datetime, dropoff_datetime) / 60"
    --set "dataset.drop=[dropoff_datetime, fare_amount, extra, mta_tax, tip_amount,
        tolls_amount, improvement_surcharge, total_amount, congestion_surcharge]"
    --set "dataset.types={vendor_id: categorical, rate_code_id: categorical,
        payment_type: categorical, pickup_location_id: categorical,
        dropoff_location_id: categorical}"
    --set "sharding.holdout.test='2019-01-01'" --set "sharding.holdout.test_end='2019-02-01'"
"""
IMPOSSIBLE = {"minutes": (1.0, 180.0), "trip_distance": (0.01, 100.0)}


def unpack(archive: str, folder: Path) -> Path:
    if not (DATA / archive).is_file():
        pytest.skip(f"{DATA / archive} is absent")
    with tarfile.open(DATA / archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def typed(command: str, folder: Path) -> str:
    """Run what a user would type in ``folder``; return what it prints on stdout."""
    program, *words = shlex.split(command)
    assert program == "tidemill"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "platform")}
    done = subprocess.run(
        [sys.executable, "-m", "tidemill", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(folder: Path) -> dict[str, Any]:
    """``tidemill run``'s summary."""
    return json.loads(typed("tidemill run --direct --json", folder))


def decide(workspace: Path, ranges: dict[str, tuple[float, float]]) -> None:
    """Add ranges to the drafted suite, as a user would by hand."""
    path = workspace / "expectations" / "suite.json"
    suite = json.loads(path.read_text())
    suite["expectations"] += [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": column, "min_value": low, "max_value": high},
            "severity": "critical",
        }
        for column, (low, high) in ranges.items()
    ]
    path.write_text(json.dumps(suite))


def only_report(workspace: Path) -> None:
    """Let no range of the drafted suite decide over rows."""
    path = workspace / "expectations" / "suite.json"
    suite = json.loads(path.read_text())
    for expectation in suite["expectations"]:
        if expectation["type"] == "expect_column_values_to_be_between":
            expectation["meta"] = {"tidemill": "report"}
    path.write_text(json.dumps(suite))


def check_adult(done: dict[str, Any]) -> None:
    """No row is refused, and the model is as good as it should be."""
    assert (done["rows_valid"], done["rows_quarantined"]) == (48_842, 0)
    assert done["metric"] == "roc_auc"
    assert done["challenger"] >= FLOORS["adult"]
    assert done["promoted"]


@pytest.mark.slow
def test_adult(tmp_path: Path) -> None:
    """The last 30% of the census rows: gaps and categories, no row refused."""
    unpack("adult.tar.gz", tmp_path)
    typed(ADULT, tmp_path)
    check_adult(run(tmp_path / "census"))


def test_some_rows_of_adult(tmp_path: Path) -> None:
    """A quarter of the census rows, from the file to a matrix on which a short fit is good.

    Without the categories the same fit ends at 0.868, without the numbers at 0.877.
    """
    path = unpack("adult.tar.gz", tmp_path) / "adult" / "raw" / "adults.parquet"
    pq.write_table(pq.read_table(path).slice(0, 12_000), path)
    workspace, settings = Workspace.at(tmp_path / "census"), Settings(workers=1)
    with open_engine(settings) as engine:
        init_workspace(
            workspace,
            source=str(path.parent),
            target="class",
            time=None,
            key=None,
            assignments=["sharding.holdout.by=order", "sharding.holdout.test=0.3"],
            engine=engine,
        )
        params = load_params(workspace.root)
        context = context_for(workspace, params, settings, engine)
        for name in ("look", "ingest", "shard", "reduce"):
            find_stage(name).run(context, params)
        manifest = ShardManifest.read(workspace.shards)
        blocks = {role: reduced_blocks(context, manifest, role) for role in Role}
    assert sum(manifest.rows(role) for role in Role) == 12_000
    task, classes = manifest.schema.task, manifest.schema.classes
    quick = {"num_iterations": 40, "learning_rate": 0.2, "num_leaves": 15}
    parts = blocks[Role.TRAIN], blocks[Role.VALIDATION]
    fitted = fit(params.training, quick, *parts, task=task, classes=classes, seed=params.seed)
    X, y = (np.concatenate(part) for part in zip(*blocks[Role.TEST], strict=True))
    scores = predict_scores(fitted.estimator, X, task)
    assert figures_of(task, scores, y, classes=classes).values()["roc_auc"] >= 0.91


@pytest.mark.slow
def test_adult_without_search_and_refit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same commands in this process, with one model."""
    unpack("adult.tar.gz", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMILL_WORKERS", "1")
    quick = f"{ADULT} --set tuning.trials=0 --set training.refit=none"
    for command in (quick, "tidemill run --direct --json -w census"):
        said = run_command(tuple(shlex.split(command)[1:]), monkeypatch, capfd)
        assert said.code == 0, said.err
    check_adult(said.document)


@pytest.mark.slow
def test_elec2(tmp_path: Path) -> None:
    """Half-hours after the 36,000th; features that were constant at first refuse no later row."""
    unpack("elec2.tar.gz", tmp_path)
    typed(ELEC2, tmp_path)
    done = run(tmp_path / "market")
    assert (done["rows_valid"], done["rows_quarantined"]) == (45_312, 0)
    assert done["challenger"] >= FLOORS["elec2"]
    assert done["baseline"] == 0.5


@pytest.mark.slow
def test_shuffled_labels_miss_the_floor(tmp_path: Path) -> None:
    """The floor of elec2 is no gift: with labels dealt anew the same command ends near one half."""
    path = unpack("elec2.tar.gz", tmp_path) / "elec2" / "elec2.csv"
    header, *rows = csv.reader(path.read_text().splitlines())
    labels = [row[-1] for row in rows]
    random.Random(1).shuffle(labels)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [header, *([*row[:-1], label] for row, label in zip(rows, labels, strict=True))]
        )
    typed(ELEC2, tmp_path)
    assert abs(run(tmp_path / "market")["challenger"] - 0.5) < 0.05


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fraud(tmp_path: Path) -> None:
    """Days 28 to 44 of card payments after a cold start of 28 days; one in 110 is fraud."""
    unpack("fraud_daily_d000_044.tar", tmp_path)
    typed(FRAUD, tmp_path)
    done = run(tmp_path / "cards")
    assert (done["rows_valid"], done["rows_quarantined"]) == (431_773, 0)
    assert done["metric"] == "average_precision"
    assert done["challenger"] >= FLOORS["fraud"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fraud_by_its_ids(tmp_path: Path) -> None:
    """5,000 customers and 10,000 terminals are told by the target; at the rare bucket it is .14."""
    unpack("fraud_daily_d000_044.tar", tmp_path)
    typed(FRAUD_IDS, tmp_path)
    run(tmp_path / "cards")
    reports = tmp_path / "cards" / "reports"
    said = json.loads((reports / "reduction.json").read_text())["high_cardinality"]
    assert {one["feature"]: one["encoded"] for one in said} == {
        "CUSTOMER_ID": True,
        "TERMINAL_ID": True,
    }
    figures = json.loads((reports / "metrics.json").read_text())["test"]
    assert figures["average_precision"] >= FLOORS["fraud by ids"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kddcup99(tmp_path: Path) -> None:
    """The corrected file, a twentieth of it attacks of kinds that training never saw."""
    unpack("kddcup99.tar.gz", tmp_path)
    typed(KDDCUP99, tmp_path)
    done = run(tmp_path / "intrusions")
    assert (done["rows_valid"], done["rows_quarantined"]) == (805_050, 0)
    assert done["challenger"] >= FLOORS["kddcup99"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_taxi(tmp_path: Path) -> None:
    """January 2019 after a year of rides, the impossible ones quarantined by the suite."""
    unpack("taxi_yellow_2018_2019.tar.gz", tmp_path)
    typed(TAXI, tmp_path)
    decide(tmp_path / "rides", IMPOSSIBLE)
    done = run(tmp_path / "rides")
    assert done["metric"] == "r2"
    assert done["challenger"] >= FLOORS["taxi"]
    refused = json.loads(
        typed("tidemill quarantine show --limit 1000000 --json", tmp_path / "rides")
    )
    assert len(refused) == done["rows_quarantined"] == 240_000 - done["rows_valid"]
    for row in refused:
        values = json.loads(row["values"])
        assert any(not low <= values[name] <= high for name, (low, high) in IMPOSSIBLE.items())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_taxi_without_the_suite(tmp_path: Path) -> None:
    """Where no range decides, a few rides of 24 hours take nearly all of R2 away."""
    unpack("taxi_yellow_2018_2019.tar.gz", tmp_path)
    typed(TAXI, tmp_path)
    only_report(tmp_path / "rides")
    done = run(tmp_path / "rides")
    assert done["rows_quarantined"] == 0
    assert done["challenger"] < 0.1
