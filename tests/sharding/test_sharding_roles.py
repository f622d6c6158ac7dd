"""Which rows are train, validation and test."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import ColumnMissing, ConfigError, TooFewRows, ValidationFailed
from tidemill.schema import Role, Task
from tidemill.sharding.ranges import (
    balanced_cuts,
    bucket_of,
    cuts_from_text,
    microseconds,
    ordered,
    to_texts,
)


def _times(table, rows: list[int]) -> np.ndarray:
    return table.rows["started_at"].cast(pa.int64()).to_numpy()[rows]


def test_time_fraction_takes_the_latest_rows(kit, tmp_path):
    """by: time with a fraction: test is the latest share, validation the latest of the rest."""
    table = kit.make(4000)
    holdout = {"by": "time", "test": 0.25, "validation": 0.2}
    roles = kit.role_rows(table.shard(tmp_path, {"holdout": holdout}), tmp_path / "shards")
    shares = {role: len(rows) / 4000 for role, rows in roles.items()}
    assert shares == pytest.approx({"train": 0.6, "validation": 0.15, "test": 0.25}, abs=0.002)
    assert _times(table, roles["train"]).max() < _times(table, roles["validation"]).min()
    assert _times(table, roles["validation"]).max() < _times(table, roles["test"]).min()


def test_time_boundary_is_exact_and_test_end_leaves_rows_out(kit, tmp_path):
    """by: time with boundaries: rows from test on and before test_end, nothing later."""
    table = kit.make(3000)
    start, end = "2024-01-20T00:00:00", "2024-02-20"
    holdout = {"by": "time", "test": start, "test_end": end}
    manifest = table.shard(tmp_path, {"holdout": holdout})
    roles = kit.role_rows(manifest, tmp_path / "shards")
    times = _times(table, list(range(3000)))
    expected = (times >= microseconds(start)) & (times < microseconds(end))
    assert sorted(roles["test"]) == np.flatnonzero(expected).tolist()
    kept = sum(len(rows) for rows in roles.values())
    assert kept == (times < microseconds(end)).sum() < 3000
    assert manifest.holdout["test_from"] == "2024-01-20T00:00:00.000000"


def test_a_fraction_of_time_does_not_count_rows_left_out(kit, tmp_path):
    """With test_end, the fraction is of the rows before it."""
    table = kit.make(3000)
    holdout = {"by": "time", "test": 0.5, "test_end": "2024-01-20", "validation": 0.0}
    roles = kit.role_rows(table.shard(tmp_path, {"holdout": holdout}), tmp_path / "shards")
    assert len(roles["test"]) == pytest.approx(len(roles["train"]), abs=5)
    assert roles["validation"] == []


def test_equal_times_stay_together(kit, tmp_path):
    """Rows of one day are never on both sides, and the share is the nearest possible."""

    def days(columns):
        day = np.repeat(np.arange(10), 100) * 86_400_000_000
        return {**columns, "started_at": pa.array(day).cast(pa.timestamp("us"))}

    table = kit.make(1000, changes=days)
    holdout = {"by": "time", "test": 0.26, "validation": 0.0}
    roles = kit.role_rows(table.shard(tmp_path, {"holdout": holdout}), tmp_path / "shards")
    assert sorted(roles["test"]) == list(range(700, 1000))


def test_all_rows_at_one_time_are_refused(kit, tmp_path):
    """No boundary divides equal times: TooFewRows with a remedy."""
    same = pa.array(np.zeros(100, np.int64)).cast(pa.timestamp("us"))
    table = kit.make(100, changes=lambda columns: {**columns, "started_at": same})
    with pytest.raises(TooFewRows) as caught:
        table.shard(tmp_path, {"holdout": {"by": "time"}})
    assert "sharding.holdout" in caught.value.remedy


@pytest.mark.parametrize(
    "config", [{"holdout": {"by": "time"}}, {"strategy": "time"}], ids=["holdout", "strategy"]
)
def test_rows_without_time_are_refused(kit, tmp_path, config):
    """Where time decides, a missing one is refused with the count and the way to quarantine."""

    def gap(columns):
        times = columns["started_at"].to_pylist()
        times[7] = times[230] = None
        return {**columns, "started_at": pa.array(times, pa.timestamp("us"))}

    with pytest.raises(ValidationFailed) as caught:
        kit.make(300, changes=gap).shard(tmp_path, config)
    assert caught.value.fields["missing"] == 2
    assert "suite" in caught.value.remedy
    assert not (tmp_path / "shards").exists()


def test_rows_without_time_are_welcome_where_it_decides_nothing(kit, tmp_path):
    """Hash sharding keeps rows without a time."""
    none = pa.nulls(300, pa.timestamp("us"))
    table = kit.make(300, changes=lambda columns: {**columns, "started_at": none})
    manifest = table.shard(tmp_path)
    assert sum(manifest.rows(role) for role in Role) == 300
    assert {shard.time_from for shard in manifest.shards} == {None}


def test_a_time_that_is_none_is_refused(kit, tmp_path):
    """holdout.test that is no time: ConfigError that shows how to write one."""
    with pytest.raises(ConfigError, match="next week") as caught:
        kit.make(300).shard(tmp_path, {"holdout": {"by": "time", "test": "next week"}})
    assert "2024-01-31" in caught.value.remedy


def test_order_takes_the_last_rows(kit, tmp_path):
    """by: order is exact: the last rows are test, the last of the others validation."""
    table = kit.make(1000)
    holdout = {"by": "order", "test": 0.3, "validation": 0.1}
    roles = kit.role_rows(table.shard(tmp_path, {"holdout": holdout}), tmp_path / "shards")
    assert sorted(roles["test"]) == list(range(700, 1000))
    assert sorted(roles["validation"]) == list(range(630, 700))


def test_order_from_a_row_number(kit, tmp_path):
    """by: order with a row number: test begins there."""
    holdout = {"by": "order", "test": 901, "validation": 0.0}
    roles = kit.role_rows(kit.make(1000).shard(tmp_path, {"holdout": holdout}), tmp_path / "shards")
    assert sorted(roles["test"]) == list(range(901, 1000))


@pytest.mark.parametrize("test", [0, 1000, 5000])
def test_order_that_empties_a_role_is_refused(kit, tmp_path, test):
    """A row number that leaves no train or no test row: TooFewRows with the counts."""
    with pytest.raises(TooFewRows) as caught:
        kit.make(1000).shard(tmp_path, {"holdout": {"by": "order", "test": test}})
    assert "train" in caught.value.fields["empty"] or "test" in caught.value.fields["empty"]
    assert "sharding.holdout" in caught.value.remedy


def test_hash_keeps_its_shares_and_depends_on_the_seed(kit, tmp_path):
    """by: hash: shares within three standard deviations; another seed, other rows."""
    table = kit.make(5000)
    config = {"holdout": {"by": "hash", "test": 0.3, "validation": 0.2}}
    one = kit.role_rows(table.shard(tmp_path / "1", config), tmp_path / "1/shards")
    two = kit.role_rows(table.shard(tmp_path / "2", config, seed=8), tmp_path / "2/shards")
    assert len(one["test"]) == pytest.approx(1500, abs=3 * (5000 * 0.3 * 0.7) ** 0.5)
    assert len(one["validation"]) == pytest.approx(700, abs=3 * (5000 * 0.14 * 0.86) ** 0.5)
    shared = len(set(one["test"]) & set(two["test"]))
    assert shared == pytest.approx(450, abs=90)


def test_hash_follows_the_key_not_the_position(kit, tmp_path):
    """A row keeps its role and bucket when rows before it are gone."""
    whole, cut = kit.make(1000), kit.make(1000)
    cut.manifest = kit.replace(cut.manifest, parts=cut.manifest.parts[1:])
    config = {"shards": 6}
    first = kit.role_rows(whole.shard(tmp_path / "1", config), tmp_path / "1/shards")
    second = kit.role_rows(cut.shard(tmp_path / "2", config), tmp_path / "2/shards")
    for role in first:
        assert set(second[role]) <= set(first[role])


def test_role_says_nothing_about_the_bucket(kit, tmp_path):
    """Buckets of the test role are as even as those of train: the two hashes are independent."""
    table = kit.make(8000)
    manifest = table.shard(tmp_path, {"shards": 14, "holdout": {"test": 0.5}})
    for role in (Role.TRAIN, Role.TEST):
        rows = [shard.file.rows for shard in manifest.of(role)]
        assert len(rows) > 4
        assert max(rows) < 1.25 * min(rows)


def _same(columns, *, label=True):
    """Every row is the first; the labels too, or not."""
    return {
        name: column if name == "label" and not label else column.take(pa.array([0] * len(column)))
        for name, column in columns.items()
        if name != "row"
    } | {"row": columns["row"]}


@pytest.mark.parametrize("by", ["hash", "stratified"])
def test_without_a_key_the_target_decides_no_role(kit, tmp_path, by):
    """Other labels of the same rows: the same roles by hash, and the same class shares."""
    config = {"holdout": {"by": by, "test": 0.3}}

    def turned(columns):
        labels = pa.array([("no", "yes")[row % 2] for row in range(4000)]).dictionary_encode()
        return {**columns, "label": labels}

    found = []
    for number, changes in enumerate((None, turned)):
        table = kit.make(4000, key=False, time=False, changes=changes)
        base = tmp_path / str(number)
        found.append(kit.role_rows(table.shard(base, config, key=None), base / "shards"))
    if by == "hash":
        assert found[0] == found[1]
    assert (np.array(found[1]["test"]) % 2).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("alone", [{}, {"shards": 6}], ids=["auto", "six"])
def test_a_table_of_one_row_many_times_is_dealt_like_any_other(kit, tmp_path, alone):
    """Constant features, or rows all alike: shares hold, and no bucket takes all rows."""
    table = kit.make(3000, key=False, time=False, changes=_same)
    manifest = table.shard(
        tmp_path, {**alone, "holdout": {"test": 0.3, "validation": 0.2}}, key=None
    )
    rows = {role: manifest.rows(role) for role in Role}
    assert rows[Role.TEST] == pytest.approx(900, abs=3 * (3000 * 0.3 * 0.7) ** 0.5)
    assert rows[Role.VALIDATION] == pytest.approx(420, abs=3 * (3000 * 0.14 * 0.86) ** 0.5)
    for role in Role:
        sizes = [shard.file.rows for shard in manifest.of(role)]
        assert len(sizes) == 1 or max(sizes) < 1.5 * min(sizes)


def test_without_a_key_classes_of_a_feature_keep_their_chances(kit, tmp_path):
    """Few distinct rows: in each role each value has the classes that it has in all."""
    table = kit.make(6000, key=False, time=False)
    manifest = table.shard(tmp_path, {"holdout": {"test": 0.4, "validation": 0.2}}, key=None)
    labels = np.array([label == "yes" for label in table.rows["label"].to_pylist()])
    for rows in kit.role_rows(manifest, tmp_path / "shards").values():
        spread = 4 * (0.2 * 0.8 / len(rows)) ** 0.5
        assert labels[rows].mean() == pytest.approx(labels.mean(), abs=spread)


def test_without_a_key_files_keep_their_roles(kit, tmp_path):
    """A file more, or in another order: the rows of the others keep their roles."""
    whole, cut = (kit.make(1000, key=False, time=False) for _ in range(2))
    cut.manifest = kit.replace(cut.manifest, parts=cut.manifest.parts[1:])
    first = kit.role_rows(whole.shard(tmp_path / "1", key=None), tmp_path / "1/shards")
    second = kit.role_rows(cut.shard(tmp_path / "2", key=None), tmp_path / "2/shards")
    for role in first:
        assert set(second[role]) <= set(first[role])


def test_stratified_keeps_class_shares(kit, tmp_path):
    """Each role has each class's share within two rows of a class."""

    def rare(columns):
        labels = ["yes" if row % 50 == 0 else "no" for row in range(5000)]
        return {**columns, "label": pa.array(labels).dictionary_encode()}

    table = kit.make(5000, changes=rare)
    holdout = {"by": "stratified", "test": 0.25, "validation": 0.2}
    roles = kit.role_rows(table.shard(tmp_path, {"holdout": holdout}), tmp_path / "shards")
    positives = {role: sum(row % 50 == 0 for row in rows) for role, rows in roles.items()}
    assert positives == pytest.approx({"train": 60, "validation": 15, "test": 25}, abs=1)
    assert len(roles["test"]) == pytest.approx(1250, abs=3)


