"""A broken feed is told from a changed world: quality findings, and the intake's laws."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from tidemill.config import QualityConfig
from tidemill.drift import FeedCheck, Intake, Reference, freshness_finding
from tidemill.drift.intake import MAX_EXTRA, MISSING, TYPE
from tidemill.errors import SchemaMismatch
from tidemill.profiling import Profile, fold
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.testing.partials import PartialContract

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SCHEMA = TableSchema(
    (
        Column("at", ColumnType.DATETIME, Purpose.TIME, "timestamp[us]", (1.7e9,)),
        Column("km", ColumnType.NUMERIC, Purpose.FEATURE, "float32", tuple(range(1, 30))),
        Column("balance", ColumnType.NUMERIC, Purpose.FEATURE, "float64", (-2.0, -1, 0, 1, 2)),
        Column("rain", ColumnType.NUMERIC, Purpose.FEATURE, "float32", (0.1, 1.0)),
        Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("phase", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("user", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
        Column("version", ColumnType.NUMERIC, Purpose.FEATURE, "float32"),
    ),
    Task.REGRESSION,
)


def table(rng, n=1000, *, day=0, **replaced):
    """Rides: a lognormal distance, a centred balance, mostly dry, one phase a day, new users."""
    dry = rng.random(n) < 0.8
    columns = {
        "at": np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(1, "s"),
        "km": np.exp(1.5 + 0.5 * rng.normal(size=n)),
        "balance": rng.normal(size=n),
        "rain": np.where(dry, 0.0, rng.exponential(2, n)),
        "zone": np.array(["a", "b", "c"])[rng.choice(3, n, p=[0.5, 0.3, 0.2])],
        "phase": np.full(n, ["new", "waxing", "full"][day % 3]),
        "user": np.array([f"u{i}" for i in rng.integers(0, 3000, n) + 100 * day]),
        "version": np.ones(n),
        **replaced,
    }
    return pa.table(
        [_cells(values, SCHEMA[name].arrow_type) for name, values in columns.items()],
        names=list(columns),
    )


def _cells(values, kind):
    cells = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    return cells.dictionary_encode() if pa.types.is_dictionary(kind) else cells.cast(kind)


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    blocks = [Profile.of(table(rng, day=day), SCHEMA) for day in range(24)]
    return Reference.of(
        SCHEMA, blocks, [], metric="r2", figures={}, quality=None, time_ordered=True
    )


@pytest.fixture(scope="module")
def check(reference):
    return FeedCheck(reference, QualityConfig())


FEED = ("quality", "territory", "repeats")


def told(check, reference, *, intake=None, usual=(), then=(), recent=(), kinds=FEED, **replaced):
    """What a window with these columns replaced is flagged for: (feature, test) to sentence."""
    rows = table(np.random.default_rng(9), day=24, **replaced)
    window = Profile.of(rows, reference.live_schema)
    intake = intake or Intake.of(rows_sent=rows.num_rows)
    found = check.findings(window, intake, usual_rows=usual, rows_then=then, recent=recent)
    assert all(f.kind in FEED and f.detail.endswith((".", "?")) for f in found)
    return {(f.feature, f.test): f.detail for f in found if f.flagged and f.kind in kinds}


def hard(*args, **kwargs):
    """The hard faults only: those that make a feed a broken one."""
    return told(*args, kinds=("quality",), **kwargs)


def test_a_healthy_window_is_not_accused(check, reference):
    """A constant phase, ever new users and a constant version are usual here."""
    assert told(check, reference, usual=(900, 1000, 1300)) == {}


def test_drift_is_not_a_broken_feed(check, reference):
    """A moved distribution, within the world that training saw, is no fault of the feed."""
    rng = np.random.default_rng(1)
    moved = np.exp(1.8 + 0.5 * rng.normal(size=1000))
    zones = np.array(["a", "b", "c"])[rng.choice(3, 1000, p=[0.2, 0.2, 0.6])]
    assert told(check, reference, km=moved, zone=zones) == {}


@pytest.mark.parametrize(("factor", "way"), [(1000.0, "larger"), (0.001, "smaller"), (7, "larger")])
def test_another_unit_is_recognised(check, reference, factor, way):
    """Metres for kilometres, or the other way round: told with the factor."""
    km = np.exp(1.5 + 0.5 * np.random.default_rng(2).normal(size=1000)) * factor
    said = told(check, reference, km=km)[("km", "scale")]
    assert said.startswith("km looks like another unit: about ")
    found = float(said.split("about ")[1].split(" times")[0])
    assert found == pytest.approx(max(factor, 1 / factor), rel=0.2)
    assert f"times {way} than" in said


def test_another_unit_of_a_centred_column_is_recognised(check, reference):
    """Where the median is about zero the spread tells: cents for euros."""
    said = told(check, reference, balance=np.random.default_rng(2).normal(size=1000) * 100)
    assert "larger" in said[("balance", "scale")]


def test_values_that_only_move_are_not_another_unit(check, reference):
    """All distances eight times the median, and no wider than before: drift, not a unit."""
    km = 8 * 4.48 + 0.5 * np.random.default_rng(3).normal(size=1000)
    assert ("km", "scale") not in told(check, reference, km=km)


def _known_by(blocks):
    """A reference of one column ``km`` with these blocks of values."""
    schema = TableSchema(SCHEMA.columns[1:2], Task.REGRESSION)
    profiles = [Profile.of(pa.table({"km": b.astype(np.float32)}), schema) for b in blocks]
    return Reference.of(
        schema, profiles, [], metric="r2", figures={}, quality=None, time_ordered=True
    )


def _accused(known, values, kinds=FEED):
    window = Profile.of(pa.table({"km": values.astype(np.float32)}), known.live_schema)
    intake = Intake.of(rows_sent=len(values))
    found = FeedCheck(known, QualityConfig()).findings(window, intake)
    return {f.test for f in found if f.flagged and f.kind in kinds}


def test_a_column_that_is_mostly_zero_has_no_unit_to_lose():
    """Quartiles inside one bin are guesses: a few rare and small risks are no other unit."""
    rng = np.random.default_rng(12)
    known = _known_by([np.where(rng.random(1000) < 0.03, 20.0, 0.0) for _ in range(16)])
    few = np.zeros(200)
    few[:6] = 0.05
    assert "scale" not in _accused(known, few)


def test_a_scale_that_training_knew_is_no_other_unit():
    """Winter is a seventh of the year's median, as it was in training; a thousandth is not."""
    rng = np.random.default_rng(13)
    seasons = 10 - 8.6 * np.cos(np.linspace(0, 4 * np.pi, 24))
    known = _known_by([rng.normal(mean, 1.5, 1000) for mean in seasons])
    winter = rng.normal(1.5, 1.5, 1000)
    assert "scale" not in _accused(known, winter)
    assert "scale" in _accused(known, rng.normal(10, 2.5, 1000) / 1000)
    summers = _known_by([rng.normal(mean, 2.5, 1000) for mean in seasons[seasons > 8]])
    assert "scale" in _accused(summers, rng.normal(1.5, 0.5, 1000))


