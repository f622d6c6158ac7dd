"""A step of another package: CONTRIBUTING's recipe, through the suite and a whole run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tidemill.config import params_schema, read_params
from tidemill.errors import ConfigError, ModelUntrusted, UsageError
from tidemill.features import load_reducer
from tidemill.features.sequence import configured_steps
from tidemill.steps import STEPS
from tidemill.testing.packages import check_scores, recipe_files, run_installed, write_package
from tidemill.testing.shards import rides
from tidemill.testing.steps import StepContract
from tidemill.testing.workspaces import small_workspace
from tidemill.tracking import open_candidate

RECIPE = Path(__file__).parents[2] / "CONTRIBUTING.md"
SOURCE = "dataset: {source: a, target: y}\n"


@pytest.fixture(autouse=True)
def no_step_from_elsewhere(monkeypatch):
    """Each test begins with tidemill's own steps."""
    monkeypatch.setattr(STEPS, "_opened", {})


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The recipe's package as an installer leaves it."""
    files = recipe_files(RECIPE, "A step of the reducer")
    return write_package(tmp_path_factory.mktemp("site"), files)


@pytest.fixture
def installed(package, monkeypatch):
    """The package is on the path."""
    monkeypatch.syspath_prepend(str(package))
    return package


@pytest.fixture(scope="session")
def own_kernel(tmp_path_factory):
    """The package of the recipe that replaces imputing and scaling."""
    files = recipe_files(RECIPE, "Imputing, encoding and scaling of your own")
    return write_package(tmp_path_factory.mktemp("kernel"), files)


@pytest.fixture
def own_steps(own_kernel, monkeypatch):
    """That package is on the path."""
    monkeypatch.syspath_prepend(str(own_kernel))


@pytest.mark.usefixtures("installed")
class TestRecipe(StepContract):
    """It keeps the contract, found by its entry point."""

    step = "within_range"
    settings = {"margin": 0.5}  # noqa: RUF012


@pytest.mark.usefixtures("own_steps")
class TestFillBelow(StepContract):
    """An imputer of one's own."""

    step = "fill_below"

    def test_what_fills_lies_below_every_known_value(self):
        """Of each column, also where nine of ten values are missing."""
        table = rides(600)
        gap = pa.array(np.arange(600) % 10 > 0)
        for name in ("distance", "fare"):
            cells = pc.if_else(gap, None, table[name])
            table = table.set_column(table.column_names.index(name), name, cells)
        for scale in ("none", "standard"):
            reducer, _ = self.fit(table, impute="none", scale=scale, steps=())
            made, raw = reducer.transform(table), self.encoded(table).transform(table)
            missing = np.isnan(raw).T
            assert [column.mean() >= 0.9 for column in missing].count(True) >= 2
            for filled, column in zip(missing, made.T, strict=True):
                assert column[filled].max(initial=-np.inf) < column[~filled].min()


@pytest.mark.slow
@pytest.mark.usefixtures("own_steps")
class TestEvenPlaces(StepContract):
    """A scaling of one's own."""

    step = "even_places"


def test_it_is_a_setting_like_any_other(installed):
    """By name and by address; its settings are checked; the schema for editors has its name."""
    for name in ("within_range", "within_range:WithinRange"):
        steps = f"reduction: {{steps: [select, {{'{name}': {{margin: 1}}}}, project]}}"
        assert len(read_params(SOURCE + steps).reduction.steps) == 3
        with pytest.raises(ConfigError, match="did you mean 'margin'"):
            read_params(SOURCE + steps.replace("margin", "margins"))
        with pytest.raises(ConfigError, match="is -1, not a number of at least 0"):
            read_params(SOURCE + steps.replace("1", "-1"))
    assert "within_range" in json.dumps(params_schema()["$defs"]["ReductionConfig"])


OWN = "impute: none, scale: none, steps: [fill_below, even_places]"


@pytest.mark.usefixtures("own_steps")
def test_a_step_that_fills_makes_up_for_no_imputing():
    """For a learner, and for later steps, that need every value; not for earlier ones."""
    sgd = "training: {learner: sgd}\n"
    assert not read_params(f"{SOURCE}{sgd}reduction: {{{OWN}}}").reduction.leaves_missing
    swapped = OWN.replace("fill_below, even_places", "even_places, fill_below")
    reduction = read_params(f"{SOURCE}{sgd}reduction: {{{swapped}}}").reduction
    with pytest.raises(ConfigError, match="even_places needs values") as caught:
        configured_steps(reduction)
    assert "a step before it that fills them" in caught.value.remedy
    unfilled = OWN.replace("fill_below, even_places", "select")
    with pytest.raises(ConfigError, match=r"sgd needs every value.*fill what is missing"):
        read_params(f"{SOURCE}{sgd}reduction: {{{unfilled}}}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("[selec]", "did you mean 'select'"),
        ("[{select: {max_correlation: 0.5}}]", "set reduction.max_correlation"),
        ("[{select: {}, project: {}}]", "the name of a step"),
    ],
)
def test_a_wrong_sequence_is_refused(given, words):
    """By what is wrong with it, when params.yaml is read."""
    with pytest.raises(ConfigError, match=words):
        read_params(f"{SOURCE}reduction: {{steps: {given}}}")


