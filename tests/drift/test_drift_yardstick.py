"""A window against the reference: which features drift, told in sentences."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import DriftConfig
from tidemill.drift import (
    Finding,
    HeldOut,
    PerformanceModel,
    Reference,
    Yardstick,
    calibrate,
    compare,
    compared_columns,
    output_schema,
)
from tidemill.errors import SchemaMismatch
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

EDGES = tuple(float(x) for x in np.linspace(-2, 2, 20))
START = np.datetime64("2026-01-01", "us")


def rides_schema():
    def column(name, kind, purpose=Purpose.FEATURE, physical="float32", edges=()):
        return Column(name, kind, purpose, physical, edges)

    return TableSchema(
        (
            column("id", ColumnType.CATEGORICAL, Purpose.KEY, "string"),
            column("at", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]", (1.7e9,)),
            column("promised", ColumnType.DATETIME, physical="timestamp[us]", edges=(1.7e9,)),
            *(column(f"f{i}", ColumnType.NUMERIC, edges=EDGES) for i in range(8)),
            column("zone", ColumnType.CATEGORICAL, physical="dictionary"),
            column("airport", ColumnType.BOOLEAN, physical="bool"),
            column("cancelled", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
        ),
        Task.BINARY,
        ("0", "1"),
    )


def rows_of(rng, n, *, day=0, shift=0.0, zones=(0.5, 0.3, 0.2)):
    at = START + (np.arange(n) + day * 86_400) * np.timedelta64(1_000_000, "us")
    truth = rng.random(n) < 0.3
    columns = {
        "id": pa.array([f"r{day}-{i}" for i in range(n)]),
        "at": pa.array(at),
        "promised": pa.array(at),
        **{f"f{i}": pa.array(rng.normal(size=n).astype(np.float32)) for i in range(8)},
        "zone": pa.array(np.array(["a", "b", "c"])[rng.choice(3, n, p=zones)]).dictionary_encode(),
        "airport": pa.array(rng.random(n) < 0.1),
        "cancelled": pa.array(np.where(truth, "1", "0")).dictionary_encode(),
    }
    columns["f3"] = pa.array((rng.normal(size=n) + shift).astype(np.float32))
    return pa.table(columns)


def held_out(rng, n, *, bias=0.0):
    truth = (rng.random(n) < 0.3).astype(int)
    scores = np.clip(0.3 + 0.3 * truth + 0.2 * rng.random(n) + bias, 0, 1)
    return HeldOut.of(rides_schema(), scores, truth)


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    schema = rides_schema()
    blocks = [Profile.of(rows_of(rng, 1000, day=day), schema) for day in range(64)]
    judged = [held_out(rng, 500) for _ in range(24)]
    model = PerformanceModel.fit([(part.outcomes, part.figures) for part in judged])
    return Reference.of(
        schema,
        blocks,
        [part.outputs for part in judged],
        metric="roc_auc",
        figures={"roc_auc": 0.9},
        quality=model,
        time_ordered=True,
    )


@pytest.fixture(scope="module")
def yardstick(reference):
    return Yardstick(reference, DriftConfig(), seed=1)


def live(reference, n=5000, **how):
    """The profile of a window a year later."""
    table = rows_of(np.random.default_rng(77), n, day=365, **how)
    return Profile.of(table.drop_columns(["id", "cancelled"]), reference.live_schema)


def test_a_healthy_window_has_findings_and_none_flagged(reference, yardstick):
    """Every judged feature and test is told, with its threshold, though a year has passed."""
    found = yardstick.findings(live(reference))
    assert {f.feature for f in found} == {*(f"f{i}" for i in range(8)), "zone", "airport"}
    assert len(found) == 8 * 5 + 2 * 4
    assert not [f for f in found if f.flagged]
    assert all(f.kind == "drift" and 0 <= f.value < f.threshold < 1 for f in found)


def test_only_the_feature_that_moved_is_named(reference, yardstick):
    """A shift of half a standard deviation is told of that feature, with both medians."""
    flagged = [f for f in yardstick.findings(live(reference, shift=0.5)) if f.flagged]
    assert {f.feature for f in flagged} == {"f3"}
    assert {f.test for f in flagged} == {"psi", "jensen_shannon", "ks", "wasserstein"}
    far = next(f for f in flagged if f.test == "wasserstein")
    assert far.value == pytest.approx(0.5, abs=0.06)
    assert far.detail.startswith("f3 has drifted: its median is 0.")
    psi = next(f for f in flagged if f.test == "psi")
    assert psi.detail.startswith("f3 has drifted: values from ")
    assert all("threshold" in f.detail for f in flagged)


def test_the_category_that_grew_is_named(reference, yardstick):
    """Of a categorical feature the sentence says which share changed most."""
    found = yardstick.findings(live(reference, zones=(0.2, 0.3, 0.5)))
    flagged = [f for f in found if f.flagged]
    assert {f.feature for f in flagged} == {"zone"}
    assert "'a' made up 5" in flagged[0].detail or "'c' made up 2" in flagged[0].detail


def test_times_never_drift(reference, yardstick):
    """Neither the time column nor a feature that holds times is compared."""
    assert not {"at", "promised", "id", "cancelled"} & set(compared_columns(reference.schema))


def test_small_p_values_alone_flag_nothing(reference, yardstick):
    """A tiny difference in very many rows has p < 0.001 and no finding."""
    found = yardstick.findings(live(reference, n=60_000, shift=0.04))
    ks = next(f for f in found if f.feature == "f3" and f.test == "ks")
    assert ks.p_value < 0.001
    assert not any(f.flagged for f in found if f.feature == "f3")


def test_a_small_shift_is_found(reference, yardstick):
    """0.2 standard deviations in 5,000 rows."""
    found = yardstick.findings(live(reference, shift=0.2))
    assert {f.feature for f in found if f.flagged} == {"f3"}


def test_outputs_and_labels_drift_too(reference, yardstick):
    """The model's scores and what turned out are compared with held-out rows."""
    rng = np.random.default_rng(5)
    usual, higher = held_out(rng, 4000).outputs, held_out(rng, 4000, bias=0.2).outputs
    window = live(reference)
    found = yardstick.findings(window, usual, usual)
    kinds = {f.kind: {g.feature for g in found if g.kind == f.kind} for f in found}
    assert kinds["output drift"] == {"prediction", "score"}
    assert kinds["label drift"] == {"truth"}
    assert not [f for f in found if f.flagged]
    told = [f for f in yardstick.findings(window, higher) if f.flagged]
    assert {f.kind for f in told} == {"output drift"}
    assert all(f.detail.startswith("the model's ") for f in told)
    all_true = HeldOut.of(rides_schema(), rng.random(4000), np.ones(4000, int)).outputs
    told = [f for f in yardstick.findings(window, None, all_true) if f.flagged]
    assert {(f.kind, f.feature) for f in told} == {("label drift", "truth")}