def test_what_stood_still_once_in_training_may_do_so_again():
    """One block of 64 had a single value; without that block it would be a fault."""
    rng = np.random.default_rng(14)
    blocks = [rng.random(200) * 30 for _ in range(64)]
    assert "frozen" in _accused(_known_by(blocks), np.full(200, 5.0))
    blocks[7] = np.full(200, 3.0)
    assert "frozen" not in _accused(_known_by(blocks), np.full(200, 5.0))


def test_missing_values_beyond_the_usual(check, reference):
    """A third of a column gone; the time column is watched too."""
    rng = np.random.default_rng(4)
    gone = np.where(rng.random(1000) < 0.3, np.nan, rng.normal(size=1000))
    said = told(check, reference, balance=gone, at=pa.nulls(1000, pa.timestamp("us")))
    assert set(said) == {("balance", "null_rate"), ("at", "null_rate")}
    assert "in training it was in 0.0%" in said[("balance", "null_rate")]


def test_new_categories_beyond_the_usual(check, reference):
    """Never seen zones are told by name; a column of ever new users is left alone."""
    rng = np.random.default_rng(5)
    zones = np.where(rng.random(1000) < 0.1, "zz", "a")
    said = told(check, reference, zone=zones)
    assert set(said) == {("zone", "new_categories")}
    assert "'zz'" in said[("zone", "new_categories")]
    assert hard(check, reference, zone=zones) == {}


