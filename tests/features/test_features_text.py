"""Free text, scored by its words: no leak, as good as the usual pipeline in memory, bounded."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import skops.io
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.features import (
    fit_reducer,
    load_fitted_rows,
    load_reducer,
    save_reducer,
    text_samples,
    text_terms,
    training_profile,
)
from tidemill.features.described import check_reducer
from tidemill.features.row_folds import RowFolds
from tidemill.features.text_samples import TextSample, sample_texts
from tidemill.features.text_terms import LONGEST_TEXT, count_terms
from tidemill.schema import Task
from tidemill.storage import read_blocks

ROWS = 3000
PLAIN = ReductionConfig(scale="none", impute="none")


def table_of(rows=ROWS, seed=0, *, told=True):
    """Texts of words by Zipf's law, of which some say something of the number ``y``."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array(
        [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrstvz"]
    )
    weights = 1 / (np.arange(len(vocabulary)) + 3.0)
    meaning = np.random.default_rng(99).normal(size=len(vocabulary))
    lengths = rng.poisson(14, rows) + 1
    words = rng.choice(len(vocabulary), lengths.sum(), p=weights / weights.sum())
    of_word = np.repeat(np.arange(rows), lengths)
    y = np.bincount(of_word, meaning[words], rows) / np.sqrt(lengths) + rng.normal(0, 0.5, rows)
    texts = [" ".join(each) for each in np.split(vocabulary[words], np.cumsum(lengths)[:-1])]
    return pa.table(
        {
            "note": pa.array(texts, mask=rng.random(rows) < 0.02),
            "x": pa.array(rng.normal(size=rows).astype(np.float32)),
            "at": pa.array(np.arange(rows) * 1_000_000).cast(pa.timestamp("us")),
            "y": pa.array(y if told else rng.integers(0, 2, rows).astype(float)),
        }
    )


def fit(shards, config=PLAIN, engine=None):
    """The reducer and its report."""
    return fit_reducer(*shards, config, engine=engine or LocalEngine())


def in_time(shards):
    """The same shards of a table whose test rows are later ones."""
    manifest, folder = shards
    return dataclasses.replace(manifest, holdout={"by": "time"}), folder


def with_classes(shards, task, classes):
    """The shards of a target of classes."""
    manifest, folder = shards
    columns = tuple(
        dataclasses.replace(c, type="categorical", physical="dictionary", edges=())
        if c.name == "y"
        else c
        for c in manifest.schema.columns
    )
    schema = dataclasses.replace(manifest.schema, columns=columns, task=task, classes=classes)
    return dataclasses.replace(manifest, schema=schema), folder


def classed(table, cuts):
    """The table with the number cut to classes."""
    names = np.digitize(table["y"].to_numpy(), cuts).astype(str)
    return table.set_column(3, "y", pa.array(names).dictionary_encode())


def training_scores(reducer, shards, name="note.score"):
    """What the training rows are told, and their targets."""
    manifest, folder = shards
    at, found, targets = reducer.get_feature_names_out().tolist().index(name), [], []
    for shard in manifest.shards:
        first = 0
        for table in read_blocks(folder.verified(shard.file)):
            found.append(reducer.fitted_rows.transform(table, shard.file, first)[:, at])
            targets.append(table["y"].to_numpy())
            first += table.num_rows
    return np.concatenate(found), np.concatenate(targets)


def scores(reducer, table, name="note.score"):
    """What other rows are told."""
    at = reducer.get_feature_names_out().tolist().index(name)
    return reducer.transform(table)[:, at]


@pytest.fixture(scope="module")
def shards(make_shards):
    """Three shards whose texts tell."""
    table = table_of()
    return make_shards([table[:1200], table[1200:2000], table[2000:]], block_rows=300, time="at")


@pytest.mark.parametrize("order", ["any", "time"])
def test_a_random_target_does_not_leak(make_shards, order):
    """No training row is told by a model that has learnt it; auto sees that nothing is told.

    Told by all models each would be (the middle lines show it).
    """
    table = table_of(told=False)
    shards = make_shards([table[:1000], table[1000:]], time="at")
    shards = in_time(shards) if order == "time" else shards
    reducer, report = fit(shards, PLAIN.model_copy(update={"text": "target"}))
    told, y = training_scores(reducer, shards)
    assert 0.45 < roc_auc_score(y, told) < 0.55
    assert roc_auc_score(table["y"].to_numpy(), scores(reducer, table)) > 0.7
    assert report.free_text[0]["score"] < 3.0
    plain, chosen = fit(shards)
    assert "as chance may" in chosen.free_text[0]["why"]
    assert chosen.dropped["note"] == chosen.free_text[0]["why"]
    assert plain.fitted_rows is None


