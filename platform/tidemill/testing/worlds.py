"""Made-up live traffic: a model's reference, and events and labels that are like it, or not."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.drift import HeldOut, PerformanceModel, Reference
from tidemill.profiling import Profile, fold
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

__all__ = ["START", "Traffic", "World"]

START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
_EDGES = tuple(float(edge) for edge in np.linspace(-2.5, 2.5, 21))
_ZONES = np.array(["airport", "centre", "harbour"])
_SHARES = (0.2, 0.5, 0.3)

Values = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Rows that came, and what turned out.

    Parameters
    ----------
    events : pyarrow.Table
        As the monitor hands them to the ledger.
    truth : pyarrow.Table
        Their labels: event_id, truth, at.
    """

    events: pa.Table
    truth: pa.Table


class World:
    """Rides that are cancelled or not, and a model that knows the chances exactly.

    Features: ``distance`` and ``wait`` (standard normal), ``zone``. The chance of ``yes`` grows
    with ``distance`` and falls with ``wait``.

    Parameters
    ----------
    seed : int
    blocks : int
        Time blocks of the reference, 1,000 rows of training and 500 held out in each.

    >>> world = World(seed=1, blocks=4)
    >>> world.traffic(100, at=START).events.num_rows
    100
    """

    def __init__(self, seed: int = 0, blocks: int = 24) -> None:
        self._rng = np.random.default_rng(seed)
        self._sent = 0
        self._blocks = blocks
        self.schema = TableSchema(
            (
                Column("distance", ColumnType.NUMERIC, Purpose.FEATURE, "float32", _EDGES),
                Column("wait", ColumnType.NUMERIC, Purpose.FEATURE, "float32", _EDGES),
                Column("zone", ColumnType.CATEGORICAL, Purpose.FEATURE, "dictionary"),
                Column("cancelled", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),
            ),
            Task.BINARY,
            ("no", "yes"),
        )

    def reference(self) -> Reference:
        """What the model was trained on, and how good it was on rows held out."""
        training = [Profile.of(self._training(1000), self.schema) for _ in range(self._blocks)]
        held_out = [self._held_out(500) for _ in range(self._blocks)]
        return Reference.of(
            self.schema,
            training,
            [part.outputs for part in held_out],
            metric="roc_auc",
            figures=fold(part.figures for part in held_out).values(),
            quality=PerformanceModel.fit([(part.outcomes, part.figures) for part in held_out]),
            time_ordered=True,
        )

    def traffic(
        self,
        rows: int,
        *,
        at: dt.datetime,
        seconds: float = 3600.0,
        shift: float = 0.0,
        wrong: float = 0.0,
        missing: float = 0.0,
        version: int = 1,
    ) -> Traffic:
        """Rows evenly over ``seconds`` from ``at`` on.

        Parameters
        ----------
        shift : float
            Added to ``distance``: drift.
        wrong : float
            Share of rows whose truth has nothing to do with what the model knows: harm.
        missing : float
            Share of rows without ``distance``: a broken feed.
        """
        features = self._features(rows, shift)
        chance = _chance(features)
        truth = self._rng.random(rows) < chance
        turned = self._rng.random(rows) < wrong
        truth = np.where(turned, self._rng.random(rows) < 0.5, truth)
        gone = self._rng.random(rows) < missing
        ids = pa.array([f"ride-{self._sent + i}" for i in range(rows)], pa.string())
        self._sent += rows
        times = _times(at, rows, seconds)
        events = pa.table(
            {
                "event_id": ids,
                "at": times,
                "model_version": pa.array(np.full(rows, version, np.int32)),
                "prediction": _labels(chance > 0.5),
                "score": pa.array(chance),
                "distance": pa.array(features["distance"], mask=gone),
                "wait": pa.array(features["wait"]),
                "zone": pa.array(features["zone"]).dictionary_encode(),
            }
        )
        truths = pa.array(np.where(truth, "yes", "no"), pa.string())
        return Traffic(events, pa.table({"event_id": ids, "truth": truths, "at": times}))

    def _features(self, rows: int, shift: float = 0.0) -> dict[str, Values]:
        return {
            "distance": (self._rng.normal(size=rows) + shift).astype(np.float32),
            "wait": self._rng.normal(size=rows).astype(np.float32),
            "zone": _ZONES[self._rng.choice(3, rows, p=_SHARES)],
        }

    def _training(self, rows: int) -> pa.Table:
        features = self._features(rows)
        truth = self._rng.random(rows) < _chance(features)
        return pa.table(
            {
                "distance": features["distance"],
                "wait": features["wait"],
                "zone": pa.array(features["zone"]).dictionary_encode(),
                "cancelled": _labels(truth),
            }
        )

    def _held_out(self, rows: int) -> HeldOut:
        chance = _chance(self._features(rows))
        truth = (self._rng.random(rows) < chance).astype(np.int64)
        return HeldOut.of(self.schema, chance, truth)


def _times(at: dt.datetime, rows: int, seconds: float) -> pa.Array:
    first = np.datetime64(at.astimezone(dt.UTC).replace(tzinfo=None), "us")
    steps = np.arange(rows) * (seconds * 1e6 / max(rows, 1))
    return pa.array(first + steps.astype("timedelta64[us]"), pa.timestamp("us"))


def _chance(features: dict[str, Values]) -> npt.NDArray[np.float64]:
    distance, wait = (features[name].astype(np.float64) for name in ("distance", "wait"))
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-(1.5 * distance - 1.0 * wait)))
    return found


def _labels(yes: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(yes.astype(np.int32)), pa.array(["no", "yes"]))