def test_values_outside_the_training_range(check, reference):
    """Counted exactly, whatever the histogram's own edges."""
    km = np.full(1000, 5.0)
    km[::3] = 1e4
    km[1::2] = 4.0
    said = told(check, reference, km=km)
    assert "in 16.7% of the rows" in said[("km", "range")]
    assert hard(check, reference, km=km) == {}


def test_a_frozen_column(check, reference):
    """A column that varied in every block of training has one value in a thousand rows."""
    said = told(check, reference, km=np.full(1000, 4.2), zone=np.full(1000, "a"))
    assert set(said) == {("km", "frozen"), ("zone", "frozen")}
    assert "one value in all 1000 rows" in said[("km", "frozen")]


def test_a_column_that_is_often_still_is_not_frozen(check, reference):
    """A dry day is one value too; so is what was constant for a whole block of training."""
    rows = 1000
    assert told(check, reference, phase=np.full(rows, "new")) == {}
    few = table(np.random.default_rng(1), 10, km=np.full(10, 4.2))
    window = Profile.of(few, reference.live_schema)
    found = check.findings(window, Intake.of(rows_sent=10))
    assert not [f for f in found if f.flagged]


def test_a_column_hardly_known_is_not_frozen(reference):
    """A column that was almost always empty in training has begun to be filled with zeros."""
    rng = np.random.default_rng(6)
    schema = TableSchema(SCHEMA.columns[1:2], Task.REGRESSION)
    rare = np.full(5000, np.nan)
    rare[:40] = rng.random(40)
    blocks = [Profile.of(pa.table({"km": part.astype(np.float32)}), schema) for part in [rare] * 4]
    known = Reference.of(
        schema, blocks, [], metric="r2", figures={}, quality=None, time_ordered=True
    )
    still = Profile.of(pa.table({"km": np.zeros(900, np.float32)}), known.live_schema)
    found = FeedCheck(known, QualityConfig()).findings(still, Intake.of(rows_sent=900))
    assert "frozen" not in {f.test for f in found}


def test_rows_alike_within_a_block_make_stillness_likely():
    """Weather that holds for days may hold for a short window; the same share at random not."""
    rng = np.random.default_rng(6)
    schema = TableSchema(SCHEMA.columns[4:5], Task.REGRESSION)

    def reference_with(share):
        zones = [np.where(rng.random(400) < p, "wet", "dry") for p in share]
        blocks = [
            Profile.of(pa.table({"zone": pa.array(z).dictionary_encode()}), schema) for z in zones
        ]
        return Reference.of(
            schema, blocks, [], metric="r2", figures={}, quality=None, time_ordered=True
        )

    still = Profile.of(pa.table({"zone": pa.array(["wet"] * 60).dictionary_encode()}), schema)
    weather = reference_with(np.tile([0.05, 0.95], 16))
    mixture = reference_with(np.full(32, 0.5))
    flagged = []
    for known in (weather, mixture):
        found = FeedCheck(known, QualityConfig()).findings(still, Intake.of(rows_sent=60))
        flagged.append([f.test for f in found if f.flagged])
    assert flagged == [[], ["frozen"]]


