"""What the windows of one model version are held to, made once and used for many windows."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from tidemill.config.monitoring import DriftConfig, MonitoringConfig
from tidemill.drift import (
    CALIBRATION,
    FeedCheck,
    Finding,
    Intake,
    Reference,
    Thresholds,
    Yardstick,
    rows_for,
)
from tidemill.drift.findings import Kind
from tidemill.ledger import Ledger
from tidemill.metrics import HIGHER_IS_BETTER, Figures
from tidemill.profiling import Profile
from tidemill.schema import Purpose

__all__ = ["Bench", "KeptYardstick", "Normal", "for_columns", "harm_level", "metric_of"]


class KeptYardstick(Yardstick):
    """A yardstick whose thresholds are kept in the ledger: a restart does not calibrate again.

    Parameters
    ----------
    reference : Reference
    config : DriftConfig
    seed : int
    ledger : Ledger
    name : str
        Of what it is for (version, segment); part of the note's key.
    clock : callable
    """

    def __init__(
        self,
        reference: Reference,
        config: DriftConfig,
        seed: int,
        *,
        ledger: Ledger,
        name: str,
        clock: Callable[[], dt.datetime],
    ) -> None:
        super().__init__(reference, config, seed)
        self._ledger = ledger
        self._place = f"thresholds/{name}/{_digest(config, seed)}"
        self._clock = clock
        self._kept: dict[tuple[Kind, int], Thresholds] = {}

    def thresholds(self, rows: int, kind: Kind = "drift") -> Thresholds:
        """Thresholds for windows of ``rows`` rows, from memory, the ledger, or resampling."""
        key = (kind, rows_for(rows))
        if key not in self._kept:
            self._kept[key] = self._read(key) or self._calibrated(key)
        return self._kept[key]

    def _read(self, key: tuple[Kind, int]) -> Thresholds | None:
        kept = self._ledger.notes.get(self._note(key))
        return None if kept is None else Thresholds.from_json(kept)

    def _calibrated(self, key: tuple[Kind, int]) -> Thresholds:
        found = super().thresholds(key[1], key[0])
        self._ledger.notes.put(self._note(key), found.to_json(), self._clock())
        return found

    def _note(self, key: tuple[Kind, int]) -> str:
        return f"{self._place}/{key[0]}/{key[1]}"


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """What was accepted as the new normal of some columns, from a time on.

    Parameters
    ----------
    since : datetime
        Windows that begin earlier are held to what was before.
    columns : tuple of str
    volume : bool
        Whether so many or so few rows are usual since then.
    yardstick, feed
        Of a reference that has these columns only; None where there is none.
    """

    since: dt.datetime
    columns: tuple[str, ...]
    volume: bool
    yardstick: Yardstick | None
    feed: FeedCheck | None


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A reference made ready.

    Parameters
    ----------
    version : int
    segment : str
        Empty for all rows; a segment has a reference of its own (see ``segments``).
    reference : Reference
    yardstick : Yardstick
    feed : FeedCheck
    metric : str
        The figure that is followed.
    normals : tuple of Normal
        What was accepted since, oldest first.
    relearnt : int
        Of a segment: how many were accepted for the whole before its reference was made.

    Notes
    -----
    Memory: the reference and three merged profiles.
    """

    version: int
    segment: str
    reference: Reference
    yardstick: Yardstick
    feed: FeedCheck
    metric: str
    normals: tuple[Normal, ...] = ()
    relearnt: int = 0

    @property
    def many_normals(self) -> int:
        """How many new normals it knows of: its own, or for a segment those of the whole."""
        return self.relearnt if self.segment else len(self.normals)

    def at(self, start: dt.datetime) -> Bench:
        """What a window that begins then is held to."""
        return replace(self, normals=tuple(n for n in self.normals if n.since <= start))

    def fed(self, window: Profile, intake: Intake, **told: Any) -> list[Finding]:
        """Findings about the feed: of columns with a new normal by that, of the others as ever."""
        found = self.feed.findings(window, intake, **told)
        for normal in self.normals:
            if normal.feed is not None:
                found = _of_others(found, normal) + [
                    f
                    for f in normal.feed.findings(window, intake, **told)
                    if f.feature in normal.columns
                ]
        return found

    def drifted(self, window: Profile, outputs: Profile | None) -> list[Finding]:
        """Findings of drift, likewise."""
        found = self.yardstick.findings(window, outputs)
        for normal in self.normals:
            if normal.yardstick is not None:
                found = _of_others(found, normal) + normal.yardstick.findings(window)
        return found

    @classmethod
    def of(
        cls,
        version: int,
        reference: Reference,
        config: MonitoringConfig,
        seed: int,
        *,
        ledger: Ledger,
        clock: Callable[[], dt.datetime],
        segment: str = "",
        relearnt: int = 0,
    ) -> Bench:
        """Make a reference ready; thresholds come when windows ask for them.

        ``relearnt`` counts how often a segment's reference was made anew.
        """
        name = f"{version}/{segment}" if segment else str(version)
        name = f"{name}/{relearnt}" if relearnt else name
        yardstick = KeptYardstick(
            reference, config.drift, seed, ledger=ledger, name=name, clock=clock
        )
        return cls(
            version,
            segment,
            reference,
            yardstick,
            FeedCheck(reference, config.quality),
            metric_of(reference, config),
            relearnt=relearnt,
        )

    @property
    def held(self) -> float:
        """The followed figure on held-out rows; NaN where there is none."""
        return self.reference.quality.figures.get(self.metric, math.nan)

    def for_segment(
        self, profiles: Sequence[Profile], outputs: Sequence[Profile], figures: Figures | None
    ) -> Reference:
        """A reference of the same model made from a segment's own windows."""
        # Without labels of its own, nothing is measured: the whole's figures are not a segment's.
        values = figures.values() if figures is not None else {}
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        quality = replace(self.reference.quality, figures=known)
        return replace(
            self.reference, blocks=tuple(profiles), outputs=tuple(outputs), quality=quality
        )


