"""append: gathered rows are validated, and those that teach become a set of live rows.

Labelled live rows go one of two ways (``sides``): *learn* rows become a set below data/live, which
the shards of the source are extended with; *proof* rows judge the models that learnt from the
others, and no model that is judged learns from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tidemill.errors import KeyInvalid
from tidemill.ingestion import ingest, list_source, load_suite, row_wise_suite
from tidemill.profiling import Profile, categories_of
from tidemill.retraining.gathered_rows import LEARN, PROOF, gathered_dataset
from tidemill.retraining.job import RetrainingJob
from tidemill.schema import TableSchema
from tidemill.stages import StageContext
from tidemill.storage import (
    LEARNT_IDS,
    MANIFEST,
    SET_NOTE,
    FileEntry,
    LiveSet,
    PartEntry,
    Receipts,
    ShardManifest,
    StoreFolder,
    ValidatedManifest,
    hash_file,
    hash_json,
    hashed_bytes,
    is_left,
    publish,
    read_hashed,
    write_json,
)

__all__ = [
    "Proof",
    "TakenIn",
    "categories_so_far",
    "take_in",
    "taken_in",
]

_WORK = "taken_in"
_REPORT = "validation.json"


def categories_so_far(manifest: ShardManifest, shards: StoreFolder) -> dict[str, frozenset[str]]:
    """By feature, its categories as the shards in the folder ``shards`` have them."""
    return categories_of(
        Profile.from_json(document)
        for entry in manifest.shards
        for document in shards.profiles(entry)
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """The labelled live rows that judge: files of validated rows in a folder."""

    folder: StoreFolder
    files: tuple[FileEntry, ...]

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The gathered rows, validated: the set that teaches, those that judge, and how many.

    ``healed`` is what to say of rows that were not as they had been written, and were made again.
    """

    live: LiveSet
    proof: Proof
    facts: Mapping[str, int]
    healed: tuple[str, ...] = ()


def taken_in(job: RetrainingJob) -> TakenIn:
    """What :func:`take_in` left.

    Raises
    ------
    IntegrityError
        If it has not, or its note is not what was written.
    """
    document = read_hashed(job.validated / f"{_WORK}.json")
    files = tuple(FileEntry.from_json(file) for file in document["proof"])
    return TakenIn(job.live, Proof(job.workspace.stored(job.validated), files), document["facts"])


def take_in(context: StageContext, job: RetrainingJob) -> TakenIn:
    """Validate the gathered rows, and make the learn rows a set of data/live.

    Raises
    ------
    ValidationFailed, TargetUnusable, KeyInvalid
        As for the ingestion of the source, without expectations about whole tables.
    """
    receipts, schema = Receipts.at(job.validated), job.manifest.schema
    done = receipts.done(_WORK) is not None and is_left(job.live.place / SET_NOTE)
    healed = receipts.made_anew("sets of validated live rows")  # they are replaced as a whole
    if not done:
        try:
            _validate(context, job, schema)
        except KeyInvalid as exc:
            raise KeyInvalid(
                f"of the labelled rows, as they were gathered, {exc.message}",
                remedy="give each labelled row once, with the label that is right, and its key",
                **exc.fields,
            ) from exc
        manifest = ValidatedManifest.read(job.validated)
        learn = _parts(manifest, LEARN)
        _publish_set(job, replace(manifest, schema=schema, parts=learn))
        proof = _parts(manifest, PROOF)
        noted = {
            "proof": [asdict(part.file) for part in proof],
            "facts": {
                "rows_learn": sum(part.file.rows for part in learn),
                "rows_proof": sum(part.file.rows for part in proof),
                "rows_quarantined": sum(part.rows_quarantined for part in manifest.parts),
            },
        }
        receipts.finish(_WORK, noted, {part.file.path: part.file.sha256 for part in proof})
    return replace(taken_in(job), healed=healed)


def _validate(context: StageContext, job: RetrainingJob, schema: TableSchema) -> None:
    params, folder = job.params, job.folder
    dataset = gathered_dataset(params.dataset, job.gathered)
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
        work=context.workspace.stored(folder / "work"),
        out=job.validated,
        quarantine=folder / "quarantine",
        report=folder / _REPORT,
        engine=context.engine,
        progress=context.progress,
    )


def _parts(manifest: ValidatedManifest, side: str) -> tuple[PartEntry, ...]:
    found = (p for p in manifest.parts if Path(p.source).stem == side and p.file.rows)
    return tuple(found)


def _publish_set(job: RetrainingJob, manifest: ValidatedManifest) -> None:
    files = [part.file for part in manifest.parts]
    rows, place = job.workspace.stored(job.validated), job.live.validated.name
    learnt = Receipts(job.gathered).held(LEARNT_IDS)[LEARNT_IDS]
    note = {
        "name": job.live.name,
        "rows": sum(file.rows for file in files),
        "content": hash_json([file.sha256 for file in files]),
        "learnt": learnt,
    }
    publish(
        job.live.place,
        {
            **{f"{place}/{file.path}": (rows, file.path, file.sha256) for file in files},
            _REPORT: (StoreFolder.at(job.folder), _REPORT, hash_file(job.folder / _REPORT)),
            LEARNT_IDS: (job.gathered, LEARNT_IDS, learnt),
        },
        {f"{place}/{MANIFEST}": manifest.to_bytes(), SET_NOTE: hashed_bytes(note)},
        beside=job.workspace.live.parent,  # outside data/live: DVC hashes all that lies there
    )
