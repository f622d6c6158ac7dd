from __future__ import annotations

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.config.monitoring import MonitoringConfig, WindowConfig
from tidemill.drift import Intake, feature_schema, output_schema
from tidemill.ledger import BatchNote, Stretch
from tidemill.metrics import figures_of
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.testing.worlds import START, World
from tidemill_monitor.intake.row_faults import Refused
from tidemill_monitor.watching.closing import is_due
from tidemill_monitor.watching.folds import Folds, unpacked
from tidemill_monitor.watching.labelled import Labelled, fold_labels
from tidemill_monitor.watching.window_rows import FoldPlan, bounds_of, fold_events, sequences_of

HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=3, blocks=4)


@pytest.fixture(scope="module")
def reference(world):
    return world.reference()


def config_of(**window) -> MonitoringConfig:
    return MonitoringConfig(window=WindowConfig(**window))


@pytest.fixture(scope="module")
def plan(reference):
    return FoldPlan.of(1, reference, config_of(seconds=3600, segments=("zone",), max_segments=2))


def with_positions(table: pa.Table, first: int = 0) -> pa.Table:
    return table.append_column("position", pa.array(np.arange(first, first + table.num_rows)))


def json_of(part: bytes) -> dict:
    return orjson.loads(part)


@given(st.integers(0, 4_102_444_800), st.integers(1, 100_000))
def test_every_time_lies_in_the_window_it_is_given(second, seconds):
    """A window by time is half-open and holds exactly the times that get its number."""
    window = WindowConfig(seconds=seconds)
    at = pa.array([second * 1_000_000], pa.timestamp("us"))
    (number,) = sequences_of(pa.table({"at": at}), window).tolist()
    start, end = bounds_of(number, window)

    assert start <= dt.datetime.fromtimestamp(second, dt.UTC) < end
    assert end - start == dt.timedelta(seconds=seconds)


def test_rows_are_folded_by_their_own_time(world, plan):
    """Rows of three hours, in any order, become one part an hour; nothing is lost."""
    table = with_positions(world.traffic(900, at=START, seconds=3 * 3600).events)
    order = np.random.default_rng(0).permutation(900)
    parts = [part for part in fold_events(table.take(order), plan) if not part.key.segment]

    assert [part.rows for part in parts] == [300, 300, 300]
    assert [part.start for part in parts] == [START, START + HOUR, START + 2 * HOUR]
    whole = unpacked("profile", [part.profile for part in parts])
    assert whole.to_json()["rows"] == 900
    direct = Profile.of(table, plan.live)
    assert whole.columns["distance"].counts.tolist() == direct.columns["distance"].counts.tolist()
    assert whole.columns["zone"].counts == direct.columns["zone"].counts


def test_segments_are_the_frequent_values_of_training(world, plan):
    """Each followed value gets its own part; others are in the whole only."""
    table = with_positions(world.traffic(500, at=START).events)
    parts = fold_events(table, plan)

    zones = table["zone"].cast(pa.string()).to_pylist()
    assert {part.key.segment: part.rows for part in parts} == {
        "": 500,
        "zone=centre": zones.count("centre"),
        "zone=harbour": zones.count("harbour"),
    }
    (centre,) = [part for part in parts if part.key.segment == "zone=centre"]
    assert list(unpacked("profile", [centre.profile]).columns["zone"].counts) == ["centre"]


