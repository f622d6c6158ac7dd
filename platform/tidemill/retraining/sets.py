"""The sets of live rows: which stay, which are taken out, what the next one is called."""

from __future__ import annotations

from pathlib import Path

from tidemill.retraining.order import outcome_of, receipts
from tidemill.stages.live import LiveSet, live_sets
from tidemill.storage import Workspace, discard_directory, read_hashed, write_hashed

__all__ = ["proof_share", "set_name", "staying_sets", "take_out_unfinished"]


def staying_sets(workspace: Workspace, decision: str) -> list[LiveSet]:
    """The sets of other retrainings that have finished (or are not known): their rows stay."""
    return [known for known in live_sets(workspace) if _stays(workspace, known, decision)]


def take_out_unfinished(workspace: Workspace, decision: str, folder: Path) -> list[str]:
    """Remove the sets of other retrainings that have begun and not finished; their names.

    Parameters
    ----------
    folder : Path
        On the same disk, outside data/live: DVC hashes all that lies there.
    """
    names = []
    for known in live_sets(workspace):
        if _decision(known) != decision and not _stays(workspace, known, decision):
            names.append(known.name)
            place = folder / "taken out"
            discard_directory(place)
            known.folder.rename(place)
            discard_directory(place)
    return names


def set_name(workspace: Workspace, decision: str) -> str:
    """The name of this retraining's set: the one it has, or the next number."""
    sets = live_sets(workspace)
    for known in sets:
        if _decision(known) == decision:
            return known.name
    number = 1 + max((int(known.name.split("-", 1)[0]) for known in sets), default=0)
    return f"{number:04d}-{decision}"


def proof_share(workspace: Workspace, wanted: float) -> float:
    """The share of the first retraining: another one would let rows change sides."""
    path = workspace.live / "split.json"
    if not path.exists():
        write_hashed(path, {"proof_fraction": wanted})
    noted = read_hashed(
        path,
        remedy="delete it and run the same again, with the proof_fraction of the first retraining "
        "in params.yaml (monitoring.retraining)",
    )
    return float(noted["proof_fraction"])


def _stays(workspace: Workspace, live: LiveSet, decision: str) -> bool:
    theirs = _decision(live)
    begun = receipts(workspace, theirs).is_dir()
    ended = not begun or outcome_of(workspace, theirs) is not None
    return theirs != decision and ended


def _decision(live: LiveSet) -> str:
    return live.name.split("-", 1)[-1]
