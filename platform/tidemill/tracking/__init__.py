"""MLflow: runs, trials, the registry, and the one safe way to load a registered model."""

from tidemill.tracking.candidate import Candidate, load_candidate, open_candidate, save_candidate
from tidemill.tracking.loader import LoadedModel, fetch_reference, load_champion
from tidemill.tracking.registry import Registered, Registry
from tidemill.tracking.tracker import Tracker
from tidemill.tracking.versions import ModelVersion

__all__ = [
    "Candidate",
    "LoadedModel",
    "ModelVersion",
    "Registered",
    "Registry",
    "Tracker",
    "fetch_reference",
    "load_candidate",
    "load_champion",
    "open_candidate",
    "save_candidate",
]