@pytest.mark.parametrize(("known", "sent"), [("7.0", "7"), ("7", "7.0"), ("7.0", "7.00")])
def test_a_category_that_training_wrote_otherwise_is_not_new(world, known, sent):
    """A frame with gaps wrote 7.0 for 7: rows of 7 are in its bin and its segment, and no drift."""

    def written(table: pa.Table, text: str) -> pa.Table:
        zones = [text if z == "centre" else z for z in table["zone"].to_pylist()]
        place = table.schema.get_field_index("zone")
        return table.set_column(place, "zone", pa.array(zones).dictionary_encode())

    reference = world.reference()
    blocks = [written(world.traffic(400, at=START).events, known) for _ in range(3)]
    live = feature_schema(reference.schema)
    seen = replace(reference, blocks=tuple(Profile.of(block, live) for block in blocks))
    plan = FoldPlan.of(1, seen, config_of(seconds=3600, segments=("zone",)))
    traffic = world.traffic(300, at=START)
    table = with_positions(traffic.events)
    rows = table["zone"].to_pylist().count("centre")

    parts = {part.key.segment: part for part in fold_events(written(table, sent), plan)}
    profile = unpacked("profile", [parts[""].profile]).columns["zone"]
    assert (profile.counts[known], profile.counts.get(sent)) == (rows, None)
    assert parts[f"zone={known}"].rows == rows
    labelled = written(table, sent).append_column("truth", traffic.truth["truth"])
    assert {p.key.segment: p.rows for p in fold_labels(labelled, plan)}[f"zone={known}"] == rows


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6))
def test_windows_by_count_have_exactly_their_length(sizes):
    """However the rows come in requests, each window but the last holds the stated rows."""
    window = WindowConfig(by="count", rows=100)
    found: dict[int, int] = {}
    first = 0
    for size in sizes:
        table = pa.table({"position": np.arange(first, first + size)})
        for number in sequences_of(table, window).tolist():
            found[number] = found.get(number, 0) + 1
        first += size

    *full, last = [found[number] for number in sorted(found)]
    assert sorted(found) == list(range(len(found)))
    assert full == [100] * len(full)
    assert last == (first % 100 or 100)


def test_labels_fall_into_the_windows_of_their_events(world, plan):
    """Figures of a window's labelled rows equal those of the rows themselves."""
    traffic = world.traffic(600, at=START, seconds=2 * 3600)
    table = with_positions(traffic.events).append_column("truth", traffic.truth["truth"])
    parts = [part for part in fold_labels(table, plan) if not part.key.segment]

    assert [part.rows for part in parts] == [300, 300]
    merged = unpacked("figures", [part.figures for part in parts])
    truth = np.array(traffic.truth["truth"].to_pylist()) == "yes"
    direct = figures_of(
        Task.BINARY,
        traffic.events["score"].to_numpy(),
        truth.astype(int),
        classes=("no", "yes"),
    )
    assert merged.figures.values() == pytest.approx(direct.values(), abs=1e-12)
    assert merged.truth.columns["truth"].counts == {"no": int((~truth).sum()), "yes": truth.sum()}

    own = fold_labels(table, replace(plan, threshold=0.2))
    parts = [part.figures for part in own if not part.key.segment]
    decided = unpacked("figures", parts).figures
    assert decided.operating()["threshold"] == 0.2
    assert decided.operating()["recall"] > merged.figures.operating()["recall"]


def test_a_truth_that_is_no_class_is_profiled_and_not_measured(world, plan):
    """Labels of classes that the model does not know do not break its figures."""
    traffic = world.traffic(100, at=START)
    truth = pa.array(["maybe"] * 10 + ["yes"] * 90)
    table = with_positions(traffic.events).append_column("truth", truth)
    found = Labelled.of(table, plan.outputs)

    assert found.figures.count == 90
    assert found.truth.columns["truth"].counts == {"maybe": 10, "yes": 90}
    again = Labelled.from_json(orjson.loads(orjson.dumps(found.to_json())))
    assert again.to_json() == found.to_json()


@pytest.mark.parametrize("bad", [85.0, 1.5, -2.3, float("inf")])
def test_a_score_that_is_none_costs_its_own_row(world, plan, bad):
    """Percentages and log-odds that an older monitor stored: the other labels are measured."""
    traffic = world.traffic(100, at=START)
    scores = traffic.events["score"].to_pylist()
    scores[7] = scores[50] = bad
    events = traffic.events.set_column(4, "score", pa.array(scores))
    table = with_positions(events).append_column("truth", traffic.truth["truth"])
    whole = [part for part in fold_labels(table, plan) if not part.key.segment]

    assert [(part.rows, part.unmeasured) for part in whole] == [(100, 2)]
    assert unpacked("figures", [whole[0].figures]).figures.count == 98