def test_what_is_no_step_is_refused_by_what_it_lacks():
    """An address that leads to something else."""
    with pytest.raises(UsageError, match=r"is no step: it lacks settings.*restored"):
        read_params(f"{SOURCE}reduction: {{steps: ['json:dumps']}}")


def test_a_module_on_the_path_can_be_tried(tmp_path, monkeypatch):
    """By its address, without a package: there is no version that its models could name."""
    module = recipe_files(RECIPE, "A step of the reducer")["within_range.py"]
    (tmp_path / "within_range.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))

    class Contract(StepContract):
        step = "within_range:WithinRange"

    Contract().test_a_sealed_model_does_the_same(tmp_path / "out")
    named = (tmp_path / "out" / "model" / "requirements.txt").read_text()
    assert "within-range" not in named
    assert "tidemill==" in named


def test_settings_of_before_are_named_as_before():
    """A sequence that nobody stated is not part of what keys are made of."""
    default = read_params(SOURCE).reduction
    assert "steps" not in default.model_dump(mode="json")
    stated = read_params(f"{SOURCE}reduction: {{steps: [project]}}").reduction
    assert stated.model_dump(mode="json")["steps"] == ["project"]


@pytest.mark.slow
def test_it_goes_through_a_whole_run(package, tmp_path, monkeypatch):
    """Fitted, learnt from, judged, refitted, registered and asked for scores; its model is refused
    by name where the package is not installed.
    """
    root = small_workspace(tmp_path / "ws", rows=4000)
    steps = "reduction.steps=[select, {within_range: {margin: 0.1}}, project]"
    run_installed(package, root, "run", "--direct", "--set", steps)
    report = json.loads((root / "reports" / "reduction.json").read_text())
    assert [one["step"] for one in report["steps"]] == ["within_range"]
    assert report["steps"][0]["widest"] > 0
    model = root / "models" / "candidate" / "model"
    assert "within-range==1.0" in (model / "requirements.txt").read_text()
    check_scores(package, root)
    with pytest.raises(ModelUntrusted, match="within_range"):
        open_candidate(model)
    monkeypatch.syspath_prepend(str(package))
    assert open_candidate(model).pipeline[0].steps[0]["step"] == "within_range"


def leave_gaps(root):
    """Every eighth distance of the sample is missing."""
    path = next((root / "data" / "raw").iterdir())
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[::8, "distance_km"] = ""
    frame.to_csv(path, index=False)


@pytest.mark.slow
def test_every_part_of_the_kernel_can_be_left_to_steps(own_kernel, tmp_path, monkeypatch):
    """The recipe's imputing and scaling, with a learner that needs every value: through a run,
    and the scores of its registered model; what is missing lies below all else, from 0 to 1.
    """
    root = small_workspace(tmp_path / "ws", rows=4000)
    leave_gaps(root)
    given = ["training.learner=sgd", "training.params={}", "tuning.trials=0"]
    for line in ("impute=none", "scale=none", "steps=[fill_below, even_places]"):
        given.append(f"reduction.{line}")
    settings = [word for line in given for word in ("--set", line)]
    run_installed(own_kernel, root, "run", "--direct", *settings)
    report = json.loads((root / "reports" / "reduction.json").read_text())
    assert [one["step"] for one in report["steps"]] == ["fill_below", "even_places"]
    check_scores(own_kernel, root)
    monkeypatch.syspath_prepend(str(own_kernel))
    reducer = load_reducer(root / "models" / "reducer")
    parts = sorted((root / "data" / "validated").glob("*.parquet"))
    rows = pd.concat([pd.read_parquet(part) for part in parts])
    places = reducer.transform(rows[list(reducer.feature_names_in_)])
    assert 0.0 <= places.min() <= places.max() <= 1.0
    distance = list(reducer.get_feature_names_out()).index("distance_km")
    missing = rows["distance_km"].isna().to_numpy()
    assert missing.sum() > 100
    assert len(set(places[missing, distance])) == 1, "the place of what fills them"
    assert places[missing, distance].max() < np.quantile(places[~missing, distance], 0.1)