def test_refused_rows_name_the_cell(check, reference):
    """Too many refused rows, and in which feature why."""
    intake = Intake.of(rows_sent=1000, rows_refused=100, refusals={("km", TYPE): 100})
    said = told(check, reference, intake=intake)
    assert set(said) == {("", "types"), ("km", "types")}
    assert said[("", "types")] == "10.0% of 1000 rows sent were refused, most often km: type."


def test_a_renamed_column_is_suggested(check, reference):
    """A column is missing and another, unknown one of like name has come."""
    intake = Intake.of(
        rows_sent=1000, refusals={("zone", MISSING): 1000}, extra={"zones": 1000, "colour": 1000}
    )
    said = told(check, reference, intake=intake)
    assert set(said) == {("zone", "schema")}
    assert said[("zone", "schema")].endswith("did it become 'zones'?")


def test_duplicates_and_volume(check, reference):
    """Events sent again; a window with a tenth of the usual rows, or ten times as many."""
    intake = Intake.of(rows_sent=1200, duplicates=200)
    assert set(told(check, reference, intake=intake)) == {("", "duplicates")}
    assert hard(check, reference, intake=intake) == {}
    for usual in ((12_000,) * 3, (90,) * 4):
        assert set(told(check, reference, usual=usual)) == {("", "volume")}
    assert told(check, reference, usual=(12_000,) * 2) == {}


def test_as_few_rows_as_at_the_same_time_before_are_no_fault(check, reference):
    """Nights have few rows: as many as the night before; fewer still is a fault."""
    assert hard(check, reference, usual=(12_000,) * 3, then=(900,)) == {}
    assert set(hard(check, reference, usual=(12_000,) * 3, then=(11_000,))) == {("", "volume")}


def test_a_hard_fault_is_found_beside_new_territory(check, reference):
    """Another unit sends every value beyond the range: both are told, and the unit is a fault."""
    km = np.exp(1.5 + 0.5 * np.random.default_rng(2).normal(size=1000)) * 1000
    said = told(check, reference, km=km)
    assert set(said) == {("km", "scale"), ("km", "range")}
    assert set(hard(check, reference, km=km, zone=np.full(1000, "zz"))) == {
        ("km", "scale"), ("zone", "frozen"),
    }  # fmt: skip


def test_another_unit_of_a_column_that_is_mostly_zero(check, reference):
    """Four of five days are dry: what rain there is, in another unit, lies beyond the range."""
    rain = table(np.random.default_rng(3))["rain"].to_numpy()
    assert ("rain", "scale") in hard(check, reference, rain=rain * 1000)
    assert hard(check, reference, rain=rain * 3) == {}


def test_a_warm_season_is_new_territory_and_no_fault():
    """Trained from January to March, asked in June: warmer than ever, and as wide as it was."""
    rng = np.random.default_rng(15)
    cold = [rng.normal(mean, 2.0, 1000) for mean in np.tile([8.0, 10.0, 13.0, 9.0], 6)]
    for june in (rng.normal(30.0, 2.0, 1000), rng.normal(30.0, 4.0, 1000)):
        assert _accused(_known_by(cold), june, kinds=("quality",)) == set()
        assert _accused(_known_by(cold), june) == {"range"}


def test_what_the_feed_grew_into_is_no_fault(check, reference):
    """A value, a gap or a scale that came bit by bit; the same at once is a fault."""
    rng = np.random.default_rng(16)
    n, steps = 1000, 12

    def month(part):
        """Rides grow longer, a field is filled more seldom, one zone takes over."""
        return {
            "km": np.exp(1.5 + 0.5 * rng.normal(size=n)) * 7**part,
            "balance": np.where(rng.random(n) < 0.4 * part, np.nan, rng.normal(size=n)),
            "zone": np.where(rng.random(n) < part, "a", rng.choice(["a", "b", "c"], n)),
        }

    lately = []
    for step in range(1, steps + 1):
        rows = table(np.random.default_rng(step), day=24, **month(step / steps))
        window = Profile.of(rows, reference.live_schema)
        found = check.findings(window, Intake.of(rows_sent=n), recent=lately[-3:])
        assert not [f for f in found if f.flagged and f.kind == "quality"], step
        lately.append(window)
    assert set(hard(check, reference, **month(1.0))) == {
        ("km", "scale"), ("balance", "null_rate"), ("zone", "frozen"),
    }  # fmt: skip


