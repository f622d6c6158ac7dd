"""Live rows: the sets that were taken over for learning, and how a new one is made.

Labelled live rows go one of two ways, by the hash of their id: *learn* rows become a set below
data/live, which the shards of the source are extended with; *proof* rows judge the models that
learnt from the others, and are never learnt from.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.config import Params
from tidemill.errors import KeyInvalid, TooFewRows
from tidemill.ingestion import (
    LabelledRows,
    LiveRows,
    ingest,
    list_source,
    live_dataset,
    live_rows,
    load_suite,
    row_wise_suite,
)
from tidemill.oddities import Oddities
from tidemill.profiling import Profile, categories_of
from tidemill.schema import TableSchema
from tidemill.stages.context import StageContext
from tidemill.storage import (
    BlockWriter,
    FileEntry,
    PartEntry,
    ShardManifest,
    ValidatedManifest,
    Workspace,
    commit_directory,
    fresh_directory,
    hash_json,
    place_file,
    read_hashed,
    read_profiles,
    salted_hash,
    stable_hash,
    stable_row_hash,
    write_hashed,
    write_json,
)

__all__ = [
    "Gathered",
    "LiveSet",
    "categories_so_far",
    "gather_rows",
    "live_sets",
    "proof_rows",
    "take_in",
]

BLOCK_ROWS = 16_384
_SALT = "learn or proof"
_FILES, _LEARN, _PROOF = "files", "learn", "proof"
_IDS = "learnt.npy"


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
    folders = sorted(f.parent for f in workspace.live.glob("*/set.json"))
    return tuple(LiveSet(f.name, f) for f in folders if not f.name.startswith("."))


def categories_so_far(manifest: ShardManifest, shards: Path) -> dict[str, frozenset[str]]:
    """By feature, its categories as the shards in the folder ``shards`` have them."""
    return categories_of(
        Profile.from_json(document)
        for entry in manifest.shards
        for document in read_profiles(shards, entry)
    )


def proof_rows(rows: LiveRows, share: float, target: str) -> npt.NDArray[np.bool_]:
    """Which rows judge; the others may be learnt from. (rows,) bool.

    A row's side depends on its id and the share alone, so that it never changes. Without ids all
    of the row but its target is hashed: the truth must not decide who is judged by it.
    """
    if rows.ids is not None:
        return _judges(stable_hash(rows.ids), share)
    return _judges(stable_row_hash(rows.table.drop_columns([target])), share)


def _row_hashes(rows: LiveRows) -> npt.NDArray[np.uint64]:
    return stable_row_hash(rows.table) if rows.ids is None else stable_hash(rows.ids)


def _judges(hashes: npt.NDArray[np.uint64], share: float) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = salted_hash(hashes, _SALT) < np.uint64(int(share * 2**64))
    return found


def _among(
    hashes: npt.NDArray[np.uint64], known: Sequence[npt.NDArray[np.uint64]]
) -> npt.NDArray[np.bool_]:
    """Which of the hashes are in one of the sorted arrays."""
    found = np.zeros(len(hashes), np.bool_)
    for own in known:
        at = np.searchsorted(own, hashes)
        inside = at < len(own)
        found[inside] |= own[at[inside]] == hashes[inside]
    return found


@dataclass(frozen=True, slots=True)
class Gathered:
    """How many labelled rows came, and which way they went.

    ``left_out`` are rows whose label is none of the model's classes, or whose event id is none;
    ``repeated`` ones are in a set of another retraining already; of ``unreadable`` ones a cell, or
    all, could not be read as the model's table was. ``odd_cells`` and ``said`` are
    :meth:`tidemill.oddities.Oddities.table` and ``sentences`` of all rows that came.
    """

    learn: int
    proof: int
    left_out: int
    repeated: int = 0
    unreadable: int = 0
    odd_cells: Sequence[dict[str, Any]] = ()
    said: Sequence[str] = ()


def gather_rows(
    batches: Iterable[pa.RecordBatch | pa.Table | LabelledRows],
    schema: TableSchema,
    share: float,
    folder: Path,
    taken: Sequence[LiveSet] = (),
    categories: Mapping[str, Container[str]] | None = None,
    *,
    max_invalid_fraction: float = 1.0,
) -> Gathered:
    """Write labelled rows to ``folder/files``: learn.parquet and proof.parquet, as one.

    Parameters
    ----------
    batches : iterable
        See :func:`tidemill.ingestion.live_rows`.
    share : float
        Of the rows that judge.
    folder : Path
        Replaced as a whole; where it is finished, nothing is read.
    taken : sequence of LiveSet
        Their rows are learnt from, and not taken again.
    categories : mapping of str to container of str, optional
        By feature those so far, as for :func:`tidemill.ingestion.live_rows`.
    max_invalid_fraction : float
        Of the rows that may be unreadable; they are left out.

    Raises
    ------
    ValidationFailed
        If more are unreadable.
    TooFewRows
        If one side has no rows.

    Notes
    -----
    Memory: a few batches and two blocks, whatever the rows, and 8 bytes a learnt row; the hashes
    of earlier sets stay on disk.
    """
    receipt = folder / "gathered.json"
    if receipt.exists():
        return Gathered(**read_hashed(receipt))
    staged = fresh_directory(folder.with_name(f".{folder.name}.staged"))
    left_out = repeated = 0
    odd = Oddities()
    known = [np.load(live.folder / _IDS, mmap_mode="r") for live in taken]
    learnt: list[npt.NDArray[np.uint64]] = []
    arrow = schema.arrow_schema()
    with (
        BlockWriter(staged / _FILES / f"{_LEARN}.parquet", arrow, block_rows=BLOCK_ROWS) as learn,
        BlockWriter(staged / _FILES / f"{_PROOF}.parquet", arrow, block_rows=BLOCK_ROWS) as proof,
    ):
        for batch in batches:
            rows = live_rows(batch, schema, categories)
            left_out += rows.left_out
            odd = odd.merge(rows.odd)
            hashes = _row_hashes(rows)
            judges = proof_rows(rows, share, schema.target.name)
            again = _among(hashes, known) & ~judges
            repeated += int(again.sum())
            learns = ~judges & ~again
            learnt.append(hashes[learns])
            proof.write(rows.table.filter(pa.array(judges)))
            learn.write(rows.table.filter(pa.array(learns)))
        _refuse(odd, max_invalid_fraction)
        gathered = Gathered(
            learn.close().rows,
            proof.close().rows,
            left_out,
            repeated,
            odd.invalid,
            odd.table(),
            odd.sentences(rows_stay=False),
        )
    np.save(staged / _IDS, np.sort(np.concatenate([*learnt, np.empty(0, np.uint64)])))
    if not (gathered.learn and gathered.proof):
        raise TooFewRows(
            f"of the labelled rows {gathered.learn} may be learnt from, {gathered.proof} would "
            f"judge, {gathered.left_out} have a label that the model does not know, or no event "
            f"id, {gathered.unreadable} cannot be read, and {gathered.repeated} were learnt from "
            "before",
            remedy="wait for more labels, or change monitoring.retraining.proof_fraction",
            **asdict(gathered),
        )
    write_hashed(staged / receipt.name, asdict(gathered))
    commit_directory(staged, folder)
    return gathered


def _refuse(odd: Oddities, limit: float) -> None:
    error = odd.refusal(
        limit,
        source="the labelled rows",
        remedy="write them as the model's table was written (dates, decimals, codes, keys), or "
        "raise ingestion.max_invalid_fraction",
    )
    if error is not None:
        raise error


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
    receipt = folder / "taken_in.json"
    if not (receipt.exists() and (live.folder / "set.json").exists()):
        try:
            _validate(context, params, schema, folder)
        except KeyInvalid as exc:
            raise KeyInvalid(
                f"of the labelled rows, as they were gathered, {exc.message}",
                remedy="give each labelled row once, with the label that is right, and its key",
                **exc.fields,
            ) from exc
        manifest = ValidatedManifest.read(folder / "validated")
        learn = _parts(manifest, _LEARN)
        _commit_set(live, folder, replace(manifest, schema=schema, parts=learn))
        proof = _parts(manifest, _PROOF)
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
    dataset = live_dataset(params.dataset, str(folder / "rows" / _FILES))
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
        docs=None,
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
    place_file(folder / "rows" / _IDS, staged / _IDS)
    rows = sum(part.file.rows for part in manifest.parts)
    content = hash_json([part.file.sha256 for part in manifest.parts])
    write_json(staged / "set.json", {"name": live.name, "rows": rows, "content": content})
    commit_directory(staged, live.folder)
