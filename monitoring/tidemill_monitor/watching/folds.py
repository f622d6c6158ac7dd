"""The ledger's folding: stretches of arrived rows into parts of windows, for any model version."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import structlog

from tidemill.config.monitoring import MonitoringConfig, WindowConfig
from tidemill.drift import Intake, Reference
from tidemill.errors import TidemillError
from tidemill.ledger import BatchNote, LabelPart, Stretch, WindowKey, WindowPart
from tidemill.profiling import Profile, fold
from tidemill_monitor.intake.row_faults import Refused
from tidemill_monitor.watching.labelled import Labelled, fold_labels
from tidemill_monitor.watching.window_rows import (
    FoldPlan,
    bounds_of,
    extent_of,
    fold_events,
    packed,
    placed,
    sequences_of,
    slices_of,
)

__all__ = ["Folds", "References", "unpacked"]

_ASK_SECONDS = 60.0
_SET_BACK = dt.timedelta(minutes=1)
"""So much less, and a clock was set; below, it is this look that began before that fold."""

Place = dict[str, Any]
Counted = tuple[Place, Intake]
Repeated = Sequence[tuple[int, pa.Table]]

_log = structlog.get_logger("tidemill_monitor.folding")
_KINDS: dict[str, Any] = {
    "profile": Profile,
    "outputs": Profile,
    "intake": Intake,
    "figures": Labelled,
}


class References(Protocol):
    """Where the reference of a model version is found (the champion's holder)."""

    def reference(self, version: int) -> Reference | None:
        """The reference; None for a version that has none."""


class Folds:
    """Folds events and labels; keeps the plan of each version, and how far event time has come.

    Parameters
    ----------
    references : References
    config : MonitoringConfig

    Notes
    -----
    Called from the ledger's one folding thread; :meth:`watermark` from any. Memory: a plan a
    version.
    """

    def __init__(self, references: References, config: MonitoringConfig) -> None:
        self._references = references
        self._config = config
        self._plans: dict[int, FoldPlan] = {}
        self._ask_again: dict[int, float] = {}
        self._unread: set[int] = set()
        self._watermarks: dict[int, dt.datetime] = {}
        self._lock = threading.Lock()

    def events(self, stretch: Stretch) -> Sequence[WindowPart]:
        """Parts of all windows that the rows, and the requests that brought them, belong to."""
        window = self._config.window
        plan = self.plan(stretch.model_version)
        self._advance(stretch)
        if plan is not None and set(plan.live.names) <= set(stretch.table.schema.names):
            parts = fold_events(stretch.table, plan)
        else:
            # Nothing to compare with, or rows of another shape: they are counted.
            parts = [
                WindowPart(
                    key=WindowKey(stretch.model_version, number, segment),
                    rows=rows.num_rows,
                    members=rows["position"].to_numpy(),
                    **placed(number, rows, window),
                )
                for number, segment, rows in slices_of(stretch.table, window, {})
            ]
        return [*parts, *self._intakes(stretch)]

    def labels(self, table: pa.Table, model_version: int) -> Sequence[LabelPart]:
        """Label parts; for a version without a reference they only count."""
        plan = self.plan(model_version)
        if plan is not None:
            return fold_labels(table, plan)
        return [
            LabelPart(
                WindowKey(model_version, number, segment),
                rows.num_rows,
                None,
                # Where the version has a reference that cannot be read now, figures are lost.
                unmeasured=rows.num_rows if model_version in self._unread else 0,
            )
            for number, segment, rows in slices_of(table, self._config.window, {})
        ]

    def merge(self, field: str, parts: Sequence[bytes]) -> bytes:
        """Several parts of one field as one."""
        return packed(unpacked(field, parts))

    def plan(self, version: int) -> FoldPlan | None:
        """How rows of a version are folded; None if it has no reference."""
        if version not in self._plans:
            if time.monotonic() < self._ask_again.get(version, 0.0):
                return None
            reference = self._reference(version)
            if reference is None:
                # Folding must go on while the registry is away; the champion's is at hand.
                self._ask_again[version] = time.monotonic() + _ASK_SECONDS
                return None
            self._plans[version] = FoldPlan.of(version, reference, self._config)
        return self._plans[version]

    def _reference(self, version: int) -> Reference | None:
        self._unread.discard(version)
        try:
            return self._references.reference(version)
        except TidemillError as exc:
            self._unread.add(version)
            _log.warning("reference_missing", version=version, error=exc.message)
            return None

    def watermark(self, version: int, now: dt.datetime) -> dt.datetime | None:
        """The latest event time seen of a version, as far as it was not in the future.

        Nor is it now: where the clock was set back, what it had reached before is forgotten.
        """
        with self._lock:
            known = self._watermarks.get(version)
            if known is not None and known > now + _SET_BACK:
                del self._watermarks[version]
                return None
            return known

    def advance(self, version: int, at: dt.datetime) -> None:
        """Event time has come to ``at``; it never goes back."""
        with self._lock:
            known = self._watermarks.get(version)
            self._watermarks[version] = at if known is None else max(known, at)

    def _advance(self, stretch: Stretch) -> None:
        if not stretch.table.num_rows:
            return
        # A clock that is ahead must not close everybody's windows.
        now = max(note.received_at for note in stretch.notes)
        micros = stretch.table["at"].cast(pa.int64()).to_numpy()
        past = micros[micros <= int(now.timestamp() * 1e6)]
        if len(past):
            self.advance(stretch.model_version, _moment(int(past.max())))

    def _intakes(self, stretch: Stretch) -> list[WindowPart]:
        """What was sent, refused and repeated, by window; segments are not told apart."""
        version = stretch.model_version
        found = dict(_sent(version, stretch.table, self._config.window))
        for note, repeated in zip_longest(stretch.notes, stretch.repeated, fillvalue=()):
            assert isinstance(note, BatchNote)  # noqa: S101 - there is no more of the others
            for number, rows in repeated:
                for key, part in _sent(number, rows, self._config.window, again=True):
                    found[key] = _joined(found.get(key), part)
            beside = self._besides(note, version)
            if beside is not None:
                key, place = self._place(note, stretch, repeated)
                found[key] = _joined(found.get(key), (place, beside))
        return [_part(key, place, intake) for key, (place, intake) in found.items()]

    def _besides(self, note: BatchNote, version: int) -> Intake | None:
        """The rows of a request that were refused, or sent again nobody knows of when."""
        found = []
        if note.duplicates and note.repeats is None:
            found.append(Intake.of(rows_sent=note.duplicates, duplicates=note.duplicates))
        if note.intake:
            found.append(self._refused(Refused.from_bytes(note.intake), version))
        return fold(found) if found else None

    def _refused(self, refused: Refused, version: int) -> Intake:
        plan = self.plan(version)
        features = set(plan.live.names) if plan else set()
        refusals: dict[tuple[str, str], int] = {}
        extra: dict[str, int] = {}
        for (name, code), rows in refused.reasons.items():
            if code == "extra":
                extra[name] = extra.get(name, 0) + rows
            else:
                # Names from outside are bounded by the intake; here only the model's are kept.
                key = (name if name in features else "", code)
                refusals[key] = refusals.get(key, 0) + rows
        return Intake.of(
            rows_sent=refused.rows_sent,
            rows_refused=refused.rows_refused,
            refusals=refusals,
            extra=extra,
        )

    def _place(
        self, note: BatchNote, stretch: Stretch, repeated: Repeated
    ) -> tuple[WindowKey, Place]:
        """The window of a request: its newest row's, new or sent again, else of its arrival."""
        window, version = self._config.window, stretch.model_version
        mine = _rows_of(note, stretch)
        # By count only rows of one version can be compared, and these came now.
        stored = [(version, mine)]
        if window.by == "time" or not mine.num_rows:
            stored += repeated
        known = [
            (int(sequences_of(rows, window).max()), number, rows)
            for number, rows in stored
            if rows.num_rows
        ]
        if known:
            number, version, rows = max(known, key=lambda found: found[:2])
            return WindowKey(version, number), placed(number, rows, window)
        if window.by == "count":
            number = note.position // window.rows
            positions = (number * window.rows, (number + 1) * window.rows)
            at = self.watermark(version, note.received_at) or note.received_at
            return WindowKey(version, number), {"start": at, "end": at, "positions": positions}
        number = int(note.received_at.timestamp() // window.seconds)
        start, end = bounds_of(number, window)
        return WindowKey(version, number), {"start": start, "end": end}


def unpacked(field: str, parts: Sequence[bytes]) -> Any:
    """The fold of stored parts: a Profile, an Intake or a Labelled.

    Raises
    ------
    ValueError
        If there are none.
    """
    kind = _KINDS[field]
    return fold(kind.from_json(orjson.loads(part)) for part in parts)


def _sent(
    version: int, table: pa.Table, window: WindowConfig, *, again: bool = False
) -> Iterator[tuple[WindowKey, Counted]]:
    """Rows that are stored as what was sent, by window."""
    for number, _, rows in slices_of(table, window, {}):
        sent = rows.num_rows
        first, last = extent_of(rows)
        # What was sent again came before: it tells nothing of when rows come.
        intake = (
            Intake.of(rows_sent=sent, duplicates=sent)
            if again
            else Intake.of(rows_sent=sent, first_at=first, last_at=last)
        )
        yield WindowKey(version, number), (placed(number, rows, window), intake)


def _joined(known: Counted | None, more: Counted) -> Counted:
    """Two counts of one window; where it lies the first says."""
    return more if known is None else (known[0], known[1].merge(more[1]))


def _part(key: WindowKey, place: Place, intake: Intake) -> WindowPart:
    return WindowPart(key=key, rows=0, intake=packed(intake), **place)


def _rows_of(note: BatchNote, stretch: Stretch) -> pa.Table:
    positions = stretch.table["position"].to_numpy()
    inside = (positions >= note.position) & (positions < note.position + note.rows)
    return stretch.table.filter(pa.array(np.asarray(inside)))


def _moment(micros: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)
