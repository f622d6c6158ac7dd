"""The expectation suite: Great Expectations' own JSON file, read without importing it."""

from __future__ import annotations

import errno
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from tidemill.errors import (
    ColumnMissing,
    IntegrityError,
    StorageFailed,
    SuiteInvalid,
    first_few,
    nearest,
)
from tidemill.schema import TableSchema
from tidemill.storage import is_left, read_json

__all__ = ["Expectation", "Suite", "known_expectations", "load_suite", "read_suite"]

_SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation of a suite, as its JSON states it.

    Parameters
    ----------
    index : int
        Position in the suite.
    type : str
        For example ``expect_column_values_to_be_between``.
    kwargs, meta : dict
    severity : str
        critical, warning or info.
    """

    index: int
    type: str
    kwargs: dict[str, Any]
    meta: dict[str, Any]
    severity: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, in the order of its arguments."""
        found = [self.kwargs[k] for k in ("column", "column_A", "column_B") if k in self.kwargs]
        return (*found, *self.kwargs.get("column_list", ()))

    @property
    def lists(self) -> tuple[str, ...]:
        """The columns that it names in a list of them."""
        return (*self.kwargs.get("column_list", ()), *self.kwargs.get("column_set", ()))

    @property
    def reports_only(self) -> bool:
        """Whether ``meta: {"tidemill": "report"}`` keeps it from deciding rows."""
        return self.meta.get("tidemill") == "report"

    def __str__(self) -> str:
        return f"{self.type}({', '.join(self.columns)})" if self.columns else self.type


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite with at least one expectation; ``document`` is the file's content."""

    name: str
    expectations: tuple[Expectation, ...]
    document: dict[str, Any]

    def require_columns(
        self, of: Expectation, schema: TableSchema, left_out: Mapping[str, str]
    ) -> None:
        """Refuse a column that the schema lacks; ``left_out`` has what brings others into it.

        Raises
        ------
        ColumnMissing
            With all that the suite says of such columns, and how to have one without.
        """
        for column in of.columns:
            if column not in schema:
                raise ColumnMissing(
                    column=str(column),
                    available=schema.names,
                    setting=f"expectation {of.index + 1} of the suite ({of.type})",
                    left_out=left_out.get(str(column), ""),
                    instead=self._without_others(schema),
                )

    def _without_others(self, schema: TableSchema) -> str:
        """What to take out of the suite, that it names columns of the schema alone."""
        lacking = [
            each
            for each in self.expectations
            if any(name not in schema for name in (*each.columns, *each.lists))
        ]
        said = [
            *_numbered("", [each for each in lacking if not each.lists]),
            *_numbered("their names in the lists of ", [each for each in lacking if each.lists]),
        ]
        return (
            f"take out of the suite what names columns that are not there: {', and '.join(said)}; "
            "or have it drafted anew, without what you wrote: tidemill suite draft --force"
        )


def _numbered(before: str, expectations: Sequence[Expectation]) -> tuple[str, ...]:
    if not expectations:
        return ()
    numbers = first_few((str(each.index + 1) for each in expectations), 20)
    return (f"{before}expectation{'s' * (len(expectations) > 1)} {numbers}",)


def load_suite(path: Path) -> Suite:
    """Read a suite that ``ExpectationSuite.to_json_dict`` wrote.

    Raises
    ------
    SuiteInvalid
        If the file is missing, is not such a document, holds no expectation, or names one
        that Great Expectations does not have (the nearest name is offered).
    StorageFailed
        If the disk refuses.
    """
    if not is_left(path):
        raise SuiteInvalid(
            f"there is no expectation suite at {path}",
            remedy="draft one with: tidemill suite draft",
            path=str(path),
        )
    try:
        document = read_json(path)
    except (IntegrityError, StorageFailed) as exc:
        if isinstance(exc, StorageFailed) and exc.fields.get("errno") != errno.EISDIR:
            raise
        raise SuiteInvalid(
            f"the expectation suite {path} is not readable JSON: {exc.__cause__}",
            remedy="mend it, or draft a new one with: tidemill suite draft --force",
            path=str(path),
        ) from exc
    return read_suite(document, where=str(path))


def read_suite(document: Any, *, where: str = "the suite") -> Suite:
    """Check a suite document; see :func:`load_suite`.

    >>> read_suite({"name": "s", "expectations": [
    ...     {"type": "expect_column_to_exist", "kwargs": {"column": "fare"}}]}).expectations[0]
    Expectation(index=0, type='expect_column_to_exist', kwargs={'column': 'fare'}, ...)
    """
    entries = document.get("expectations") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _invalid(where, "has no list named 'expectations'")
    if not entries:
        raise _invalid(where, "holds no expectation, and would accept anything")
    expectations = tuple(_expectation(i, entry, where) for i, entry in enumerate(entries))
    return Suite(str(document.get("name") or "suite"), expectations, document)


def _expectation(index: int, entry: Any, where: str) -> Expectation:
    place = f"expectation {index + 1}"
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise _invalid(where, f"{place} has no 'type'")
    kind = entry["type"]
    if kind not in known_expectations():
        close = nearest(kind, known_expectations())
        hint = f"; did you mean {close!r}?" if close else ""
        raise _invalid(where, f"{place} is of the unknown type {kind!r}{hint}", nearest=close)
    kwargs, meta = entry.get("kwargs") or {}, entry.get("meta") or {}
    if not isinstance(kwargs, dict) or not isinstance(meta, dict):
        raise _invalid(where, f"{place} ({kind}): kwargs and meta must be objects")
    severity = entry.get("severity") or "critical"
    if severity not in _SEVERITIES:
        raise _invalid(where, f"{place} ({kind}): severity is one of {', '.join(_SEVERITIES)}")
    return Expectation(index, kind, kwargs, meta, severity)


def _invalid(where: str, problem: str, **fields: Any) -> SuiteInvalid:
    return SuiteInvalid(
        f"{where}: {problem}",
        remedy="mend the suite, or draft a new one with: tidemill suite draft --force",
        suite=where,
        **fields,
    )


_KNOWN: dict[str, tuple[str, ...]] = {}


def known_expectations() -> tuple[str, ...]:
    """Names of the expectations that the installed Great Expectations has."""
    if "names" not in _KNOWN:
        # Its modules are named like its expectations; importing it would cost seconds.
        package = importlib.util.find_spec("great_expectations")
        folders = (package.submodule_search_locations or []) if package else []
        modules = iter_modules([f"{folder}/expectations/core" for folder in folders])
        _KNOWN["names"] = tuple(sorted(one.name for one in modules if "expect" in one.name))
    return _KNOWN["names"]
