"""DVC: the repository, dvc.yaml, what is current, the versions of data and code."""

from tidemill.versioning.dataset_versions import note_version, version_notes
from tidemill.versioning.dvc_graph import (
    COMMAND,
    Out,
    StageSpec,
    check_dvc_yaml,
    dvc_document,
    write_dvc_yaml,
)
from tidemill.versioning.lockfile import read_lock, repair
from tidemill.versioning.needed_contents import Needed, needed_contents
from tidemill.versioning.repository import code_revision, ensure_repo
from tidemill.versioning.versions import Versions

__all__ = [
    "COMMAND",
    "Needed",
    "Out",
    "StageSpec",
    "Versions",
    "check_dvc_yaml",
    "code_revision",
    "dvc_document",
    "ensure_repo",
    "needed_contents",
    "note_version",
    "read_lock",
    "repair",
    "version_notes",
    "write_dvc_yaml",
]