@pytest.mark.parametrize("bad", [1e200, -1e308, float("inf"), float("nan")])
def test_a_prediction_too_large_to_be_squared_costs_its_own_row(bad):
    """One number beyond all sense does not make the error of a whole window infinite."""
    column = Column("y", ColumnType.NUMERIC, Purpose.TARGET, "float64", (0.0, 1.0))
    outputs = output_schema(TableSchema((column,), Task.REGRESSION))
    table = pa.table({"prediction": [1.0, bad, 3.0], "truth": [1.0, 2.0, 2.0]})
    found = Labelled.of(table, outputs)
    again = Labelled.from_json(orjson.loads(orjson.dumps(found.merge(found).to_json())))

    assert found.figures.count == 2
    assert again.figures.values()["rmse"] == pytest.approx(0.5**0.5)


# Folding: requests with their notes


def champions(reference):
    return SimpleNamespace(reference=lambda version: reference if version == 1 else None)


def note(position=0, rows=0, duplicates=0, refused=None, at=START + 9 * HOUR):
    intake = None if refused is None else refused.to_bytes()
    return BatchNote(at, position, rows, duplicates, intake)


def refused(reasons, rows):
    return Refused(rows, rows, reasons, START, 1)


def stretch(table, *notes, version=1):
    return Stretch(table, version, notes)


def intakes(parts) -> dict[int, Intake]:
    return {
        part.key.sequence: Intake.from_json(json_of(part.intake))
        for part in parts
        if part.intake is not None
    }


def test_intake_counts_taken_repeated_and_refused_rows(world, reference):
    """What a request brought besides good rows counts in the window of its newest row."""
    folds = Folds(champions(reference), config_of(seconds=3600))
    table = with_positions(world.traffic(200, at=START, seconds=2 * 3600).events)
    wrong = refused({("distance", "missing"): 7, ("nonsense", "type"): 2, ("fare", "extra"): 9}, 9)
    first, second = sorted(
        intakes(folds.events(stretch(table, note(0, 200, duplicates=3, refused=wrong)))).items()
    )

    assert (first[1].rows_sent, first[1].duplicates, first[1].rows_refused) == (100, 0, 0)
    assert (second[1].rows_sent, second[1].duplicates, second[1].rows_refused) == (112, 3, 9)
    # Names from outside are not the model's features.
    assert second[1].refusals == {("", "type"): 2, ("distance", "missing"): 7}
    assert second[1].extra.counts == {"fare": 9}
    assert first[1].first_at == START


def test_a_request_without_a_good_row_counts_where_it_arrived(world, reference):
    """A feed that lost a column sends no good row at all, and must not vanish."""
    folds = Folds(champions(reference), config_of(seconds=3600))
    empty = with_positions(world.traffic(0, at=START).events)
    lost = refused({("distance", "missing"): 500}, 500)
    parts = folds.events(stretch(empty, note(refused=lost, at=START + HOUR)))

    ((number, intake),) = intakes(parts).items()
    assert bounds_of(number, WindowConfig())[0] == START + HOUR
    assert (intake.rows_sent, intake.rows_refused) == (500, 500)
    assert sum(part.rows for part in parts) == 0


def test_rows_of_a_version_without_reference_are_counted(world, reference):
    """Nothing to compare with is no reason to lose count."""
    folds = Folds(champions(reference), config_of(seconds=3600, segments=("zone",)))
    table = with_positions(world.traffic(50, at=START, version=2).events)
    parts = folds.events(stretch(table, note(0, 50), version=2))

    assert sum(part.rows for part in parts) == 50
    assert all(part.profile is None for part in parts)
    (labelled,) = folds.labels(table, 2)
    assert (labelled.rows, labelled.figures, labelled.unmeasured) == (50, None, 0)


def test_rows_that_do_not_fit_the_version_are_counted(world, reference):
    """Events of an older version may lack columns that its reference has."""
    folds = Folds(champions(reference), config_of(seconds=3600))
    table = with_positions(world.traffic(50, at=START).events).drop_columns(["wait"])
    parts = folds.events(stretch(table, note(0, 50)))

    assert sum(part.rows for part in parts) == 50


def test_parts_merge_to_what_their_rows_would_have_given(world, reference):
    """The ledger compacts parts; a window does not notice."""
    folds = Folds(champions(reference), config_of(seconds=3600))
    pieces = [world.traffic(40, at=START, seconds=60).events for _ in range(5)]
    parts = [
        folds.events(stretch(with_positions(piece, 40 * i), note(40 * i, 40)))
        for i, piece in enumerate(pieces)
    ]
    for field in ("profile", "outputs", "intake"):
        kept = [getattr(p, field) for group in parts for p in group if getattr(p, field)]
        halves = [folds.merge(field, kept[:2]), folds.merge(field, kept[2:])]
        merged, direct = folds.merge(field, halves), folds.merge(field, kept)
        assert close(json_of(merged), json_of(direct))


