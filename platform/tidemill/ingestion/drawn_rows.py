"""dataset.sample: which rows are drawn, by a hash of each, whatever the splits and the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.config import DatasetConfig, SampleConfig
from tidemill.contracts import Engine, Progress, Split
from tidemill.errors import ColumnMissing
from tidemill.ingestion.left_out import left_out
from tidemill.ingestion.lowest_hashes import Hashes, LowestHashes
from tidemill.ingestion.sources.batches import ParsedBatch
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.ingestion.sources.reading import read_split
from tidemill.ingestion.sources.wide_tables import BATCH_CELLS, bounded_rows
from tidemill.schema import TableSchema
from tidemill.storage import Receipts, StoreFolder, hash_json, salted_hash, stable_hash

__all__ = ["Draw", "DrawCounts", "drawn_from"]

_EVERY = 2**64 - 1
_NO_CLASS = ""
"""The class of all rows where none are told apart; else of those without one."""


@dataclass(frozen=True, slots=True)
class DrawCounts:
    """By class its rows in the source, and those of them that were drawn."""

    rows: Mapping[str, int]
    drawn: Mapping[str, int]

    @property
    def passed_over(self) -> int:
        """Rows that were read and not drawn."""
        return sum(self.rows.values()) - sum(self.drawn.values())

    def merge(self, other: Self) -> Self:
        """Of both sets of rows."""
        return type(self)(_added(self.rows, other.rows), _added(self.drawn, other.drawn))

    def to_json(self) -> dict[str, Any]:
        """A JSON document, whose classes are in order."""
        return {
            "rows": dict(sorted(self.rows.items())),
            "drawn": {name: self.drawn.get(name, 0) for name in sorted(self.rows)},
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(document["rows"], document["drawn"])


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(one) + Counter(other)).items()))


@dataclass(frozen=True, slots=True)
class Draw:
    """Which rows are drawn: of each class those whose hash is at most its threshold; picklable.

    A row is hashed by its key; where that is missing, or there is none, by its place. So is a
    record that is no row, which is of no class.

    Parameters
    ----------
    seed : int
    key, by : str or None
        The columns of the schema that name a row, and its class.
    at_most : mapping of class to int
        The thresholds; of classes that are not there nothing is drawn.
    """

    seed: int
    key: str | None
    by: str | None
    at_most: Mapping[str, int]

    def taken(self, batch: ParsedBatch, split: Split) -> tuple[ParsedBatch, DrawCounts]:
        """The rows and rejects of a batch that are drawn, and how many of how many.

        What is counted by column or by line alone (``cut``, ``left_out``) stays that of all rows.
        """
        classes, hashes = self.facts(batch, split)
        kinds = classes.dictionary_encode()
        names = kinds.dictionary.to_pylist()
        limits = np.array([self.at_most.get(name, -1) for name in names], object)
        codes = kinds.indices.to_numpy(zero_copy_only=False)
        none = np.array([limit < 0 for limit in limits], np.bool_)
        most = np.array([max(limit, 0) for limit in limits], np.uint64)
        drawn = (hashes <= most[codes]) & ~none[codes] if names else np.zeros(0, np.bool_)
        rows = len(batch.rows)
        rejects = zip(batch.rejects, drawn[rows:].tolist(), strict=True)
        counts = DrawCounts(
            dict(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True)),
            dict(zip(names, np.bincount(codes[drawn], minlength=len(names)).tolist(), strict=True)),
        )
        return batch.only(drawn[:rows], tuple(r for r, taken in rejects if taken)), counts

    def facts(self, batch: ParsedBatch, split: Split) -> tuple[pa.Array, Hashes]:
        """The class and the hash of each row, and behind them of each reject."""
        rejected = np.array([reject.row for reject in batch.rejects], np.int64)
        numbers = np.concatenate([batch.rows, rejected]).astype(np.uint64)
        hashes = salted_hash(numbers + np.uint64(split.first_row), split.address)
        if self.key is not None:
            keys = batch.table[self.key]
            known = np.append(_valid(keys), np.zeros(len(rejected), np.bool_))
            hashes[known] = stable_hash(keys)[known[: len(keys)]]
        texts = pa.array([_NO_CLASS] * len(numbers), pa.string())
        if self.by is not None:
            given = pc.fill_null(batch.table[self.by].combine_chunks().cast(pa.string()), _NO_CLASS)
            texts = pa.concat_arrays([given, texts[len(given) :]])
        return texts, salted_hash(hashes, f"sample:{self.seed}")


def _valid(values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_valid(values).to_numpy()
    return found


def drawn_from(
    listing: SourceListing,
    schema: TableSchema,
    dataset: DatasetConfig,
    *,
    root: Path,
    work: StoreFolder,
    batch_rows: int,
    engine: Engine,
    progress: Progress | None = None,
) -> Draw | None:
    """What ``dataset.sample`` draws from the source; None where it is not set.

    Where a number of rows or classes is stated, the key and the class of every row are read
    first, once: what was found is kept in ``work``.

    Raises
    ------
    ColumnMissing
        If ``by`` names no column of the schema.
    ConfigError
        If it has too many values.
    SourceUnreadable

    Notes
    -----
    Memory: a batch in each worker; 8 bytes for each row that is drawn where ``rows`` is stated.
    """
    sample = dataset.sample
    if sample is None:
        return None
    if sample.by is not None and sample.by not in schema.names:
        raise ColumnMissing(
            column=sample.by,
            available=schema.names,
            setting="dataset.sample.by",
            left_out=left_out(listing, dataset, schema).get(sample.by, ""),
        )
    draw = Draw(sample.seed, None if schema.key is None else schema.key.name, sample.by, {})
    if sample.rows is None and sample.by is None:
        return replace(draw, at_most={_NO_CLASS: _share_of_hashes(sample)})
    receipts = Receipts(work)
    key = hash_json([listing.to_json(), schema.to_json(), dataset.model_dump(mode="json")])
    known = receipts.done("draw", key)
    if known is None:
        job = _DrawJob(replace(listing, splits=()), schema, dataset, root, batch_rows, draw)
        found = engine.fold(
            job.lowest, listing.splits, LowestHashes.merge, label="draw rows", progress=progress
        )
        known = {"at_most": _thresholds(sample, found)}
        receipts.finish("draw", known, key=key)
    return replace(draw, at_most=known["at_most"])


def _share_of_hashes(sample: SampleConfig) -> int:
    """The highest hash of the share of all that is drawn."""
    return -1 if sample.fraction is None else int(sample.fraction * 2**64) - 1


def _thresholds(sample: SampleConfig, found: LowestHashes) -> dict[str, int]:
    """The highest hash that is drawn of each class."""
    return {
        name: max(
            _share_of_hashes(sample),
            int(hashes[-1]) if found.rows[name] > found.limit else _EVERY,
        )
        for name, hashes in found.lowest.items()
    }


@dataclass(frozen=True, slots=True)
class _DrawJob:
    """What the first passes over all splits share."""

    listing: SourceListing
    schema: TableSchema
    dataset: DatasetConfig
    root: Path
    batch_rows: int
    draw: Draw

    def lowest(self, split: Split) -> LowestHashes:
        """The lowest hashes of a split's classes, from the columns of key and class alone."""
        sample, names = self.dataset.sample, (self.draw.key, self.draw.by)
        assert sample is not None  # noqa: S101 - without it nothing is drawn
        limit = sample.at_least if sample.rows is None else sample.rows
        columns = tuple(c for c in self.schema.columns if c.name in names)
        derived = {k: v for k, v in self.dataset.derive.items() if k in names}
        found = LowestHashes.of(pa.array([], pa.string()), np.empty(0, np.uint64), limit)
        for batch in read_split(
            split,
            replace(self.schema, columns=columns),
            self.dataset.model_copy(update={"derive": derived}),
            self.listing,
            self.root,
            batch_rows=bounded_rows(self.batch_rows, len(self.listing.columns), BATCH_CELLS),
        ):
            found = found.merge(LowestHashes.of(*self.draw.facts(batch, split), limit))
        return found