def test_as_good_as_the_usual_pipeline_for_each_task(make_shards):
    """TF-IDF with a linear model of scikit-learn, in memory, on the same rows and test rows."""
    table, test = table_of(), table_of(2000, seed=7)
    texts, others = ([text or "" for text in t["note"].to_pylist()] for t in (table, test))
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit(texts)
    seen, unseen = vectors.transform(texts), vectors.transform(others)
    y, truth = table["y"].to_numpy(), test["y"].to_numpy()

    peer = np.corrcoef(Ridge().fit(seen, y).predict(unseen), truth)[0, 1]
    reducer, _ = fit(make_shards([table]))
    assert np.corrcoef(scores(reducer, test), truth)[0, 1] > peer - 0.005

    peer = LogisticRegression(max_iter=500).fit(seen, y > 0).decision_function(unseen)
    reducer, _ = fit(with_classes(make_shards([classed(table, [0])]), Task.BINARY, ("0", "1")))
    assert roc_auc_score(truth > 0, scores(reducer, test)) > roc_auc_score(truth > 0, peer) - 0.005

    labels, true = (np.digitize(each, [-1, 1]) for each in (y, truth))
    peer = LogisticRegression(max_iter=500).fit(seen, labels).decision_function(unseen)
    shards = make_shards([classed(table, [-1, 1])])
    reducer, report = fit(with_classes(shards, Task.MULTICLASS, ("0", "1", "2")))
    assert [n for n in report.names if "note" in n] == [f"note.score={c}" for c in "012"]
    for at, name in enumerate("012"):
        ours = roc_auc_score(true == at, scores(reducer, test, f"note.score={name}"))
        assert ours > roc_auc_score(true == at, peer[:, at]) - 0.01


@pytest.mark.parametrize("order", ["any", "time"])
def test_training_rows_are_told_as_well_as_new_ones(shards, order):
    """Nearly: each by four fifths of the rows; neither much worse nor flattered."""
    shards = in_time(shards) if order == "time" else shards
    reducer, report = fit(shards)
    told, y = training_scores(reducer, shards)
    test = table_of(2000, seed=7)
    anew = np.corrcoef(scores(reducer, test), test["y"].to_numpy())[0, 1]
    assert abs(np.corrcoef(told, y)[0, 1] - anew) < 0.04
    (said,) = report.free_text
    assert said["explained"] == pytest.approx(np.corrcoef(told, y)[0, 1] ** 2, abs=1e-4)
    assert said["rows"] == ROWS


def test_the_cut_and_workers_leave_no_trace(make_shards, tmp_path):
    """In time order all bytes are the same however rows are cut, and with two processes."""
    table = table_of(1500)
    written = []
    for cuts, block_rows, workers in (([], 100, 1), ([100, 1100], 1000, 2)):
        tables = [table[a:b] for a, b in itertools.pairwise([0, *cuts, 1500])]
        shards = in_time(make_shards(tables, block_rows=block_rows, time="at"))
        with LocalEngine(workers) as engine:
            save_reducer(fit(shards, engine=engine)[0], tmp_path / str(workers))
        files = sorted((tmp_path / str(workers)).iterdir())
        written.append({path.name: path.read_bytes() for path in files})
    assert "fitted_rows0.values.npy" in written[0]
    assert written[1] == written[0]


