"""The candidate folder: same bytes each time, loadable by MLflow, refused when changed."""

import json
import os
import resource
import subprocess
import sys
import textwrap
import zipfile
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from tidemill.config import TrainingConfig
from tidemill.errors import ModelUntrusted, SchemaMismatch, StorageFailed
from tidemill.features.reducer import Reducer
from tidemill.learners import LEARNERS
from tidemill.learning import fit, predict_scores
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.tracking import open_candidate, save_candidate
from tidemill.tracking.allowed import allowed_types, trusted_types
from tidemill.tracking.skopsfile import canonical, read_pipeline

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c"), Task.REGRESSION: ()}
REDUCED = ("distance", "fare", "zone=airport", "zone=centre", "zone=rare")


def learnt(make_pipeline, raw_frame, learner, task):
    """A pipeline with a really learnt estimator."""
    reducer = make_pipeline().steps[0][1]
    rows = raw_frame()
    X = reducer.transform(rows)
    y = rows["fare"].to_numpy(np.float64) + rows["distance"].to_numpy(np.float64)
    if task is not Task.REGRESSION:
        k = len(CLASSES[task])
        y = np.digitize(y, np.quantile(y, np.arange(1, k) / k)).astype(np.int32)
    found = fit(
        TrainingConfig(learner=learner),
        {"max_iter": 5} if learner == "hist_gradient_boosting" else {},
        ArrayBlocks(X, y, block_rows=400, names=REDUCED),
        ArrayBlocks(X, y, block_rows=400, names=REDUCED),
        task=task,
        classes=CLASSES[task],
        seed=3,
    )
    return Pipeline([("reducer", reducer), ("learner", found.estimator)])


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("learner", list(LEARNERS))
def test_every_learner_survives_the_safe_format(make_pipeline, raw_frame, learner, task):
    """What each learner makes for each task passes the allow-list, predicts the same, and has
    the same bytes when it is saved again.
    """
    model = learnt(make_pipeline, raw_frame, learner, task)
    content = canonical(skops.io.dumps(model))
    loaded = read_pipeline(content)
    X = model.steps[0][1].transform(raw_frame(50))
    before, after = (predict_scores(m.steps[1][1], X, task) for m in (model, loaded))
    np.testing.assert_array_equal(before, after)
    assert canonical(skops.io.dumps(loaded)) == content


def test_every_allowed_type_exists():
    """The allow-list names nothing that is not there: a renamed class would be refused later."""
    for names in allowed_types().values():
        for name in names:
            module, _, attribute = name.rpartition(".")
            assert hasattr(import_module(module), attribute), name
    assert set(trusted_types()) <= set().union(*allowed_types().values())


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(place, raw_frame, tmp_path):
    """Neither addresses, times, hash seeds nor random ids reach the folder."""
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        import pandas as pd
        from tidemill.tracking import open_candidate, save_candidate
        source, target = map(Path, sys.argv[1:])
        example = pd.read_parquet(target.with_suffix(".parquet"))
        print(save_candidate(open_candidate(source).pipeline, target, example=example,
                             metadata={"task": "binary"}))
    """)
    target = tmp_path / "again"
    raw_frame(5).to_parquet(target.with_suffix(".parquet"))
    done = subprocess.run(
        [sys.executable, "-c", script, str(place.candidate), str(target)],
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "99", "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    differing = [
        path.name
        for path in sorted(target.iterdir())
        if path.read_bytes() != (place.candidate / path.name).read_bytes()
    ]
    assert differing == []
    assert done.stdout.strip() == place.digest


def test_the_folder_depends_on_the_pipeline(place, make_pipeline, raw_frame, tmp_path):
    """Another model has another digest."""
    assert place.digest != save_candidate(make_pipeline(2), tmp_path / "m", example=raw_frame(5))


def test_a_candidate_comes_back_with_its_metadata(place, make_pipeline, raw_frame):
    """The loaded pipeline predicts what the saved one did, from raw columns."""
    found = open_candidate(place.candidate, digest=place.digest)
    assert found.metadata == {"task": "binary"}
    rows = raw_frame(50)
    np.testing.assert_array_equal(
        found.pipeline.predict_proba(rows), make_pipeline().predict_proba(rows)
    )


def test_users_who_trust_it_load_it_with_plain_mlflow(place, make_pipeline, raw_frame):
    """mlflow.sklearn and mlflow.pyfunc load the folder."""
    import mlflow

    rows = raw_frame(20)
    expected = make_pipeline().predict(rows)
    assert list(mlflow.sklearn.load_model(str(place.candidate)).predict(rows)) == list(expected)
    served = mlflow.pyfunc.load_model(str(place.candidate))
    assert list(served.predict(rows)) == list(expected)
    assert served.metadata.signature.inputs.input_names() == list(rows.columns)
    example = json.loads((place.candidate / "serving_input_example.json").read_text())
    assert len(example["dataframe_split"]["data"]) == 5


@pytest.mark.parametrize("function", [np.log1p, os.system])
def test_a_foreign_pipeline_is_refused_before_it_is_a_candidate(raw_frame, tmp_path, function):
    """A step that is not tidemill's is refused at saving, and nothing is left."""
    fares = raw_frame(50)[["fare"]].abs()
    learner = SGDClassifier(random_state=1).fit(fares, np.arange(50) % 2)
    step = FunctionTransformer(np.log1p).fit(fares)
    foreign = Pipeline([("reducer", step), ("learner", learner)])
    if function is os.system:
        step.inverse_func = os.system
    with pytest.raises(ModelUntrusted):
        save_candidate(foreign, tmp_path / "m", example=fares[:5])
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_seal_is_refused(place):
    """A folder that lost its seal is not loaded."""
    (place.candidate / "candidate.json").unlink()
    with pytest.raises(ModelUntrusted, match=r"candidate\.json"):
        open_candidate(place.candidate)


