"""The reducer equals scikit-learn on the same rows."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.decomposition import PCA
from sklearn.feature_selection import VarianceThreshold
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tidemill.config import ReductionConfig
from tidemill.engines import LocalEngine
from tidemill.features import fit_reducer

ENGINE = LocalEngine()


def fitted(make_shards, table, **settings):
    """A reducer of ``table`` cut into three shards."""
    manifest, folder = make_shards([table[:170], table[170:480], table[480:]])
    return fit_reducer(manifest, folder, ReductionConfig(**settings), engine=ENGINE)


def numbers(table):
    """The numeric columns and their mean-imputed matrix."""
    table = table.select(["distance", "fare", "tip", "riders", "y"])
    frame = table.drop(["y"]).to_pandas().astype(np.float64)
    return table, frame.fillna(frame.mean()).to_numpy()


def test_scaling_equals_standard_scaler(make_shards, ride_table):
    """Means and deviations from block profiles scale as StandardScaler does."""
    table, matrix = numbers(ride_table)
    reducer, _ = fitted(make_shards, table)
    expected = StandardScaler().fit_transform(matrix)
    np.testing.assert_allclose(reducer.transform(table), expected, rtol=1e-6, atol=1e-6)


def test_kept_missing_values_scale_as_standard_scaler(make_shards, ride_table):
    """With impute none, NaN stays and does not count."""
    table, _ = numbers(ride_table)
    reducer, _ = fitted(make_shards, table, impute="none")
    frame = table.drop(["y"]).to_pandas().astype(np.float64)
    expected = StandardScaler().fit_transform(frame.to_numpy())
    assert np.isnan(expected).any()
    np.testing.assert_allclose(reducer.transform(table), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 3.0, 20.0])
def test_selection_equals_variance_threshold(make_shards, ride_table, threshold):
    """The columns left are those that VarianceThreshold leaves."""
    table, matrix = numbers(ride_table)
    table = table.append_column("still", pa.array(np.full(len(matrix), 7.0)))
    matrix = np.column_stack([matrix, np.full(len(matrix), 7.0)])
    names = [name for name in table.column_names if name != "y"]
    expected = VarianceThreshold(threshold).fit(matrix).get_support()
    reducer, report = fitted(make_shards, table, min_variance=threshold)
    assert list(reducer.encoded) == [n for n, keep in zip(names, expected, strict=True) if keep]
    assert set(report.dropped) == {n for n, keep in zip(names, expected, strict=True) if not keep}


@pytest.mark.parametrize("min_frequency", [0.0, 0.02, 0.045, 0.1, 0.2])
@pytest.mark.parametrize("max_categories", [2, 3, 4, 7, 8, 100])
def test_one_hot_equals_one_hot_encoder(make_shards, ride_table, min_frequency, max_categories):
    """Columns, rare bucket and unknown categories are OneHotEncoder's, missing values too."""
    table = ride_table.select(["zone", "y"])
    unseen = pd.DataFrame({"zone": ["a", "f", "never seen", None, "c"]})
    values = np.array([[v] for v in table["zone"].to_pylist()], dtype=object)
    encoder = OneHotEncoder(
        min_frequency=min_frequency or None,
        max_categories=max_categories,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    ).fit(values)
    settings = {"min_frequency": min_frequency, "max_categories": max_categories}
    reducer, _ = fitted(make_shards, table, **settings)
    np.testing.assert_array_equal(reducer.transform(table), encoder.transform(values))
    rows = np.array([[v] for v in ["a", "f", "never seen", None, "c"]], dtype=object)
    np.testing.assert_array_equal(reducer.transform(unseen), encoder.transform(rows))


@pytest.mark.parametrize("solver", ["full", "covariance_eigh"])
@pytest.mark.parametrize("components", [1, 3, 0.5, 0.9, 0.999])
def test_projection_equals_pca(make_shards, ride_table, components, solver):
    """Components, number, scores and explained variance are PCA's up to sign (gap > 1e-3)."""
    table, matrix = numbers(ride_table)
    reducer, report = fitted(make_shards, table, project="pca", components=components)
    scaled = StandardScaler().fit_transform(matrix)
    pca = PCA(components, svd_solver=solver).fit(scaled)
    spectrum = PCA().fit(scaled).explained_variance_ratio_
    assert np.abs(np.diff(spectrum)).min() > 1e-3  # the stated gap
    assert reducer.components.shape == pca.components_.shape
    signs = np.sign((reducer.components * pca.components_).sum(axis=1))
    np.testing.assert_allclose(reducer.components, pca.components_ * signs[:, None], atol=1e-6)
    np.testing.assert_allclose(
        reducer.transform(table), pca.transform(scaled) * signs, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        report.explained_variance, pca.explained_variance_ratio_, rtol=1e-6, atol=1e-8
    )
    largest = np.abs(reducer.components).argmax(axis=1)
    assert (reducer.components[np.arange(len(largest)), largest] > 0).all()