def test_stratifying_a_number_is_refused(kit, tmp_path):
    """by: stratified on a regression: ConfigError."""
    table = kit.make(300)
    schema = kit.replace(table.manifest.schema, task=Task.REGRESSION, classes=())
    table.manifest = kit.replace(table.manifest, schema=schema)
    with pytest.raises(ConfigError, match="stratified"):
        table.shard(tmp_path, {"holdout": {"by": "stratified"}})


@pytest.mark.parametrize("glob", ["raw/b*.csv", "b2.csv", "*b2*"])
def test_files_are_chosen_by_path_or_name(kit, tmp_path, glob):
    """by: file: the glob meets the path or the name; its rows are test, all of them."""
    table = kit.make(900, sources=("raw/a1.csv", "raw/b2.csv", "raw/c3.csv"))
    manifest = table.shard(tmp_path, {"holdout": {"by": "file", "test": glob}})
    roles = kit.role_rows(manifest, tmp_path / "shards")
    assert sorted(roles["test"]) == list(range(300, 600))
    assert len(roles["validation"]) == pytest.approx(60, abs=25)


@pytest.mark.parametrize("glob", ["nothing*", "*"])
def test_a_glob_that_divides_nothing_is_refused(kit, tmp_path, glob):
    """A glob of no file, or of all: TooFewRows that names files."""
    with pytest.raises(TooFewRows) as caught:
        kit.make(300).shard(tmp_path, {"holdout": {"by": "file", "test": glob}})
    assert "raw/2024-01.csv" in caught.value.remedy