def test_categories_and_whole_numbers_are_taken_as_examples(make_pipeline, raw_frame, tmp_path):
    """The signature names the columns, not their types, and says which the model reads."""
    rows = raw_frame(5)
    rows["zone"] = rows["zone"].astype("category")
    rows["distance"] = rows["distance"].astype("int32")
    save_candidate(make_pipeline(), tmp_path / "m", example=rows)
    mlmodel = (tmp_path / "m" / "MLmodel").read_text()
    assert '{"type": "any", "name": "distance", "required": true}' in mlmodel
    assert '{"type": "any", "name": "rain", "required": false}' in mlmodel


WHOLE, FLAGS, TIMES, ZONES = "passengers", "rain", "at", "zone"
AS_READ = {
    "whole numbers": {WHOLE: [1, 2, 3]},
    "whole numbers with a gap": {WHOLE: [1.0, np.nan, 3.0]},
    "nullable whole numbers": {WHOLE: pd.array([1, None, 3], "Int64")},
    "numbers as texts with a gap": {WHOLE: ["1", None, "3"]},
    "nothing but gaps": {WHOLE: [None, None, None], FLAGS: [None, None, None]},
    "booleans": {FLAGS: [True, False, True]},
    "booleans with a gap": {FLAGS: [True, None, True]},
    "nullable booleans": {FLAGS: pd.array([True, None, True], "boolean")},
    "yes and no": {FLAGS: ["yes", "no", "yes"]},
    "Yes, a gap, Y": {FLAGS: ["Yes", None, "Y"]},
    "ones and noughts": {FLAGS: [1, 0, 1]},
    "ones, a gap": {FLAGS: [1.0, np.nan, 1.0]},
    "times": {TIMES: pd.to_datetime(["2026-01-05", "2026-01-06", "2026-01-07"])},
    "times with a zone": {TIMES: pd.to_datetime(["2026-01-05"] * 3, utc=True)},
    "texts of times": {TIMES: ["2026-01-05 10:00", None, "2026-01-07"]},
    "zones by number": {ZONES: [4, 7, 4]},
    "zones by number with a gap": {ZONES: [4.0, np.nan, 4.0]},
    "categories": {ZONES: pd.Categorical(["4", "7", "4"])},
}


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """A candidate that reads a whole number, a boolean, a time and a category by number, and the
    same by MLflow's loader.
    """
    import mlflow

    number = {"fills": [2.0], "means": [0.0], "scales": [1.0], "missing_slot": -1}
    features = [
        {"name": WHOLE, "kind": "numeric", **number, "slots": [0]},
        {"name": FLAGS, "kind": "boolean", **number, "slots": [1]},
        {"name": TIMES, "kind": "datetime", **number, "slots": [2], "parts": ["weekday"]},
        {
            "name": ZONES,
            "kind": "one_hot",
            "labels": ["4", "7"],
            "slots": [3, 4],
            "rare_slot": -1,
            "missing_slot": -1,
        },
    ]
    encoded = [WHOLE, FLAGS, "at.weekday", "zone=4", "zone=7"]
    reducer = Reducer(features, encoded, seen=[WHOLE, FLAGS, TIMES, ZONES])
    rows = pd.DataFrame({WHOLE: [1, 2, 3], FLAGS: [True, False, True], ZONES: ["4", "7", "4"]})
    rows[TIMES] = pd.to_datetime(["2026-01-05", "2026-01-06", "2026-01-07"])
    learner = SGDRegressor(random_state=1).fit(reducer.transform(rows), [1.0, 5.0, 9.0])
    folder = tmp_path_factory.mktemp("typed") / "m"
    save_candidate(Pipeline([("reducer", reducer), ("learner", learner)]), folder, example=rows)
    return rows, open_candidate(folder).pipeline, mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize("kind", list(AS_READ))
