"""Back to the champion of before: the alias moves, and with it the reference and thresholds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.errors import ModelMissing
from tidemill.tracking.loader import fetch_reference, load_champion
from tidemill.tracking.model_versions import CHAMPION, ModelVersion
from tidemill.tracking.registry import PROMOTION, Registry
from tidemill.tracking.service import service_errors
from tidemill.tracking.tracker import Tracker

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
        If there is no champion, it replaced none, or nobody knows whom (it was made champion
        in MLflow), or that version is not in the registry any more.
    ModelUntrusted
        If the version before is not what was registered.
    """
    registry = Registry(tracker)
    champion = registry.champion(model_name)
    if champion is None:
        raise _nowhere(model_name, f"{model_name!r} has no champion")
    target = _replaced(registry, champion)
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


def _replaced(registry: Registry, champion: ModelVersion) -> int:
    """The version that the champion replaced, if it is there to go back to."""
    name, noted = champion.name, promotion_of(champion)
    others = [each.version for each in registry.versions(name) if each.version != champion.version]
    if noted is None and others:
        raise _nowhere(
            name,
            f"version {champion.version} of {name!r} was made champion by hand, in MLflow: "
            "nothing is recorded of whom it replaced",
            others,
        )
    target = (noted or {}).get("replaces")
    if target is None:
        raise _nowhere(name, f"{name!r} has none before version {champion.version}")
    if int(target) not in others:
        what = f"version {champion.version} of {name!r} replaced version {target}"
        raise _nowhere(name, f"{what}, which is not in the registry any more", others)
    return int(target)


def _nowhere(model_name: str, what: str, others: Sequence[int] = ()) -> ModelMissing:
    remedy = "train and promote another version with: tidemill run"
    if others:
        there = f"version{'s' * (len(others) > 1)} {', '.join(map(str, others))}"
        remedy += (
            f"; or let one that is there ({there}) serve, in MLflow's pages or with "
            f"client.set_registered_model_alias({model_name!r}, {CHAMPION!r}, 'NUMBER') "
            "(docs/tracking.md)"
        )
    return ModelMissing(
        f"{what}: there is nothing to go back to", remedy=remedy, model_name=model_name
    )
