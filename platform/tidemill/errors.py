"""Every error that tidemill raises on purpose: one tree, read by type and never by text.

::

    TidemillError             1   a defect of ours unless a subclass says otherwise
    |-- UsageError            2   wrong usage or configuration
    |   |-- ConfigError           params.yaml: unknown key, wrong type, impossible choice
    |   |-- WorkspaceMissing      no params.yaml here
    |   |-- SourceMissing         what names the table names nothing that can be read
    |   |-- ColumnMissing         a column named in params.yaml is not in the data
    |   |-- SuiteInvalid          the expectation suite is not one
    |   |-- DependencyMissing     an optional package is not installed
    |   |-- BudgetExceeded        the choice does not fit into the memory budget
    |   |-- ModelMissing          no such model, version or alias
    |   `-- StageFailed           a stage of the user's own raised, or did not leave what it should
    |-- DataRefused           3   the data were read and refused
    |   |-- SourceEmpty           the source has no rows
    |   |-- SourceUnreadable      damaged, truncated or malformed file
    |   |-- ValidationFailed      too many invalid rows, or a table expectation failed
    |   |-- TargetUnusable        one class only, or missing too often
    |   |-- KeyInvalid            the key has nulls or duplicates
    |   |-- PrecisionLost         a number that the column's float32 would alter
    |   |-- NoFeatures            nothing is left to learn from
    |   |-- TooFewRows            not enough rows for the plan
    |   |-- SchemaMismatch        the data do not have the columns or types they should
    |   |-- IntegrityError        content differs from its recorded hash
    |   `-- ModelUntrusted        the registered model is not what was registered
    |-- GateShut              4   not promoted, and --require-promotion was asked
    |-- StorageFailed        74   disk full, I/O error
    |   `-- StoreUnseen           a worker does not see the store that the work lies in
    `-- Busy                 75   try again later
        |-- WorkspaceBusy         another run holds the workspace
        |-- CommitConflict        another one committed first
        |-- ServiceUnavailable    MLflow or Prefect does not answer
        `-- WorkerLost            a worker process died

The number is the exit code of the command line; kinds without one have their parent's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

__all__ = [
    "BudgetExceeded",
    "Busy",
    "ColumnMissing",
    "CommitConflict",
    "ConfigError",
    "DataRefused",
    "DependencyMissing",
    "GateShut",
    "IntegrityError",
    "KeyInvalid",
    "ModelMissing",
    "ModelUntrusted",
    "NoFeatures",
    "PrecisionLost",
    "SchemaMismatch",
    "ServiceUnavailable",
    "SourceEmpty",
    "SourceMissing",
    "SourceUnreadable",
    "StageFailed",
    "StorageFailed",
    "StoreUnseen",
    "SuiteInvalid",
    "TargetUnusable",
    "TidemillError",
    "TooFewRows",
    "UsageError",
    "ValidationFailed",
    "WorkerLost",
    "WorkspaceBusy",
    "WorkspaceMissing",
    "first_few",
    "nearest",
]


class TidemillError(Exception):
    """An error with fields and a remedy.

    Parameters
    ----------
    message : str
        What happened and where, in one sentence.
    remedy : str
        What the reader can do about it, in one sentence; never empty.
    **fields
        The facts behind the message (JSON-friendly), kept in ``fields``.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.fields: Mapping[str, Any] = fields

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # The default protocol calls cls(*args) and would lose the keyword-only remedy
        # on the way back from a worker process.
        return _rebuild, (type(self), self.message, self.remedy, dict(self.fields))

    @property
    def code(self) -> str:
        """The stable name of this kind of error, for machines."""
        return type(self).__name__


def _rebuild(
    kind: type[TidemillError], message: str, remedy: str, fields: dict[str, Any]
) -> TidemillError:
    error = kind.__new__(kind)
    TidemillError.__init__(error, message, remedy=remedy, **fields)
    return error


class UsageError(TidemillError):
    """The command, or a setting in params.yaml, cannot be carried out as written."""

    exit_code = 2


class ConfigError(UsageError):
    """A key or value in params.yaml (or ``--set``) is not valid."""


class WorkspaceMissing(UsageError):
    """The folder is not a workspace."""


