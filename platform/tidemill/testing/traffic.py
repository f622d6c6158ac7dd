"""Small events, labels and a folding whose partials can be checked by eye."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from tidemill.ledger import (
    EventBatch,
    LabelBatch,
    LabelPart,
    Ledger,
    Request,
    Stretch,
    WindowKey,
    WindowPart,
)

__all__ = [
    "FIRST_MOMENT",
    "CountingFolding",
    "empty_store",
    "event_batch",
    "hold_writer",
    "label_batch",
    "window_counts",
]

FIRST_MOMENT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
_HOUR = dt.timedelta(hours=1)


@cache
def empty_store() -> bytes:
    """A SQLite store with its tables and no row: to make them takes longer than most tests."""
    with TemporaryDirectory() as folder:
        store = Path(folder) / "ledger.db"
        Ledger.open(f"sqlite:///{store}").close()
        return store.read_bytes()


class CountingFolding:
    """Windows of one hour; partials are JSON counts, so that every row can be accounted for.

    Attributes
    ----------
    calls : int
        How often events were folded.
    """

    def __init__(self) -> None:
        self.calls = 0

    def events(self, stretch: Stretch) -> Sequence[WindowPart]:
        """Rows and sum of ``x`` by hour; duplicates and intakes at the hour of the first row."""
        self.calls += 1
        at = _hours(stretch.table["at"])
        x = stretch.table["x"].to_numpy() if "x" in stretch.table.column_names else None
        notes = {
            "duplicates": sum(note.duplicates for note in stretch.notes),
            "intake": [note.intake.decode() for note in stretch.notes if note.intake],
            "requests": len(stretch.notes),
        }
        parts = []
        for number, hour in enumerate(sorted(set(at.tolist())) or [_hour_of(FIRST_MOMENT)]):
            rows = at == hour
            start = dt.datetime.fromtimestamp(hour * 3600, dt.UTC)
            here = int(rows.sum())
            counted = {"rows": here, "x": float(x[rows].sum()) if x is not None else 0.0}
            parts.append(
                WindowPart(
                    WindowKey(stretch.model_version, hour),
                    start,
                    start + _HOUR,
                    here,
                    profile=json.dumps(counted).encode(),
                    intake=json.dumps(notes).encode() if number == 0 else None,
                    members=stretch.table["position"].to_numpy()[rows],
                )
            )
        return parts

    def labels(self, table: pa.Table, model_version: int) -> Sequence[LabelPart]:
        """Labelled rows and right predictions by hour."""
        counted: dict[int, dict[str, int]] = defaultdict(lambda: {"rows": 0, "right": 0})
        said = table["prediction"].to_pylist()
        true = table["truth"].to_pylist()
        for hour, a, b in zip(_hours(table["at"]).tolist(), said, true, strict=True):
            counted[hour]["rows"] += 1
            counted[hour]["right"] += a == b
        return [
            LabelPart(WindowKey(model_version, hour), found["rows"], json.dumps(found).encode())
            for hour, found in sorted(counted.items())
        ]

    def merge(self, _: str, parts: Sequence[bytes]) -> bytes:
        """Counts add up, lists join."""
        merged: dict[str, Any] = {}
        for part in parts:
            for name, value in json.loads(part).items():
                merged[name] = merged[name] + value if name in merged else value
        return json.dumps(merged).encode()


def event_batch(
    ids: Sequence[str],
    *,
    model_version: int = 1,
    at: dt.datetime = FIRST_MOMENT,
    step: dt.timedelta = dt.timedelta(0),
    prediction: str = "yes",
    x: Sequence[float] | None = None,
    intake: bytes | None = None,
    request: Request | None = None,
) -> EventBatch:
    """Events with the given ids, the first at ``at``, each ``step`` after the one before."""
    moments = [(at + i * step).replace(tzinfo=None) for i in range(len(ids))]
    table = pa.table(
        {
            "event_id": pa.array(ids, pa.string()),
            "at": pa.array(moments, pa.timestamp("us")),
            "prediction": pa.array([prediction] * len(ids), pa.string()),
            "x": pa.array(np.ones(len(ids)) if x is None else np.asarray(x), pa.float32()),
            "zone": pa.array(["a"] * len(ids), pa.string()).dictionary_encode(),
        }
    )
    return EventBatch(table, model_version, ("prediction",), intake, request)


def label_batch(truths: Sequence[tuple[str, str | float]], request: Request | None = None) -> Any:
    """Labels: pairs of event id and truth, all words or all numbers."""
    values = [truth for _, truth in truths]
    kind = pa.string() if not values or isinstance(values[0], str) else pa.float64()
    table = pa.table(
        {
            "event_id": pa.array([event_id for event_id, _ in truths], pa.string()),
            "truth": pa.array(values, kind),
        }
    )
    return LabelBatch(table, request)


def hold_writer(ledger: Ledger) -> threading.Event:
    """Keep the writer busy until the event is set: what is submitted meanwhile shares a commit."""
    release, begun = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        release.wait(30)

    ledger._writer.submit(hold)
    begun.wait(30)
    return release


def window_counts(ledger: Ledger, field: str = "profile") -> dict[tuple[int, int], dict[str, Any]]:
    """The merged partial of each window, by model version and sequence."""
    merge = CountingFolding().merge
    counts = {}
    for window in ledger.windows.list(limit=10_000):
        parts = getattr(ledger.windows.parts(window.id), field)
        if parts:
            counts[window.model_version, window.sequence] = json.loads(merge(field, parts))
    return counts


def _hours(at: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    micros = at.cast(pa.int64()).to_numpy()
    return np.asarray(micros // 3_600_000_000, np.int64)


def _hour_of(moment: dt.datetime) -> int:
    return int(moment.timestamp() // 3600)
