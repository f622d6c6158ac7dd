"""Is the feed broken, or the world a new one? Hard faults of the delivery, and new territory.

Hard faults (kind ``quality``) are what a changed world hardly makes: a column lost, another type
or unit, a sensor that stands still, missing values, far too many or too few rows. Values and
ranges that training did not know (kind ``territory``) are the world's business, and events sent
again (kind ``repeats``) are a sender's: neither breaks a feed by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from tidemill.config import QualityConfig
from tidemill.drift.axes import ColumnProfile
from tidemill.drift.findings import Finding, Kind
from tidemill.drift.habits import (
    MARGIN,
    MIN_VALUES,
    Habit,
    location,
    one_value,
    scale_factor,
    size_of,
    unseen,
)
from tidemill.drift.intake import MISSING, Intake
from tidemill.drift.reference import Reference
from tidemill.errors import nearest
from tidemill.profiling import CategoryProfile, NumericProfile, Profile
from tidemill.schema import ColumnType, Purpose

__all__ = ["GROWN", "FeedCheck", "family_of", "freshness_finding"]

GROWN = frozenset({"frozen", "null_rate", "scale"})
"""Faults that are jumps: what a feed grew into through windows that were whole is no fault."""

_FAMILIES: Mapping[str, Kind] = {
    "duplicates": "repeats",
    "new_categories": "territory",
    "range": "territory",
}

# Windows before volume means anything.
_USUAL_WINDOWS = 3
# One value in a whole window is no accident if chance would do it so rarely.
_NO_ACCIDENT = 1e-4


class FeedCheck:
    """The reference's habits, made ready once for many windows.

    Notes
    -----
    Memory: one profile of all training rows.
    """

    def __init__(self, reference: Reference, config: QualityConfig) -> None:
        self.config = config
        merged = reference.merged()
        self._columns = {column.name: column for column in reference.schema.features}
        self._habits = {
            name: Habit.of(
                merged.columns[name], [block.columns[name] for block in reference.blocks]
            )
            for name in self._columns
        }

    def findings(
        self,
        window: Profile,
        intake: Intake,
        *,
        usual_rows: Sequence[int] = (),
        rows_then: Sequence[int] = (),
        recent: Sequence[Profile] = (),
    ) -> list[Finding]:
        """All findings about the feed of a window, flagged or not: faults, territory, repeats.

        Parameters
        ----------
        window : Profile
            Of ``reference.live_schema``, over the accepted rows.
        intake : Intake
        usual_rows : sequence of int
            Rows of earlier windows of the same kind; below three of them volume is not told.
        rows_then : sequence of int
            Rows of windows at the same time of earlier days and weeks: as many are no fault.
        recent : sequence of Profile
            Earlier windows whose feed was not broken: what it grew into by steps (see ``GROWN``)
            is no fault either.
        """
        found = [
            *self._received(intake),
            *_volume(window.rows, usual_rows, rows_then, self.config),
        ]
        for name in self._columns:
            found += self._cells(name, intake)
            if name in window.columns and window.rows:
                before = [p.columns[name] for p in recent if name in p.columns]
                found += self._column(name, window.columns[name], before)
        return found

    def _received(self, intake: Intake) -> Iterator[Finding]:
        sent, config = max(intake.rows_sent, 1), self.config
        refused = intake.rows_refused / sent
        worst = max(intake.refusals.items(), key=lambda item: item[1], default=None)
        why = f", most often {worst[0][0]}: {worst[0][1]}" if worst else ""
        said = f"{refused:.1%} of {intake.rows_sent} rows sent were refused{why}."
        yield _finding("", "types", refused, config.max_invalid_fraction, said)
        again = intake.duplicates / sent
        said = f"{again:.1%} of {intake.rows_sent} events sent had been sent before."
        yield _finding("", "duplicates", again, config.max_duplicates, said)
        for name, n in intake.extra.counts.items():
            said = f"{n} rows came with a column {name!r} that the model does not know."
            # An unknown column harms nobody: it is told, and flags nothing.
            yield _finding(name, "schema", n / sent, math.inf, said)

    def _cells(self, name: str, intake: Intake) -> Iterator[Finding]:
        sent, limit = max(intake.rows_sent, 1), self.config.max_invalid_fraction
        for (feature, why), n in intake.refusals.items():
            if feature != name:
                continue
            if why == MISSING:
                close = nearest(name, intake.extra.counts)
                hint = f"; did it become {close!r}?" if close else "."
                said = f"{name} was missing from {n / sent:.1%} of the rows sent{hint}"
                yield _finding(name, "schema", n / sent, limit, said)
            else:
                said = f"{name} was unusable in {n / sent:.1%} of the rows sent: {why}."
                yield _finding(name, "types", n / sent, limit, said)

    def _column(
        self, name: str, now: ColumnProfile, recent: Sequence[ColumnProfile]
    ) -> Iterator[Finding]:
        habit, column = self._habits[name].and_lately(recent), self._columns[name]
        yield _nulls(name, now, habit, self.config)
        if column.purpose is Purpose.TIME or column.type is ColumnType.DATETIME:
            return
        if isinstance(now, CategoryProfile) and isinstance(habit.whole, CategoryProfile):
            yield _new_categories(name, now, habit, self.config)
        if isinstance(now, NumericProfile) and isinstance(habit.whole, NumericProfile):
            yield from _range(name, now, habit, self.config)
            yield _scale(name, now, habit, self.config)
        yield from _frozen(name, now, habit)


def freshness_finding(silent_seconds: float, config: QualityConfig) -> Finding | None:
    """Whether the feed has been silent for too long; None where silence is normal."""
    if config.freshness_seconds is None:
        return None
    said = f"No event has come for {silent_seconds:.0f} seconds."
    return _finding("", "freshness", silent_seconds, float(config.freshness_seconds), said)


def family_of(test: str) -> Kind:
    """The kind of finding that a test about the feed makes.

    >>> family_of("scale"), family_of("range"), family_of("duplicates")
    ('quality', 'territory', 'repeats')
    """
    return _FAMILIES.get(test, "quality")


def _finding(
    feature: str, test: str, value: float, limit: float, said: str, p_value: float | None = None
) -> Finding:
    return Finding(family_of(test), feature, test, value, limit, p_value, value > limit, said)


def _volume(
    rows: int, usual: Sequence[int], then: Sequence[int], config: QualityConfig
) -> Iterator[Finding]:
    if len(usual) < _USUAL_WINDOWS or not median(usual):
        return
    typical = median(usual)
    # Nights and Sundays have few rows each time: the nearest of what is usual now and was then.
    value = min(size_of(rows / n) if rows else math.inf for n in (typical, *then) if n)
    said = f"The window has {rows} rows where {typical:.0f} are usual."
    yield _finding("", "volume", value, config.volume_ratio, said)


def _nulls(name: str, now: ColumnProfile, habit: Habit, config: QualityConfig) -> Finding:
    before = habit.whole.nulls / max(habit.whole.rows, 1)
    share = now.nulls / max(now.rows, 1)
    limit = max(config.null_increase, MARGIN * (habit.nulls - before))
    said = f"{name} is missing in {share:.1%} of the rows; in training it was in {before:.1%}."
    return _finding(name, "null_rate", share - before, limit, said)


def _new_categories(
    name: str, now: CategoryProfile, habit: Habit, config: QualityConfig
) -> Finding:
    assert isinstance(habit.whole, CategoryProfile)  # noqa: S101 - the caller's branch
    share, example = unseen(habit.whole, now)
    limit = max(config.new_categories, MARGIN * habit.unseen)
    such = f", such as {example!r}" if example else ""
    said = f"{name} has categories never seen in training in {share:.1%} of the rows{such}."
    return _finding(name, "new_categories", share, limit, said)


def _range(
    name: str, now: NumericProfile, habit: Habit, config: QualityConfig
) -> Iterator[Finding]:
    known = habit.whole
    assert isinstance(known, NumericProfile)  # noqa: S101 - the caller's branch
    # Only a framed histogram (Reference.of) counts what lies outside exactly.
    if not known.count or known.counts[0] or known.counts[-1] or not now.count:
        return
    # Of a column that never varied nothing was learnt: its first other values are drift.
    if one_value(known):
        return
    share = float(now.counts[0] + now.counts[-1]) / now.count
    limit = max(config.out_of_range, MARGIN * habit.outside)
    said = (
        f"{name} lies outside the training range {known.minimum:.6g} to {known.maximum:.6g} "
        f"in {share:.1%} of the rows."
    )
    yield _finding(name, "range", share, limit, said)


def _scale(name: str, now: NumericProfile, habit: Habit, config: QualityConfig) -> Finding:
    assert isinstance(habit.whole, NumericProfile)  # noqa: S101 - the caller's branch
    factor = scale_factor(habit.whole, now)
    value, limit = size_of(factor), max(config.scale_jump, MARGIN * habit.factor)
    typical, before = location(now)[0], location(habit.whole)[0]
    said = f"{name} is of the usual scale: its median is {typical:.4g} and was {before:.4g}."
    if value > limit:
        way = "larger" if factor > 1 else "smaller"
        said = f"{name} looks like another unit: about {value:.3g} times {way} than in training."
    return _finding(name, "scale", value, limit, said)


def _frozen(name: str, now: ColumnProfile, habit: Habit) -> Iterator[Finding]:
    values = now.rows - now.nulls
    whole = habit.whole
    # Training must have shown at least as many values as now are said to be still.
    if values < MIN_VALUES or one_value(whole) or whole.rows - whole.nulls < values:
        return
    counts = habit.axis.counts(now)
    fullest = float(counts.max() / values)
    stuck = one_value(now)
    chance = habit.chance_of_one_value(now) if stuck else None
    known = habit.stuck or (stuck and habit.often_constant(now))
    frozen = chance is not None and chance < _NO_ACCIDENT and not known
    said = f"{name} varies as it did."
    if stuck:
        said = f"{name} has one value in all {values} rows; in training it varied."
    yield Finding("quality", name, "frozen", fullest, 1.0, chance, frozen, said)
