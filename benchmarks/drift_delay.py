"""How soon harm is seen, beside ADWIN on every row's error; and drift without harm is no harm.

``measure(folder)`` returns everything that was measured, ``lines(found)`` the lines of the
table. The monitor is played from its pure rooms: windows by count, labels in batches that arrive
as the rows do, findings, verdicts, decisions; a fire trains a new model on what is labelled.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as csv
from benchmarks.table import Line, line
from river.drift import ADWIN
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from tidemill.config import DriftConfig, HarmConfig, QualityConfig, RetrainingConfig
from tidemill.decisions import History, PastDecision, WindowFact, decide
from tidemill.drift import (
    ErrorStream,
    FeedCheck,
    HeldOut,
    Intake,
    PerformanceModel,
    Reference,
    WindowVerdict,
    Yardstick,
    performance_findings,
    verdict_of,
)
from tidemill.drift import (
    measure as measure_performance,
)
from tidemill.metrics import BinaryFigures
from tidemill.profiling import Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEDS = 5
WINDOWS = {"sea": 250, "chessboard": 500, "elec2": 500}
LABELS, LATEST = 50, 3000
BLOCKS = 64
HARM = HarmConfig()
POLICY = RetrainingConfig(cooldown_seconds=0, monthly_budget=1000)
HARMS = ("suspected harm", "confirmed harm")
T0 = datetime(2026, 1, 1, tzinfo=UTC)

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Rows in order: ``learnt`` train, ``held`` are held out, the rest is live.

    ``changes``: the live row at which the concept changes; None: it does not.
    """

    name: str
    x: Floats
    y: Labels
    learnt: int
    held: int
    changes: int | None

    @property
    def start(self) -> int:
        """The first live row."""
        return self.learnt + self.held


def measure(folder: Path) -> dict[str, Any]:
    """Delays on SEA and elec2, and what the chessboard led to."""
    with threadpool_limits(1):
        return {
            "window_rows": WINDOWS,
            "labels_at_once": LABELS,
            "sea": [watch(sea(seed)) for seed in range(SEEDS)],
            "elec2": watch(elec2(folder)),
            "chessboard": [watch(chessboard(seed)) for seed in range(3)],
        }


def lines(found: dict[str, Any]) -> list[Line]:
    """Lines for the table of ``python -m benchmarks``."""
    sea = found["sea"]
    adwin = float(np.median([run["adwin_delay"] for run in sea]))
    told = [
        line(
            f"concept change (SEA), rows until {what} / ADWIN's on raw errors",
            float(np.median([run[name] for run in sea])) / adwin,
            2.0,
        )
        for name, what in (
            ("change_delay", "change found"),
            ("verdict_delay", "a window is harmed"),
        )
    ]
    told.append(line("  harm or change told before it", sum(r["early"] for r in sea), 0))
    gained = float(np.median([run["gain"]["roc_auc"] for run in sea]))
    told.append(line("  roc_auc lost by retraining", -gained, 0.0))
    e = found["elec2"]
    told.append(
        line("elec2, rows until harm / ADWIN's on raw errors", e["delay"] / e["adwin_delay"], 2.0)
    )
    told.append(line("  roc_auc lost by retraining", -e["gain"]["roc_auc"], 0.0))
    board = found["chessboard"]
    told.append(line("chessboard: windows whose drift is not told", 1 - _share(board), 0.05))
    told.append(line("  retrainings", sum(run["fired"] for run in board), 0))
    return told


def sea(seed: int, rows: int = 10_000) -> Stream:
    """Three uniform features, two of which decide; the boundary moves, the inputs do not.

    As Street & Kim (2001): label ``x0 + x1 <= boundary``, a tenth flipped; the boundary goes
    from 8 to 9.5 at a random row.
    """
    rng = np.random.default_rng(seed)
    learnt, held = 10_000, 5000
    changes = int(rng.integers(5000, 6000))
    x = rng.uniform(0, 10, (learnt + held + rows, 3))
    boundary = np.where(np.arange(len(x)) < learnt + held + changes, 8.0, 9.5)
    y = (x[:, 0] + x[:, 1] <= boundary) ^ (rng.random(len(x)) < 0.1)
    return Stream("sea", x, y.astype(np.int64), learnt, held, changes)


def chessboard(seed: int, rows: int = 20_000) -> Stream:
    """Four by four fields of two colours; each stretch of 1,000 live rows shows two fields only.

    After the transient chessboard of Losing et al. (2016): what is seen changes all the time,
    what it means never does, and the model has learnt the whole board.
    """
    rng = np.random.default_rng(seed)
    learnt, held = 20_000, 10_000
    x = rng.uniform(0, 4, (learnt + held + rows, 2))
    for start in range(learnt + held, len(x), 1000):
        fields = rng.integers(0, 4, (2, 2))
        chosen = fields[rng.integers(0, 2, 1000)]
        x[start : start + 1000] = chosen + rng.uniform(0, 1, (1000, 2))
    y = (np.floor(x).sum(axis=1) % 2).astype(np.int64) ^ (rng.random(len(x)) < 0.02)
    return Stream("chessboard", x, y, learnt, held, None)