def test_an_empty_role_is_refused_before_shards_are_written(kit, tmp_path):
    """Three rows cannot fill three roles by hash: TooFewRows names the empty ones."""
    with pytest.raises(TooFewRows) as caught:
        kit.make(3, parts=1).shard(tmp_path)
    assert caught.value.fields["empty"]
    assert not (tmp_path / "shards").exists()


def test_an_unknown_sharding_column_is_refused(kit, tmp_path):
    """sharding.by that the data lack: ColumnMissing with the nearest name."""
    with pytest.raises(ColumnMissing) as caught:
        kit.make(300).shard(tmp_path, {"by": "fares"})
    assert caught.value.fields["nearest"] == "fare"


WORDS = st.one_of(st.none(), st.text(max_size=4))


@given(values=st.lists(WORDS, max_size=40), cuts=st.sets(st.text(max_size=3), max_size=5))
def test_texts_are_ordered_by_code_points(values, cuts):
    """bucket_of on texts equals Python's comparison; nulls go last."""
    ascending = sorted(cuts)
    found = bucket_of(pa.array(values, pa.string()), pa.array(ascending, pa.string()))
    expected = [
        len(cuts) if value is None else sum(cut <= value for cut in ascending) for value in values
    ]
    assert found.tolist() == expected


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), buckets=st.integers(1, 9))
def test_cuts_leave_no_range_empty(values, buckets):
    """Balanced cuts of integers, also beyond 2**53, give every range a row."""
    array = pa.array(values, pa.int64())
    found = bucket_of(array, balanced_cuts(array, buckets))
    assert set(found.tolist()) == set(range(found.max() + 1))


@pytest.mark.parametrize(
    ("column", "physical"),
    [
        (pa.array([0.1, 1e300, -5.0], pa.float64()), "float64"),
        (pa.array([0.1, 2.5], pa.float32()), "float32"),
        (pa.array([2**60 + 1, -3]), "int64"),
        (pa.array([True, False]), "bool"),
        (pa.array(["a", "ü"]), "string"),
        (pa.array(["b", "a"]).dictionary_encode(), "dictionary"),
        (pa.array([-1, 1_700_000_000_123_456]).cast(pa.timestamp("us")), "timestamp[us]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_boundaries_survive_as_text(column, physical):
    """What to_texts writes, cuts_from_text reads back exactly."""
    values = ordered(column)
    assert cuts_from_text(to_texts(values, physical), physical).equals(values)


def test_nan_counts_as_missing():
    """A NaN in a sharding column is a null."""
    assert ordered(pa.array([1.0, float("nan")])).null_count == 1
    assert pc.sum(ordered(pa.array([1.0, float("nan")]))).as_py() == 1.0
