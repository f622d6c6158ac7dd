"""Drift alarms: silence on streams that do not change, and sight of a small shift in one feature.

``measure(folder)`` returns everything that was measured, ``lines(found)`` the lines of the
table; beside it, on the same windows, the usual "p < 0.05 for some feature" on the raw rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from benchmarks.drift_streams import Stream, adult, fraud, reference_of, rides
from benchmarks.table import Line, line
from scipy import stats
from threadpoolctl import threadpool_limits

from tidemill.config import DriftConfig, QualityConfig
from tidemill.drift import FeedCheck, Finding, Intake, Reference, Yardstick, compared_columns
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

CONFIG = DriftConfig()
SIZES = (1000, 2000, 5000)
SHUFFLES = 5
SHIFT = 0.2
SHIFTED_ROWS, SHIFTED_WINDOWS, FEATURES, TRIALS = 5000, 3, 30, 200


def measure(folder: Path) -> dict[str, Any]:
    """Alarms on stationary streams, power on normal and on real features, and time."""
    # As the monitor does: vectors of 100,000 numbers gain nothing from threads that fight.
    with threadpool_limits(1, user_api="blas"):
        return _measured(folder)


def _measured(folder: Path) -> dict[str, Any]:
    streams = [*(adult(folder, seed) for seed in range(SHUFFLES)), fraud(folder), rides(folder)]
    return {
        "stated_rate": CONFIG.false_alarm_rate,
        "alarms": [alarms(stream, size) for stream in streams for size in SIZES],
        "power": normal_power(np.random.default_rng(1)),
        "power_on_rides": ride_power(streams[-1]),
        "broken_rides": broken_rides(streams[-1]),
        "speed": speed(np.random.default_rng(2)),
        "agreement": agreement(np.random.default_rng(3)),
    }


def lines(found: dict[str, Any]) -> list[Line]:
    """Lines for the table of ``python -m benchmarks``."""
    rate = found["stated_rate"]
    told = []
    for name in dict.fromkeys(a["stream"] for a in found["alarms"]):
        runs = [a for a in found["alarms"] if a["stream"] == name]
        told.append(line(f"{name}: share of windows with an alarm", _share(runs, "ours"), rate))
        told.append(line("  the same, p < 0.05 per feature", _share(runs, "peer"), rate))
        told.append(line("  called a broken feed", _share(runs, "called_broken"), rate))
    power = found["power"]
    told.append(
        line(
            f"shift of {SHIFT} sd in 1 of {FEATURES} features, missed in {SHIFTED_WINDOWS} windows",
            1 - power["found"],
            0.1,
        )
    )
    told.append(line("  windows of the other features with an alarm", power["alarms"], rate))
    faults = [told for of in found["broken_rides"].values() for told in of.values()]
    told.append(line("faults in one feature not told as a broken feed", 1 - np.mean(faults), 0.1))
    told.append(line("verdicts that exact tests contradict", 1 - found["agreement"], 0.01))
    seconds = found["speed"]["window_seconds"]
    told.append(line("100k rows x 100 features to findings, reference stored: s", seconds, 1.6))
    return told


def alarms(stream: Stream, size: int) -> dict[str, Any]:
    """Windows of a stationary stream with any drift finding, and with any small p-value."""
    reference = stream.reference()
    yardstick = Yardstick(reference, CONFIG, seed=42)
    check = FeedCheck(reference, QualityConfig())
    names = compared_columns(stream.schema)
    learnt = stream.rows[: stream.learnt]
    before = {name: _values(learnt, name) for name in names}
    ours = broken = peer = n = 0
    for window in stream.windows(size):
        profile = Profile.of(window.combine_chunks(), reference.live_schema)
        ours += any(finding.flagged for finding in yardstick.findings(profile))
        feed = check.findings(profile, Intake.of(rows_sent=size))
        broken += any(finding.flagged and finding.kind == "quality" for finding in feed)
        peer += any(_p_value(before[name], _values(window, name)) < 0.05 for name in names)
        n += 1
    counts = {"ours": ours, "called_broken": broken, "peer": peer}
    return {"stream": stream.name, "rows": size, "windows": n, **counts}


def normal_power(rng: np.random.Generator) -> dict[str, Any]:
    """How often a shift in one of 30 normal features is found, and the others' alarms."""
    schema = _numbers(FEATURES, rng)
    training = _table(rng.standard_normal((200_000, FEATURES)))
    yardstick = Yardstick(reference_of(schema, training, True), CONFIG, seed=42)
    found = alarm = 0
    for trial in range(TRIALS):
        at = f"f{trial % FEATURES:02d}"
        windows = rng.standard_normal((SHIFTED_WINDOWS, SHIFTED_ROWS, FEATURES))
        windows[:, :, trial % FEATURES] += SHIFT
        told = [_flagged(yardstick, _table(window)) for window in windows]
        found += any(at in names for names in told)
        alarm += sum(bool(names - {at}) for names in told)
    return {"trials": TRIALS, "found": found / TRIALS, "alarms": alarm / TRIALS / SHIFTED_WINDOWS}


