"""gate: whether a challenger is to serve, from what both models show; pure.

On *proof*, labelled live rows that nobody learnt from, it must beat the champion by more than
chance in the figure that confirmed the harm. On the frozen test rows, which show the world as it
was, it may lose no more than is allowed or than chance is, and where a meaning has changed no more
than the champion itself lost from that world to this one: whoever gives today's answers is wrong
about the old ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tidemill.drift import Guard
from tidemill.drift.performance import worse_by
from tidemill.errors import ConfigError, nearest
from tidemill.metrics import Lead, in_words, metric_names
from tidemill.schema import Task

__all__ = ["MIN_PROOF_ROWS", "Evidence", "Ruling", "deciding_figure", "excuse", "rule"]

MIN_PROOF_ROWS = 30
"""Fewer rows prove nothing, however they look."""

Side = Mapping[str, Mapping[str, float]]
"""Figures by name, of ``challenger`` and ``champion``."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What both models show.

    Parameters
    ----------
    metric : str
        The tuned figure.
    figure : str
        The one that decides on proof.
    proof, frozen : mapping
        Figures of each model; NaN where rows do not define one.
    leads : mapping of str to Lead
        Of the challenger on proof, in ``figure``, in the others that confirmed the harm, and in
        ``metric``.
    rows : int
        Proof rows.
    champion : int
        Its version.
    frozen_lead : Lead or None
        Of the challenger on the frozen rows, in ``metric``; None where they may not judge.
    frozen_usable : bool
        Whether they may.
    frozen_said : str
        Why not all of them do; empty where they do.
    doubt : str
        What :func:`tidemill.metrics.no_better_than_dummy` says of the challenger on proof.
    """

    metric: str
    figure: str
    proof: Side
    frozen: Side
    leads: Mapping[str, Lead]
    rows: int
    champion: int
    frozen_lead: Lead | None
    frozen_usable: bool = True
    frozen_said: str = ""
    doubt: str = ""

    @property
    def frozen_loss(self) -> float:
        """What the challenger lost of the old world, in the unit of ``max_regression``."""
        before, after = (self.frozen[who][self.metric] for who in ("champion", "challenger"))
        return 0.0 if math.isnan(before) else worse_by(self.metric, before, after)

    @property
    def proof_loss(self) -> float:
        """What it lost in the tuned figure on proof; below 0 if it gained."""
        before, after = (self.proof[who][self.metric] for who in ("champion", "challenger"))
        return worse_by(self.metric, before, after)

    def losses(self) -> dict[str, tuple[float, Lead | None]]:
        """What it lost in the tuned figure by where, and what of it is chance."""
        return {
            "proof": (self.proof_loss, self.leads[self.metric]),
            "the frozen test rows": (self.frozen_loss, self.frozen_lead),
        }

    @property
    def world_loss(self) -> float:
        """What the champion itself lost from the old world to proof; at least 0."""
        before, after = (side["champion"][self.metric] for side in (self.frozen, self.proof))
        return max(worse_by(self.metric, before, after), 0.0)

    def said(self) -> str:
        """The figures in one clause: what decides comes first."""
        name = in_words(self.figure)
        new, old = (self.proof[who][self.figure] for who in ("challenger", "champion"))
        decides, tuned = "", ""
        if self.figure != self.metric:
            decides = ", which confirmed the harm,"
            one, other = (self.proof[who][self.metric] for who in ("challenger", "champion"))
            tuned = f"; {in_words(self.metric)} is {one:.4f} there against {other:.4f}"
        told = f"{name}{decides} is {new:.4f} on {self.rows} proof rows against champion "
        doubt = f"; of the challenger on proof, {self.doubt}" if self.doubt else ""
        return f"{told}{self.champion}'s {old:.4f}{tuned}{self._frozen_said()}{doubt}"

    def _frozen_said(self) -> str:
        doubt = f" ({self.frozen_said})" if self.frozen_said else ""
        if not self.frozen_usable:
            return doubt
        after, before = (self.frozen[who][self.metric] for who in ("challenger", "champion"))
        return f", and {after:.4f} on the frozen test rows against {before:.4f}{doubt}"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate says of a challenger.

    Parameters
    ----------
    better : bool
        Whether nothing speaks against it.
    forgot : bool
        Whether only what it lost in the tuned figure does: old rows may bring that back.
    excused : bool
        Whether it lost it on the frozen test rows alone, and a change of meaning explains all.
    reason : str
        One sentence.
    """

    better: bool
    forgot: bool
    excused: bool
    reason: str


