"""A candidate's folder: the pipeline, and beside it a document that says how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.schema import Role
from tidemill.stages.ancestry import Learnt, ancestry_of, lessons_metadata
from tidemill.storage import (
    ShardManifest,
    StoreFolder,
    commit_directory,
    fresh_directory,
    read_block,
    read_json,
    read_output,
    write_hashed,
)
from tidemill.tracking import save_candidate

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["leave_candidate", "read_training"]

EXAMPLE_ROWS = 5
_TOLD = ("learner", "schema", "continued")
"""Of the document, what the model itself carries along."""
_READ = ("iterations", "key", "learner", "params", "strategy")


def leave_candidate(
    pipeline: Pipeline,
    document: Mapping[str, Any],
    folder: Path,
    *,
    staged: Path,
    manifest: ShardManifest,
    shards: StoreFolder,
    name: str = "training.json",
    learnt: Sequence[Learnt] | None = None,
    judged: Path | None = None,
) -> str:
    """Put ``pipeline`` and ``document`` into ``folder``, whole or not at all; return the digest.

    Parameters
    ----------
    document : mapping
        Kept as ``name``.
    staged : Path
        Where the folder is made; on the same disk.
    manifest, shards : ShardManifest, StoreFolder
        Of what it learnt from; the first training rows are the model's example.
    learnt : sequence of Learnt or None
        The lessons of what is judged; None where they are not known.
    judged : Path or None
        The folder of the candidate that was judged in its place, whose lessons count.
    """
    features = [column.name for column in manifest.schema.features]
    first = manifest.of(Role.TRAIN)[0]
    example = read_block(shards.near(first.file.path), 0, columns=features)
    lessons = lessons_metadata(learnt)
    if judged is not None:
        seal = read_json(judged / "model" / "candidate.json")
        lessons = lessons_metadata(ancestry_of(seal["metadata"]))
    fresh_directory(staged)
    write_hashed(staged / name, document)
    digest = save_candidate(
        pipeline,
        staged / "model",
        example=example.slice(0, EXAMPLE_ROWS).to_pandas(),
        metadata={**{fact: document[fact] for fact in _TOLD if fact in document}, **lessons},
        judged=None if judged is None else judged / "model",
    )
    commit_directory(staged, folder)
    return digest


def read_training(candidate: Path) -> dict[str, Any]:
    """How the candidate in a folder came about.

    Raises
    ------
    IntegrityError
        If that is missing, or not what was written.
    """
    return read_output(
        candidate / "training.json",
        lambda document: {**document, **{name: document[name] for name in _READ}},
    )