def ride_power(stream: Stream) -> dict[str, float]:
    """For each numeric feature of the sample: share of starts from which its shift is found."""
    yardstick = Yardstick(stream.reference(), CONFIG, seed=42)
    windows = list(stream.windows(SHIFTED_ROWS))
    found: dict[str, float] = {}
    for column in stream.schema.features:
        if column.type is not ColumnType.NUMERIC:
            continue
        known = yardstick.merged.columns[column.name]
        told = [
            column.name in _flagged(yardstick, _shifted(window, column, SHIFT * known.std))
            for window in windows
        ]
        starts = range(len(told) - SHIFTED_WINDOWS + 1)
        hits = [any(told[start : start + SHIFTED_WINDOWS]) for start in starts]
        found[column.name] = round(float(np.mean(hits)), 3)
    return found


def broken_rides(stream: Stream) -> dict[str, dict[str, bool]]:
    """Whether a fault put into one numeric feature of a window is told as a broken feed."""
    reference = stream.reference()
    check = FeedCheck(reference, QualityConfig())
    window = next(stream.windows(SHIFTED_ROWS))
    found: dict[str, dict[str, bool]] = {}
    for column in stream.schema.features:
        if column.type is not ColumnType.NUMERIC:
            continue
        values = window[column.name].to_numpy().astype(np.float64)
        faults = {
            "x 1000": values * 1000,
            "/ 1000": values / 1000,
            "x 10": values * 10,
            "frozen": np.full(len(values), np.nanmedian(values)),
            "a fifth null": np.where(np.arange(len(values)) % 5, values, np.nan),
        }
        found[column.name] = {
            fault: _accused(check, reference, _replaced(window, column, cells), column.name)
            for fault, cells in faults.items()
        }
    return found


def _accused(check: FeedCheck, reference: Reference, window: pa.Table, name: str) -> bool:
    profile = Profile.of(window.combine_chunks(), reference.live_schema)
    found = check.findings(profile, Intake.of(rows_sent=window.num_rows))
    hard = [finding for finding in found if finding.kind == "quality"]
    return any(finding.flagged for finding in hard if finding.feature == name)


def speed(rng: np.random.Generator, rows: int = 100_000, features: int = 100) -> dict[str, float]:
    """Seconds from a raw window to findings, and what is paid once for a reference."""
    schema = _numbers(features, rng)
    training = _table(rng.standard_normal((1_000_000, features), dtype=np.float32))
    window = _table(rng.standard_normal((rows, features), dtype=np.float32))
    reference, built = _timed(lambda: reference_of(schema, training, True))
    yardstick, merged = _timed(lambda: Yardstick(reference, CONFIG, seed=42))
    _, calibrated = _timed(lambda: yardstick.thresholds(rows))
    best = [
        _timed(lambda: yardstick.findings(Profile.of(window, reference.live_schema)))[1]
        for _ in range(3)
    ]
    return {
        "reference_seconds": built,
        "merge_seconds": merged,
        "calibrate_seconds": calibrated,
        "window_seconds": min(best),
    }