def test_a_column_that_is_nearly_constant_may_be_so_for_a_while():
    """Seven of ten carry one passenger: a window of such rides only is no frozen column."""
    rng = np.random.default_rng(17)
    alone = [np.where(rng.random(1000) < 0.7, 1.0, 2.0) for _ in range(16)]
    assert _accused(_known_by(alone), np.full(1000, 1.0)) == set()
    assert _accused(_known_by(alone), np.full(1000, 2.0)) == {"frozen"}


def test_a_count_that_had_to_fill_is_frozen_all_the_same():
    """A count over 30 days is 0 for all at first: later on no value is to stand still."""
    rng = np.random.default_rng(19)
    blocks = [rng.poisson(max(day - 6, 0), 400).astype(float) for day in range(24)]
    assert _accused(_known_by(blocks), np.full(400, 15.0)) == {"frozen"}
    assert _accused(_known_by(blocks), rng.poisson(20, 400).astype(float)) == set()
    assert "frozen" not in _accused(_known_by(blocks), np.zeros(400))


def test_still_at_one_value_lately_is_no_leave_to_stand_still_at_another():
    """All rides with one passenger, then all with none."""
    rng = np.random.default_rng(17)
    known = _known_by([np.where(rng.random(1000) < 0.7, 1.0, 2.0) for _ in range(16)])
    alone, pairs = (
        Profile.of(pa.table({"km": np.full(1000, x, np.float32)}), known.live_schema)
        for x in (1.0, 2.0)
    )
    found = FeedCheck(known, QualityConfig()).findings(
        pairs, Intake.of(rows_sent=1000), recent=[alone] * 3
    )
    assert [f.test for f in found if f.flagged and f.kind == "quality"] == ["frozen"]


@pytest.mark.parametrize("days", [1, 3, 5, 10])
@pytest.mark.parametrize("rate", [3.1, 2.0, 9.0])
def test_a_column_with_one_value_a_day_is_not_frozen_in_a_window_of_an_hour(days, rate):
    """A market's rate: blocks of training hold several days; also beyond the range of training."""
    daily = np.random.default_rng(4).normal(3, 0.2, 40 * days).round(2)
    edges = tuple(float(cut) for cut in np.unique(np.quantile(daily, np.arange(1, 33) / 33)))
    column = Column("rate", ColumnType.NUMERIC, Purpose.FEATURE, "float64", edges)
    schema = TableSchema((column,), Task.REGRESSION)

    def profile(values, schema=schema):
        return Profile.of(pa.table({"rate": values}), schema)

    blocks = [profile(np.repeat(block, 600)) for block in daily.reshape(40, days)]
    known = Reference.of(
        schema, blocks, [], metric="r2", figures={}, quality=None, time_ordered=True
    )
    check = FeedCheck(known, QualityConfig())
    hour = profile(np.full(600, rate), known.live_schema)
    found = check.findings(hour, Intake.of(rows_sent=600))
    assert not [f for f in found if f.flagged and f.kind == "quality"]
    # Rows that are as mixed as a shuffle's stand still by accident never.
    mixed = np.random.default_rng(5).permutation(np.repeat(daily, 600)).reshape(40, -1)
    known = Reference.of(
        schema,
        [profile(rows) for rows in mixed],
        [],
        metric="r2",
        figures={},
        quality=None,
        time_ordered=True,
    )
    check = FeedCheck(known, QualityConfig())
    found = check.findings(hour, Intake.of(rows_sent=600))
    assert [f.test for f in found if f.flagged and f.kind == "quality"] == ["frozen"]


