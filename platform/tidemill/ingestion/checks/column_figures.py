"""Figures of a column that expectations ask for: moments, counts of values, a sample."""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidemill.ingestion.checks.batch_view import BatchView, Mask
from tidemill.ingestion.checks.scan_plan import Question
from tidemill.storage import hash_bytes

__all__ = ["COUNT_LIMIT", "SAMPLE_LIMIT", "ColumnFigures", "FigureKeeper", "keepers"]

#: Distinct values that are counted; more of them, and counts are given up.
COUNT_LIMIT = 10_000
#: Rows in the sample that quantiles come from: exact up to as many, 0.7% of rank beyond.
SAMPLE_LIMIT = 20_000
#: Moments are computed over pieces of this many values, so that they do not depend on batches.
PIECE = 65_536

_SHA256 = re.compile(r"[0-9a-f]{64}")

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class ColumnFigures:
    """What one expectation needs to know of a column (or the table); a partial.

    Parameters
    ----------
    rows, nulls : int
    count, mean, m2 : int, float, float
        Of the values that are not null.
    minimum, maximum : float or int or None
        Times in microseconds since 1970.
    counts : dict or None
        Rows of each distinct value (its repr-free JSON form); None once there are more than
        ``COUNT_LIMIT``.
    hashes, values : (k,) uint64, (k,) float64
        The ``SAMPLE_LIMIT`` rows with the smallest hash of their position.

    Notes
    -----
    Counts, extremes and the sample merge exactly; mean and m2 to rounding (Chan, Golub &
    LeVeque, 1979). Memory: at most ``COUNT_LIMIT`` values and ``SAMPLE_LIMIT`` numbers.
    """

    rows: int = 0
    nulls: int = 0
    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    minimum: float | int | None = None
    maximum: float | int | None = None
    counts: dict[Any, int] | None = None
    hashes: Hashes | None = None
    values: Floats | None = None

    def merge(self, other: Self) -> ColumnFigures:
        """The figures of both sets of rows."""
        count = self.count + other.count
        delta = other.mean - self.mean
        share = other.count / count if count else 0.0
        hashes, values = _merge_samples(self, other)
        return ColumnFigures(
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            count=count,
            mean=self.mean + delta * share,
            m2=self.m2 + other.m2 + delta * delta * self.count * share,
            minimum=_least(self.minimum, other.minimum, min),
            maximum=_least(self.maximum, other.maximum, max),
            counts=_merge_counts(self.counts, other.counts),
            hashes=hashes,
            values=values,
        )

    @property
    def std(self) -> float:
        """Standard deviation with n - 1; NaN below two values."""
        return math.sqrt(self.m2 / (self.count - 1)) if self.count > 1 else math.nan

    @property
    def total(self) -> float:
        """Sum of the values."""
        return self.mean * self.count

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back exactly."""
        return {
            "rows": self.rows,
            "nulls": self.nulls,
            "count": self.count,
            "mean": repr(self.mean),
            "m2": repr(self.m2),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "counts": None if self.counts is None else sorted(self.counts.items()),
            "hashes": _encode(self.hashes),
            "values": _encode(self.values),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        counts = document["counts"]
        return cls(
            **{
                **document,
                "mean": float(document["mean"]),
                "m2": float(document["m2"]),
                "counts": None if counts is None else dict(counts),
                "hashes": _decode(document["hashes"], np.uint64),
                "values": _decode(document["values"], np.float64),
            }
        )


class FigureKeeper:
    """Gathers the figures for one question over the batches of a split.

    Memory: the figures and ``PIECE`` values.
    """

    def __init__(self, question: Question, seed: int) -> None:
        self._question = question
        self._seed = seed
        self._figures = ColumnFigures(
            counts={} if "counts" in question.needs else None,
            hashes=np.empty(0, np.uint64) if "sample" in question.needs else None,
            values=np.empty(0, np.float64) if "sample" in question.needs else None,
        )
        self._waiting: list[npt.NDArray[Any]] = []
        self._waiting_count = 0

    def add(self, view: BatchView, rows: npt.NDArray[np.int64], chosen: Mask | None) -> None:
        """Add a batch; ``chosen`` are the rows that meet the row condition."""
        column = self._question.column
        n = view.rows if chosen is None else int(chosen.sum())
        if column is None:
            self._figures = replace(self._figures, rows=self._figures.rows + n)
            return
        valid = view.valid(column) if chosen is None else view.valid(column) & chosen
        present = int(valid.sum())
        part = ColumnFigures(rows=n, nulls=n - present, counts=self._figures.counts)
        if self._question.needs & {"moments", "sample"} and present:
            values = view.numbers(column)[valid]
            part = replace(part, minimum=_item(values.min()), maximum=_item(values.max()))
            if "moments" in self._question.needs:
                self._waiting.append(values.astype(np.float64))
                self._waiting_count += present
            if "sample" in self._question.needs:
                part = _with_sample(part, values.astype(np.float64), rows[valid], self._seed)
        if part.counts is not None:
            part = replace(part, counts=_count(view, column, valid))
        self._figures = self._figures.merge(part)
        while self._waiting_count >= PIECE:
            self._settle(PIECE)

    def close(self) -> ColumnFigures:
        """The figures of all batches."""
        if self._waiting_count:
            self._settle(self._waiting_count)
        return self._figures

    def _settle(self, size: int) -> None:
        joined = np.concatenate(self._waiting)
        piece, rest = joined[:size], joined[size:]
        self._waiting, self._waiting_count = [rest], len(rest)
        mean = float(piece.mean())
        m2 = float(np.square(piece - mean).sum())
        part = ColumnFigures(count=len(piece), mean=mean, m2=m2, counts=self._figures.counts)
        if part.counts is not None:
            part = replace(part, counts={})
        self._figures = self._figures.merge(part)


def moment_of(microseconds: float | int) -> datetime:
    """The naive UTC time of a number of microseconds since 1970."""
    return datetime(1970, 1, 1) + timedelta(microseconds=int(microseconds))  # noqa: DTZ001


def _item(value: Any) -> float | int:
    item: float | int = value.item()
    return int(item) if isinstance(item, bool) else item


def _least(a: float | int | None, b: float | int | None, choose: Any) -> Any:
    present = [value for value in (a, b) if value is not None]
    return choose(present) if present else None


def _count(view: BatchView, column: str, valid: Mask) -> dict[Any, int]:
    kind = view.array(column).type
    if str(kind) == "string" or str(kind).startswith("dictionary"):
        codes, texts = view.texts(column)
        tallied = np.bincount(codes[valid], minlength=len(texts))
        return {texts[i]: int(tallied[i]) for i in np.flatnonzero(tallied)}
    values, numbers = np.unique(view.numbers(column)[valid], return_counts=True)
    return {value: int(n) for value, n in zip(values.tolist(), numbers, strict=True)}


def _merge_counts(a: dict[Any, int] | None, b: dict[Any, int] | None) -> dict[Any, int] | None:
    if a is None or b is None:
        return None
    merged = dict(a)
    for value, n in b.items():
        merged[value] = merged.get(value, 0) + n
    return merged if len(merged) <= COUNT_LIMIT else None


def _with_sample(
    part: ColumnFigures, values: Floats, rows: npt.NDArray[np.int64], seed: int
) -> ColumnFigures:
    hashes = _mix(rows.astype(np.uint64) + np.uint64(seed))
    return replace(part, hashes=hashes, values=values)


def _merge_samples(a: ColumnFigures, b: ColumnFigures) -> tuple[Hashes | None, Floats | None]:
    held = [p for p in (a, b) if p.hashes is not None and p.values is not None]
    if not held:
        return None, None
    hashes = np.concatenate([p.hashes for p in held if p.hashes is not None])
    values = np.concatenate([p.values for p in held if p.values is not None])
    order = np.lexsort((values, hashes))[:SAMPLE_LIMIT]
    return hashes[order], values[order]


def _mix(x: Hashes) -> Hashes:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _encode(array: npt.NDArray[Any] | None) -> str | None:
    return None if array is None else b64encode(array.tobytes()).decode()


def _decode(text: str | None, dtype: Any) -> Any:
    return None if text is None else np.frombuffer(b64decode(text), dtype).copy()


def keepers(questions: tuple[Question, ...], etag: str) -> Iterator[FigureKeeper]:
    """One keeper a question; rows of one split hash alike wherever it is scanned.

    ``etag`` is the split's: a SHA-256 where that names the content, else any text.
    """
    sha256 = etag if _SHA256.fullmatch(etag) else hash_bytes(etag.encode())
    for question in questions:
        yield FigureKeeper(question, int(sha256[:15], 16))
