"""From findings and performance to one word about a window, and one sentence that says why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tidemill.config import HarmConfig
from tidemill.drift.findings import Finding
from tidemill.drift.performance.estimate import MEAN_ERRORS
from tidemill.drift.performance.measure import DENIED, RELATIVE, Performance
from tidemill.errors import first_few
from tidemill.metrics import HIGHER_IS_BETTER, in_words
from tidemill.schema import Verdict

__all__ = ["WindowVerdict", "verdict_of"]

_DRIFTS = ("drift", "output drift", "label drift")
_HARMS = (Verdict.SUSPECTED_HARM, Verdict.CONFIRMED_HARM)
_NEW = {"range": "beyond the training range", "new_categories": "in categories never seen"}
_NAMED = 3
_WENT, _GONE = {True: "fell", False: "rose"}, {True: "fallen", False: "risen"}


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """What is said of a window: one word, and why.

    Parameters
    ----------
    name : Verdict
    sentence : str
        Why, naming features and figures.
    features : tuple of str
        The features that are meant: those of the broken feed, else those that drifted or left
        known territory; furthest beyond their thresholds first.
    harm : str
        ``suspected harm``, ``confirmed harm`` or empty: also where the name is another, because
        harm is told beside a broken feed too.
    """

    name: Verdict
    sentence: str
    features: tuple[str, ...] = ()
    harm: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return asdict(self) | {"features": list(self.features)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        features = tuple(document["features"])
        harm = document.get("harm", "")
        return cls(Verdict(document["name"]), document["sentence"], features, harm)


def verdict_of(
    findings: Sequence[Finding],
    performance: Performance | None,
    config: HarmConfig,
    *,
    one_class: str = "",
) -> WindowVerdict:
    """Judge a window that has enough rows.

    Harm is asked first, of every window that can tell, and stands in ``harm`` whatever the name:

    - *confirmed harm*: the measured figure or one of its guards is harmed; or the loss of one is
      beyond its limit on enough labels, its band too wide to tell alone, and the error stream
      changed as well;
    - *suspected harm*: the error stream changed and not all measured figures acquit; or the
      estimate is harmed and there are too few labels to measure.

    The name is the first that holds:

    1. *broken feed*: a quality finding (a hard fault) is flagged; harm is said beside it;
    2. the harm that was found;
    3. *harmless drift*: inputs, outputs or labels drifted, inputs left known territory, or the
       errors changed within bounds;
    4. *healthy*.

    Parameters
    ----------
    findings : sequence of Finding
        All of the window; those of kind ``performance`` and ``estimate`` repeat what
        ``performance`` says and are not looked at.
    performance : Performance or None
    config : HarmConfig
    one_class : str
        The class that all labelled rows are of, where there is only one: the reason why a figure
        that needs two cannot be told.
    """
    flagged = sorted((f for f in findings if f.flagged), key=_beyond, reverse=True)
    broken, territory = _of(flagged, "quality"), _of(flagged, "territory")
    drifted = [f for f in flagged if f.kind in _DRIFTS]
    changed = next(iter(_of(flagged, "change")), None)
    found = _harm(performance, changed is not None, config)
    harm = found or ""
    beside = [_territory(territory), _repeats(_of(flagged, "repeats"))]
    if broken:
        labels = _drift(_of(drifted, "label drift"), Verdict.BROKEN_FEED)
        said = [_broken(broken), _beside(performance, changed, harm, config), labels, *beside]
        return WindowVerdict(Verdict.BROKEN_FEED, _sentence(said), _features(broken), harm)
    name = found or (Verdict.HARMLESS_DRIFT if drifted or changed or territory else Verdict.HEALTHY)
    cause = _one_class(performance, one_class, config.min_labels)
    told = _told(performance, name, changed, config.max_loss, cause)
    said = [*told, _doubt(performance, bool(territory)), _drift(drifted, name), *beside]
    features = sorted([*drifted, *territory], key=_beyond, reverse=True)
    return WindowVerdict(name, _sentence(said), _features(features), harm)


def _of(findings: Sequence[Finding], kind: str) -> list[Finding]:
    return [f for f in findings if f.kind == kind]


def _sentence(parts: Sequence[str]) -> str:
    said = "; ".join(part for part in parts if part)
    return said[:1].upper() + said[1:] + "."


def _harm(performance: Performance | None, changed: bool, config: HarmConfig) -> Verdict | None:
    if performance is None:
        return Verdict.SUSPECTED_HARM if changed else None
    if performance.accusers or (changed and performance.doubted(config.max_loss)):
        return Verdict.CONFIRMED_HARM
    if changed and not performance.cleared:
        return Verdict.SUSPECTED_HARM
    if not performance.measurable and performance.suspected:
        return Verdict.SUSPECTED_HARM
    return None


def _beyond(finding: Finding) -> float:
    return abs(finding.value) / finding.threshold if finding.threshold else float("inf")


def _features(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f.feature for f in findings if f.feature))


def _broken(findings: Sequence[Finding]) -> str:
    details = [f.detail.strip().rstrip(".") for f in findings[:_NAMED]]
    more = len(findings) - len(details)
    tail = f", and {more} more findings" if more > 0 else ""
    return f"the feed looks broken: {'; '.join(details)}{tail}"


def _beside(
    performance: Performance | None, changed: Finding | None, harm: str, config: HarmConfig
) -> str:
    """What labels, or an estimate that accuses, say of the model in a broken window."""
    p = performance
    if harm:
        told = _told(p, harm, changed, config.max_loss)
        return f"beside it {harm}: {', and '.join(part for part in told if part)}"
    if p is not None and p.measurable:
        return f"beside it {_figure(p, 'healthy', config.max_loss)}"
    return ""


def _territory(findings: Sequence[Finding]) -> str:
    """Where inputs left what training knew."""
    if not findings:
        return ""
    told = [f"{f.feature} ({f.value:.0%} {_NEW[f.test]})" for f in findings]
    return f"new territory: {first_few(told, _NAMED)}"


def _repeats(findings: Sequence[Finding]) -> str:
    return f"{findings[0].value:.0%} of the events had been sent before" if findings else ""


def _doubt(performance: Performance | None, territory: bool) -> str:
    """Why an estimate that could be made says nothing."""
    p = performance
    if p is None or not math.isfinite(p.estimated):
        return ""
    if p.doubt != DENIED and (p.harmed is not None or p.suspected is not None):
        return ""
    why = "inputs left known territory" if territory else p.doubt
    return f"the estimate ({p.estimated:.3f}) is not trusted: {why}"


def _one_class(performance: Performance | None, name: str, min_labels: int) -> str:
    """Why enough labels make no figure: because all are of one class; empty otherwise."""
    p = performance
    if p is None or p.harmed is not None or not name or p.labelled_rows < min_labels:
        return ""
    return f"because all {p.labelled_rows:,} labelled rows are of one class, {name!r}"


def _told(
    performance: Performance | None,
    name: str,
    changed: Finding | None,
    max_loss: float,
    cause: str = "",
) -> list[str]:
    """The figures and the change of the errors; where only this accuses, it comes first."""
    p, change = performance, _change(changed)
    if p is None:
        return [change or _figure(p, name, max_loss)]
    if name != Verdict.SUSPECTED_HARM or p.measurable or p.suspected or cause or not change:
        return [_figures(p, name, max_loss, cause), change]
    figure = in_words(p.metric)
    if p.suspected is None:
        few = f"the {p.labelled_rows:,} labelled rows of this window alone are too few to measure"
        return [change, f"{few} {figure}"]
    blind = "which cannot see that the same outputs have come to mean something else"
    return [change, f"{figure} is estimated at {p.estimated:.3f} from the outputs, {blind}"]


def _figures(performance: Performance | None, name: str, max_loss: float, cause: str = "") -> str:
    """The followed figure, and the guards that accuse: what accuses comes first."""
    own = _figure(performance, name, max_loss, cause)
    if performance is None or name not in _HARMS:
        return own
    blamed = performance.blamed(max_loss)
    beside = [g.said(performance.labelled_rows) for g in performance.guards if g.metric in blamed]
    said = [own, *beside] if performance.metric in blamed else [*beside, own]
    return "; ".join(said)


def _figure(performance: Performance | None, name: str, max_loss: float, cause: str = "") -> str:
    if performance is None:
        return "there are no labels and no estimate yet"
    p, figure = performance, in_words(performance.metric)
    if p.harmed is not None:
        value = (
            f"{p.measured:.3f} ({p.low:.3f} to {p.high:.3f}) on {p.labelled_rows:,} labelled rows"
        )
        if p.loss > 0 and name in _HARMS and (p.metric in p.accusers or not p.accusers):
            return f"{figure} {_WENT[_better(p)]} from {_held(p)} to {value}{_share(p, p.loss)}"
        return f"{figure} is {value}, {_than(p, p.loss, max_loss)}"
    if p.suspected is not None:
        value = f"{p.estimated:.3f} ({p.estimated_low:.3f} to {p.estimated_high:.3f})"
        loss = p.estimated_loss
        if loss > 0 and name in _HARMS:
            gone = f"{_GONE[_better(p)]} from {_held(p)} to {value}{_share(p, loss)}"
            return f"{cause or 'before labels'}, {figure} is estimated to have {gone}"
        than = _than(p, loss, max_loss)
        return f"{cause or 'before labels'}, {figure} is estimated at {value}, {than}"
    if cause:
        return f"{cause}, {figure} cannot be measured"
    return f"{p.labelled_rows:,} labelled rows are too few to measure {figure}"


def _better(performance: Performance) -> bool:
    return HIGHER_IS_BETTER[performance.metric]


def _held(performance: Performance) -> str:
    return f"{performance.held_out:.3f} on the held-out rows"


def _share(performance: Performance, loss: float) -> str:
    """By how much, of a figure that is in the target's own unit."""
    return f", {loss:.1%} more" if performance.metric in RELATIVE else ""


def _than(performance: Performance, loss: float, max_loss: float) -> str:
    """How a figure that is no harm stands to the held-out one."""
    p = performance
    held = f"{p.held_out:.3f} of the held-out rows"
    if p.mixed:
        amount = f"{abs(loss):.1%}" if p.metric in RELATIVE else f"{abs(loss):.3f}"
        way = "below" if _better(p) else "above"
        behind = in_words(MEAN_ERRORS[p.metric])
        errors = f"the rows' {behind} has not grown: other rows, not worse answers"
        return f"{amount} {way} the {held}, yet {errors}"
    if loss > max_loss:
        return f"too few or too varied rows to tell it from the {held}"
    return f"no harm beside the {held}"


def _change(changed: Finding | None) -> str:
    return changed.detail.strip().rstrip(".") if changed else ""


def _drift(findings: Sequence[Finding], name: str) -> str:
    if not findings:
        return "" if name != Verdict.HEALTHY else "no drift"
    names = [f"{_said(f)} ({f.test} {f.value:.2f})" for f in _once(findings)]
    return f"drifted: {first_few(names, _NAMED)}"


def _said(finding: Finding) -> str:
    return finding.feature or finding.kind


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """The furthest finding of each feature."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(_said(finding), finding)
    return list(first.values())
