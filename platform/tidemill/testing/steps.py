"""The contract of a reducer's step, as tests that a new one inherits.

::

    class TestMine(StepContract):
        step = "mine"

``tidemill.testing.bad_steps`` has, for each of them, a step that it fails.
"""

# ruff: noqa: S101
from __future__ import annotations

import copy
import functools
import itertools
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline

from tidemill.config import ReductionConfig, read_params
from tidemill.contracts import Step
from tidemill.engines import open_engine
from tidemill.errors import ConfigError
from tidemill.features import ReductionReport, fit_reducer, load_reducer, save_reducer
from tidemill.features.described import check_reducer
from tidemill.features.reducer import Reducer
from tidemill.settings import Settings
from tidemill.steps import STEPS
from tidemill.storage import StoreFolder
from tidemill.testing.shards import rides, write_shards
from tidemill.tracking import open_candidate, save_candidate

__all__ = ["StepContract"]

_CENTRING = "tidemill.testing.bad_steps:CentringStep"
_ROWS = 600


class StepContract:
    """What every step promises; ``step`` is its name, or its address ``module:Name``."""

    step: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {}
    reduction: ClassVar[dict[str, Any]] = {}

    @classmethod
    def kind(cls) -> type[Step]:
        """The step's class."""
        return STEPS[cls.step]

    @classmethod
    def fit(
        cls,
        table: pa.Table | None = None,
        *,
        cuts: tuple[int, ...] = (250,),
        steps: tuple[str, ...] = (_CENTRING,),
        after: tuple[str, ...] = (),
        **reduction: Any,
    ) -> tuple[Reducer, ReductionReport]:
        """A reducer with this step after ``steps``, fitted on shards of the table."""
        table = rides(_ROWS) if table is None else table
        bounds = [0, *cuts, table.num_rows]
        tables = [table[a:b] for a, b in itertools.pairwise(bounds)]
        own: Any = {cls.step: cls.settings} if cls.settings else cls.step
        config = ReductionConfig(**{**cls.reduction, **reduction, "steps": (*steps, own, *after)})
        with tempfile.TemporaryDirectory() as folder, open_engine(Settings(workers=1)) as engine:
            manifest = write_shards(Path(folder), tables)
            return fit_reducer(manifest, StoreFolder.at(Path(folder)), config, engine=engine)

    @classmethod
    @functools.cache
    def fitted(cls) -> tuple[Reducer, ReductionReport]:
        """A fit, made once for all tests of the class."""
        return cls.fit()

    @classmethod
    def own(cls) -> dict[str, Any]:
        """What a reducer stores of this step."""
        stored: dict[str, Any] = (cls.fitted()[0].steps or [])[-1]
        assert stored["step"] == cls.step
        return stored

    def test_equal_rows_leave_an_equal_state(self) -> None:
        """The same blocks leave the same; other cuts of the same rows but for the last digits."""
        first, again = self.own(), (self.fit()[0].steps or [])[-1]
        other = (self.fit(cuts=(70, 300, 301))[0].steps or [])[-1]
        for key in ("kept", "names"):
            assert first[key] == again[key] == other[key], key
        _assert_same(first["state"], again["state"], 0.0)
        _assert_same(first["state"], other["state"], 1e-6)

    def test_a_row_is_reduced_alone(self) -> None:
        """Whatever rows stand beside it, and in whatever order."""
        reducer, table = self.fitted()[0], rides(_ROWS)
        whole = reducer.transform(table)
        parts = [reducer.transform(table[a:b]) for a, b in ((0, 1), (1, 400), (400, _ROWS))]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-6)
        order = np.random.default_rng(0).permutation(_ROWS)
        shuffled = reducer.transform(table.take(pa.array(order)))
        np.testing.assert_allclose(shuffled, whole[order], rtol=1e-5, atol=1e-6)

    def test_what_comes_out_is_finite(self) -> None:
        """Of all that a row can hold: no value, and the largest numbers of either sign."""
        reducer, table = self.fitted()[0], rides(8).to_pandas()
        for column in ("distance", "fare"):
            table[column] = np.array([0, 1e30, -1e30, np.nan, np.inf, 1e-30, -1, 1], np.float32)
        assert np.isfinite(reducer.transform(table)).all()

    def test_says_the_truth_of_missing_values(self) -> None:
        """It takes them, and leaves other rows alone; or they are refused before it sees any."""
        if not self.kind().takes_missing:
            with pytest.raises(ConfigError) as caught:
                self.fit(impute="none", steps=())
            assert "reduction.impute" in caught.value.remedy
            return
        table = rides(_ROWS)
        reducer, _ = self.fit(table, impute="none", steps=())
        gaps = np.isnan(self.encoded(table).transform(table)).any(axis=1)
        assert gaps.any()
        assert np.isfinite(reducer.transform(table)[~gaps]).all()

    def test_fills_what_it_says_that_it_fills(self) -> None:
        """Whatever is missing, also where training had every value."""
        if not self.kind().fills_missing:
            pytest.skip("it does not say so")
        assert self.kind().takes_missing
        table = rides(_ROWS)
        nothing = pa.table({f.name: pa.nulls(3, f.type) for f in table.schema})
        reducer, _ = self.fit(table, impute="none", steps=())
        assert np.isnan(self.encoded(table).transform(nothing)).any()
        assert np.isfinite(reducer.transform(pa.concat_tables([table, nothing]))).all()

    @classmethod
    def encoded(cls, table: pa.Table) -> Reducer:
        """A reducer that keeps gaps, without any step."""
        with tempfile.TemporaryDirectory() as folder, open_engine(Settings(workers=1)) as engine:
            config = ReductionConfig(impute="none", steps=())
            manifest = write_shards(Path(folder), [table])
            return fit_reducer(manifest, StoreFolder.at(Path(folder)), config, engine=engine)[0]

    def test_its_columns_have_names(self) -> None:
        """One each, no two alike; what it leaves out has a reason."""
        reducer, report = self.fitted()
        names = reducer.get_feature_names_out().tolist()
        assert reducer.transform(rides(5)).shape == (5, len(names))
        assert names == list(report.names) == self.own()["names"]
        assert all(type(name) is str and name for name in names)
        assert len(set(names)) == len(names)
        assert all(type(reason) is str and reason for reason in report.dropped.values())

    def test_dropping_is_all_that_it_says(self) -> None:
        """A step that only drops leaves the others as they were, under their names."""
        if not self.kind().only_drops:
            pytest.skip("it does more")
        table = rides(_ROWS)
        step, names = self.kind().restored(self.own()["state"]), tuple(self.own()["names"])
        matrix = np.arange(4.0 * len(names)).reshape(4, -1)
        np.testing.assert_array_equal(step.transform(matrix.copy()), matrix)
        assert step.names(names) == names
        first, after = self.fit(table, steps=())[0], self.fitted()[0]
        assert first.steps is None, "what it drops is not encoded at all"
        assert set(first.encoded) >= set(after.get_feature_names_out())

    def test_a_sealed_model_does_the_same(self, tmp_path: Path) -> None:
        """In the workspace's files, and saved, sealed and loaded as a candidate is."""
        reducer, table = self.fitted()[0], rides(_ROWS)
        expected = reducer.transform(table)
        save_reducer(reducer, tmp_path)
        for name in (_CENTRING, self.step):
            STEPS.known(name)  # as reading params.yaml does
        np.testing.assert_array_equal(load_reducer(tmp_path).transform(table), expected)
        model = _pipeline(reducer, table)
        stored = skops.io.dumps(reducer)
        assert skops.io.get_untrusted_types(data=stored) == ["tidemill.features.reducer.Reducer"]
        example = table.to_pandas().head(3)[[str(name) for name in reducer.feature_names_in_]]
        digest = save_candidate(model, tmp_path / "model", example=example)
        loaded = open_candidate(tmp_path / "model").pipeline
        np.testing.assert_array_equal(loaded[0].transform(table), expected)
        assert save_candidate(loaded, tmp_path / "again", example=example) == digest

    def test_a_damaged_state_is_refused_or_answers(self) -> None:
        """Whichever stored array loses its last number: it is refused, or answers with numbers."""
        table = rides(50)
        for key, value in self.own()["state"].items():
            if isinstance(value, np.ndarray) and value.size:
                damaged = copy.deepcopy(self.fitted()[0])
                assert damaged.steps is not None
                damaged.steps[-1]["state"][key].flat[-1] = np.nan
                anew = Reducer(**damaged.get_params())
                try:
                    check_reducer(anew)
                except ValueError:
                    continue
                assert np.isfinite(anew.transform(table)).all(), key

    def test_explains_itself_in_json(self) -> None:
        """For reports/reduction.json."""
        report = self.fitted()[1]
        assert json.loads(json.dumps(report.to_json(), allow_nan=False)) == report.to_json()
        assert report.steps[-1]["step"] == self.step or self.step in ("select", "project")

    def test_its_settings_hold_together(self) -> None:
        """Defaults are allowed; a wrong name is refused by params.yaml with the nearest one."""
        kind = self.kind()
        assert set(kind.section) <= set(ReductionConfig.model_fields)
        assert all(one.takes(one.default) for one in kind.settings.values())
        for wrong in [f"{name}x" for name in (*kind.settings, *kind.section)]:
            given = f"reduction: {{steps: [{{'{self.step}': {{{wrong}: 1}}}}]}}"
            with pytest.raises(ConfigError, match=wrong[:-1]):
                read_params(f"dataset: {{source: a, target: y}}\n{given}")

    def test_a_fitted_step_travels(self) -> None:
        """It reaches the workers that later steps look at rows with."""
        step = self.kind().restored(self.own()["state"])
        sent = pickle.loads(pickle.dumps(step))  # noqa: S301  # made here
        _assert_same(dict(step.state()), dict(sent.state()), 0.0)

    def test_later_steps_see_what_a_model_does(self) -> None:
        """What is fitted does the same as what is stored of it."""
        unscaled: dict[str, Any] = {"steps": (), "scale": "none"}
        later = (self.fit(after=(_CENTRING,), **unscaled)[0].steps or [])[-1]
        made = self.fit(**unscaled)[0].transform(rides(_ROWS))
        np.testing.assert_allclose(
            later["state"]["off"], made.mean(axis=0, dtype=np.float64), rtol=1e-4, atol=1e-2
        )

    def test_its_state_does_not_grow_with_rows(self) -> None:
        """Four times the rows need no more memory."""
        more = (self.fit(rides(4 * _ROWS))[0].steps or [])[-1]
        assert _numbers(more["state"]) <= 1.2 * _numbers(self.own()["state"]) + 20


def _pipeline(reducer: Reducer, table: pa.Table) -> Pipeline:
    """The reducer before a learner."""
    labels = np.where(np.arange(table.num_rows) % 2, "yes", "no")
    learner = SGDClassifier(loss="log_loss", random_state=0)
    return Pipeline(
        [("reducer", reducer), ("learner", learner.fit(reducer.transform(table), labels))]
    )


def _assert_same(one: Any, other: Any, tolerance: float) -> None:
    if isinstance(one, np.ndarray):
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            _assert_same(value, other[key], tolerance)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=tolerance, abs=tolerance)
    else:
        assert type(one) is type(other)
        assert one == other


def _numbers(value: Any) -> int:
    """How many values a state holds."""
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, dict | list):
        return sum(_numbers(one) for one in (value.values() if isinstance(value, dict) else value))
    return 1
