"""Thresholds hold the stated rate of false alarms over all features together."""

import json

import numpy as np
import pytest

from tidemill.config import DriftConfig
from tidemill.drift.axes import axis_of, cells_of, distance_names, distances_of
from tidemill.drift.thresholds import (
    TESTS,
    Thresholds,
    calibrate,
    compared_columns,
    floors,
    rows_for,
)
from tidemill.errors import ConfigError
from tidemill.profiling import CategoryProfile, NumericProfile, Profile, fold
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

BARE = DriftConfig(min_effect=0.0)
EDGES = np.quantile(np.random.default_rng(9).normal(size=9_000), np.arange(1, 17) / 17)
FEATURES = 12
#: The fewest blocks and the most that count as few; the others run under make test-all.
FEW = {(4, True), (11, False)}


def steady(rng, rows):
    """Rows that never change: normal features and a category."""
    return _profile(rng.normal(size=(rows, FEATURES)), rng.integers(0, 6, rows))


def daily(rng, rows, days):
    """Rows of days that each have a mood of their own: rows of one day are alike."""
    mood = rng.normal(size=(days, FEATURES)) * 0.5
    day = np.arange(rows) * days // rows
    return rng.normal(size=(rows, FEATURES)) + mood[day]


def _profile(matrix, codes=None):
    columns = {
        f"f{i}": NumericProfile.of(np.ascontiguousarray(matrix[:, i]), EDGES)
        for i in range(matrix.shape[1])
    }
    if codes is not None:
        counts = {f"c{i}": int(n) for i, n in enumerate(np.bincount(codes))}
        columns["category"] = CategoryProfile.of(counts, rows=len(codes))
    return Profile(len(matrix), columns)


def alarmed(window, whole, thresholds):
    """Whether any distance of the window lies beyond its threshold."""
    for name, known in whole.columns.items():
        axis = axis_of(known)
        cells = [cells_of(axis, c) for c in (known, window.columns[name])]
        values = distances_of(axis, *cells)
        if any(
            v > thresholds.of(name, t) for t, v in zip(distance_names(axis), values, strict=True)
        ):
            return True
    return False


@pytest.mark.parametrize(
    "rows", [300, *(pytest.param(n, marks=pytest.mark.slow) for n in (1000, 2500))]
)
def test_steady_windows_alarm_at_the_stated_rate_at_most(rows):
    """Blocks of 1,000 rows; windows smaller, as large, and larger; no floor to hide behind."""
    rng = np.random.default_rng(rows)
    blocks = [steady(rng, 1000) for _ in range(64)]
    thresholds = calibrate(blocks, rows, BARE, 1, True)
    whole = fold(blocks)
    alarms = sum(alarmed(steady(rng, rows), whole, thresholds) for _ in range(200))
    assert alarms <= 200 * 0.05 + 7  # two standard deviations of 200 windows above 5%
    assert alarmed(_profile(rng.normal(0.5, 1, (rows, FEATURES))), whole, thresholds) or rows < 400