def deciding_figure(accused: Sequence[str], metric: str, task: Task) -> str:
    """The figure that decides on proof: the tuned one, unless only others confirmed the harm.

    Raises
    ------
    ConfigError
        If one of ``accused`` is no figure of the task.

    >>> deciding_figure(("log_loss", "accuracy"), "roc_auc", Task.BINARY)
    'log_loss'
    >>> deciding_figure(("accuracy", "roc_auc"), "roc_auc", Task.BINARY)
    'roc_auc'
    """
    names = metric_names(task)
    for name in accused:
        if name not in names:
            close = nearest(name, names)
            raise ConfigError(
                f"{name!r} is no figure of a {task.value} model",
                remedy=(f"did you mean {close!r}? " if close else "")
                + f"name one of: {', '.join(names)}",
                metric=name,
                available=names,
            )
    return metric if not accused or metric in accused else accused[0]


def rule(evidence: Evidence, *, min_improvement: float, max_regression: float) -> Ruling:
    """Hold a challenger to both gates, as if no meaning had changed.

    Parameters
    ----------
    min_improvement : float
        By which it must be ahead in the tuned figure, where that decides.
    max_regression : float
        What it may lose in the tuned figure on the frozen test rows; on proof too, where
        another figure decides. More than that counts where it is more than chance, or where
        chance cannot be told.
    """
    said = evidence.said()
    margin = min_improvement if evidence.figure == evidence.metric else 0.0
    if objection := _on_proof(evidence, margin):
        return Ruling(False, False, False, f"{objection}: {said}")
    spared = ""
    for where, (loss, lead) in evidence.losses().items():
        lost = f"lost {loss:.4f} of its {in_words(evidence.metric)} on {where}"
        if _lost(loss, lead, max_regression):
            return Ruling(False, True, False, f"{lost}, {max_regression:g} is allowed: {said}")
        if loss > max_regression:
            spared += f"; that it {lost} may be chance"
    return Ruling(True, False, False, f"better on proof: {said}{spared}")


def _lost(loss: float, lead: Lead | None, allowed: float) -> bool:
    """Whether more is lost than allowed, and not by chance alone."""
    if lead is None or not math.isfinite(lead.error):
        return loss > allowed
    return loss > allowed and lead.value < -lead.by_chance


def excuse(
    ruling: Ruling, evidence: Evidence, others: Sequence[Guard], *, max_regression: float
) -> Ruling:
    """Hold one that forgot to what a change of meaning explains.

    Parameters
    ----------
    others : sequence of Guard
        Of the champion on proof, see :func:`tidemill.drift.other_answers`; empty: nothing shows
        that the old relation no longer holds, and the ruling stays.
    """
    if not ruling.forgot or not others or _lost(*evidence.losses()["proof"], max_regression):
        return ruling
    loss, own = evidence.frozen_loss, evidence.world_loss
    changed = "; ".join(each.said(evidence.rows) for each in others)
    why = (
        f"it lost {loss:.4f} on the frozen test rows, and {own + max_regression:.4f} is allowed: "
        f"the old relation no longer holds (of the champion, {changed}), and the champion itself "
        f"lost {own:.4f} from there to proof"
    )
    excused = loss <= own + max_regression
    start = "better on proof" if excused else "better on proof, yet it forgot"
    return replace(ruling, excused=excused, reason=f"{start}: {evidence.said()}; {why}")


def _on_proof(evidence: Evidence, margin: float) -> str:
    """What proof says against the challenger; empty if nothing."""
    for name in (evidence.figure, evidence.metric):
        both = [evidence.proof[who][name] for who in ("challenger", "champion")]
        if not all(map(math.isfinite, both)):
            return f"{in_words(name)} is not defined on the proof rows"
    if evidence.frozen_usable and math.isnan(evidence.frozen["challenger"][evidence.metric]):
        return f"{in_words(evidence.metric)} is not defined on the frozen test rows"
    lead = evidence.leads[evidence.figure]
    if not lead.value > margin:
        return "no better on proof"
    if evidence.rows < MIN_PROOF_ROWS or not lead.certain:
        needed = f"{lead.by_chance:.4f} may be" if math.isfinite(lead.error) else "all of it may be"
        return f"ahead by {lead.value:.4f} on proof, of which {needed} chance"
    others = {n: each for n, each in evidence.leads.items() if n != evidence.metric}
    if worse := [n for n, each in others.items() if each.value < -each.by_chance]:
        return f"worse on proof in {in_words(worse[0])}, which confirmed the harm too"
    return ""
