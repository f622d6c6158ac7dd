"""The sets of live rows: which stay, which are taken out, what the next one is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.retraining.order import outcome_of, receipts
from tidemill.retraining.sides import Cut, Sides
from tidemill.storage import (
    LiveSet,
    Workspace,
    discard_directory,
    find_hashed,
    is_left,
    live_sets,
    write_hashed,
)

__all__ = [
    "cut_is_kept",
    "keep_cut",
    "known_sides",
    "set_name",
    "staying_sets",
    "take_out_unfinished",
]

_ANEW = (
    "delete it and run the same again, with the proof_fraction of the first retraining in "
    "params.yaml (monitoring.retraining); rows are then cut anew, and what was learnt judges nobody"
)


def staying_sets(workspace: Workspace, decision: str) -> list[LiveSet]:
    """The sets of other retrainings that have finished (or are not known): their rows stay."""
    return [known for known in live_sets(workspace) if _stays(workspace, known, decision)]


def take_out_unfinished(workspace: Workspace, decision: str) -> list[str]:
    """Remove the sets of other retrainings that have begun and not finished; their names.

    Half of one may lie beside data/live after a kill, not in it: DVC hashes all that lies there.
    """
    names = []
    for known in live_sets(workspace):
        if _decision(known) != decision and not _stays(workspace, known, decision):
            names.append(known.name)
            discard_directory(known.place, beside=workspace.live.parent)
    return names


def set_name(workspace: Workspace, decision: str) -> str:
    """The name of this retraining's set: the one it has, or the next number."""
    sets = live_sets(workspace)
    for known in sets:
        if _decision(known) == decision:
            return known.name
    number = 1 + max((int(known.name.split("-", 1)[0]) for known in sets), default=0)
    return f"{number:04d}-{decision}"


def known_sides(workspace: Workspace, wanted: float) -> Sides:
    """The sides of all rows so far, with the share of the first retraining.

    Another share would let rows change sides that go by their hash. An earlier tidemill kept no
    cuts: its sets stay, and what comes is cut anew.
    """
    known = find_hashed(_split(workspace), remedy=_ANEW)
    if known is None:
        return Sides(wanted)
    return Sides(float(known["proof_fraction"]), _cuts(known))


def keep_cut(workspace: Workspace, sides: Sides, cut: Cut | None) -> None:
    """Let the sides of a cut stay for good; again, after a kill: changes nothing."""
    cuts = sides.cuts if cut is None or cut in sides.cuts else (*sides.cuts, cut)
    found = {"proof_fraction": sides.share, "cuts": [each.to_json() for each in cuts]}
    path = _split(workspace)
    if find_hashed(path, remedy=_ANEW) != found:
        write_hashed(path, found)


def cut_is_kept(workspace: Workspace, cut: Cut | None) -> bool:
    """Whether :func:`keep_cut` has done its work for a cut."""
    known = find_hashed(_split(workspace), remedy=_ANEW)
    return known is not None and (cut is None or cut in _cuts(known))


def _cuts(known: Mapping[str, Any]) -> tuple[Cut, ...]:
    return tuple(Cut.from_json(cut) for cut in known.get("cuts", ()))


def _split(workspace: Workspace) -> Path:
    return workspace.live / "split.json"


def _stays(workspace: Workspace, live: LiveSet, decision: str) -> bool:
    theirs = _decision(live)
    begun = is_left(receipts(workspace, theirs))
    ended = not begun or outcome_of(workspace, theirs) is not None
    return theirs != decision and ended


def _decision(live: LiveSet) -> str:
    return live.name.split("-", 1)[-1]
