"""The candidate folder: same bytes each time, loadable by MLflow, refused when changed."""

import json
import os
import subprocess
import sys
import textwrap
import zipfile
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from tidemill.config import TrainingConfig
from tidemill.errors import ModelUntrusted
from tidemill.learning import fit, predict_scores
from tidemill.schema import Task
from tidemill.tracking import load_candidate, open_candidate, save_candidate
from tidemill.tracking.allowed import ALLOWED, TRUSTED_TYPES
from tidemill.tracking.skopsfile import canonical, read_pipeline

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c"), Task.REGRESSION: ()}
REDUCED = ("distance", "fare", "zone=airport", "zone=centre", "zone=rare")


class OneBlock:
    """Blocks of one block, as learners read them."""

    rows = (400,)
    names = REDUCED

    def __init__(self, X, y):
        self.X, self.y = X, y

    def read(self, block):
        return self.X, self.y

    def __iter__(self):
        yield self.read(0)


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
        OneBlock(X, y),
        OneBlock(X, y),
        task=task,
        classes=CLASSES[task],
        seed=3,
    )
    return Pipeline([("reducer", reducer), ("learner", found.estimator)])


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("learner", ["sgd", "hist_gradient_boosting", "lightgbm"])
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
    for names in ALLOWED.values():
        for name in names:
            module, _, attribute = name.rpartition(".")
            assert hasattr(import_module(module), attribute), name
    assert set(TRUSTED_TYPES) <= set().union(*ALLOWED.values())


def test_two_processes_write_the_same_bytes(place, raw_frame, tmp_path):
    """Neither addresses, times, hash seeds nor random ids reach the folder."""
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        import pandas as pd
        from tidemill.tracking import load_candidate, save_candidate
        source, target = map(Path, sys.argv[1:])
        example = pd.read_parquet(target.with_suffix(".parquet"))
        print(save_candidate(load_candidate(source), target, example=example,
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
    """mlflow.sklearn and mlflow.pyfunc load the folder; the signature takes JSON's doubles."""
    import mlflow

    rows = raw_frame(20)
    expected = make_pipeline().predict(rows)
    assert list(mlflow.sklearn.load_model(str(place.candidate)).predict(rows)) == list(expected)
    served = mlflow.pyfunc.load_model(str(place.candidate))
    doubles = rows.astype({"distance": "float64", "fare": "float64"})
    assert list(served.predict(doubles)) == list(expected)
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
        load_candidate(place.candidate)


def test_categories_and_whole_numbers_are_taken_as_examples(make_pipeline, raw_frame, tmp_path):
    """Pandas categories become texts and numbers doubles in the signature."""
    rows = raw_frame(5)
    rows["zone"] = rows["zone"].astype("category")
    rows["distance"] = rows["distance"].astype("int32")
    save_candidate(make_pipeline(), tmp_path / "m", example=rows)
    mlmodel = (tmp_path / "m" / "MLmodel").read_text()
    assert '{"type": "double", "name": "distance"' in mlmodel
    assert '{"type": "string", "name": "zone"' in mlmodel


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
