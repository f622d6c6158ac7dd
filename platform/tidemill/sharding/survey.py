"""The survey: inputs verified, and a bounded sample of facts from which a plan is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.contracts import Engine
from tidemill.errors import ValidationFailed
from tidemill.sharding.facts import Place, Wanted, facts_of
from tidemill.storage import PartEntry, StoreFolder, ValidatedManifest, read_blocks, salted_hash

__all__ = ["SAMPLE_ROWS", "Survey", "survey_parts"]

SAMPLE_ROWS = 65_536
_GROUPS = 64
_BINS_LOG2 = 14
_SALT = "sharding sample"


@dataclass(frozen=True)
class Survey:
    """What a plan needs to know about all rows; merges exactly, in part order.

    Parameters
    ----------
    sample : pyarrow.Table
        Facts of the rows whose position hashes below a bound that expects ``SAMPLE_ROWS`` of
        them (all rows, if there are no more): the same rows however the parts are cut.
    classes : dict of str to (2**14,) int64
        Rows of each class by the leading bits of their salted hash.
    nulls : dict of str to int
        Rows without a time, by column.
    """

    sample: pa.Table
    classes: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)

    def merge(self, other: Survey) -> Survey:
        """The survey of both sets of rows."""
        classes = dict(self.classes)
        for label, counts in other.classes.items():
            classes[label] = classes[label] + counts if label in classes else counts
        nulls = {
            name: self.nulls.get(name, 0) + other.nulls.get(name, 0)
            for name in {**self.nulls, **other.nulls}
        }
        return Survey(pa.concat_tables([self.sample, other.sample]), classes, nulls)


@dataclass(frozen=True, slots=True)
class _Task:
    folder: StoreFolder
    wanted: Wanted
    values: bool
    scanned: bool
    salt: str
    below: int


_Part = tuple[Place, PartEntry]


def survey_parts(
    manifest: ValidatedManifest,
    folder: StoreFolder,
    wanted: Wanted,
    *,
    scanned: bool,
    values: bool,
    salt: str,
    engine: Engine,
) -> Survey | None:
    """Verify every part and, if ``scanned``, survey its rows.

    Parameters
    ----------
    manifest, folder : ValidatedManifest, StoreFolder
    wanted : Wanted
    scanned : bool
        Whether the plan needs a survey at all.
    values : bool
        Whether it needs the sharding column.
    salt : str
        Of the roles' hash.
    engine : Engine

    Raises
    ------
    IntegrityError
        If a part is not what its manifest recorded.
    ValidationFailed
        If a row has no time where time decides.

    Notes
    -----
    Memory: one block of the wanted columns in a worker; here the sample, and 128 KB a class
    for each of at most 64 groups of parts.
    """
    below = min(2**64 - 1, 2**64 * SAMPLE_ROWS // max(manifest.rows, 1))
    task = _Task(folder, wanted, values, scanned, salt, below)
    found = engine.map(partial(_survey_group, task), _groups(manifest), label="survey")
    surveys = [each for each in found if each is not None]
    if not surveys:
        return None
    whole = surveys[0]
    for each in surveys[1:]:
        whole = whole.merge(each)
    _refuse_missing_times(whole.nulls, manifest.rows)
    return whole


def _groups(manifest: ValidatedManifest) -> list[tuple[_Part, ...]]:
    first, parts = 0, []
    for number, part in enumerate(manifest.parts):
        parts.append((Place(number, first, part.digest), part))
        first += part.file.rows
    size = -(-len(parts) // _GROUPS) or 1
    return [tuple(parts[start : start + size]) for start in range(0, len(parts), size)]


def _survey_group(task: _Task, group: Sequence[_Part]) -> Survey | None:
    whole = None
    for place, part in group:
        file = task.folder.verified(part.file)
        for table in read_blocks(file, columns=_columns(task)) if task.scanned else ():
            facts = facts_of(table, task.wanted, place, values=task.values)
            place = place.after(table.num_rows)
            found = _survey_facts(facts, task)
            whole = found if whole is None else whole.merge(found)
    return whole


def _columns(task: _Task) -> list[str] | None:
    return task.wanted.columns(values=task.values)


def _survey_facts(facts: pa.Table, task: _Task) -> Survey:
    positions = facts["position"].to_numpy().astype(np.uint64)
    chosen = salted_hash(positions, _SALT) <= np.uint64(task.below)
    # Only a time may be missing: other sharding columns have a bucket for nulls.
    times = [name for name in ("time",) if name in facts.column_names]
    return Survey(
        facts.filter(pa.array(chosen)),
        _classes(facts, task.salt) if "class" in facts.column_names else {},
        {name: facts[name].null_count for name in times},
    )


def _classes(facts: pa.Table, salt: str) -> dict[str, npt.NDArray[np.int64]]:
    encoded = facts["class"].combine_chunks().dictionary_encode()
    bins = salted_hash(facts["hash"].to_numpy(), salt) >> np.uint64(64 - _BINS_LOG2)
    codes = encoded.indices.to_numpy().astype(np.int64)
    size = 1 << _BINS_LOG2
    counts = np.bincount(
        codes * size + bins.astype(np.int64), minlength=size * len(encoded.dictionary)
    )
    return dict(zip(encoded.dictionary.to_pylist(), counts.reshape(-1, size), strict=True))


def _refuse_missing_times(nulls: dict[str, int], rows: int) -> None:
    missing = nulls.get("time", 0)
    if missing:
        raise ValidationFailed(
            f"{missing} of {rows} valid rows have no time, and sharding by time needs it",
            remedy="add expect_column_values_to_not_be_null for the time column to the suite, so "
            "that such rows go to quarantine, or choose another sharding.holdout.by and strategy",
            rows=rows,
            missing=missing,
        )


def sample_values(sample: pa.Table, chosen: npt.NDArray[np.bool_]) -> pa.Array:
    """The sharding column of the chosen sampled rows."""
    return pc.filter(sample["value"].combine_chunks(), pa.array(chosen))
