"""A candidate's folder: the pipeline, and training.json, which says how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.schema import Role
from tidemill.storage import (
    ShardManifest,
    commit_directory,
    fresh_directory,
    read_block,
    write_json,
)
from tidemill.tracking import save_candidate

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["leave_candidate"]

EXAMPLE_ROWS = 5
_TOLD = ("learner", "schema", "continued")
"""Of training.json, what the model itself carries along."""


def leave_candidate(
    pipeline: Pipeline,
    document: Mapping[str, Any],
    folder: Path,
    *,
    staged: Path,
    manifest: ShardManifest,
    shards: Path,
) -> str:
    """Put ``pipeline`` and ``document`` into ``folder``, whole or not at all; return the digest.

    Parameters
    ----------
    document : mapping
        Of training.json.
    staged : Path
        Where the folder is made; on the same disk.
    manifest, shards : ShardManifest, Path
        Of what it learnt from; the first training rows are the model's example.
    """
    features = [column.name for column in manifest.schema.features]
    first = manifest.of(Role.TRAIN)[0]
    example = read_block(shards / first.file.path, 0, columns=features)
    fresh_directory(staged)
    write_json(staged / "training.json", document)
    digest = save_candidate(
        pipeline,
        staged / "model",
        example=example.slice(0, EXAMPLE_ROWS).to_pandas(),
        metadata={name: document[name] for name in _TOLD if name in document},
    )
    commit_directory(staged, folder)
    return digest