def test_pyfunc_takes_columns_as_pandas_reads_them(typed, kind):
    """Whatever pandas makes of a column, MLflow passes on and the reducer reads."""
    rows, ours, theirs = typed
    given = rows.assign(**AS_READ[kind])
    np.testing.assert_allclose(theirs.predict(given), ours.predict(given))
    gap = given.isna().to_numpy().any(axis=1)
    plain = ours.predict(rows)
    np.testing.assert_allclose(
        theirs.predict(given)[~gap & (kind[:5] != "times")], plain[~gap & (kind[:5] != "times")]
    )


UNREADABLE = [
    (WHOLE, "x", "'x'"),
    (WHOLE, [2], "[2]"),
    pytest.param(WHOLE, 10**5000, "a number beyond all", id="huge"),
    (FLAGS, "maybe", "'maybe'"),
    (FLAGS, [True], "[True]"),
    (TIMES, "yesterday", "'yesterday'"),
    (TIMES, 7, "7"),
    (TIMES, "2026-02-30", "'2026-02-30'"),
]


@pytest.mark.parametrize(("column", "cell", "shown"), UNREADABLE)
@pytest.mark.parametrize("row", [0, 2, 149])
def test_a_cell_that_pyfunc_cannot_read_is_named(typed, column, cell, shown, row):
    """Column, row and what is there; of a small table and of a large one."""
    rows, _, theirs = typed
    given = pd.concat([rows] * (50 if row > 2 else 1), ignore_index=True).astype(object)
    given.at[row, column] = cell
    with pytest.raises(SchemaMismatch) as caught:
        theirs.predict(given)
    told = str(caught.value)
    assert f"{column!r}" in told
    assert f"row {row} (counted from 0) holds {shown}" in told
    assert (caught.value.fields["column"], caught.value.fields["row"]) == (column, row)


def test_a_list_among_categories_is_a_new_category(typed):
    """In a small table and in a large one, of lists and of arrays."""
    rows, _, theirs = typed
    for many in (1, 50):
        given = pd.concat([rows] * many, ignore_index=True).astype(object)
        new, odd = given.copy(), given.copy()
        new.at[1, ZONES] = "never seen"
        for cell in ([1], {"a": 1}, np.arange(2)):
            odd.at[1, ZONES] = cell
            np.testing.assert_array_equal(theirs.predict(odd), theirs.predict(new))


def test_missing_values_in_the_example(make_pipeline, raw_frame, tmp_path):
    """Nulls of any column are kept in the example."""
    rows = raw_frame(5)
    rows.loc[1, "fare"] = np.nan
    rows.loc[2, "zone"] = None
    save_candidate(make_pipeline(), tmp_path / "m", example=rows)
    example = pd.read_json(tmp_path / "m" / "input_example.json", orient="split")
    assert example.isna().sum().sum() == 2


def test_the_zip_carries_no_times(place):
    """Every entry of model.skops is of 1980 and stored."""
    with zipfile.ZipFile(place.candidate / "model.skops") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("most", [100, 2000])
def test_a_full_disk_is_no_fault_of_the_model(make_pipeline, raw_frame, tmp_path, most):
    """Whichever file meets the end of the disk: storage failed, by path; nothing is left."""
    pipeline, rows = make_pipeline(), raw_frame()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(StorageFailed) as caught:
            save_candidate(pipeline, tmp_path / "model", example=rows.head(5), metadata={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "model") in caught.value.message
    assert "pickle" not in caught.value.message + caught.value.remedy
    assert list(tmp_path.iterdir()) == []
    save_candidate(pipeline, tmp_path / "model", example=rows.head(5), metadata={})