def _of_others(found: list[Finding], normal: Normal) -> list[Finding]:
    """Findings that are not about the inputs in columns with a new normal."""
    return [f for f in found if f.feature not in normal.columns or f.kind == "output drift"]


def for_columns(
    reference: Reference, profiles: Sequence[Profile], columns: Sequence[str]
) -> Reference:
    """A reference of some columns only, made from windows of them."""
    schema = reference.schema
    chosen = [c for c in schema.columns if c.name in columns or c.purpose is Purpose.TARGET]
    blocks = [
        Profile(window.rows, {name: window.columns[name] for name in columns})
        for window in profiles
    ]
    small = replace(schema, columns=tuple(chosen))
    return replace(reference, schema=small, blocks=tuple(blocks), outputs=())


def metric_of(reference: Reference, config: MonitoringConfig) -> str:
    """The figure that is followed: as in evaluation, or the one that params.yaml names.

    A name that the model's task does not have, or that cannot decide (bias), falls back to the
    reference's.
    """
    asked = config.harm.metric
    if asked in HIGHER_IS_BETTER and asked in reference.quality.figures:
        return asked
    return reference.metric


def harm_level(metric: str, held: float, max_loss: float) -> float:
    """The value of the figure beyond which a window is harmed.

    >>> harm_level("roc_auc", 0.8, 0.03), harm_level("mae", 2.0, 0.1)
    (0.77, 2.2)
    """
    if HIGHER_IS_BETTER[metric]:
        return held - max_loss
    return held * (1 + max_loss) if metric in ("mae", "rmse") else held + max_loss


def _digest(config: DriftConfig, seed: int) -> str:
    """Thresholds hold for the settings and the way that they were found with, and no others."""
    settings = config.model_dump(mode="json")
    document: dict[str, Any] = {"drift": settings, "seed": seed, "calibration": CALIBRATION}
    content = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=8).hexdigest()