def test_comparing_once_and_many_times_is_the_same(reference, yardstick):
    """The function and the yardstick say the same of the same thresholds."""
    window = live(reference, shift=0.3)
    limits = calibrate(
        reference.blocks,
        4096,
        DriftConfig(),
        1,
        True,
        columns=compared_columns(reference.schema),
        rate=0.04,
    )
    assert compare(window, reference, limits) == yardstick.findings(window)


def test_a_window_without_rows_has_no_findings(reference, yardstick):
    """Nothing arrived, so nothing is compared."""
    assert yardstick.findings(live(reference, n=0)) == []


def test_a_column_without_values_has_no_other_distance(reference, yardstick):
    """Only that the values are gone; of the rest the sentence says there is nothing to compare."""
    table = rows_of(np.random.default_rng(1), 2000)
    nothing = pa.nulls(2000, pa.float32())
    table = table.set_column(table.schema.get_field_index("f2"), "f2", nothing)
    found = yardstick.findings(Profile.of(table, reference.live_schema))
    f2 = [f for f in found if f.feature == "f2"]
    assert {f.test for f in f2 if f.flagged} == {"null_share"}
    assert all("no values" in f.detail for f in f2 if f.test != "null_share")


def test_missing_values_that_come_or_go_are_drift(reference, yardstick):
    """A column that had all its values lacks a tenth; the sentence gives both shares."""
    table = rows_of(np.random.default_rng(1), 4000)
    gone = np.where(np.arange(4000) % 10 == 0, np.nan, table["f2"].to_numpy())
    at = table.schema.get_field_index("f2")
    table = table.set_column(at, "f2", pa.array(gone, pa.float32(), from_pandas=True))
    found = yardstick.findings(Profile.of(table, reference.live_schema))
    told = [f for f in found if f.flagged]
    assert {(f.feature, f.test) for f in told} == {("f2", "null_share")}
    assert "10.0% of its rows lack a value, where 0.0% did" in told[0].detail


