"""What the columns of a dataset are: the types that look finds and every later stage trusts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import pyarrow as pa

__all__ = [
    "MOST_COLUMNS",
    "RESERVED",
    "Column",
    "ColumnType",
    "Purpose",
    "Role",
    "SourceColumn",
    "TableSchema",
    "Task",
    "Verdict",
    "taken_name",
]

MOST_COLUMNS = 250_000
"""Of the widest table that is read."""

RESERVED = (
    *("event_id", "at", "model_version", "prediction", "score"),
    *("position", "truth", "labelled_at", "label_number"),
)
"""What events and labelled rows have beside their features; no feature may be called so."""

_OF_EVENTS = ("event_id", "at")
_SCORED = ("source", "row", "prediction", "score")


class ColumnType(StrEnum):
    """How a column is treated, whatever its physical type."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"
    DATETIME = "datetime"
    TEXT = "text"
    IGNORED = "ignored"


class Purpose(StrEnum):
    """What a column is there for."""

    FEATURE = "feature"
    TARGET = "target"
    KEY = "key"
    TIME = "time"
    CARRIED = "carried"  # kept for sharding or slicing, never learnt from


class Role(StrEnum):
    """Which part of the learning a shard serves."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Verdict(StrEnum):
    """One word about a window of live traffic, from well to worst but for the broken feed."""

    HEALTHY = "healthy"
    BROKEN_FEED = "broken feed"
    HARMLESS_DRIFT = "harmless drift"
    SUSPECTED_HARM = "suspected harm"
    CONFIRMED_HARM = "confirmed harm"


class Task(StrEnum):
    """What is predicted."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the validated table.

    Parameters
    ----------
    name : str
    type : ColumnType
    purpose : Purpose
    physical : str
        Arrow type of the validated files: ``float32``, ``float64``, ``int64``, ``bool``,
        ``string``, ``dictionary`` (int32 codes of strings) or ``timestamp[us]`` (UTC-naive).
    edges : tuple of float
        Frozen inner histogram edges, ascending, for numeric and datetime (epoch seconds)
        columns; ``len(edges) + 1`` bins, the outer two open. Empty for the others.
    """

    name: str
    type: ColumnType
    purpose: Purpose
    physical: str
    edges: tuple[float, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of this column in validated files and shards."""
        return _ARROW[self.physical]

    def to_json(self) -> dict[str, Any]:
        """A JSON document of the column."""
        return _plain(self)


