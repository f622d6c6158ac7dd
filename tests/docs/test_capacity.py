"""What a large table takes: the reckoning, its rates, and the page that shows both."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tidemill.errors import UsageError
from tidemill.pipeline.capacity import MEASURED, capacity_for
from tidemill.storage import most_opens

ROOT = Path(__file__).parents[2]
TB = 10**12


def reckoned(source_bytes: int = TB, files: int = 4_000, **other):
    given = {"workers": 16, "driver_cores": 16, "learner": "sgd", "strategy": "averaged"}
    return capacity_for(source_bytes, files=files, **{**given, **other})


@pytest.fixture
def bench(monkeypatch):
    """benchmarks/capacity.py."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import capacity as found

    return found


def test_the_page_has_the_tables_of_today(monkeypatch):
    """docs/capacity.md is what `python docs/make_capacity.py` writes."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import make_capacity as made

    text = made.PAGE.read_text()
    assert made.tables() in text
    assert made.page(text) == text, "run: python docs/make_capacity.py"
    assert made.page(text.replace("| 1 TB |", "| 2 TB |")) == text
    sys.modules.pop("make_capacity")


def test_the_rates_are_those_that_were_measured(bench):
    """benchmarks/results/capacity.json, fitted."""
    found = json.loads((ROOT / "benchmarks" / "results" / "capacity.json").read_text())
    assert bench.fitted(found["details"]) == MEASURED


def test_what_grows_with_what():
    """CPU with rows, requests with files and shards; workers share, and no file is cut."""
    one, ten = reckoned(), reckoned(10 * TB, files=40_000)
    cpu = [sum(stage.cpu_hours for stage in need.stages) for need in (one, ten)]
    assert cpu[1] == pytest.approx(10 * cpu[0])
    assert ten.hours == pytest.approx(10 * one.hours)
    assert reckoned(workers=32).hours == pytest.approx(one.hours / 2)
    few = {stage.stage: stage.hours for stage in reckoned(files=4).stages}
    many = {stage.stage: stage.hours for stage in one.stages}
    assert few["ingest"] == pytest.approx(4 * many["ingest"])
    assert few["shard"] == many["shard"]
    large = reckoned(shard_mb=1024)
    assert large.shards == pytest.approx(one.shards / 8, rel=0.01)
    assert large.opens == most_opens(4_000, large.shards) < one.opens
    assert large.reads < one.reads
    assert large.manifest_bytes < one.manifest_bytes
    assert large.piece_bytes == one.piece_bytes > TB / 300


def test_a_fit_of_all_rows_is_the_drivers():
    """Its memory grows with the rows and its cores alone help; one that is spread has neither."""
    boosted = {"learner": "lightgbm", "strategy": "boosted"}
    alone, spread = reckoned(**boosted), reckoned(learner="lightgbm", strategy="shard_ensemble")
    fits = [stage for stage in alone.stages if stage.driver]
    assert [stage.stage for stage in fits] == ["train", "refit"]
    assert not any(stage.driver for stage in spread.stages)
    ranks = {"learner": "lightgbm", "strategy": "distributed"}
    few, many = (reckoned(workers=workers, **ranks) for workers in (10, 20))
    assert not any(stage.driver for stage in few.stages)
    assert few.fit_bytes == pytest.approx(2 * many.fit_bytes, rel=0.01)
    more = reckoned(workers=1_000, **boosted)
    assert [s.hours for s in more.stages if s.driver] == [stage.hours for stage in fits]
    assert reckoned(2 * TB, **boosted).fit_bytes > 1.9 * alone.fit_bytes > 100 * spread.fit_bytes


def test_a_fit_whose_steps_follow_each_other_uses_one_core():
    """More cores of the driver shorten boosting, and no fit of sgd on one machine."""

    def hours(cores: int, **fit: str) -> list[float]:
        return [s.hours for s in reckoned(driver_cores=cores, **fit).stages if s.driver]

    boosted = {"learner": "lightgbm", "strategy": "boosted"}
    assert hours(16, **boosted) == pytest.approx([hour / 16 for hour in hours(1, **boosted)])
    assert len(hours(16, strategy="incremental")) == 2
    assert hours(16, strategy="incremental") == hours(1, strategy="incremental")


@pytest.mark.parametrize(
    ("given", "offered"),
    [
        ({"files": 0}, {"files": 1}),
        ({"source_bytes": -1}, {"source_bytes": 1}),
        ({"workers": 0}, {"workers": 1}),
        ({"driver_cores": 0}, {"driver_cores": 1}),
        ({"shard_mb": 0}, {"shard_mb": 1}),
        ({"learner": "xgboost"}, {"learner": "sgd"}),
        ({"learner": "hist_gradient_boosting"}, {"learner": "sgd"}),
        ({"strategy": "boosted"}, {"strategy": "averaged"}),
    ],
)
def test_what_cannot_be_reckoned_is_refused(given, offered):
    """With what can be, which is then reckoned."""
    with pytest.raises(UsageError) as caught:
        reckoned(**given)
    (name,), (value,) = given, offered.values()
    assert name in caught.value.fields
    assert str(value) in caught.value.remedy
    assert reckoned(**offered).hours > 0


@pytest.mark.slow
def test_the_requests_of_another_table_are_foretold(bench, tmp_path, monkeypatch):
    """Of files and shards that no rate was fitted to: their sum within a quarter."""
    monkeypatch.setattr(bench, "FILES", (5,))
    monkeypatch.setattr(bench, "SHARDS", (9,))
    with bench.own_environment():
        (found,) = bench._counted(tmp_path)
    foretold = {}
    for stage, counts in found["stages"].items():
        name = f"lightgbm {stage}" if stage in ("train", "refit") else stage
        if rate := MEASURED.stages.get(name):
            for kind, (a_file, a_shard) in (("reads", rate.reads), ("writes", rate.writes)):
                foretold[stage, kind] = (5 * a_file + 9 * a_shard, counts.get(kind, 0))
    assert {s for s, _ in foretold} >= {"ingest", "shard", "train"}
    totals = [sum(pair[end] for pair in foretold.values()) for end in (0, 1)]
    assert totals[0] == pytest.approx(totals[1], rel=0.25), foretold
