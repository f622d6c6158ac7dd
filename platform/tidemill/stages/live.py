"""Live rows: the sets that were taken over for learning, and how gathered rows become one.

Labelled live rows go one of two ways (``sides``): *learn* rows become a set below data/live, which
the shards of the source are extended with; *proof* rows judge the models that learnt from the
others, and no model that is judged learns from them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tidemill.config import Params
from tidemill.errors import IntegrityError, KeyInvalid
from tidemill.ingestion import ingest, list_source, live_dataset, load_suite, row_wise_suite
from tidemill.profiling import Profile, categories_of
from tidemill.schema import TableSchema
from tidemill.stages.context import StageContext
from tidemill.storage import (
    FileEntry,
    PartEntry,
    ShardManifest,
    ValidatedManifest,
    Workspace,
    commit_directory,
    fresh_directory,
    hash_file,
    hash_json,
    place_file,
    read_hashed,
    read_profiles,
    write_hashed,
    write_json,
)

__all__ = [
    "FILES",
    "LEARN",
    "LEARNT_IDS",
    "PROOF",
    "TAKEN_IN",
    "LiveSet",
    "categories_so_far",
    "live_sets",
    "take_in",
]

FILES, LEARN, PROOF = "files", "learn", "proof"
"""Of gathered rows: their folder, and the stems of its two files."""

LEARNT_IDS = "learnt.npy"
"""Beside them and in each set: the sorted hashes of the learn rows, uint64."""

_SET = "set.json"
TAKEN_IN = "taken_in.json"
"""Receipt of a retraining's rows: without it they are validated again."""
_LOST = (
    "bring the folder back from a copy of the workspace; or delete it and run `tidemill run`: its "
    "rows teach no more, and may judge models that learnt them"
)


@dataclass(frozen=True, slots=True)
class LiveSet:
    """Labelled live rows that one retraining has learnt from: a folder below data/live.

    Parameters
    ----------
    name : str
        A number that orders the sets, and the decision that made it.
    folder : Path
    """

    name: str
    folder: Path

    @property
    def validated(self) -> Path:
        """Its typed rows and their manifest."""
        return self.folder / "validated"

    def learnt_ids(self) -> Path:
        """The file of the hashes of its rows, as it was written.

        Raises
        ------
        IntegrityError
            If it is not: rows that taught would judge. Sets of earlier releases noted no hash.
        """
        path = self.folder / LEARNT_IDS
        if read_hashed(self.folder / _SET, remedy=_LOST).get("learnt", "") not in (
            "",
            hash_file(path) if path.is_file() else None,
        ):
            raise IntegrityError(f"{path} is not what was written", remedy=_LOST, path=str(path))
        return path

    def fits(self, schema: TableSchema) -> bool:
        """Whether its rows have the columns, types and classes of ``schema``."""
        own = ValidatedManifest.read(self.validated).schema
        return bool(_shape(own) == _shape(schema))


def _shape(schema: TableSchema) -> Any:
    columns = [(c.name, c.physical, c.purpose) for c in schema.columns]
    return columns, schema.task, schema.classes


def live_sets(workspace: Workspace) -> tuple[LiveSet, ...]:
    """The sets below data/live, in the order in which they were appended."""
    if not workspace.live.is_dir():
        return ()
    folders = sorted(f.parent for f in workspace.live.glob(f"*/{_SET}"))
    return tuple(LiveSet(f.name, f) for f in folders if not f.name.startswith("."))


def categories_so_far(manifest: ShardManifest, shards: Path) -> dict[str, frozenset[str]]:
    """By feature, its categories as the shards in the folder ``shards`` have them."""
    return categories_of(
        Profile.from_json(document)
        for entry in manifest.shards
        for document in read_profiles(shards, entry)
    )


def take_in(
    context: StageContext, params: Params, schema: TableSchema, folder: Path, name: str
) -> tuple[LiveSet, tuple[FileEntry, ...], dict[str, int]]:
    """Validate the gathered rows, and make the learn rows a set of data/live.

    Parameters
    ----------
    schema : TableSchema
        Of the shards, with its classes.
    folder : Path
        The retraining's own; ``rows`` in it are the gathered ones.
    name : str
        Of the set.

    Returns
    -------
    (LiveSet, proof, facts)
        The proof rows are files of ``folder/validated``.

    Raises
    ------
    ValidationFailed, TargetUnusable, KeyInvalid
        As for the ingestion of the source, without expectations about whole tables.
    """
    live = LiveSet(name, context.workspace.live / name)
    receipt = folder / TAKEN_IN
    if not (receipt.exists() and (live.folder / _SET).exists()):
        try:
            _validate(context, params, schema, folder)
        except KeyInvalid as exc:
            raise KeyInvalid(
                f"of the labelled rows, as they were gathered, {exc.message}",
                remedy="give each labelled row once, with the label that is right, and its key",
                **exc.fields,
            ) from exc
        manifest = ValidatedManifest.read(folder / "validated")
        learn = _parts(manifest, LEARN)
        _commit_set(live, folder, replace(manifest, schema=schema, parts=learn))
        proof = _parts(manifest, PROOF)
        noted = {
            "proof": [asdict(part.file) for part in proof],
            "facts": {
                "rows_learn": sum(part.file.rows for part in learn),
                "rows_proof": sum(part.file.rows for part in proof),
                "rows_quarantined": sum(part.rows_quarantined for part in manifest.parts),
            },
        }
        write_hashed(receipt, noted)
    document = read_hashed(receipt)
    return live, tuple(FileEntry.from_json(f) for f in document["proof"]), document["facts"]


def _validate(context: StageContext, params: Params, schema: TableSchema, folder: Path) -> None:
    dataset = live_dataset(params.dataset, str(folder / "rows" / FILES))
    suite = folder / "suite.json"
    given = load_suite(context.workspace.root / params.ingestion.suite)
    write_json(suite, row_wise_suite(given, schema))
    listing = list_source(dataset, context.workspace.root, context.engine)
    ingest(
        listing,
        schema,
        dataset,
        params.ingestion.model_copy(update={"suite": str(suite)}),
        root=context.workspace.root,
        work=folder / "work",
        out=folder / "validated",
        quarantine=folder / "quarantine",
        report=folder / "validation.json",
        engine=context.engine,
        progress=context.progress,
    )


def _parts(manifest: ValidatedManifest, side: str) -> tuple[PartEntry, ...]:
    found = (p for p in manifest.parts if Path(p.source).stem == side and p.file.rows)
    return tuple(found)


def _commit_set(live: LiveSet, folder: Path, manifest: ValidatedManifest) -> None:
    # Outside data/live: DVC hashes all that lies there.
    staged = fresh_directory(folder / "set")
    for part in manifest.parts:
        place_file(folder / "validated" / part.file.path, staged / "validated" / part.file.path)
    manifest.write(staged / "validated")
    place_file(folder / "validation.json", staged / "validation.json")
    place_file(folder / "rows" / LEARNT_IDS, staged / LEARNT_IDS)
    rows = sum(part.file.rows for part in manifest.parts)
    content = hash_json([part.file.sha256 for part in manifest.parts])
    learnt = hash_file(staged / LEARNT_IDS)
    write_hashed(
        staged / _SET, {"name": live.name, "rows": rows, "content": content, "learnt": learnt}
    )
    commit_directory(staged, live.folder)
