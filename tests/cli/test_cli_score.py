"""score: predictions of a registered model for a whole table."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from tidemill.config import set_params
from tidemill.storage import Workspace
from tidemill.testing.workspaces import run_here
from tidemill.tracking import load_champion


def predictions(path):
    """The Parquet file that score wrote."""
    return pq.read_table(path).to_pandas()


def expected(root, source, version=None):
    """Scores of the model in memory, on the rows that can be read at a glance, by key."""
    loaded = load_champion(f"sqlite:///{root}/mlflow.db", "rides", version=version)
    options = pacsv.ConvertOptions(
        strings_can_be_null=True,
        column_types={"distance_km": pa.string(), "passengers": pa.string()},
    )
    frames = [pacsv.read_csv(path, convert_options=options).to_pandas() for path in source]
    found = {}
    for frame in frames:
        for name in ("distance_km", "passengers"):
            frame[name] = frame[name].where(frame[name].str.fullmatch(r"-?[\d.]+"), np.nan)
            frame[name] = frame[name].astype(float)
        names = list(loaded.pipeline[0].feature_names_in_)
        scores = loaded.pipeline.predict_proba(frame[names])[:, 1]
        found |= dict(zip(frame["ride_id"], scores, strict=True))
    return found


@pytest.fixture(scope="module")
def two_versions(finished, tmp_path_factory):
    """A copy with a champion, version 1, and a weaker challenger, version 2."""
    from tidemill.testing.workspaces import copy_workspace

    root = copy_workspace(finished, tmp_path_factory.mktemp("score") / "ws")
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), ["training.params.num_iterations=1"]))
    assert run_here(root).facts["promoted"] is False
    return root


def test_score_predicts_every_row_as_the_model_does(finished, copy, cli, tmp_path):
    """One prediction a row, in the source's order, equal to the pipeline's in memory."""
    root = copy(finished)
    out = tmp_path / "scored.parquet"
    done = cli("score", "--input", root / "data/raw", "--output", out, "-w", root, "--json")
    assert done.code == 0, done.err
    assert done.document["rows"] == 6000
    assert (done.document["model"], done.document["version"]) == ("rides", 1)
    frame = predictions(out)
    assert list(frame.columns) == ["source", "row", "ride_id", "prediction", "score", "decision"]
    files = sorted((root / "data/raw").iterdir())
    keys = [int(line.split(",")[0]) for f in files for line in f.read_text().splitlines()[1:]]
    assert list(frame["ride_id"]) == keys
    wanted = expected(root, files)
    difference = np.abs(frame["score"] - [wanted[key] for key in frame["ride_id"]])
    assert difference.max() < 1e-6
    assert set(frame["prediction"]) == {"0", "1"}
    assert ((frame["score"] > 0.5) == (frame["prediction"] == "1")).all()
    assert not (root / ".tidemill/work/score").exists() or not list(
        (root / ".tidemill/work/score").iterdir()
    )


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_score_does_not_depend_on_batches_or_workers(
    workers, finished, copy, cli, tmp_path, monkeypatch
):
    """Small batches, and two workers, write the same bytes."""
    root = copy(finished)
    cli("score", "--input", root / "data/raw", "--output", tmp_path / "a.parquet", "-w", root)
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), ["ingestion.batch_rows=300"]))
    monkeypatch.setenv("TIDEMILL_WORKERS", workers)
    cli("score", "--input", root / "data/raw", "--output", tmp_path / "b.parquet", "-w", root)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.slow
def test_score_takes_champion_challenger_or_version(two_versions, cli, tmp_path):
    """--model names an alias or a version; they are different models."""
    source = two_versions / "data/raw/rides-2024-01.csv"
    scores = {}
    for model, version in (("champion", 1), ("challenger", 2), ("1", 1), ("2", 2)):
        out = tmp_path / f"{model}.parquet"
        done = cli(
            "score", "--input", source, "--output", out, "--model", model,
            "-w", two_versions, "--json",
        )  # fmt: skip
        assert done.document["version"] == version
        scores[model] = predictions(out)["score"]
    assert scores["champion"].equals(scores["1"])
    assert scores["challenger"].equals(scores["2"])
    assert not scores["1"].equals(scores["2"])


@pytest.mark.parametrize("model", ["9", "chalenger"])
def test_a_model_that_is_not_there(model, finished, copy, cli, tmp_path):
    """Exit 2 names the model; no file is written."""
    root = copy(finished)
    out = tmp_path / "scored.parquet"
    done = cli(
        "score", "--input", root / "data/raw", "--output", out, "--model", model,
        "-w", root, "--json",
    )  # fmt: skip
    assert (done.code, done.document["error"]) == (2, "ModelMissing")
    assert model in done.document["message"]
    assert done.document["remedy"]
    assert not out.exists()


def test_an_input_that_is_not_there(finished, copy, cli, tmp_path):
    """Exit 2 names the option and the file, not the dataset of params.yaml."""
    root, out = copy(finished), tmp_path / "scored.parquet"
    done = cli("score", "--input", tmp_path / "nope.csv", "--output", out, "-w", root, "--json")
    assert (done.code, done.document["error"]) == (2, "SourceMissing")
    assert done.document["message"].startswith("--input ")
    assert "dataset.source" not in done.out


def test_rows_to_score_need_no_target_and_may_hold_new_categories(finished, copy, cli, tmp_path):
    """A file without target and key, its columns in another order, with a zone never seen."""
    root = copy(finished)
    path = root / "data/raw/rides-2024-01.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in reversed(list(rows[0])) if name not in ("cancelled", "ride_id")]
    with (tmp_path / "new.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows[:50], {**rows[50], "pickup_zone": "Atlantis"}])
    out = tmp_path / "scored.parquet"
    done = cli("score", "--input", tmp_path / "new.csv", "--output", out, "-w", root, "--json")
    assert done.code == 0, done.err
    assert done.document["rows"] == 51
    cli("score", "--input", path, "--output", tmp_path / "all.parquet", "-w", root)
    plain = predictions(tmp_path / "all.parquet")["score"][:50]
    assert np.allclose(predictions(out)["score"][:50], plain)
    assert 0 < predictions(out)["score"][50] < 1


def test_score_of_a_table_that_lacks_a_feature(finished, copy, cli, tmp_path):
    """Exit 3 names the columns; no file is written, nothing stays behind."""
    root = copy(finished)
    (tmp_path / "new.csv").write_text("ride_id,requested_at\n1,2024-01-01 00:00:00\n")
    out = tmp_path / "scored.parquet"
    done = cli("score", "--input", tmp_path / "new.csv", "--output", out, "-w", root, "--json")
    assert (done.code, done.document["error"]) == (3, "SchemaMismatch")
    assert "pickup_zone" in done.document["message"]
    assert not out.exists()
    assert not list(tmp_path.glob(".scored*"))


def test_score_reads_parquet_and_globs(finished, copy, cli, tmp_path):
    """The sources are those of the pipeline: here a glob of Parquet files."""
    root = copy(finished)
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    (tmp_path / "new").mkdir()
    parts = sorted((root / "data" / "validated").glob("*.parquet"))
    for part in parts:
        shutil.copy(part, tmp_path / "new")
    out = tmp_path / "scored.parquet"
    done = cli(
        "score", "--input", tmp_path / "new/*.parquet", "--output", out, "-w", root, "--json"
    )
    assert done.code == 0, done.err
    assert done.document["rows"] == sum(pq.read_metadata(part).num_rows for part in parts)
    assert Workspace.at(root).params.exists()
