"""Columns with many categories, encoded by the target: no leak, whatever holds the rows."""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.features import fit_reducer, load_fitted_rows, load_reducer, save_reducer
from tidemill.features.category_sums import CategorySums, bucket_codes, n_buckets
from tidemill.features.described import check_reducer
from tidemill.features.row_folds import RowFolds, all_of, earlier, others
from tidemill.profiling import CategoryProfile, Profile
from tidemill.schema import Task
from tidemill.storage import read_blocks

ROWS, MANY, FEWER = 6000, 400, 120
TARGET = ReductionConfig(high_cardinality="target", scale="none", impute="none")


def table_of(y, *, names=None, seed=0):
    """Ids drawn at random, some missing; a number beside them."""
    rng = np.random.default_rng(seed)
    rows = len(y)
    ids = rng.integers(0, MANY, rows) if names is None else names
    labels = pa.array([f"id{one}" for one in ids], mask=rng.random(rows) < 0.02)
    return pa.table(
        {
            "who": labels.dictionary_encode(),
            "x": pa.array(rng.normal(size=rows).astype(np.float32)),
            "at": pa.array(np.arange(rows) * 1_000_000).cast(pa.timestamp("us")),
            "y": pa.array(np.asarray(y, np.float64)),
        }
    )


def told(rows=ROWS, *, periods=1, seed=0):
    """A table in which ids raise or lower the target, anew in each period, and what they do."""
    rng = np.random.default_rng(seed)
    many = MANY if periods == 1 else FEWER
    ids = rng.integers(0, many, rows)
    effect = rng.normal(size=(periods, many))[np.arange(rows) * periods // rows, ids]
    return table_of(effect + rng.normal(size=rows), names=ids, seed=seed), effect


def fit(shards, config=TARGET, engine=None):
    """The reducer and its report."""
    return fit_reducer(*shards, config, engine=engine or LocalEngine())


def training_matrix(reducer, shards):
    """The training rows as a learner meets them; (rows, n_out)."""
    manifest, folder = shards
    found = []
    for shard in manifest.shards:
        first = 0
        for table in read_blocks(folder.verified(shard.file)):
            found.append(reducer.fitted_rows.transform(table, shard.file, first))
            first += table.num_rows
    return np.concatenate(found)


def column(reducer, matrix, name):
    """One output column."""
    return matrix[:, reducer.get_feature_names_out().tolist().index(name)]


def in_time(shards):
    """The same shards of a table whose test rows are later ones."""
    manifest, folder = shards
    return dataclasses.replace(manifest, holdout={"by": "time"}), folder


def correlation(a, b):
    """Pearson's."""
    return float(np.corrcoef(a, b)[0, 1])


@pytest.fixture(scope="module")
def shards(make_shards):
    """Three shards of rows whose ids matter."""
    table, _ = told()
    return make_shards([table[:2500], table[2500:4000], table[4000:]], block_rows=700, time="at")


@pytest.mark.parametrize("order", ["any", "time"])
def test_a_random_target_does_not_leak(make_shards, order):
    """No training row knows what it has said: by the column no better than chance, which auto sees.

    Told by all rows, its own among them, each would know (the last lines show it).
    """
    y = np.random.default_rng(5).integers(0, 2, ROWS).astype(float)
    table = table_of(y)
    shards = make_shards([table[:3000], table[3000:]], time="at")
    shards = in_time(shards) if order == "time" else shards
    reducer, report = fit(shards)
    mean = column(reducer, training_matrix(reducer, shards), "who.mean")
    assert 0.45 < roc_auc_score(y, mean) < 0.53
    flattered = column(reducer, reducer.transform(table), "who.mean")
    assert roc_auc_score(y, flattered) > 0.54
    assert report.high_cardinality[0]["score"] < 3.0
    plain, chosen = fit(shards, TARGET.model_copy(update={"high_cardinality": "auto"}))
    assert [one["encoded"] for one in chosen.high_cardinality] == [False]
    assert "as chance may" in chosen.high_cardinality[0]["why"]
    assert plain.fitted_rows is None
    assert "who.mean" not in chosen.names


@pytest.mark.parametrize("order", ["any", "time"])
def test_ids_that_matter_are_told(shards, order):
    """Rows that are not in the statistics, training rows among them, learn what their id does."""
    shards = in_time(shards) if order == "time" else shards
    reducer, report = fit(shards, ReductionConfig(scale="none", impute="none"))
    (said,) = report.high_cardinality
    assert said["encoded"]
    assert said["explained"] > 0.3
    anew, effect = told(seed=0)
    taught = training_matrix(reducer, shards)
    for matrix, least in ((reducer.transform(anew), 0.9), (taught, 0.7)):
        assert correlation(column(reducer, matrix, "who.mean"), effect) > least


@pytest.mark.parametrize(("order", "periods"), [("any", 1), ("time", 1), ("time", 4)])
def test_what_a_row_is_told_is_what_others_said(make_shards, order, periods):
    """By hand: all other folds; where ids change in time earlier ones, weighed by their age."""
    table, _ = told(3000, periods=periods)
    y = table["y"].to_numpy()
    prior = y.mean()
    shards = make_shards([table], block_rows=5000, time="at")
    shards = in_time(shards) if order == "time" else shards
    reducer, report = fit(shards)
    (said,) = report.high_cardinality
    assert (said["memory"] < 1.0) == (periods > 1) == ("change in time" in said["why"])
    who = bucket_codes(table["who"], said["buckets"])
    folds = reducer.fitted_rows.folds.assign(table, shards[0].shards[0].file, 0)
    matrix = training_matrix(reducer, shards)
    for row in range(0, 3000, 197):
        ago = folds[row] - folds
        weights = (folds != folds[row]).astype(float)
        if periods > 1:
            weights = np.where(ago > 0, said["memory"] ** np.maximum(ago - 1, 0), 0.0)
        weights = weights * (who == who[row])
        total = weights.sum()
        mean = prior + (weights @ (y - prior)) / (total + said["smoothing"])
        found = column(reducer, matrix, "who.mean")[row]
        np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-6)
        if periods > 1:
            found = column(reducer, matrix, "who.count")[row]
            np.testing.assert_allclose(found, np.log1p(total), rtol=1e-5)
        assert ("who.count" in report.names) == (periods > 1)


