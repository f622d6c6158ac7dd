"""One closed window, judged: its parts folded, held to the bench, summed up in a verdict; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tidemill.config.monitoring import MonitoringConfig
from tidemill.drift import (
    GROWN,
    Estimate,
    Finding,
    Intake,
    Performance,
    Trust,
    WindowVerdict,
    measure,
    performance_findings,
    verdict_of,
)
from tidemill.drift.outputs import TRUTH
from tidemill.ledger import Parts, PerformanceRow
from tidemill.profiling import CategoryProfile, Profile
from tidemill.schema import Verdict
from tidemill_monitor.watching.bench import Bench, harm_level
from tidemill_monitor.watching.folds import unpacked
from tidemill_monitor.watching.labelled import Labelled

__all__ = ["Context", "JudgedWindow", "Opened", "judge_again", "judge_window"]

TOO_SMALL = "too small"
NO_REFERENCE = "no reference"
LEARNING = "learning"

_INPUTS = ("quality", "territory", "repeats", "drift", "output drift")


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """The partials of a window, folded; None where there were no parts."""

    profile: Profile | None
    outputs: Profile | None
    intake: Intake
    labelled: Labelled | None

    @classmethod
    def of(cls, parts: Parts) -> Opened:
        """Fold what the ledger keeps; at most 64 parts of each."""
        found = {
            name: unpacked(name, kept) if (kept := getattr(parts, name)) else None
            for name in ("profile", "outputs", "intake", "figures")
        }
        return cls(
            profile=found["profile"],
            outputs=found["outputs"],
            intake=found["intake"] or Intake.of(rows_sent=0),
            labelled=found["figures"],
        )


@dataclass(frozen=True, slots=True)
class Context:
    """What else is known when a window is judged.

    Parameters
    ----------
    usual_rows : sequence of int
        Rows of earlier windows; empty where volume says nothing (windows by count).
    rows_then : sequence of int
        Rows of the windows at the same time a day and a week before.
    week_known : bool
        Whether both are known: then few rows are told even of a window too small to judge.
    recent : callable
        Reads the profiles of the last windows whose feed was not broken; asked only where a
        fault was found that they may explain.
    trust : Trust
        What became of earlier estimates.
    change : Finding or None
        The change of the error stream that stands.
    comparisons : int
        Windows and segments judged together.
    """

    usual_rows: Sequence[int] = ()
    rows_then: Sequence[int] = ()
    week_known: bool = False
    recent: Callable[[], Sequence[Profile]] = tuple
    trust: Trust = field(default_factory=Trust)
    change: Finding | None = None
    comparisons: int = 1


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """What is concluded of a window.

    Parameters
    ----------
    verdict : WindowVerdict or None
        None: nothing is concluded; ``note`` says why.
    findings : tuple of Finding
    performance : Performance or None
    estimate : Estimate or None
    note : str
        ``too small``, ``no reference``, ``learning`` or empty.
    metric, held, harm
        The followed figure, its value on held-out rows, and the level of harm.
    accused : tuple of str
        The figures that confirmed harm rests on; empty where none is confirmed.
    """

    verdict: WindowVerdict | None
    findings: tuple[Finding, ...] = ()
    performance: Performance | None = None
    estimate: Estimate | None = None
    note: str = ""
    metric: str = ""
    held: float = math.nan
    harm: float = math.nan
    accused: tuple[str, ...] = ()

    @property
    def left_territory(self) -> bool:
        """Whether inputs left what training knew, so that no estimate can be trusted."""
        return _left_territory(self.findings)

    @property
    def rows(self) -> tuple[PerformanceRow, ...]:
        """The figures as the ledger keeps them; the band is the measured one if there is one.

        What too few labels show is no measured figure: nothing is concluded from it.
        """
        p = self.performance
        if p is None:
            return ()
        measured = p.harmed is not None
        low, high = (p.low, p.high) if measured else (p.estimated_low, p.estimated_high)
        return (
            PerformanceRow(
                metric=p.metric,
                measured=_known(p.measured) if measured else None,
                estimated=_known(p.estimated),
                low=_known(low),
                high=_known(high),
                labelled_rows=p.labelled_rows,
            ),
        )

    def summary(self) -> dict[str, Any]:
        """What else is kept with the window, JSON-friendly."""
        p, e = self.performance, self.estimate
        return {
            "note": self.note,
            "features": list(self.verdict.features) if self.verdict else [],
            "found_harm": self.verdict.harm if self.verdict else "",
            "left_territory": self.left_territory,
            "metric": self.metric,
            "held": _known(self.held),
            "harm": _known(self.harm),
            "accused": list(self.accused),
            "measured": bool(p and p.measurable),
            "performance": p.to_json() if p else None,
            "estimate": _estimate_json(e) if e and math.isfinite(e.value) else None,
        }


def judge_window(
    opened: Opened, bench: Bench | None, config: MonitoringConfig, context: Context
) -> JudgedWindow:
    """Judge a window from its partials.

    Parameters
    ----------
    opened : Opened
    bench : Bench or None
        None: the version has no reference, so nothing is concluded.
    config : MonitoringConfig
    context : Context
    """
    rows = opened.profile.rows if opened.profile is not None else 0
    if bench is None:
        return JudgedWindow(None, note=NO_REFERENCE)
    if rows + opened.intake.rows_refused < config.window.min_rows:
        return _small(opened, bench, config, context)
    findings = _feed(opened, bench, context)
    enough = rows >= config.window.min_rows
    if enough and opened.profile is not None:
        findings += bench.drifted(opened.profile, opened.outputs)
    elif not any(finding.flagged and finding.kind == "quality" for finding in findings):
        return _nothing(bench, config, tuple(findings))
    return _summed_up(findings, opened if enough else None, bench, config, context)


def _small(
    opened: Opened, bench: Bench, config: MonitoringConfig, context: Context
) -> JudgedWindow:
    """Of too few rows only this is told: that they are far too few, as nights and Sundays go."""
    told = _feed(opened, bench, context) if context.week_known else []
    found = [finding for finding in told if finding.test == "volume"]
    if any(finding.flagged for finding in found):
        return _summed_up(found, None, bench, config, context)
    return _nothing(bench, config)


def judge_again(
    earlier: Sequence[Finding],
    opened: Opened,
    bench: Bench,
    config: MonitoringConfig,
    context: Context,
) -> JudgedWindow:
    """Judge a window anew because labels came: what concerns its inputs stays as it was found."""
    kept = [f for f in earlier if f.kind in _INPUTS]
    return _summed_up(kept, opened, bench, config, context)


def _feed(opened: Opened, bench: Bench, context: Context) -> list[Finding]:
    profile = opened.profile
    if profile is None:
        # No row was good: what is missing in the rows must not count as a missing value.
        profile = Profile(0, {})
    check = partial(
        bench.fed,
        profile,
        opened.intake,
        usual_rows=context.usual_rows,
        rows_then=context.rows_then,
    )
    found = check()
    if any(finding.flagged and finding.test in GROWN for finding in found):
        found = check(recent=context.recent())
    return found


def _summed_up(
    findings: Sequence[Finding],
    opened: Opened | None,
    bench: Bench,
    config: MonitoringConfig,
    context: Context,
) -> JudgedWindow:
    found = list(findings)
    performance: Performance | None = None
    estimate: Estimate | None = None
    if opened is not None:
        estimate = _estimate(opened, bench, config)
        performance = _measured(opened, estimate, bench, config, context)
        if performance is not None and _left_territory(found):
            performance = _without_estimate(performance)
        found += _label_drift(opened, bench, config)
        if context.change is not None and opened.labelled is not None:
            found.append(context.change)
        if performance is not None:
            found += performance_findings(performance, config.harm)
    verdict = verdict_of(found, performance, config.harm, one_class=_one_class(opened))
    confirmed = verdict.harm == Verdict.CONFIRMED_HARM
    return JudgedWindow(
        verdict=verdict,
        findings=tuple(found),
        performance=performance,
        estimate=estimate,
        metric=bench.metric,
        held=bench.held,
        harm=harm_level(bench.metric, bench.held, config.harm.max_loss),
        accused=performance.blamed(config.harm.max_loss) if performance and confirmed else (),
    )


def _estimate(opened: Opened, bench: Bench, config: MonitoringConfig) -> Estimate | None:
    # A segment's rows are not those that the estimator learnt from.
    if not config.harm.estimate or opened.outputs is None or bench.segment:
        return None
    return bench.reference.quality.estimate(opened.outputs, bench.metric)


def _measured(
    opened: Opened,
    estimate: Estimate | None,
    bench: Bench,
    config: MonitoringConfig,
    context: Context,
) -> Performance | None:
    if opened.labelled is None and estimate is None:
        return None
    return measure(
        bench.reference.quality,
        bench.metric,
        config.harm,
        figures=opened.labelled.figures if opened.labelled else None,
        estimate=estimate,
        trust=context.trust,
        comparisons=context.comparisons,
        alike=not bench.segment,
    )


def _left_territory(findings: Sequence[Finding]) -> bool:
    return any(finding.flagged and finding.kind == "territory" for finding in findings)


def _without_estimate(performance: Performance) -> Performance:
    """The same, its estimate shown and without a voice: it neither accuses nor acquits.

    Held-out rows tell what comes of outputs for inputs that they knew.
    """
    mixed = performance.mixed and performance.harmed is not None
    doubt = "inputs left known territory" if math.isfinite(performance.estimated) else ""
    return replace(performance, suspected=None, mixed=mixed, doubt=doubt)


def _one_class(opened: Opened | None) -> str:
    """The class of all labelled rows, where there is only one."""
    if opened is None or opened.labelled is None:
        return ""
    truth = opened.labelled.truth.columns[TRUTH]
    if not isinstance(truth, CategoryProfile) or len(truth.counts) != 1:
        return ""
    return next(iter(truth.counts))


def _label_drift(opened: Opened, bench: Bench, config: MonitoringConfig) -> list[Finding]:
    labelled = opened.labelled
    known = bench.yardstick.merged_outputs
    if labelled is None or known is None or labelled.truth.rows < config.window.min_rows:
        return []
    truth = known.columns[TRUTH]
    if truth.nulls == truth.rows:
        return []  # a segment whose first windows have no labels yet
    return bench.yardstick.findings(Profile(0, {}), labels=labelled.truth)


def _nothing(
    bench: Bench, config: MonitoringConfig, findings: tuple[Finding, ...] = ()
) -> JudgedWindow:
    level = harm_level(bench.metric, bench.held, config.harm.max_loss)
    return JudgedWindow(
        None, findings, note=TOO_SMALL, metric=bench.metric, held=bench.held, harm=level
    )


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "metric": estimate.metric,
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "rows": estimate.rows,
        "unseen": estimate.unseen,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
