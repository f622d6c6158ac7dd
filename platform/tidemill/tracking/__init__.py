"""MLflow: runs, trials, the registry, and the one safe way to load a registered model."""

from tidemill.tracking.candidate import Candidate, open_candidate, save_candidate
from tidemill.tracking.loader import LoadedModel, fetch_reference, load_champion
from tidemill.tracking.model_versions import ModelVersion
from tidemill.tracking.registered_reference import load_reference, seen_categories
from tidemill.tracking.registry import Registered, Registry
from tidemill.tracking.rollback import RolledBack, promotion_of, roll_back
from tidemill.tracking.tracker import Tracker

__all__ = [
    "Candidate",
    "LoadedModel",
    "ModelVersion",
    "Registered",
    "Registry",
    "RolledBack",
    "Tracker",
    "fetch_reference",
    "load_champion",
    "load_reference",
    "open_candidate",
    "promotion_of",
    "roll_back",
    "save_candidate",
    "seen_categories",
]