def test_an_earlier_stretch_knows_nothing_of_a_later_one():
    """The first knows nothing, and no later sum changes what an earlier one knows."""
    sums = np.random.default_rng(2).integers(1, 9, (4, 3, 2)).astype(float)
    known = earlier(sums, 0.5)
    assert not known[0].any()
    np.testing.assert_array_equal(known[3], sums[2] + 0.5 * sums[1] + 0.25 * sums[0])
    np.testing.assert_array_equal(all_of(sums, 0.5), sums[3] + 0.5 * known[3])
    sums[2:] += 7
    np.testing.assert_array_equal(earlier(sums, 0.5)[:3], known[:3])
    np.testing.assert_array_equal(others(sums)[1], sums[0] + sums[2] + sums[3])


def test_the_cut_and_workers_leave_no_trace(make_shards, tmp_path):
    """In time order all bytes are the same however rows are cut, and with two processes."""
    table, _ = told(3000)
    table = table.set_column(3, "y", pa.array(np.round(table["y"].to_numpy() * 8)))
    written = []
    for cuts, block_rows, workers in (([], 100, 1), ([100, 2100], 1000, 2)):
        tables = [table[a:b] for a, b in itertools.pairwise([0, *cuts, 3000])]
        shards = in_time(make_shards(tables, block_rows=block_rows, time="at"))
        with LocalEngine(workers) as engine:
            save_reducer(fit(shards, engine=engine)[0], tmp_path / str(workers))
        files = sorted((tmp_path / str(workers)).iterdir())
        written.append({path.name: path.read_bytes() for path in files})
    assert "fitted_rows0.values.npy" in written[0]
    assert written[1] == written[0]


