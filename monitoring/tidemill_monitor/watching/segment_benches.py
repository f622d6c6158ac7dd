"""What a segment is held to: a reference made from its own first windows.

Training blocks are not kept by segment, and a segment differs from the whole by what makes it one.
So the first windows of each segment under a champion are taken as its reference; until there are
enough of them nothing is concluded about it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

from tidemill.config.monitoring import MonitoringConfig
from tidemill.ledger import Ledger, Window
from tidemill.metrics import Figures
from tidemill.profiling import Profile, fold
from tidemill_monitor.watching.bench import Bench
from tidemill_monitor.watching.judged_window import Opened

__all__ = ["BASELINE_WINDOWS", "SegmentBenches"]

BASELINE_WINDOWS = 8
"""Windows that a segment's reference is made from."""


class SegmentBenches:
    """Benches of segments, made when their baseline is complete.

    Parameters
    ----------
    ledger : Ledger
    config : MonitoringConfig
    seed : int
    clock : callable

    Notes
    -----
    Memory: eight profiles and thresholds for each segment in use.
    """

    def __init__(
        self,
        ledger: Ledger,
        config: MonitoringConfig,
        seed: int,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._ledger = ledger
        self._config = config
        self._seed = seed
        self._clock = clock
        self._made: dict[tuple[int, str, int], Bench] = {}

    def bench(self, whole: Bench, window: Window, usable: bool, now: dt.datetime) -> Bench | None:
        """The bench of a segment's window; None while its baseline still grows.

        A window joins the baseline if there is room, it has enough rows, and ``usable``: the
        whole traffic of that time was not a broken feed.
        """
        place = f"segments/{window.model_version}/{window.segment}"
        if whole.normals:
            # The whole has a new normal: its segments are learnt anew from then on.
            place = f"{place}/{len(whole.normals)}"
        chosen: list[int] = self._ledger.notes.get(place) or []
        if window.id in chosen:
            return None
        if len(chosen) < BASELINE_WINDOWS:
            if usable and window.rows >= self._config.window.min_rows:
                self._ledger.notes.put(place, [*chosen, window.id], now)
            return None
        return self._bench(whole, window.segment, chosen)

    def _bench(self, whole: Bench, segment: str, chosen: list[int]) -> Bench:
        key = (whole.version, segment, len(whole.normals))
        if key not in self._made:
            opened = [Opened.of(self._ledger.windows.parts(number)) for number in chosen]
            labelled = [one.labelled.figures for one in opened if one.labelled is not None]
            figures: Figures | None = fold(labelled) if labelled else None
            enough = figures is not None and figures.count >= self._config.harm.min_labels
            reference = whole.for_segment(
                [one.profile for one in opened if one.profile is not None],
                [_with_truth(one) for one in opened if one.outputs is not None],
                figures if enough else None,
            )
            bench = Bench.of(
                whole.version,
                reference,
                _shared_out(self._config),
                self._seed,
                ledger=self._ledger,
                clock=self._clock,
                segment=segment,
                relearnt=len(whole.normals),
            )
            if not enough:
                return bench  # its labels are still to come: not kept yet
            self._made[key] = bench
        return self._made[key]


def _with_truth(opened: Opened) -> Profile:
    """What the model said in a window, and what turned out where labels came."""
    outputs, labelled = opened.outputs, opened.labelled
    assert outputs is not None  # noqa: S101 - the caller's condition
    if labelled is None:
        return outputs
    return replace(outputs, columns={**outputs.columns, **labelled.truth.columns})


def _shared_out(config: MonitoringConfig) -> MonitoringConfig:
    """The rate of false alarms is that of a time, not of a segment: all of them share it."""
    many = max(len(config.window.segments) * config.window.max_segments, 1)
    rate = config.drift.false_alarm_rate / many
    drift = config.drift.model_copy(update={"false_alarm_rate": rate})
    return config.model_copy(update={"drift": drift})
