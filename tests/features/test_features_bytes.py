"""The reducer's bytes: whatever the cut and the workers; saved, loaded, cloned, in skops."""

import itertools

import numpy as np
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import IntegrityError
from tidemill.features import fit_reducer, load_reducer, save_reducer
from tidemill.features.reducer import Reducer

PROJECTED = ReductionConfig(project="pca", components=5, indicator=True, impute="median")


def saved(reducer, folder):
    """The bytes of a saved reducer, by file name."""
    save_reducer(reducer, folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(make_shards, ride_table, tmp_path_factory):
    """The bytes of the reducer fitted on one shard of one block."""
    manifest, folder = make_shards([ride_table], block_rows=10_000)
    reducer, _ = fit_reducer(manifest, folder, PROJECTED, engine=LocalEngine())
    return saved(reducer, tmp_path_factory.mktemp("whole"))


@settings(max_examples=settings.default.max_examples * 3 // 20)
@given(
    cuts=st.sets(st.integers(1, 599), max_size=4),
    block_rows=st.integers(64, 600),
)
def test_the_cut_leaves_no_trace(
    make_shards, ride_table, whole, tmp_path_factory, cuts, block_rows
):
    """However rows are cut into shards and blocks, the saved bytes are the same."""
    ends = [0, *sorted(cuts), 600]
    tables = [ride_table[a:b] for a, b in itertools.pairwise(ends)]
    manifest, folder = make_shards(tables, block_rows=block_rows)
    reducer, _ = fit_reducer(manifest, folder, PROJECTED, engine=LocalEngine())
    assert saved(reducer, tmp_path_factory.mktemp("cut")) == whole


def test_workers_leave_no_trace(make_shards, ride_table, tmp_path):
    """Two processes leave the bytes that one leaves."""
    manifest, folder = make_shards([ride_table[:100], ride_table[100:350], ride_table[350:]])
    one, _ = fit_reducer(manifest, folder, PROJECTED, engine=LocalEngine())
    with LocalEngine(2) as engine:
        finished = []
        two, _ = fit_reducer(
            manifest, folder, PROJECTED, engine=engine, progress=lambda *step: finished.append(step)
        )
    assert saved(one, tmp_path / "one") == saved(two, tmp_path / "two")
    assert finished == [(1, 3), (2, 3), (3, 3)]


def reducers(make_shards, ride_table):
    """One reducer of each kind."""
    manifest, folder = make_shards([ride_table])
    kinds = (
        PROJECTED,
        ReductionConfig(encode="ordinal", impute="none", scale="none"),
        ReductionConfig(min_frequency=0.05, max_correlation=0.9),
    )
    return [fit_reducer(manifest, folder, kind, engine=LocalEngine())[0] for kind in kinds]


def test_saved_loaded_cloned_and_stored_reducers_do_the_same(make_shards, ride_table, tmp_path):
    """Files, clone and skops (trusting this class alone) give back the same map."""
    for number, reducer in enumerate(reducers(make_shards, ride_table)):
        expected = reducer.transform(ride_table)
        folder = tmp_path / str(number)
        save_reducer(reducer, folder)
        stored = skops.io.dumps(make_pipeline(reducer, FunctionTransformer()))
        assert skops.io.get_untrusted_types(data=stored) == ["tidemill.features.reducer.Reducer"]
        loaded = skops.io.loads(stored, trusted=["tidemill.features.reducer.Reducer"])
        for same in (load_reducer(folder), clone(reducer), loaded[0]):
            assert type(same) is Reducer
            np.testing.assert_array_equal(same.transform(ride_table), expected)
            assert same.get_feature_names_out().tolist() == reducer.get_feature_names_out().tolist()
        np.testing.assert_array_equal(loaded.transform(ride_table), expected)


def test_saving_over_a_projection_removes_its_arrays(make_shards, ride_table, tmp_path):
    """A folder never holds arrays of another reducer."""
    projected, plain, _ = reducers(make_shards, ride_table)
    save_reducer(projected, tmp_path)
    save_reducer(plain, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["reducer.json"]


@pytest.mark.parametrize("damage", ["components.npy", "reducer.json", "cut"])
def test_a_damaged_folder_is_refused(make_shards, ride_table, tmp_path, damage):
    """Missing or cut files are named, not guessed."""
    save_reducer(reducers(make_shards, ride_table)[0], tmp_path)
    if damage == "cut":
        path = tmp_path / "center.npy"
        path.write_bytes(path.read_bytes()[:-7])
    else:
        (tmp_path / damage).unlink()
    with pytest.raises(IntegrityError):
        load_reducer(tmp_path)