_ARROW: dict[str, pa.DataType] = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "timestamp[us]": pa.timestamp("us"),
}


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """A column as it comes, and how its texts are read: the same in every format and file.

    Parameters
    ----------
    name : str
    type : str
        The plain type: text, integer, number, boolean, datetime or other (nested, binary).
    words : (str, str) or None
        Those for false and for true, where most texts say one or the other.
    style : str
        How numbers are spelled (:mod:`tidemill.numbers`); one spelled otherwise is a
        code and refused. Empty: every spelling is taken.
    narrow : bool
        Whether the files themselves hold float32.
    wide : bool
        Whether the files hold, or may hold, whole numbers that float32 alters.
    convention : str or None
        How numbers or times are written that are not plain (:mod:`tidemill.conventions`).
    missing : tuple of (str, int)
        Texts of the sample that mean 'missing', and how many cells hold each.
    note : str
        What people should know of how the column is read.
    """

    name: str
    type: str
    words: tuple[str, str] | None = None
    style: str = ""
    narrow: bool = False
    wide: bool = False
    convention: str | None = None
    missing: tuple[tuple[str, int], ...] = ()
    note: str = ""

    def bare(self) -> SourceColumn:
        """The same without what was counted and is said: how texts are read, and no more."""
        return replace(self, missing=(), note="")

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return _plain(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> SourceColumn:
        """Read what :meth:`to_json` wrote, of any earlier revision too.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is anything else.
        """
        given = dict(**document)
        if given.get("words") is not None:
            false, true = given["words"]
            given["words"] = (false, true)
        given["missing"] = tuple((word, int(n)) for word, n in given.get("missing", ()))
        found = cls(**given)
        texts = [found.name, found.type, found.style, found.note, found.convention or ""]
        texts += [*(found.words or ()), *(word for word, _ in found.missing)]
        "".join(texts).encode()
        return found


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of the validated table, in file order, and what is learnt from them.

    Parameters
    ----------
    columns : tuple of Column
        Ignored and dropped columns are not in it.
    task : Task
    derived : tuple of (str, str)
        Columns that are computed, and the SQL expressions that compute them.
    source : tuple of SourceColumn
        How the columns of the source are read; it travels with the model, so that what is scored
        or labelled later is read as what was learnt from. Empty in schemas of earlier revisions.
    missing_values : tuple of str
        Texts that mean 'missing', in every format.
    classes : tuple of str
        Labels in training order for classification (``str(value)``; for binary the second
        is the positive one); empty for regression.
    """

    columns: tuple[Column, ...]
    task: Task
    classes: tuple[str, ...] = ()
    derived: tuple[tuple[str, str], ...] = ()
    source: tuple[SourceColumn, ...] = ()
    missing_values: tuple[str, ...] = ()
    # Looked up once for every expectation and column: a search each time would be quadratic.
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in file order."""
        return tuple(column.name for column in self.columns)

    @property
    def features(self) -> tuple[Column, ...]:
        """Columns that are learnt from, in file order; of the time column, its cyclic parts."""
        return tuple(c for c in self.columns if c.purpose in (Purpose.FEATURE, Purpose.TIME))

    @property
    def segmentable(self) -> tuple[str, ...]:
        """Names of the features whose values are words or truths: each makes a segment of rows."""
        words = (ColumnType.CATEGORICAL, ColumnType.BOOLEAN)
        return tuple(c.name for c in self.features if c.type in words)

    @property
    def target(self) -> Column:
        """The column to predict."""
        return next(c for c in self.columns if c.purpose is Purpose.TARGET)

    @property
    def key(self) -> Column | None:
        """The column that names a row, if one was stated."""
        return next((c for c in self.columns if c.purpose is Purpose.KEY), None)

    @property
    def time(self) -> Column | None:
        """The column that orders rows, if one was stated."""
        return next((c for c in self.columns if c.purpose is Purpose.TIME), None)

    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of validated files and shards (all fields nullable)."""
        return pa.schema([pa.field(c.name, c.arrow_type) for c in self.columns])

    def with_classes(self, classes: tuple[str, ...]) -> TableSchema:
        """The same schema with the labels that ingestion found."""
        return replace(self, classes=classes)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "task": self.task,
            "classes": self.classes,
            "derived": self.derived,
            "source": [column.to_json() for column in self.source],
            "missing_values": self.missing_values,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> TableSchema:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is anything else.
        """
        found = cls(
            columns=tuple(
                Column(
                    name=c["name"],
                    type=ColumnType(c["type"]),
                    purpose=Purpose(c["purpose"]),
                    physical=c["physical"],
                    edges=tuple(map(float, c["edges"])),
                )
                for c in document["columns"]
            ),
            task=Task(document["task"]),
            classes=tuple(document["classes"]),
            derived=tuple((name, expression) for name, expression in document["derived"]),
            source=tuple(SourceColumn.from_json(c) for c in document.get("source", ())),
            missing_values=tuple(document.get("missing_values", ())),
        )
        texts = [*found.names, *found.classes, *(text for pair in found.derived for text in pair)]
        texts += found.missing_values
        "".join(texts).encode()  # a TypeError of what is no text, a ValueError of half a character
        if len(set(found.names)) < len(found.names):
            raise ValueError("a column is there twice")
        found.arrow_schema()  # a KeyError of a type that is none
        return found


def taken_name(column: Column) -> str | None:
    """Whose name the column has; None where it may have it.

    A feature's stands beside the fields of an event, a target's beside an event's id and time, a
    key's beside what ``tidemill score`` writes of each row.

    >>> taken_name(Column("at", ColumnType.NUMERIC, Purpose.FEATURE, "float32"))
    'a field that every event has'
    >>> taken_name(Column("event_id", ColumnType.CATEGORICAL, Purpose.KEY, "string"))
    """
    names: dict[Purpose, tuple[str, ...]] = {
        Purpose.FEATURE: RESERVED,
        Purpose.TIME: RESERVED,
        Purpose.TARGET: _OF_EVENTS,
        Purpose.KEY: _SCORED,
    }
    if column.name not in names.get(column.purpose, ()):
        return None
    if column.purpose is Purpose.KEY:
        return "a column that tidemill score writes of each row"
    return "a field that every event has"


def _plain(column: Column | SourceColumn) -> dict[str, Any]:
    # Its values are plain and never change: the copies of ``asdict`` cost seconds of many columns.
    return {name: getattr(column, name) for name in column.__slots__}