def test_stored_reducers_do_the_same_and_a_model_holds_no_folds(shards, tmp_path):
    """Files, clone and skops; what training rows are told stands in files of their own."""
    reducer, _ = fit(shards)
    rows = told(500, seed=9)[0]
    expected = reducer.transform(rows)
    save_reducer(reducer, tmp_path)
    stored = skops.io.dumps(reducer)
    assert skops.io.get_untrusted_types(data=stored) == ["tidemill.features.reducer.Reducer"]
    loaded = skops.io.loads(stored, trusted=["tidemill.features.reducer.Reducer"])
    for same in (load_reducer(tmp_path), clone(reducer), loaded):
        np.testing.assert_array_equal(same.transform(rows), expected)
        assert same.fitted_rows is None
        assert check_reducer(same) == len(reducer.encoded)
    assert b"fitted_rows" not in stored
    again = load_fitted_rows(tmp_path)
    np.testing.assert_array_equal(again.folded["who"], reducer.fitted_rows.folded["who"])
    assert again.folds == reducer.fitted_rows.folds
    save_reducer(load_reducer(tmp_path), tmp_path)
    assert load_fitted_rows(tmp_path) is None
    assert not list(tmp_path.glob("fitted_rows*"))


@pytest.mark.parametrize(
    "change",
    [
        {"values": np.zeros((7, 1), np.float32)},
        {"values": np.full((5, 1), np.inf, np.float32), "buckets": 4},
        {"values": np.zeros((6, 1), np.float64), "buckets": 5},
        {"values": [[0.0, 0.0]]},
        {"buckets": -1},
        {"buckets": 2.0},
        {"slots": [0, 1]},
    ],
)
def test_a_forged_table_is_refused(shards, change):
    """Of another size or type than its buckets; not finite."""
    reducer = load_free(fit(shards)[0])
    feature = next(f for f in reducer.features if f["kind"] == "target")
    feature |= change
    with pytest.raises(ValueError, match="do not fit"):
        check_reducer(reducer)


def load_free(reducer):
    """A copy whose description may be changed."""
    features = [dict(feature) for feature in reducer.features]
    return type(reducer)(**{**reducer.get_params(deep=False), "features": features})


def test_unknown_missing_and_other_spellings(make_shards):
    """A new label is told of nobody; a missing one is a category; 3.0 and True are 3 and true."""
    table, _ = told()
    reducer, report = fit(make_shards([table]))
    (said,) = report.high_cardinality

    def mean(labels):
        rows = {"who": labels, "x": [0.0] * len(labels), "at": [None] * len(labels)}
        matrix = reducer.transform(rows)
        return column(reducer, matrix, "who.mean").tolist()

    y = table["y"].to_numpy()
    means = mean([None, "id1", "nobody"])
    gaps = table["who"].is_null().to_numpy()
    rows = gaps.sum()
    drawn = y.mean() + rows * (y[gaps].mean() - y.mean()) / (rows + said["smoothing"])
    assert means[0] == pytest.approx(drawn, rel=1e-5)
    assert means[2] == pytest.approx(y.mean(), rel=1e-5)
    assert means[1] != means[2]
    one, other = pa.array(["3", "true", "03"]), pa.array(["3.0", "True", "3"])
    codes = [bucket_codes(texts.dictionary_encode(), 1024) for texts in (one, other)]
    assert codes[0][:2].tolist() == codes[1][:2].tolist()
    assert codes[0][2] != codes[1][2]


def test_ids_that_name_rows_are_left_out_and_few_categories_stay_as_they_were(make_shards):
    """Nothing is read for them; the report says why."""
    rows = 3000
    table = table_of(np.arange(rows) % 7, names=np.arange(rows))
    reducer, report = fit(make_shards([table]))
    assert [one["why"] for one in report.high_cardinality] == ["nearly every row has its own"]
    assert not [name for name in report.names if name.startswith("who.")]
    assert reducer.fitted_rows is None
    few = table_of(np.arange(rows) % 7, names=np.arange(rows) % 90)
    shards = make_shards([few])
    same = [
        fit(shards, TARGET.model_copy(update={"high_cardinality": one}))[1].to_json()
        for one in ("target", "rare", "auto")
    ]
    assert same[0] == same[1] == same[2]
    assert "high_cardinality" not in same[0]


