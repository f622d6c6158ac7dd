"""Back to the champion of before: the alias moves, and with it the reference and thresholds."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.errors import ModelMissing
from tidemill.tracking.loader import fetch_reference, load_champion
from tidemill.tracking.registry import PROMOTION, Registry
from tidemill.tracking.service import service_errors
from tidemill.tracking.tracker import Tracker
from tidemill.tracking.versions import CHAMPION, ModelVersion

__all__ = ["ROLLED_BACK", "RolledBack", "promotion_of", "roll_back"]

ROLLED_BACK = "tidemill.rolled_back"


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Which version serves again, and which one did until now.

    ``notes`` tell what lies beside the model's files, is not used, and can be deleted.
    """

    model_name: str
    version: int
    before: int
    notes: tuple[str, ...] = ()


def promotion_of(version: ModelVersion) -> dict[str, Any] | None:
    """What was noted when the version was promoted: ``replaces`` and the evidence."""
    text = version.tags.get(PROMOTION)
    found: dict[str, Any] | None = None if text is None else json.loads(text)
    return found


def roll_back(tracker: Tracker, model_name: str, *, reason: str = "") -> RolledBack:
    """Make the version that the champion replaced the champion again.

    It is loaded and its reference is fetched first, as the monitor will do: a version that
    cannot serve is not put in the place of one that can. Whoever serves the champion (the
    monitor) finds the alias moved.

    Raises
    ------
    ModelMissing
        If there is no champion, or it replaced none.
    ModelUntrusted
        If the version before is not what was registered.
    """
    registry = Registry(tracker)
    champion = registry.champion(model_name)
    noted = None if champion is None else promotion_of(champion)
    if champion is None or noted is None or noted.get("replaces") is None:
        what = "no champion" if champion is None else f"none before version {champion.version}"
        raise ModelMissing(
            f"{model_name!r} has {what}: there is nothing to go back to",
            remedy="train and promote another version with: tidemill run",
            model_name=model_name,
        )
    target = int(noted["replaces"])
    loaded = load_champion(tracker.uri, model_name, version=target)
    with tempfile.TemporaryDirectory(prefix="tidemill-reference-") as scratch:
        fetch_reference(tracker.uri, model_name, target, Path(scratch) / "reference")
    client = tracker.client()
    with service_errors(tracker.uri):
        # The note first: a crash in between leaves the champion as it was.
        text = json.dumps({"to": target, "reason": reason}, sort_keys=True)
        client.set_model_version_tag(model_name, str(champion.version), ROLLED_BACK, text)
        client.set_registered_model_alias(model_name, CHAMPION, str(target))
    return RolledBack(model_name, target, champion.version, loaded.notes)
