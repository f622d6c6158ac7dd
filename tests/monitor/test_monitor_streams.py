"""A changed world, a season and a broken feed, told apart over weeks of days; default settings.

Rows go through the real intake, a real model answers them, the real watcher judges windows and
decides; only registry and flow are not here.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer

from tidemill.config import MonitoringConfig
from tidemill.drift import HeldOut, PerformanceModel, Reference
from tidemill.ledger import DecisionRow, EventBatch, LabelBatch, Window
from tidemill.metrics import figures_of
from tidemill.profiling import Profile, fold
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task
from tidemill.testing.stored import Stored, elec2, fraud, taxi
from tidemill.testing.streams import FAULTS, FIRST_DAY, NEW_WORLD, BankCalls, HomeMeters
from tidemill_monitor.intake.arrow import read_arrow
from tidemill_monitor.intake.plans import Shape
from tidemill_monitor.intake.row_faults import merged_intake
from tidemill_monitor.serving.champion import Champion
from tidemill_monitor.serving.scored_events import score_rows
from tidemill_monitor.testing import Watched, watched

DAY = dt.timedelta(days=1)
SPRING = dt.date(2025, 4, 1)
BLOCKS = 60
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def features_of(table: pa.Table) -> list[str]:
    """All but key, time and target, which stand at the ends."""
    return table.column_names[2:-1]


def schema_of(table: pa.Table) -> TableSchema:
    columns = []
    for name in features_of(table):
        if pa.types.is_string(table.schema.field(name).type):
            columns.append(Column(name, ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"))
            continue
        edges = np.unique(np.quantile(table[name].to_numpy(), np.arange(1, 33) / 33))
        kind = (ColumnType.NUMERIC, Purpose.FEATURE, "float64", tuple(edges.tolist()))
        columns.append(Column(name, *kind))
    target = Column(table.column_names[-1], ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
    return TableSchema((*columns, target), Task.BINARY, ("no", "yes"))


class Numbers:
    """Numbers within the range they were learnt in, and a column for each category known then."""

    def __init__(self, table: pa.Table) -> None:
        self.known = {}
        for name in features_of(table):
            column = table[name]
            text = pa.types.is_string(column.type)
            self.known[name] = (
                sorted(pc.unique(column).to_pylist())
                if text
                else (pc.min(column).as_py(), pc.max(column).as_py(), pc.mean(column).as_py())
            )

    def transform(self, table: pa.Table) -> np.ndarray:
        found = []
        for name, known in self.known.items():
            if isinstance(known, list):
                texts = table[name].cast(pa.string()).to_numpy(zero_copy_only=False)
                found += [(texts == category).astype(float) for category in known]
            else:
                low, high, mean = known
                values = pc.fill_null(table[name].cast(pa.float64()), mean).to_numpy()
                found.append((np.clip(values, low, high) - low) / ((high - low) or 1.0))
        return np.column_stack(found)


def codes_of(table: pa.Table) -> np.ndarray:
    return pc.equal(table.column(table.num_columns - 1), "yes").to_numpy().astype(np.int64)


def champion_of(version: int, learn: pa.Table, held: pa.Table) -> Champion:
    """A model of some rows, and what it is held to: its rows by block, and rows it never saw."""
    schema, reducer = schema_of(learn), Numbers(learn)
    learner = make_pipeline(
        FunctionTransformer(), SplineTransformer(4, degree=2), LogisticRegression(max_iter=500)
    ).fit(reducer.transform(learn), codes_of(learn))
    scores, truth = learner.predict_proba(reducer.transform(held))[:, 1], codes_of(held)
    cuts = [np.linspace(0, t.num_rows, BLOCKS + 1).astype(int) for t in (learn, held)]
    told = [HeldOut.of(schema, scores[a:b], truth[a:b]) for a, b in pairwise(cuts[1])]
    reference = Reference.of(
        schema,
        [Profile.of(learn[a:b].combine_chunks(), schema) for a, b in pairwise(cuts[0])],
        [part.outputs for part in told],
        metric="roc_auc",
        figures=fold(part.figures for part in told).values(),
        quality=PerformanceModel.fit([(part.outcomes, part.figures) for part in told]),
        time_ordered=True,
    )
    since = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    shape = Shape(schema, lambda: (since.replace(year=1990), since.replace(year=2100)))
    figures = reference.figures
    given = (schema, "roc_auc", figures, reducer, learner, shape, reference)
    return Champion("calls", version, "run", "digest", since, *given)


def days(stream, first: dt.date, last: dt.date) -> pa.Table:
    """The days from the first up to but without the last."""
    return pa.concat_tables([stream.day(first + n * DAY) for n in range((last - first).days)])


@cache
def bank() -> Champion:
    """Of January to March; April is held out."""
    stream = BankCalls(seed=1)
    return champion_of(1, days(stream, FIRST_DAY, SPRING), days(stream, SPRING, NEW_WORLD))


@cache
def winter() -> Champion:
    """Of January and February; March is held out."""
    stream, march = HomeMeters(seed=1), dt.date(2025, 3, 1)
    return champion_of(1, days(stream, FIRST_DAY, march), days(stream, march, SPRING))


@dataclass
class Play:
    """A stream that is played window by window, as many rows as a day has or more.

    ``late``: so many windows later their labels come.
    """

    station: Watched
    stream: BankCalls | HomeMeters | Stored
    champion: Champion
    late: int = 3
    window: dt.timedelta = DAY
    sent: list[pa.Table] = field(default_factory=list)

    def day(self, date: dt.date, fault: str = "", column: str = "") -> None:
        """What comes in from a day on, then labels of an earlier one, then ticks at its end."""
        table = self.stream.day(date)
        sent = FAULTS[fault](table, column) if fault else table
        self._predict(sent)
        self.sent.append(table)
        if len(self.sent) > self.late:
            self._label(self.sent[-1 - self.late])
        over = dt.datetime.combine(date, dt.time(), dt.UTC) + self.window
        self.station.tick(forward=over - self.station.now)
        self.station.tick(forward=dt.timedelta(hours=6))

    def _predict(self, table: pa.Table) -> None:
        given = table.rename_columns(
            [{self.stream.key: "event_id", self.stream.time: "at"}.get(n, n)
             for n in table.column_names]
        ).drop_columns([self.stream.target])  # fmt: skip
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, given.schema) as writer:
            writer.write_table(given)
        champion, arrived = self.champion, given["at"][-1].as_py().replace(tzinfo=dt.UTC)
        self.station.clock.now = arrived
        plan = champion.shape.records
        found = read_arrow(sink.getvalue().to_pybytes(), plan, max_rows=10**5, max_bytes=10**8)
        events = score_rows(found.table, champion, arrived).events
        refused = merged_intake([found], arrived, champion.version)
        outcomes = ("prediction", "score")
        self.station.ledger.events.append(EventBatch(events, champion.version, outcomes, refused))
        self.station.ledger.settle()

    def _label(self, table: pa.Table) -> None:
        ids, at = table[self.stream.key], table[self.stream.time]
        truth = pa.table({"event_id": ids, "truth": table[self.stream.target], "at": at})
        self.station.ledger.labels.append(LabelBatch(truth))
        self.station.ledger.settle()

    def windows(self) -> list[Window]:
        return [w for w in self.station.windows() if w.state == "closed"]

    def fires(self) -> list[DecisionRow]:
        """The oldest first."""
        decided = self.station.ledger.decisions.list(limit=100)
        return [decision for decision in decided[::-1] if decision.action == "fire"]

    def retrain(self, decision: DecisionRow) -> tuple[float, float]:
        """Learn from what the decision holds and serve it; the figures on proof, new and old."""
        held = {i for b in self.taken(decision) for i in b.column("event_id").to_pylist()}
        rows = pa.concat_tables(self.sent)
        rows = rows.filter(pc.is_in(rows[self.stream.key], pa.array(sorted(held))))
        proves = np.arange(rows.num_rows) % 10 < 3
        proof = rows.filter(pa.array(proves))
        challenger = champion_of(2, rows.filter(pa.array(~proves)), proof)
        new, old = (
            model.learner.predict_proba(model.reducer.transform(proof))[:, 1]
            for model in (challenger, self.champion)
        )
        truth, now = codes_of(proof), self.station.now
        self.station.champions.references[2] = challenger.reference
        self.station.champions.serve(2)
        self.champion = challenger
        self.station.ledger.decisions.report(decision.id, attempt=1, state="finished", at=now)
        return tuple(
            figures_of(Task.BINARY, scores, truth, classes=("no", "yes")).values()["roc_auc"]
            for scores in (new, old)
        )

    def taken(self, decision: DecisionRow) -> list[pa.RecordBatch]:
        return list(self.station.ledger.events.taken(decision.takes))


@contextmanager
def playing(folder: Path, stream, champion: Champion, days: int = 0) -> Iterator[Play]:
    """``days``: of a window; none: an hour, as by default."""
    window = {"window": {"seconds": 86_400 * days}} if days else {}
    config = MonitoringConfig.model_validate(window)
    with watched(folder, {1: champion.reference}, config) as station:
        yield Play(station, stream, champion, window=max(days, 1) * DAY)


@pytest.mark.slow
def test_a_changed_world_ends_with_one_retraining_that_is_better(tmp_path):
    """New months, a new channel, a falling rate, late labels, other answers: one fire, default."""
    with playing(tmp_path, BankCalls(seed=2), bank()) as play:
        play.late = 2
        for number in range(4):
            play.day(NEW_WORLD + number * DAY)
        (fired,) = play.fires()
        assert "confirmed harm in 2 of the last 2" in fired.reason
        new, old = play.retrain(fired)
        assert new > old + 0.05
        for number in range(4, 13):
            play.day(NEW_WORLD + number * DAY)

        assert [decision.id for decision in play.fires()] == [fired.id]
        verdicts = Counter((w.model_version, w.verdict) for w in play.windows())
        assert "broken feed" not in {verdict for _, verdict in verdicts}
        # Labels that came after the fire tell more of what the old model did.
        assert verdicts[1, "confirmed harm"] == 4
        first, *_ = play.windows()
        assert {"month", "channel"} <= set(first.summary["features"])
        assert "in categories never seen" in first.sentence
        known = [w for w in play.windows() if w.model_version == 2 and w.performance[0].measured]
        assert len(known) == 7
        # The first day has half of the change only.
        measured = [w.performance[0].measured for w in play.windows()[1:4] + known]
        assert np.mean(measured[3:]) > np.mean(measured[:3]) + 0.05


@pytest.mark.slow
def test_a_season_breaks_no_feed_and_retrains_nothing(tmp_path):
    """A model of winter sees spring and June: warm is new territory, and no harm."""
    with playing(tmp_path, HomeMeters(seed=2), winter()) as play:
        for number in range(15):
            play.day(SPRING + 6 * number * DAY)
        windows = play.windows()
        assert windows[-1].start.month == 6
        assert "broken feed" not in {w.verdict for w in windows}
        assert play.fires() == []
        assert "new territory: temperature (" in windows[-1].sentence
        assert sum(w.verdict == "confirmed harm" for w in windows) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stream", "champion", "first", "column"),
    [
        pytest.param(BankCalls, bank, NEW_WORLD, "balance", id="bank"),
        pytest.param(HomeMeters, winter, SPRING + 30 * DAY, "temperature", id="season"),
    ],
)
def test_each_hard_fault_breaks_the_feed_and_the_next_day_is_whole(
    tmp_path, stream, champion, first, column
):
    """Beside everything that is new: a fault is one, and only while it lasts."""
    with playing(tmp_path, stream(seed=2), champion()) as play:
        assert_each_fault_is_one(play, first, column)


def read(stored: Callable[..., Stored], folder: Path) -> Stored:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is absent")
    return stored(DATA, folder)


def assert_each_fault_is_one(play: Play, first: dt.date, column: str) -> None:
    """Three whole windows, then every other one with a fault; no labels come."""
    plan = ["", "", "", *(day for fault in FAULTS for day in (fault, ""))]
    play.late = len(plan)
    for number, fault in enumerate(plan):
        play.day(first + number * play.window, fault, column)
    verdicts = [w.verdict for w in play.windows()][: len(plan)]
    told = dict(zip(FAULTS, verdicts[3::2], strict=True))
    assert told == dict.fromkeys(FAULTS, "broken feed")
    assert set(verdicts[:3] + verdicts[4::2]) <= {"harmless drift", "healthy"}


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("stored", "column"),
    [
        (elec2, "nswdemand"),
        (elec2, "period"),
        (taxi, "trip_distance"),
        (taxi, "extra"),
        (fraud, "TX_AMOUNT"),
        (fraud, "CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW"),
    ],
)
def test_each_hard_fault_breaks_a_real_feed(tmp_path, stored, column):
    """Between new columns, a surcharge, counts that fill: all windows but the faults are whole."""
    stream = read(stored, tmp_path)
    with playing(tmp_path, stream, champion_of(1, *stream.past()), stream.days) as play:
        assert_each_fault_is_one(play, stream.live, column)


@pytest.mark.slow
@pytest.mark.real
def test_fraud_is_silent_to_its_end(tmp_path):
    """Card payments of days 35 to 44 with labels two days late: no break, no harm, no fire."""
    stream = replace(read(fraud, tmp_path), held=dt.date(2018, 4, 29), live=dt.date(2018, 5, 6))
    with playing(tmp_path, stream, champion_of(1, *stream.past()), stream.days) as play:
        play.late = 2
        for number in range(10):
            play.day(stream.live + number * DAY)
        assert {w.verdict for w in play.windows()} <= {"healthy", "harmless drift"}
        assert len(play.windows()) >= 9
        assert play.fires() == []