def test_kept_categories_stay_beside_the_target(make_shards):
    """Those that are frequent keep their columns; names of both say which is which."""
    rng = np.random.default_rng(3)
    ids = np.where(rng.random(ROWS) < 0.6, rng.integers(0, 5, ROWS), rng.integers(5, MANY, ROWS))
    table = table_of((ids % 3) + rng.normal(size=ROWS), names=ids)
    shards = make_shards([table])
    config = ReductionConfig(encode="ordinal", min_frequency=0.02)
    reducer, report = fit(shards, config)
    assert {"who", "who.mean"} <= set(report.names)
    assert report.rare_categories["who"] == pytest.approx(MANY - 5, abs=3)
    assert reducer.feature_names_in_.tolist() == ["who", "x", "at"]
    assert report.features_in == report.features_used == 3
    matrix = reducer.transform(table).astype(float)
    np.testing.assert_allclose(matrix.std(axis=0)[: len(report.names)], 1.0, atol=1e-3)


def test_classes_have_a_mean_each(make_shards):
    """Of three classes the share of each; of two that of the second."""
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 300, ROWS)
    for task, classes in ((Task.MULTICLASS, ("0", "1", "2")), (Task.BINARY, ("0", "1"))):
        y = np.where(
            rng.random(ROWS) < 0.7, ids % len(classes), rng.integers(0, len(classes), ROWS)
        )
        shards = with_classes(make_shards, table_of(y.astype(int), names=ids), task, classes)
        reducer, report = fit(shards)
        means = [name for name in report.names if name.startswith("who.mean")]
        matrix = training_matrix(reducer, shards)
        found = np.stack([column(reducer, matrix, name) for name in means], axis=1)
        if task is Task.BINARY:
            assert means == ["who.mean"]
            assert roc_auc_score(y, found[:, 0]) > 0.75
        else:
            assert means == [f"who.mean={name}" for name in classes]
            assert (found.argmax(axis=1) == y).mean() > 0.7
            np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)


def with_classes(make_shards, table, task, classes):
    """The table as shards, with a target of classes."""
    labels = pa.array(table["y"].to_numpy().astype(int).astype(str)).dictionary_encode()
    table = table.set_column(3, "y", labels)
    manifest, folder = make_shards([table[:2000], table[2000:]])
    schema = dataclasses.replace(manifest.schema, task=task, classes=classes)
    return dataclasses.replace(manifest, schema=schema), folder


def test_sums_merge_exactly_and_are_bounded():
    """In any order; never more than 64 MiB a column, and 256 MiB."""
    rng = np.random.default_rng(1)
    parts = [CategorySums({"who": rng.integers(0, 99, (5, 9, 2)).astype(float)}) for _ in range(3)]
    a, b, c = parts
    for one, other in (
        (a.merge(b), b.merge(a)),
        (a.merge(b).merge(c), a.merge(b.merge(c))),
    ):
        np.testing.assert_array_equal(one.columns["who"], other.columns["who"])
    endless = CategoryProfile.of({str(n): 1 for n in range(10_500)}, rows=10_500, limit=100)
    wide = dataclasses.replace(endless, threshold=2**44)
    for cells, columns in ((16 * 2, 1), (5 * 2, 3), (5 * 9, 1), (16 * 9, 700)):
        size = n_buckets(wide, cells, columns)
        assert size & (size - 1) == 0
        assert cells * (size + 1) * 8 <= min(2**26, 2**28 / columns)


def test_folds_are_of_the_row(make_shards):
    """By key whatever the place; by place where there is none; all folds about equally many."""
    table, _ = told(2000)
    manifest, _ = make_shards([table], time="at")
    file = manifest.shards[0].file
    by_place = RowFolds(5).assign(table, file, 0)
    assert np.bincount(by_place, minlength=5).min() > 300
    np.testing.assert_array_equal(by_place[100:], RowFolds(5).assign(table[100:], file, 100))
    keyed = RowFolds(5, key="x")
    np.testing.assert_array_equal(
        keyed.assign(table, file, 0)[::-1],
        keyed.assign(table.take(list(range(1999, -1, -1))), file, 7),
    )
    profile = Profile.of(table, manifest.schema)
    in_order = RowFolds.of(dataclasses.replace(manifest, holdout={"by": "time"}), profile)
    stretches = in_order.assign(table, file, 0)
    assert np.all(np.diff(stretches) >= 0)
    assert np.bincount(stretches).min() > 0.5 * len(table) / in_order.count