def elec2(folder: Path) -> Stream:
    """Electricity prices (Harries, 1999), without date and the leaking price; 45,312 half hours."""
    path = folder / "elec2" / "elec2.csv"
    if not path.exists():
        with tarfile.open(DATA / "elec2.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    table = csv.read_csv(path)
    names = ("day", "period", "nswdemand", "vicprice", "vicdemand", "transfer")
    x = np.column_stack([table[name].to_numpy().astype(np.float64) for name in names])
    y = (table["class"].to_numpy(zero_copy_only=False) == "UP").astype(np.int64)
    return Stream("elec2", x, y, learnt=10_000, held=4000, changes=0)


class Monitor:
    """What the monitor does, in one process and without a store.

    ``told``: for each window its end, its verdict and the decision; ``changed``: live rows at
    which the error stream changed.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        names = [f"x{i}" for i in range(stream.x.shape[1])]
        edges = [
            np.unique(np.quantile(x, np.arange(1, 33) / 33)) for x in stream.x[: stream.learnt].T
        ]
        features = [
            Column(name, ColumnType.NUMERIC, Purpose.FEATURE, "float64", tuple(inner.tolist()))
            for name, inner in zip(names, edges, strict=True)
        ]
        target = Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary")
        self.schema = TableSchema((*features, target), Task.BINARY, ("0", "1"))
        self.version, self.decisions = 0, ()
        self.facts: list[WindowFact] = []
        self.told: list[tuple[int, WindowVerdict, str]] = []
        self.changed: list[int] = []
        self.promote(np.arange(stream.learnt), np.arange(stream.learnt, stream.start))

    def retrain(self, stop: int) -> None:
        """Learn from two of three of the last labelled rows; promote what the third says is better.

        As the retraining flow: proof rows never teach, and a worse challenger is not taken.
        """
        rows = np.arange(max(0, stop - LATEST), stop)
        proof = rows % 3 == 0
        x, y = self.stream.x, self.stream.y
        challenger = HistGradientBoostingClassifier(random_state=0).fit(
            x[rows[~proof]], y[rows[~proof]]
        )
        said = [m.predict_proba(x[rows[proof]])[:, 1] for m in (self.model, challenger)]
        old, new = (BinaryFigures.of(p, y[rows[proof]]).values()["roc_auc"] for p in said)
        if new > old:
            self.promote(rows[~proof], rows[proof])

    def promote(self, learn: Rows, prove: Rows) -> None:
        """Train on some rows, hold others out, and serve from now on."""
        x, y = self.stream.x, self.stream.y
        self.version += 1
        self.model = HistGradientBoostingClassifier(random_state=0).fit(x[learn], y[learn])
        blocks = [
            HeldOut.of(self.schema, self.scores(x[at]), y[at])
            for at in np.array_split(prove, BLOCKS)
        ]
        self.reference = Reference.of(
            self.schema,
            [Profile.of(self.table(at), self.schema) for at in np.array_split(learn, BLOCKS)],
            [block.outputs for block in blocks],
            metric="roc_auc",
            figures={},
            quality=PerformanceModel.fit([(b.outcomes, b.figures) for b in blocks]),
            time_ordered=True,
        )
        self.yardstick = Yardstick(self.reference, DriftConfig(), seed=42)
        self.feed = FeedCheck(self.reference, QualityConfig())
        self.errors = ErrorStream.of(self.reference.quality)

    def scores(self, x: Floats) -> Floats:
        """Probabilities of class 1."""
        return np.asarray(self.model.predict_proba(x)[:, 1])

    def table(self, at: Rows) -> pa.Table:
        """Rows as a table of the schema."""
        columns = {f"x{i}": column for i, column in enumerate(self.stream.x[at].T)}
        texts = pa.array(self.stream.y[at].astype(str)).dictionary_encode()
        return pa.table({**columns, "y": texts})

    def window(self, at: Rows) -> str:
        """Answer, hear the labels, close the window, judge and decide; return the action."""
        scores, y = self.scores(self.stream.x[at]), self.stream.y[at]
        for part in range(0, len(at), LABELS):
            seen = slice(part, part + LABELS)
            error = float(((scores[seen] - y[seen]) ** 2).mean())
            if self.errors.feed(len(y[seen]), error):
                self.changed.append(int(at[seen][-1]) + 1 - self.stream.start)
        live, quality = HeldOut.of(self.schema, scores, y), self.reference.quality
        performance = measure_performance(
            quality,
            "roc_auc",
            HARM,
            figures=live.figures,
            estimate=quality.estimate(live.outputs, "roc_auc"),
        )
        profile = Profile.of(self.table(at), self.reference.live_schema)
        findings = self.feed.findings(profile, Intake.of(rows_sent=len(at)))
        findings += self.yardstick.findings(profile, live.outputs)
        findings += performance_findings(performance, HARM)
        if self.errors.change is not None:
            findings.append(self.errors.change.finding())
        return self.decided(at, verdict_of(findings, performance, HARM))

    def decided(self, at: Rows, verdict: WindowVerdict) -> str:
        """Note the window and ask the policy."""
        end = int(at[-1]) + 1 - self.stream.start
        now = T0 + timedelta(minutes=end)
        fact = WindowFact(str(end), now, verdict.name, len(at), self.version)
        self.facts.append(fact)
        history = History(self.version, tuple(self.facts), self.decisions, end)
        action = decide(history, POLICY, now).action
        if action == "fire":
            past = PastDecision(str(end), self.version, "fire", "finished", now, now)
            self.decisions = (*self.decisions, past)
        self.told.append((end, verdict, action))
        return action


def watch(stream: Stream) -> dict[str, Any]:
    """Watch a stream to its end with one model, and with retraining whenever a decision fires."""
    size = WINDOWS[stream.name]
    windows = [
        np.arange(start, start + size)
        for start in range(stream.start, len(stream.y) - size + 1, size)
    ]
    fixed = Monitor(stream)
    static = [fixed.scores(stream.x[at]) for at in windows]
    first = next((i for i, at in enumerate(windows) if fixed.window(at) == "fire"), None)
    for at in windows[len(fixed.told) :]:
        fixed.window(at)
    loop, served = Monitor(stream), list(static)
    if first is not None:
        # Until the first fire the two are the same.
        loop.retrain(int(windows[first][-1]) + 1)
        for i in range(first + 1, len(windows)):
            served[i] = loop.scores(stream.x[windows[i]])
            if loop.window(windows[i]) == "fire":
                loop.retrain(int(windows[i][-1]) + 1)
    y = stream.y[stream.start : stream.start + size * len(windows)]
    before, after = (_figures(np.concatenate(scores), y) for scores in (static, served))
    return {
        "stream": stream.name,
        "changes": stream.changes,
        **_delays(fixed, _adwin(fixed)),
        "windows": _counts(fixed),
        "harm_said": next((v.sentence for _, v, _ in fixed.told if v.name in HARMS), None),
        "fired": first is not None,
        "promoted": loop.version - 1,
        "static": before,
        "retrained": after,
        "gain": {name: round(after[name] - before[name], 4) for name in after},
    }


def _delays(monitor: Monitor, adwin: list[int]) -> dict[str, Any]:
    """Live rows from the change until each of them tells it."""
    changes = monitor.stream.changes
    if changes is None:
        return {"change": monitor.changed[:1], "adwin": adwin[:1]}
    harmed = [end for end, verdict, _ in monitor.told if verdict.name in HARMS]
    confirmed = [end for end, verdict, _ in monitor.told if verdict.name == "confirmed harm"]
    fires = [end for end, _, action in monitor.told if action == "fire"]
    told = {
        "adwin": adwin,
        "change": monitor.changed,
        "verdict": harmed,
        "confirmed": confirmed,
        "fire": fires,
    }
    delays = {f"{name}_delay": _after(changes, ends) for name, ends in told.items()}
    known = [delays[f"{name}_delay"] for name in ("change", "verdict")]
    early = sum(end <= changes for end in (*monitor.changed, *harmed))
    return {**delays, "delay": min(known), "early": early}


def _after(changes: int, ends: list[int]) -> float:
    return next((float(end - changes) for end in ends if end > changes), float("inf"))


def _adwin(monitor: Monitor) -> list[int]:
    """Live rows at which ADWIN on every single error, held-out rows included, sees them grow."""
    stream, detector, found = monitor.stream, ADWIN(), []
    x, y = stream.x[stream.learnt :], stream.y[stream.learnt :]
    errors = ((monitor.scores(x) > 0.5) != y).astype(float)
    for row, error in enumerate(errors.tolist()):
        before = detector.estimation
        detector.update(error)
        if detector.drift_detected and detector.estimation > before and row >= stream.held:
            found.append(row + 1 - stream.held)
    return found


def _counts(monitor: Monitor) -> dict[str, int]:
    names = [verdict.name for _, verdict, _ in monitor.told]
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _figures(scores: Floats, y: Labels) -> dict[str, float]:
    values = BinaryFigures.of(scores, y).values()
    return {name: round(values[name], 4) for name in ("accuracy", "roc_auc")}


def _share(runs: list[dict[str, Any]]) -> float:
    """Windows that were told to have drifted."""
    counted = [
        (run["windows"].get("harmless drift", 0), sum(run["windows"].values())) for run in runs
    ]
    return sum(told for told, _ in counted) / sum(n for _, n in counted)