def agreement(rng: np.random.Generator, rows: int = 20_000, features: int = 100) -> float:
    """Share of verdicts that the exact statistics of the raw rows give too.

    Features are shifted by nothing up to half a standard deviation, and both the statistics
    from profiles and the exact ones are held to the same thresholds.
    """
    schema = _numbers(features, rng)
    before = rng.standard_normal((200_000, features), dtype=np.float32)
    now = rng.standard_normal((rows, features), dtype=np.float32)
    now += np.linspace(0, 0.5, features, dtype=np.float32)
    yardstick = Yardstick(reference_of(schema, _table(before), True), CONFIG, seed=42)
    window = Profile.of(_table(now), yardstick.reference.live_schema)
    same = []
    for finding in yardstick.findings(window):
        at = int(finding.feature[1:])
        if finding.test == "ks":
            exact = stats.ks_2samp(before[:, at], now[:, at], method="asymp").statistic
        elif finding.test == "wasserstein":
            exact = stats.wasserstein_distance(before[:, at], now[:, at]) / before[:, at].std()
        else:
            continue
        same.append((exact > finding.threshold) == finding.flagged)
    return float(np.mean(same))


def _timed(work: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, round(time.perf_counter() - start, 3)


def _flagged(yardstick: Yardstick, window: pa.Table) -> set[str]:
    schema = yardstick.reference.live_schema
    found: list[Finding] = yardstick.findings(Profile.of(window.combine_chunks(), schema))
    return {finding.feature for finding in found if finding.flagged}


def _numbers(n: int, rng: np.random.Generator) -> TableSchema:
    cuts = np.quantile(rng.standard_normal(20_000), np.arange(1, 33) / 33)
    edges = tuple(float(cut) for cut in cuts)
    names = [f"f{i:02d}" for i in range(n)]
    columns = [Column(x, ColumnType.NUMERIC, Purpose.FEATURE, "float32", edges) for x in names]
    return TableSchema(tuple(columns), Task.REGRESSION)


def _table(matrix: npt.NDArray[np.floating[Any]]) -> pa.Table:
    columns = [pa.array(column) for column in np.ascontiguousarray(matrix.T, np.float32)]
    return pa.table(columns, names=[f"f{i:02d}" for i in range(len(columns))])


def _shifted(window: pa.Table, column: Column, by: float) -> pa.Table:
    values = window[column.name].to_numpy()
    if np.array_equal(values, np.round(values), equal_nan=True):
        # Whole numbers stay whole: some rows are one more than others.
        by = np.floor(by + np.random.default_rng(0).random(len(values)))
    return _replaced(window, column, values + by)


def _replaced(window: pa.Table, column: Column, values: npt.NDArray[Any]) -> pa.Table:
    at = window.schema.get_field_index(column.name)
    kind = window.schema.field(column.name).type
    return window.set_column(at, column.name, pa.array(values, from_pandas=True).cast(kind))


def _values(table: pa.Table, name: str) -> npt.NDArray[Any]:
    column = table[name].drop_null()
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string()).to_numpy()
    return column.to_numpy()


def _p_value(before: npt.NDArray[Any], now: npt.NDArray[Any]) -> float:
    """The usual exact tests on raw rows: Kolmogorov-Smirnov, chi squared."""
    if before.dtype.kind in "fiu":
        return float(stats.ks_2samp(before, now, method="asymp").pvalue)
    names, codes = np.unique(np.concatenate([before, now]).astype(str), return_inverse=True)
    counts = [
        np.bincount(part, minlength=len(names))
        for part in (codes[: len(before)], codes[len(before) :])
    ]
    return float(stats.chi2_contingency(np.stack(counts), correction=False).pvalue)


def _share(runs: Sequence[dict[str, Any]], whose: str) -> float:
    return _total(run[whose] for run in runs) / _total(run["windows"] for run in runs)


def _total(numbers: Iterable[int]) -> int:
    return sum(numbers)
