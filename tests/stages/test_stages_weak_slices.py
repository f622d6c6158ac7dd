"""evaluate finds the slice of rows that no feature tells, and says so everywhere."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.stages.weak_slices import SlicedColumn
from tidemill.storage import Workspace, read_json
from tidemill.testing.workspaces import run_here


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A run over a table whose target is chance in one city, and where the age is missing."""
    root = tmp_path_factory.mktemp("slices") / "ws"
    rng = np.random.default_rng(0)
    n = 8000
    table = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "age": np.where(rng.random(n) < 0.15, np.nan, rng.integers(18, 90, n)),
            "city": rng.choice(list("WXYZ"), n),
            "member": rng.random(n) < 0.5,
        }
    )
    blind = (table["city"] == "Z") | table["age"].isna()
    odds = np.where(blind, 0, 3 * table["a"])
    table["left"] = np.where(odds + rng.logistic(size=n) > 0, "yes", "no")
    (root / "data" / "raw").mkdir(parents=True)
    table.to_csv(root / "data" / "raw" / "all.csv", index=False)
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data" / "raw"),
            target="left",
            time=None,
            key=None,
            assignments=["tuning.trials=0", "tuning.folds=0"],
            engine=engine,
        )
    return root, run_here(root)


def test_the_weakest_slices_are_told(planted):
    """In the stage's table, in metrics.json and as a picture."""
    root, summary = planted
    (result,) = [run.result for run in summary.stages if run.stage == "evaluate"]
    told = {row["name"]: row for row in result.tables["weakest slices"]}
    assert {"city = Z", "age is missing"} <= set(told)
    assert result.tables["weakest slices"][0]["name"] == "city = Z"
    assert not {"city = W", "member = true", "member = false"} & set(told)
    assert told["city = Z"]["of_dummy"] > 0.95
    assert read_json(root / "reports" / "metrics.json")["weakest_slices"] == list(
        result.tables["weakest slices"]
    )
    assert summary.facts["weakest_slice"].startswith("city = Z: a loss of 0.")
    assert (root / "reports" / "figures" / "weakest_slices.png").stat().st_size > 5_000


def test_a_column_cuts_every_block_into_the_same_slices():
    """Also a block without any row of a slice; missing values are a slice of their own."""
    numbers = SlicedColumn("x", cuts=(1.0, 2.0))
    first = numbers.members(pa.chunked_array([pa.array([0.5, 1.0, None, 2.0, float("nan")])]))
    assert {name: which.tolist() for name, which in first.items()} == {
        "x < 1": [True, False, False, False, False],
        "1 <= x < 2": [False, True, False, False, False],
        "x >= 2": [False, False, False, True, False],
        "x is missing": [False, False, True, False, True],
    }
    assert list(numbers.members(pa.chunked_array([pa.array([7], pa.int64())]))) == list(first)
    texts = SlicedColumn("c", values=("a", "b"))
    found = texts.members(pa.chunked_array([pa.array(["b", None, "z"]).dictionary_encode()]))
    assert {name: which.tolist() for name, which in found.items()} == {
        "c = a": [False, False, False],
        "c = b": [True, False, False],
        "c is missing": [False, True, False],
    }