def test_a_value_far_out_that_stands_still_is_frozen():
    """The outer bins hold no value by chance, whatever else lay in them before."""
    rng = np.random.default_rng(18)
    known = _known_by([rng.random(200) * 30 for _ in range(16)])
    far = Profile.of(pa.table({"km": np.full(200, 900.0, np.float32)}), known.live_schema)
    wide = rng.uniform(500, 1500, 200).astype(np.float32)
    lately = Profile.of(pa.table({"km": wide}), known.live_schema)
    found = FeedCheck(known, QualityConfig()).findings(
        far, Intake.of(rows_sent=200), recent=[lately]
    )
    assert "frozen" in {f.test for f in found if f.flagged}


def test_silence():
    """Told only where it is set, and flagged beyond what is set."""
    assert freshness_finding(1e6, QualityConfig()) is None
    config = QualityConfig(freshness_seconds=600)
    assert not freshness_finding(600, config).flagged
    late = freshness_finding(601, config)
    assert late.flagged
    assert (late.kind, late.test) == ("quality", "freshness")


def test_an_empty_window_is_silent_about_columns(check, reference):
    """No rows, no statements about cells; volume still is one."""
    window = Profile.of(table(np.random.default_rng(1), 0), reference.live_schema)
    found = check.findings(window, Intake.of(rows_sent=0), usual_rows=(500, 500, 500))
    assert {(f.feature, f.test) for f in found if f.flagged} == {("", "volume")}


def test_more_than_was_sent_cannot_be_refused():
    """Counts that contradict each other are a defect of the caller."""
    with pytest.raises(SchemaMismatch, match="1 repeated rows of 2 sent"):
        Intake.of(rows_sent=2, rows_refused=2, duplicates=1)


def test_names_from_outside_are_bounded():
    """A million invented columns leave a hundred names."""
    parts = [Intake.of(rows_sent=1, extra={f"x{i}": 1 for i in range(j, j + 90)}) for j in (0, 80)]
    assert len(fold(parts).extra.counts) == MAX_EXTRA


def test_the_intake_spans_its_events():
    """First and last event time, whichever request brought them; nothing from no events."""
    hour = dt.timedelta(hours=1)
    early, late = (
        Intake.of(rows_sent=2, first_at=at, last_at=at + hour) for at in (NOW, NOW + 5 * hour)
    )
    both = fold([late, Intake.of(rows_sent=0), early])
    assert (both.first_at, both.last_at) == (NOW, NOW + 6 * hour)
    assert both.accepted == 4


ROWS = st.tuples(
    st.sampled_from(["kept", "refused", "again"]),
    st.sampled_from([None, ("km", TYPE), ("zone", MISSING), ("km", "too old")]),
    st.integers(0, 140).map(lambda i: f"x{i}") | st.none(),
    st.integers(0, 10**6).map(lambda s: NOW + dt.timedelta(seconds=s)),
)


class TestIntakeLaws(PartialContract):
    """The intake of any split of the rows is the same."""

    def rows(self):
        return st.lists(ROWS, max_size=40)

    def of(self, rows):
        counted = [Intake.of(rows_sent=0), *(_one(*row) for row in rows)]
        return fold(counted)


def _one(fate, refusal, extra, at):
    return Intake.of(
        rows_sent=1,
        rows_refused=int(fate == "refused"),
        duplicates=int(fate == "again"),
        refusals={refusal: 1} if refusal else {},
        extra={extra: 1} if extra else {},
        first_at=at,
        last_at=at,
    )


def test_a_column_that_begins_to_vary_is_no_broken_feed(check, reference):
    """Of a column with one value in training nothing was learnt: other values are drift."""
    assert told(check, reference, version=np.linspace(0, 5, 1000)) == {}