@pytest.mark.parametrize("rows", [pytest.param(250, marks=pytest.mark.slow), 1000])
def test_windows_of_streams_with_moods_alarm_at_the_stated_rate_at_most(rows):
    """Chance alone would call every day's mood a drift; stretches of training know better."""
    rng = np.random.default_rng(5)
    training = daily(rng, 64_000, 256)
    blocks = [_profile(part) for part in np.split(training, 64)]
    whole = fold(blocks)
    live = daily(rng, 40_000, 160)
    windows = [_profile(part) for part in np.split(live, 40_000 // rows)]
    by_time = calibrate(blocks, rows, BARE, 1, True)
    by_chance = calibrate(blocks[:1], rows, BARE, 1, True)
    rate = np.mean([alarmed(window, whole, by_time) for window in windows])
    naive = np.mean([alarmed(window, whole, by_chance) for window in windows])
    assert rate <= 0.10  # 40 or 160 windows, of 16 or 4 moods each
    assert naive > 0.9


def test_more_features_have_higher_thresholds():
    """The rate is for all features together: each of many must be held to more."""
    rng = np.random.default_rng(3)
    blocks = [steady(rng, 1000) for _ in range(64)]
    alone = calibrate(blocks, 1000, BARE, 1, True, columns=["f0"])
    among = calibrate(blocks, 1000, BARE, 1, True)
    assert among.of("f0", "ks") > alone.of("f0", "ks")


def test_smaller_windows_and_smaller_rates_have_higher_thresholds():
    """Chance moves few rows further, and rarer alarms need more."""
    rng = np.random.default_rng(4)
    blocks = [steady(rng, 1000) for _ in range(64)]
    found = {rows: calibrate(blocks, rows, BARE, 1, True) for rows in (200, 800, 3000)}
    values = [found[rows].of("f1", "jensen_shannon") for rows in (200, 800, 3000)]
    assert values == sorted(values, reverse=True)
    strict = calibrate(blocks, 800, BARE, 1, True, rate=0.001)
    assert strict.of("f1", "jensen_shannon") > found[800].of("f1", "jensen_shannon")


def test_the_floor_is_the_smallest_effect_worth_a_finding():
    """On huge windows, where chance moves nothing, thresholds are the floor of each test."""
    rng = np.random.default_rng(6)
    blocks = [steady(rng, 4000) for _ in range(32)]
    thresholds = calibrate(blocks, 60_000, DriftConfig(min_effect=0.2), 1, True)
    least = floors(DriftConfig(min_effect=0.2))
    for test in ("psi", "jensen_shannon", "ks", "wasserstein"):
        assert thresholds.of("f0", test) == least[test]
    assert thresholds.of("category", "chi_squared") == least["chi_squared"]


def test_the_floors_mean_the_same_difference():
    """A shift that is just at the floor of one test is about at the floors of the others."""
    rng = np.random.default_rng(7)
    least = floors(DriftConfig(min_effect=0.1))
    shift = least["wasserstein"]
    before, now = (NumericProfile.of(rng.normal(m, 1, 400_000), EDGES) for m in (0, shift))
    axis = axis_of(before)
    values = axis.values(axis.counts(before), axis.counts(now))
    for test, value in zip(axis.tests, values, strict=True):
        assert value == pytest.approx(least[test], rel=0.12), test


def test_thresholds_by_hand_win():
    """A feature's own before '*', both before what was calibrated and before the floor."""
    rng = np.random.default_rng(8)
    blocks = [steady(rng, 500) for _ in range(16)]
    by_hand = {"*": {"psi": 0.2}, "f1": {"psi": 0.001, "ks": 0.9}}
    thresholds = calibrate(blocks, 500, DriftConfig(thresholds=by_hand), 1, True)
    assert thresholds.of("f0", "psi") == thresholds.of("category", "psi") == 0.2
    assert thresholds.of("f1", "psi") == 0.001
    assert thresholds.of("f1", "ks") == 0.9
    assert thresholds.of("f0", "ks") not in (0.9, np.inf)


def test_a_test_that_does_not_exist_is_refused():
    """The error names the nearest test."""
    config = DriftConfig(thresholds={"*": {"jensen_shanon": 0.1}})
    with pytest.raises(ConfigError, match="jensen_shanon") as refused:
        calibrate([steady(np.random.default_rng(0), 50)], 50, config, 1, True)
    assert "'jensen_shannon'" in refused.value.remedy


@pytest.mark.parametrize("n_blocks", [1, 2, pytest.param(3, marks=pytest.mark.slow), 5])
def test_few_blocks_still_give_thresholds(n_blocks):
    """Where there are hardly any stretches, chance alone must do."""
    rng = np.random.default_rng(10)
    blocks = [steady(rng, 2000) for _ in range(n_blocks)]
    thresholds = calibrate(blocks, 1000, BARE, 1, True)
    values = [v for tests in thresholds.values.values() for v in tests.values()]
    assert all(0 <= v < 1 for v in values)
    alarms = sum(alarmed(steady(rng, 1000), fold(blocks), thresholds) for _ in range(60))
    assert alarms <= 9


@pytest.mark.parametrize(
    ("n_blocks", "ordered"),
    [
        pytest.param(n, ordered, marks=[] if (n, ordered) in FEW else pytest.mark.slow)
        for n in (4, 6, 8, 11)
        for ordered in (True, False)
    ],
)
def test_few_blocks_never_call_any_distance_usual(n_blocks, ordered):
    """Rows of one category alone are found at every size, whatever the draw of few blocks."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        blocks = [steady(rng, 200) for _ in range(n_blocks)]
        for rows in (128, 512, 1024):
            values = calibrate(
                blocks, rows, BARE, 1, ordered, columns=["category"], rate=0.005
            ).values["category"]
            assert values["jensen_shannon"] < 0.6, (seed, rows)  # one of six: 0.77
            assert values["psi"] < 4, (seed, rows)


def test_windows_like_few_blocks_alarm_at_the_stated_rate_at_most():
    """What few blocks cannot tell of each other makes no alarm either."""
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        blocks = [steady(rng, 200) for _ in range(6)]
        thresholds = calibrate(blocks, 512, BARE, 1, True)
        whole = fold(blocks)
        alarms += sum(alarmed(steady(rng, 512), whole, thresholds) for _ in range(20))
    assert alarms <= 200 * 0.05 + 7


@pytest.mark.parametrize("others", [0, 20])
def test_a_category_that_training_missed_by_chance_is_no_drift(others):
    """Three rows of 500 are usual where 1,050 had none; one of ten never is."""
    blocks = [
        Profile(70, {f"c{i}": CategoryProfile.of({"no": 70}, rows=70) for i in range(1 + others)})
        for _ in range(15)
    ]
    share, whole = 0.05 / 10 * (1 + others), fold(blocks)
    found = calibrate(blocks, 500, DriftConfig(), 1, True, rate=share)
    for met, usual in ((3, True), (50, False)):
        rare = CategoryProfile.of({"no": 500 - met, "yes": met}, rows=500)
        window = Profile(500, dict.fromkeys(whole.columns, rare))
        assert alarmed(window, whole, found) is not usual


def test_what_no_row_had_raises_no_threshold_of_another_column():
    """Beside a category that never varied, numbers are held to what they are held to alone."""
    rng = np.random.default_rng(4)
    blocks = [_profile(rng.normal(size=(70, 3)), np.zeros(70, int)) for _ in range(15)]
    alone = calibrate(blocks, 500, DriftConfig(), 1, True, columns=("f0", "f1", "f2"))
    beside = calibrate(blocks, 500, DriftConfig(), 1, True)
    for name in ("f0", "f1", "f2"):
        assert beside.values[name] == pytest.approx(alone.values[name], rel=0.1)


def test_empty_and_constant_columns_do_no_harm():
    """A column without values, or with one value only, neither fails nor moves the others."""
    rng = np.random.default_rng(11)

    def soiled(rows):
        window = steady(rng, rows)
        empty = NumericProfile.of(np.full(rows, np.nan), EDGES)
        constant = NumericProfile.of(np.ones(rows), EDGES)
        return Profile(rows, {**window.columns, "empty": empty, "constant": constant})

    blocks = [soiled(400) for _ in range(32)]
    thresholds = calibrate(blocks, 400, DriftConfig(), 1, True)
    assert all(np.isfinite(thresholds.of(n, "psi")) for n in ("empty", "constant", "f0"))
    assert not alarmed(soiled(400), fold(blocks), thresholds)


def test_the_same_seed_gives_the_same_thresholds_and_json_is_exact():
    """Nothing depends on anything but blocks, rows, settings and seed."""
    rng = np.random.default_rng(12)
    blocks = [steady(rng, 300) for _ in range(16)]
    one, two = (calibrate(blocks, 200, BARE, 7, True) for _ in range(2))
    text = json.dumps(one.to_json(), allow_nan=False)
    assert text == json.dumps(two.to_json())
    again = Thresholds.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.of("nobody", "psi") == np.inf


def test_times_and_keys_are_not_judged():
    """A live window's time always lies outside training: that is no drift."""
    of = [
        Column("id", ColumnType.CATEGORICAL, Purpose.KEY, "string"),
        Column("at", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]", (1.0,)),
        Column("promised", ColumnType.DATETIME, Purpose.FEATURE, "timestamp[us]", (1.0,)),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("airport", ColumnType.BOOLEAN, Purpose.FEATURE, "bool"),
        Column("fare", ColumnType.NUMERIC, Purpose.TARGET, "float64", (1.0,)),
    ]
    assert compared_columns(TableSchema(tuple(of), Task.REGRESSION)) == ("zone", "airport")


def test_window_sizes_share_thresholds_of_smaller_ones():
    """Sizes round down, where thresholds are higher, by less than a third."""
    for rows in (1, 30, 500, 5000, 123_456):
        assert rows * 0.66 < rows_for(rows) <= rows or rows == 1
    assert len({rows_for(n) for n in range(1000, 2000)}) == 3
    assert set(TESTS) == set(floors(DriftConfig()))