def test_a_window_of_another_schema_is_refused(reference, yardstick):
    """Live windows are profiled with the reference's own edges, not the model's."""
    table = rows_of(np.random.default_rng(1), 100)
    with pytest.raises(SchemaMismatch) as refused:
        yardstick.findings(Profile.of(table, rides_schema()))
    assert "live_schema" in refused.value.remedy


def test_the_reference_counts_what_lies_outside_training_exactly(reference):
    """The outer bins hold nothing of training, and just the live rows beyond its range."""
    known = reference.merged().columns["f0"]
    assert known.counts[0] == known.counts[-1] == 0
    assert known.counts.sum() == known.count == 64_000
    beyond = np.array([known.minimum, known.maximum, -99, 99, 98], np.float32)
    table = rows_of(np.random.default_rng(1), 5)
    table = table.set_column(table.schema.get_field_index("f0"), "f0", pa.array(beyond))
    now = Profile.of(table, reference.live_schema).columns["f0"]
    assert (now.counts[0], now.counts[-1]) == (1, 2)


def test_framing_moves_no_row(reference):
    """Blocks of the framed reference are what profiling with its edges gives."""
    rng = np.random.default_rng(0)
    for day in range(3):
        table = rows_of(rng, 1000, day=day)
        again = Profile.of(table, reference.schema)
        assert again.to_json() == reference.blocks[day].to_json()


def test_json_round_trips_are_exact(reference):
    """Reference and findings come back from JSON text as they were."""
    text = json.dumps(reference.to_json(), allow_nan=False)
    again = Reference.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.merged().to_json() == reference.merged().to_json()
    assert again.live_schema == reference.live_schema
    finding = Finding("drift", "f", "psi", float("nan"), float("inf"), None, False, "None.")
    back = Finding.from_json(json.loads(json.dumps(finding.to_json(), allow_nan=False)))
    assert repr(back) == repr(finding)


def test_a_reference_needs_rows():
    """No blocks, no reference; the error says what to do."""
    with pytest.raises(SchemaMismatch, match="at least one block"):
        Reference.of(
            rides_schema(), [], [], metric="r2", figures={}, quality=None, time_ordered=True
        )


def test_outputs_of_a_regression_are_numbers_on_the_targets_edges():
    """No score, and prediction and truth share the target's histogram."""
    fare = Column("score", ColumnType.NUMERIC, Purpose.TARGET, "float64", (1.0, 2.0))
    told = output_schema(TableSchema((fare,), Task.REGRESSION))
    assert told.names == ("prediction", "truth")
    assert told["prediction"].edges == told.target.edges == (1.0, 2.0)


def test_a_regression_has_outputs_to_compare_and_no_score():
    """A prediction that moved away is told, although there is no score beside it."""
    rng = np.random.default_rng(3)
    fare = Column("fare", ColumnType.NUMERIC, Purpose.TARGET, "float64", (5.0, 10.0, 15.0, 20.0))
    km = Column("km", ColumnType.NUMERIC, Purpose.FEATURE, "float32", EDGES)
    schema = TableSchema((km, fare), Task.REGRESSION)

    def judged(shift=0.0):
        truth = rng.normal(12, 3, size=500)
        return HeldOut.of(schema, truth + shift + rng.normal(size=500), truth)

    def features(n):
        return pa.table({"km": rng.normal(size=n).astype(np.float32), "fare": rng.random(n)})

    parts = [judged() for _ in range(24)]
    reference = Reference.of(
        schema,
        [Profile.of(features(1000), schema) for _ in range(64)],
        [part.outputs for part in parts],
        metric="mae",
        figures={"mae": 0.8},
        quality=PerformanceModel.fit([(part.outcomes, part.figures) for part in parts]),
        time_ordered=True,
    )
    window = Profile.of(features(500).drop_columns(["fare"]), reference.live_schema)
    found = Yardstick(reference, DriftConfig(), seed=1).findings(window, judged(4.0).outputs)

    outputs = [finding for finding in found if finding.kind == "output drift"]
    assert {finding.feature for finding in outputs} == {"prediction"}
    assert any(finding.flagged for finding in outputs)