def test_stored_reducers_do_the_same_and_a_model_holds_no_folds(shards, tmp_path):
    """Files, clone and skops; a pandas frame, a dict and a table of the same texts are one."""
    reducer, _ = fit(shards, ReductionConfig())
    rows = table_of(300, seed=9)
    expected = reducer.transform(rows)
    save_reducer(reducer, tmp_path)
    stored = skops.io.dumps(reducer)
    assert skops.io.get_untrusted_types(data=stored) == ["tidemill.features.reducer.Reducer"]
    loaded = skops.io.loads(stored, trusted=["tidemill.features.reducer.Reducer"])
    for same in (load_reducer(tmp_path), clone(reducer), loaded):
        np.testing.assert_array_equal(same.transform(rows), expected)
        assert same.fitted_rows is None
        assert check_reducer(same) == len(reducer.encoded)
    again = load_fitted_rows(tmp_path)
    np.testing.assert_array_equal(again.folded["note"], reducer.fitted_rows.folded["note"])
    for frame in (rows.to_pandas(), {n: rows[n].to_pylist() for n in rows.column_names}):
        np.testing.assert_array_equal(reducer.transform(frame), expected)
    few = pd.DataFrame({"note": [None, "", " -- "], "x": 0.0, "at": pd.NaT})
    assert len(set(reducer.transform(few)[:, 0].tolist())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"values": np.zeros((3, 1), np.float32)},
        {"terms": np.array([3, 2, 1], np.int32), "rarity": np.ones(3, np.float32)},
        {"terms": np.array([1, 2, 3], np.int64), "rarity": np.ones(3, np.float32)},
        {"terms": np.array([-1, 2, 3], np.int32), "rarity": np.ones(3, np.float32)},
        {"terms": np.array([1, 2, 3], np.int32), "rarity": np.ones(2, np.float32)},
        {"terms": np.array([1, 2, 3], np.int32), "rarity": np.array([1, np.inf, 1], np.float32)},
        {"terms": [1, 2, 3]},
    ],
)
def test_forged_terms_are_refused(shards, change):
    """Out of order, of another type or size, not finite."""
    reducer = clone(fit(shards)[0])
    feature = next(f for f in reducer.features if f["kind"] == "text")
    sound = {"terms": np.array([1, 2, 3], np.int32), "rarity": np.ones(3, np.float32)}
    feature |= {**sound, "values": np.zeros((4, 1), np.float32)}
    check_reducer(reducer)
    feature |= change
    with pytest.raises(ValueError, match="do not fit"):
        check_reducer(reducer)


def sample_of(seed, most):
    """A sample of fifty texts."""
    table = table_of(50, seed=seed)
    hashes = np.random.default_rng(seed).integers(0, 2**63, 50).astype(np.uint64)
    y = table["y"].to_numpy()[:, None]
    found = TextSample(most, hashes, np.arange(50) % 5, y, count_terms(table["note"]))
    return TextSample.empty(most, 1).merge(found)


@pytest.mark.parametrize("most", [10**6, 1000, 300])
def test_samples_merge_exactly_and_are_bounded(most):
    """In any order and grouping; what does not fit is left out by its hash alone."""
    a, b, c = (sample_of(seed, most) for seed in range(3))
    first = a.merge(b).merge(c)
    for other in (b.merge(a).merge(c), c.merge(b.merge(a)), a.merge(c.merge(b))):
        np.testing.assert_array_equal(other.hashes, first.hashes)
        np.testing.assert_array_equal(other.targets, first.targets)
        assert (other.counts != first.counts).nnz == 0
        assert other.bound == first.bound
    assert first.counts.nnz <= most
    assert (len(first.hashes) == 150) == (most == 10**6)


def test_more_texts_than_fit_are_a_sample_and_all_rows_are_told(shards, monkeypatch):
    """Memory does not grow with rows: the report says how many were learnt; others are told too."""
    monkeypatch.setattr(text_samples, "_CELLS", 20_000)
    reducer, report = fit(shards)
    (said,) = report.free_text
    assert 500 < said["rows"] < 1000
    told, y = training_scores(reducer, shards)
    assert len(told) == ROWS
    assert np.corrcoef(told, y)[0, 1] > 0.5