def close(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b, strict=True))
    return a == pytest.approx(b, rel=1e-9) if isinstance(a, float) else a == b


def test_event_time_goes_on_and_never_beyond_the_clock(world, reference):
    """A sender whose clock is ahead closes nobody's window."""
    folds = Folds(champions(reference), config_of(seconds=3600))
    rows = with_positions(world.traffic(10, at=START).events)
    ahead = with_positions(world.traffic(10, at=START + 5 * HOUR, seconds=1).events)
    assert folds.watermark(1, START + HOUR) is None

    folds.events(stretch(rows, note(0, 10, at=START + HOUR)))
    before = folds.watermark(1, START + HOUR)
    folds.events(stretch(ahead, note(0, 10, at=START + HOUR)))

    assert START < before < START + HOUR
    assert folds.watermark(1, START + HOUR) == before
    assert folds.watermark(2, START + HOUR) is None


# When a window closes


def window(*, rows=1000, last_received_at=START, start=START):
    return SimpleNamespace(
        rows=rows, start=start, end=start + HOUR, last_received_at=last_received_at
    )


@pytest.mark.parametrize(
    ("watermark", "now", "heard", "due"),
    [
        (None, HOUR, HOUR, False),
        (None, HOUR + dt.timedelta(minutes=5), dt.timedelta(minutes=59), True),
        (None, HOUR + dt.timedelta(minutes=5), dt.timedelta(minutes=62), False),
        (HOUR + dt.timedelta(minutes=4), 9 * HOUR, 9 * HOUR, False),
        (HOUR + dt.timedelta(minutes=5), 9 * HOUR, 9 * HOUR, True),
        (HOUR + dt.timedelta(minutes=5), HOUR, HOUR, True),
        (dt.timedelta(minutes=30), 9 * HOUR, 8 * HOUR, True),
    ],
    ids=["fills", "quiet", "heard just now", "replay goes on", "past", "clock behind", "paused"],
)
def test_a_window_by_time_closes_by_event_time_or_silence(watermark, now, heard, due):
    """Old data that are replayed close windows as live traffic does; a pause closes them too."""
    found = is_due(
        window(last_received_at=START + heard),
        WindowConfig(seconds=3600, lateness_seconds=300),
        watermark=None if watermark is None else START + watermark,
        now=START + now,
        serving=True,
    )

    assert found is due


@pytest.mark.parametrize(("seconds", "due"), [(0, False), (20, False), (40, True)])
def test_the_moment_between_two_requests_is_no_pause(seconds, due):
    """Without lateness too, a replay that is slower than a tick fills its windows."""
    found = is_due(
        window(last_received_at=START + 9 * HOUR),
        WindowConfig(seconds=3600, lateness_seconds=0),
        watermark=START + dt.timedelta(minutes=30),
        now=START + 9 * HOUR + dt.timedelta(seconds=seconds),
        serving=True,
    )

    assert found is due


def test_a_window_by_count_closes_when_full_or_left_over():
    """An old version's last window does not wait for ever."""
    config = WindowConfig(by="count", rows=1000, lateness_seconds=60)
    facts = {"watermark": None, "now": START + HOUR}

    assert is_due(window(rows=1000), config, serving=True, **facts)
    assert not is_due(window(rows=999), config, serving=True, **facts)
    assert is_due(window(rows=999), config, serving=False, **facts)
    fresh = window(rows=999, last_received_at=START + HOUR)
    assert not is_due(fresh, config, serving=False, **facts)


def test_a_plan_follows_only_columns_that_the_model_has(reference):
    """A segment that is no categorical feature is left out, not an error at every row."""
    config = config_of(segments=("zone", "distance", "nonsense", "cancelled"))
    plan = FoldPlan.of(1, reference, config)

    assert plan.segments == {"zone": ("centre", "harbour", "airport")}
    assert replace(plan, version=2).version == 2
