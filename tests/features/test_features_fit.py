"""What fitting learns, drops and says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError, IntegrityError, NoFeatures, TooFewRows
from tidemill.features import fit_reducer, selection
from tidemill.schema import Role

ENGINE = LocalEngine()


def fit(shards, **settings):
    """Fit with ``settings`` of the reduction section."""
    return fit_reducer(*shards, ReductionConfig(**settings), engine=ENGINE)


def column(reducer, table, name):
    """One output column."""
    return reducer.transform(table)[:, reducer.get_feature_names_out().tolist().index(name)]


def test_median_zero_and_indicator(make_shards):
    """Median and zero fill what is missing, and the indicator says where."""
    x = pa.array([1.0, 2.0, 3.0, None, 10.0, None])
    table = pa.table({"x": x, "y": pa.array(np.arange(6.0))})
    for impute, value in (("median", None), ("zero", 0.0), ("mean", 4.0)):
        reducer, _ = fit(make_shards([table]), impute=impute, scale="none", indicator=True)
        filled = column(reducer, table, "x")
        if impute == "median":
            assert 1.0 < filled[3] < 10.0
        else:
            assert filled[3] == value
        np.testing.assert_array_equal(column(reducer, table, "x.missing"), [0, 0, 0, 1, 0, 1])
        np.testing.assert_array_equal(filled[[0, 1, 2, 4]], [1, 2, 3, 10])


def test_scaled_columns_have_mean_zero_and_deviation_one(make_shards, ride_table):
    """Numbers, calendar parts and codes are standardised whatever the imputation."""
    for impute in ("mean", "median", "zero"):
        reducer, _ = fit(make_shards([ride_table]), impute=impute, encode="ordinal")
        matrix = reducer.transform(ride_table).astype(np.float64)
        scaled = [i for i, name in enumerate(reducer.encoded) if name != "shared"]
        np.testing.assert_allclose(matrix[:, scaled].mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(matrix[:, scaled].std(axis=0), 1.0, atol=1e-5)


def test_times_become_calendar_parts(make_shards, ride_table):
    """A time feature gives hour, day of week, day and month; the time column only the first two."""
    reducer, _ = fit(make_shards([ride_table]), scale="none", impute="none")
    stamps = ride_table["started"].to_pandas()
    expected = pd.DataFrame(
        {
            "started.hour": stamps.dt.hour,
            "started.day_of_week": stamps.dt.day_of_week,
            "started.day": stamps.dt.day,
            "started.month": stamps.dt.month,
        }
    )
    for name in expected:
        np.testing.assert_array_equal(column(reducer, ride_table, name), expected[name])
    timed, _ = fit(make_shards([ride_table], time="started"))
    parts = [name for name in timed.encoded if name.startswith("started")]
    assert parts == ["started.hour", "started.day_of_week"]


def test_calendar_parts_that_stand_still_are_dropped(make_shards):
    """Dates within one month: hour and month are constant, day is not."""
    days = pd.date_range("2020-02-01", periods=28, freq="D").astype("datetime64[us]")
    table = pa.table({"day": pa.array(days), "y": np.arange(28.0)})
    reducer, report = fit(make_shards([table]))
    assert reducer.encoded == ["day.day_of_week", "day.day"]
    assert report.dropped == {
        "day.hour": "all values are equal",
        "day.month": "all values are equal",
    }


def test_ordinal_codes_follow_frequency(make_shards):
    """The most frequent is 0; rare or unknown, then missing, have codes of their own."""
    zone = pa.array(["b"] * 5 + ["a"] * 3 + ["c"] * 3 + ["z", None]).dictionary_encode()
    table = pa.table({"zone": zone, "y": np.arange(13.0)})
    reducer, report = fit(make_shards([table]), encode="ordinal", scale="none", min_frequency=0.1)
    rows = {"zone": ["b", "a", "c", "z", "new", None]}
    np.testing.assert_array_equal(reducer.transform(rows)[:, 0], [0, 1, 2, 3, 3, 4])
    assert report.rare_categories == {"zone": 1}
    kept, _ = fit(make_shards([table]), encode="ordinal", scale="none", impute="none")
    assert np.isnan(kept.transform(rows)[-1, 0])


def test_useless_features_are_dropped_with_a_reason(make_shards):
    """Constant, all-null and single-category features go, and the report says why."""
    table = pa.table(
        {
            "good": np.arange(8.0),
            "same": np.full(8, 3.0),
            "empty": pa.array([None] * 8, pa.float64()),
            "gaps": pa.array([None, 5.0] * 4),
            "one": pa.array(["x"] * 8).dictionary_encode(),
            "never": pa.array([None] * 8, pa.bool_()),
            "y": np.arange(8.0),
        }
    )
    reducer, report = fit(make_shards([table]))
    assert reducer.encoded == ["good"]
    assert reducer.feature_names_in_.tolist() == ["good"]
    assert report.dropped == {
        "same": "all values are equal",
        "empty": "all values are missing",
        "gaps": "all values are equal",
        "one": "all values are equal",
        "never": "all values are missing",
    }
    assert (report.features_in, report.features_used, report.features_out) == (6, 1, 1)
    assert report.to_json()["rows"] == 8
    zeroed, _ = fit(make_shards([table]), impute="zero")
    assert "gaps" in zeroed.encoded  # zeros beside fives do vary


def test_of_two_that_correlate_the_later_goes(make_shards, ride_table):
    """Correlation over the limit drops the later column; the other columns do not change."""
    shards = make_shards([ride_table[:300], ride_table[300:]], block_rows=70)
    everything, _ = fit(shards)
    reducer, report = fit(shards, max_correlation=0.9)
    assert report.dropped["fare"].startswith("correlates with distance by 0.9")
    assert "fare" not in reducer.encoded
    for name in reducer.encoded:
        np.testing.assert_array_equal(
            column(reducer, ride_table, name), column(everything, ride_table, name)
        )


def test_nothing_left_is_refused_with_the_reasons(make_shards):
    """Without any feature that varies there is nothing to learn from."""
    table = pa.table({"same": np.full(8, 3.0), "y": np.arange(8.0)})
    with pytest.raises(NoFeatures) as caught:
        fit(make_shards([table]))
    assert caught.value.fields["dropped"] == {"same": "all values are equal"}


def test_no_training_rows_are_refused(make_shards, ride_table):
    """A manifest without training shards is too little."""
    with pytest.raises(TooFewRows):
        fit(make_shards([ride_table], role=Role.TEST))


def test_only_training_shards_are_read(make_shards, ride_table):
    """Validation and test shards teach the reducer nothing."""
    manifest, folder = make_shards([ride_table[:300], ride_table[300:]])
    import dataclasses

    test = dataclasses.replace(manifest.shards[1], role=Role.TEST)
    split = dataclasses.replace(manifest, shards=(manifest.shards[0], test))
    alone = dataclasses.replace(manifest, shards=manifest.shards[:1])
    one, _ = fit((split, folder), project="pca")
    two, _ = fit((alone, folder), project="pca")
    assert one.features == two.features
    np.testing.assert_array_equal(one.components, two.components)


def test_projection_needs_values(make_shards, ride_table):
    """impute none with pca is refused with a remedy."""
    with pytest.raises(ConfigError) as caught:
        fit(make_shards([ride_table]), impute="none", project="pca")
    assert "reduction.impute" in caught.value.remedy


@pytest.mark.parametrize("components", [0, -1, 0.0, 1.5])
def test_impossible_components_are_refused(make_shards, ride_table, components):
    """A number of components is whole and positive, or a share."""
    with pytest.raises(ConfigError, match="components"):
        fit(make_shards([ride_table]), project="pca", components=components)


def test_an_altered_profile_or_shard_is_refused(make_shards, ride_table):
    """A byte that changed since the manifest was written is noticed before use."""
    manifest, folder = make_shards([ride_table])
    profile = Path(f"{folder}/{manifest.shards[0].profile}")
    profile.write_text(profile.read_text().replace("0", "1", 1))
    with pytest.raises(IntegrityError, match=r"profile\.json"):
        fit((manifest, folder))
    manifest, folder = make_shards([ride_table])
    shard = Path(f"{folder}/{manifest.shards[0].file.path}")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"parquet"):
        fit((manifest, folder), project="pca")


def test_a_shard_replaced_by_another_whole_file_is_refused(make_shards, ride_table):
    """A sound Parquet file that is not the recorded one passes no page check, but the hash."""
    manifest, folder = make_shards([ride_table])
    _, other = make_shards([ride_table[:300]])
    name = manifest.shards[0].file.path
    Path(f"{folder}/{name}").write_bytes(Path(f"{other}/{name}").read_bytes())
    with pytest.raises(IntegrityError, match="not what its manifest recorded"):
        fit((manifest, folder), project="pca")


def test_columns_whose_encoded_names_collide_keep_apart(make_shards):
    """A raw column called like a part, an indicator or a category of another has its own slot."""
    rng = np.random.default_rng(3)
    rows = 90
    when = (1_500_000_000 + rng.integers(0, 10**7, rows)) * 1_000_000
    table = pa.table(
        {
            "when": pa.array(when).cast(pa.timestamp("us")),
            "when.hour": rng.normal(size=rows),
            "a": pa.array(rng.normal(size=rows), mask=rng.random(rows) < 0.2),
            "a.missing": rng.normal(size=rows),
            "c": pa.array(
                rng.choice(["u", "(rare)", "(missing)", "z"], rows, p=[0.5, 0.22, 0.2, 0.08]),
                mask=rng.random(rows) < 0.2,
            ).dictionary_encode(),
            "c=u": rng.normal(size=rows),
            "y": rng.normal(size=rows),
        }
    )
    settings = {"scale": "none", "indicator": True, "min_frequency": 0.1}
    reducer, report = fit(make_shards([table]), max_correlation=0.99, **settings)
    names = reducer.encoded
    assert len(set(names)) == len(names) == reducer.transform(table).shape[1]
    for raw in ("when.hour", "a.missing", "c=u"):
        np.testing.assert_allclose(column(reducer, table, raw), table[raw], rtol=1e-6)
    hours = table["when"].to_pandas().dt.hour
    np.testing.assert_array_equal(column(reducer, table, "when.hour (2)"), hours)
    gaps = table["a"].is_null().to_numpy()
    np.testing.assert_array_equal(column(reducer, table, "a.missing (2)"), gaps)
    labels = table["c"].to_pylist()
    for name, label in {
        "c=u (2)": "u",
        "c=(rare)": "(rare)",
        "c=(rare) (2)": "z",
        "c=(missing)": "(missing)",
        "c=(missing) (2)": None,
    }.items():
        np.testing.assert_array_equal(column(reducer, table, name), [v == label for v in labels])
    again, _ = fit(make_shards([table[:40], table[40:]]), max_correlation=0.99, **settings)
    assert again.encoded == names
    assert report.features_out == len(names)


def test_reasons_of_dropped_columns_with_colliding_names_keep_apart(make_shards):
    """A constant raw column and a constant part of the same name are both in the report."""
    days = pd.date_range("2020-02-01", periods=28, freq="D").astype("datetime64[us]")
    table = pa.table({"day": pa.array(days), "day.hour": np.full(28, 1.0), "y": np.arange(28.0)})
    reducer, report = fit(make_shards([table]))
    assert reducer.encoded == ["day.day_of_week", "day.day"]
    assert set(report.dropped) == {"day.hour", "day.hour (2)", "day.month"}


def test_an_altered_shard_is_refused_where_only_its_times_are_read(make_shards):
    """The pass for calendar parts compares the shard's hash as well."""
    days = pd.date_range("2020-02-01", periods=28, freq="D").astype("datetime64[us]")
    table = pa.table({"day": pa.array(days), "y": np.arange(28.0)})
    manifest, folder = make_shards([table])
    later = pa.table({"day": pa.array(days[::-1].copy()), "y": np.arange(28.0)})
    _, other = make_shards([later])
    name = manifest.shards[0].file.path
    Path(f"{folder}/{name}").write_bytes(Path(f"{other}/{name}").read_bytes())
    with pytest.raises(IntegrityError, match="not what its manifest recorded"):
        fit((manifest, folder))


@pytest.mark.parametrize(
    "most", [90, pytest.param(selection.CORRELATED_COLUMNS, marks=pytest.mark.slow)]
)
def test_of_very_many_columns_copies_are_dropped_whatever_the_blocks(
    make_shards, monkeypatch, most
):
    """By the hash of their values over all shards; what correlates only, stays."""
    monkeypatch.setattr(selection, "CORRELATED_COLUMNS", most)
    random, rows = np.random.default_rng(5), 60
    columns = {f"x{at}": random.normal(size=rows) for at in range(most + 1)}
    columns["again"] = columns["x7"].copy()
    columns["alike"] = columns["x7"] * 2.0 + 1e-3 * random.normal(size=rows)
    columns["almost"] = columns["x7"].copy()
    columns["almost"][-1] += 1.0
    table = pa.table({**columns, "y": np.arange(float(rows))})
    halves = [table.slice(0, 25), table.slice(25)]
    shards = make_shards(halves, block_rows=10)
    reducer, report = fit(shards, scale="none", max_correlation=0.95)
    assert report.redundancy == "copies"
    assert report.dropped == {"again": "is a copy of x7"}
    assert len(reducer.encoded) == most + 3