@pytest.mark.parametrize("order", ["place", "time"])
def test_a_sample_is_drawn_without_regard_to_text_and_target(make_shards, monkeypatch, order):
    """Rows without a text are in it as in the table, of each class; the same by two workers."""
    table = table_of(4000)
    missing = np.random.default_rng(3).random(4000) < 0.3
    notes = pa.array(table["note"].to_pylist(), mask=missing)
    table = table.set_column(0, "note", notes)
    parts = [classed(each, [0]) for each in (table[:2500], table[2500:])]

    shards = with_classes(make_shards(parts, time="at"), Task.BINARY, ("0", "1"))
    manifest, folder = in_time(shards) if order == "time" else shards
    monkeypatch.setattr(text_samples, "_CELLS", 20_000)
    drawn = []
    for workers in (1, 2):
        with LocalEngine(workers) as engine:
            folds = RowFolds.of(manifest, training_profile(manifest, folder))
            found = sample_texts(manifest, folder, ("note",), ("1",), folds, engine=engine)
        drawn.append(found["note"])
    np.testing.assert_array_equal(drawn[1].hashes, drawn[0].hashes)
    one = drawn[0]
    assert 500 < len(one.hashes) < 1500
    silent = one.counts[:, count_terms(pa.array([""])).indices[0]].toarray().ravel() > 0
    for label in (0, 1):
        its = one.targets[:, 0] == label
        assert 0.24 < silent[its].mean() < 0.38
    assert np.bincount(one.folds * 5 // folds.count).min() / len(one.hashes) > 0.15


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_models_that_learnt_nothing_are_not_averaged(make_shards, scale):
    """All rows of one class in one stretch of time: its rows are told a constant, no zeros."""
    table = table_of(2000)
    early = np.arange(2000) < 1700  # no row of class 1 but in the last stretches
    y = np.where(early, -1.0, table["y"].to_numpy())
    table = classed(table.set_column(3, "y", pa.array(y)), [0])
    shards = in_time(with_classes(make_shards([table], time="at"), Task.BINARY, ("0", "1")))
    config = PLAIN.model_copy(update={"text": "target", "scale": scale})
    reducer, _ = fit(shards, config)
    feature = next(f for f in reducer.features if f["kind"] == "text")
    models = reducer.fitted_rows.folded["note"].reshape(5, -1)
    learnt = models[:, :-1].any(axis=1)
    assert 0 < learnt.sum() < 5
    np.testing.assert_allclose(feature["values"][:, 0], models[learnt].mean(axis=0), atol=1e-5)
    told = scores(reducer, table)
    np.testing.assert_allclose(models[~learnt, -1], told.mean(), atol=1e-3)


def test_long_texts_are_counted_some_at_a_time(monkeypatch):
    """By their bytes, whatever the chunks; the counts are those of each text by itself."""
    texts = [*table_of(300)["note"].to_pylist(), "", None, "long " * 500]
    read, plain = [], text_terms._words
    monkeypatch.setattr(text_terms, "_BYTES", 2000, raising=False)

    def words(some):
        read.append(len("".join(filter(None, some.to_pylist()))))
        return plain(some)

    monkeypatch.setattr(text_terms, "_words", words)
    single = [count_terms(pa.array([each], pa.string())) for each in texts]
    for some in (pa.array(texts), pa.chunked_array([texts[:100], texts[100:]])):
        read.clear()
        found = count_terms(some)
        assert len(read) > 5
        assert max(read) < 2000 + 2500
        assert found.shape[0] == len(texts)
        assert (found != scipy.sparse.vstack(single, format="csr")).nnz == 0
        assert found.has_canonical_format


def test_terms_of_any_script_and_length():
    """Words in lower case, pairs of neighbours; characters without blanks; bounded length."""

    def terms(text):
        return set(count_terms(pa.array([text], pa.string())).indices.tolist())

    assert terms("Größe: NICHT gut") == terms("größe nicht GUT!!")
    assert len(terms("not good")) == 3
    assert terms("good not") != terms("not good")
    assert len(terms("天気が良い") & terms("良い天気")) >= 5
    assert terms("") == terms(None) == terms("?!") != terms("a")
    long = "word " * LONGEST_TEXT
    assert terms(long + " end") == terms("word word")


def test_few_rows_two_columns_and_columns_that_say_nothing(make_shards):
    """Each is judged by itself; all missing, all equal and unrelated ones are left out with why."""
    table = table_of(200)
    other = table_of(200, seed=5)["note"]
    table = table.append_column("other", other).append_column(
        "same", pa.array(["one and the same words"] * 200)
    )
    table = table.append_column("gone", pa.array([None] * 200, pa.string()))
    _, report = fit(make_shards([table]))
    by_name = {one["feature"]: one for one in report.free_text}
    assert set(by_name) == {"note", "other", "same", "gone"}
    assert by_name["note"]["encoded"]
    assert not by_name["other"]["encoded"]
    assert "as chance may" in report.dropped["same"]
    assert report.dropped["gone"] == "all values are missing"
    assert [name for name in report.names if "score" in name] == ["note.score"]
    both, told = fit(make_shards([table]), PLAIN.model_copy(update={"text": "target"}))
    assert {"note.score", "other.score"} <= set(told.names)
    assert both.fitted_rows.folded.keys() >= {"note", "other"}
    none, left = fit(make_shards([table]), PLAIN.model_copy(update={"text": "drop"}))
    assert left.dropped["note"] == "reduction.text: drop"
    assert none.fitted_rows is None


def test_what_one_side_left_out_bounds_the_other():
    """A later row that would fit in its place stays out, or the order of merging would show."""

    def one(place, text):
        found = TextSample.empty(3, 1)
        counts = count_terms(pa.array([text]))
        hashes = np.array([place], np.uint64)
        return found.merge(TextSample(3, hashes, np.zeros(1, np.int64), np.zeros((1, 1)), counts))

    merged = one(1, "a").merge(one(5, "b c")).merge(one(7, "d"))
    assert merged.hashes.tolist() == [1]
    assert merged.bound == 5
