"""Is the feed broken? Findings that mean a fault of the data's delivery, not a changed world."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from tidemill.config import QualityConfig
from tidemill.drift.axes import ColumnProfile
from tidemill.drift.findings import Finding
from tidemill.drift.habits import (
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

__all__ = ["FeedCheck", "freshness_finding", "quality_findings"]

# Windows before volume means anything.
_USUAL_WINDOWS = 3
# One value in a whole window is no accident if chance would do it so rarely.
_NO_ACCIDENT = 1e-4
# A block of training may have strayed so much already; a window is given half as much more.
_MARGIN = 1.5


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
        self, window: Profile, intake: Intake, *, usual_rows: Sequence[int] = ()
    ) -> list[Finding]:
        """All quality findings of a window, flagged or not.

        Parameters
        ----------
        window : Profile
            Of ``reference.live_schema``, over the accepted rows.
        intake : Intake
        usual_rows : sequence of int
            Rows of earlier windows of the same kind; below three of them volume is not told.
        """
        found = [*self._received(intake), *_volume(window.rows, usual_rows, self.config)]
        for name in self._columns:
            found += self._cells(name, intake)
            if name in window.columns and window.rows:
                found += self._column(name, window.columns[name])
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

    def _column(self, name: str, now: ColumnProfile) -> Iterator[Finding]:
        habit, column = self._habits[name], self._columns[name]
        yield _nulls(name, now, habit, self.config)
        if column.purpose is Purpose.TIME or column.type is ColumnType.DATETIME:
            return
        if isinstance(now, CategoryProfile) and isinstance(habit.whole, CategoryProfile):
            yield _new_categories(name, now, habit, self.config)
        if isinstance(now, NumericProfile) and isinstance(habit.whole, NumericProfile):
            yield from _range(name, now, habit, self.config)
            yield _scale(name, now, habit, self.config)
        yield from _frozen(name, now, habit)


def quality_findings(
    window: Profile,
    intake: Intake,
    reference: Reference,
    config: QualityConfig,
    *,
    usual_rows: Sequence[int] = (),
) -> list[Finding]:
    """Quality findings of one window; for many windows keep a :class:`FeedCheck`."""
    return FeedCheck(reference, config).findings(window, intake, usual_rows=usual_rows)


def freshness_finding(silent_seconds: float, config: QualityConfig) -> Finding | None:
    """Whether the feed has been silent for too long; None where silence is normal."""
    if config.freshness_seconds is None:
        return None
    said = f"No event has come for {silent_seconds:.0f} seconds."
    return _finding("", "freshness", silent_seconds, float(config.freshness_seconds), said)


def _finding(
    feature: str, test: str, value: float, limit: float, said: str, p_value: float | None = None
) -> Finding:
    return Finding("quality", feature, test, value, limit, p_value, value > limit, said)


def _volume(rows: int, usual: Sequence[int], config: QualityConfig) -> Iterator[Finding]:
    if len(usual) < _USUAL_WINDOWS or not median(usual):
        return
    typical = median(usual)
    value = size_of(rows / typical) if rows else math.inf
    said = f"The window has {rows} rows where {typical:.0f} are usual."
    yield _finding("", "volume", value, config.volume_ratio, said)


def _nulls(name: str, now: ColumnProfile, habit: Habit, config: QualityConfig) -> Finding:
    before = habit.whole.nulls / max(habit.whole.rows, 1)
    share = now.nulls / max(now.rows, 1)
    limit = max(config.null_increase, _MARGIN * (habit.nulls - before))
    said = f"{name} is missing in {share:.1%} of the rows; in training it was in {before:.1%}."
    return _finding(name, "null_rate", share - before, limit, said)


def _new_categories(
    name: str, now: CategoryProfile, habit: Habit, config: QualityConfig
) -> Finding:
    assert isinstance(habit.whole, CategoryProfile)  # noqa: S101 - the caller's branch
    share, example = unseen(habit.whole, now)
    limit = max(config.new_categories, _MARGIN * habit.unseen)
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
    limit = max(config.out_of_range, _MARGIN * habit.outside)
    said = (
        f"{name} lies outside the training range {known.minimum:.6g} to {known.maximum:.6g} "
        f"in {share:.1%} of the rows."
    )
    yield _finding(name, "range", share, limit, said)


def _scale(name: str, now: NumericProfile, habit: Habit, config: QualityConfig) -> Finding:
    assert isinstance(habit.whole, NumericProfile)  # noqa: S101 - the caller's branch
    factor = scale_factor(habit.whole, now)
    value, limit = size_of(factor), max(config.scale_jump, _MARGIN * habit.factor)
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
    frozen = chance is not None and chance < _NO_ACCIDENT and not habit.stuck
    said = f"{name} varies as it did."
    if stuck:
        said = f"{name} has one value in all {values} rows; in training it varied."
    yield Finding("quality", name, "frozen", fullest, 1.0, chance, frozen, said)