class SourceMissing(UsageError):
    """``dataset.source``, or the option in its place, names no readable file."""


class ColumnMissing(UsageError):
    """A column named in params.yaml is not among the data's columns.

    Parameters
    ----------
    column : str
        The name that was asked for.
    available : iterable of str
        The names that the data have.
    setting : str
        Where it was asked for, e.g. ``dataset.target``.
    elsewhere : str
        Where the data have the name all the same and what to set then, ending in "or ".
    left_out : str
        What to do to have the data's column of that name, if it was left out of the table.
    instead : str
        What to do where none is meant any more.
    """

    def __init__(
        self,
        *,
        column: str,
        available: Iterable[str],
        setting: str,
        elsewhere: str = "",
        left_out: str = "",
        instead: str = "",
    ) -> None:
        names = tuple(available)
        close = nearest(column, names)
        hint = f"did you mean {close!r}? " if close else ""
        if left_out:
            hint = f"{left_out}; or "
        shown = first_few(names, 20)
        what = "the data have and look left out" if left_out else "the data do not have"
        super().__init__(
            f"{setting} names the column {column!r}, which {what}",
            remedy=f"{elsewhere}{hint}{instead or f'set {setting} to one of: {shown}'}",
            column=column,
            available=names,
            setting=setting,
            nearest=close,
        )


class SuiteInvalid(UsageError):
    """The expectation suite is missing, empty or not understood."""


class DependencyMissing(UsageError):
    """An optional package is needed and not installed."""


class BudgetExceeded(UsageError):
    """What was asked needs more memory than the budget allows."""


class ModelMissing(UsageError):
    """The registry has no such model, version or alias."""


class StageFailed(UsageError):
    """A stage of the user's own raised, or did not leave what params.yaml says."""


class DataRefused(TidemillError):
    """The data were read, judged and refused."""

    exit_code = 3


class SourceEmpty(DataRefused):
    """The source has no rows."""


class SourceUnreadable(DataRefused):
    """A source file is damaged, truncated or not of the stated format."""


class ValidationFailed(DataRefused):
    """Too many rows are invalid, or an expectation about the whole table failed."""


class TargetUnusable(DataRefused):
    """The target has one class only, or is missing too often."""


class KeyInvalid(DataRefused):
    """The key column has nulls or duplicates."""


class PrecisionLost(DataRefused):
    """A number that float32, which held all that look saw of the column, would alter."""


class NoFeatures(DataRefused):
    """No feature is left to learn from."""


class TooFewRows(DataRefused):
    """There are not enough rows for the plan."""


class SchemaMismatch(DataRefused):
    """Columns or types differ from the schema."""


class IntegrityError(DataRefused):
    """A file's content differs from its recorded hash."""


class ModelUntrusted(DataRefused):
    """A registered model is not what was registered, or holds types that are not allowed."""


class GateShut(TidemillError):
    """The challenger was not promoted, and ``--require-promotion`` was asked."""

    exit_code = 4


class StorageFailed(TidemillError):
    """Reading or writing failed: disk full, I/O error, no permission."""

    exit_code = 74
    retryable = True


class StoreUnseen(StorageFailed):
    """A worker elsewhere does not see the store that the work lies in."""

    retryable = False  # it would not see it the next time


class Busy(TidemillError):
    """Something is in use or away; the same command may succeed later."""

    exit_code = 75
    retryable = True


class WorkspaceBusy(Busy):
    """Another run holds the workspace."""

    retryable = False  # waiting is the caller's choice, not a task retry's


class CommitConflict(Busy):
    """A manifest is not what it was when the work began: another one committed first."""

    retryable = False  # what was expected must be read anew


class ServiceUnavailable(Busy):
    """A service (MLflow, Prefect) does not answer."""


class WorkerLost(Busy):
    """A worker process died; the pool must be rebuilt."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like ``name``, or None if none is close.

    >>> nearest("shard", ["sharding", "dataset"])
    'sharding'
    """
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return found[0] if found else None


def first_few(words: Iterable[str], most: int, *, between: str = ", ") -> str:
    """The first ``most`` of some words, and how many there are beside them.

    >>> first_few(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    found = list(words)
    tail = f" and {len(found) - most:,} more" if len(found) > most else ""
    return between.join(found[:most]) + tail
