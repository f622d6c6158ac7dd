"""Rules that give each row its role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tidemill.schema import Role
from tidemill.sharding.ranges import microseconds, to_texts
from tidemill.storage import salted_hash

__all__ = [
    "LEFT_OUT",
    "ROLES",
    "ROLE_RULES",
    "FileRule",
    "HashRule",
    "HashThresholds",
    "OrderRule",
    "RoleRule",
    "StratifiedRule",
    "TimeRule",
    "kept_rule",
    "rule_from_json",
]

ROLES = (Role.TRAIN, Role.VALIDATION, Role.TEST)
LEFT_OUT = -1
_TRAIN, _VALIDATION, _TEST = range(3)

Codes = npt.NDArray[np.int8]


class RoleRule(Protocol):
    """Gives each row a role by its facts alone, so that the cut into batches cannot matter.

    Attributes
    ----------
    wants : frozenset of str
        The facts that it looks at: ``position``, ``part``, ``hash``, ``time``, ``class``.
    """

    wants: ClassVar[frozenset[str]]

    def assign(self, facts: pa.Table) -> Codes:
        """(rows,) int8: indices into ``ROLES``, or ``LEFT_OUT``."""

    def to_json(self) -> dict[str, Any]:
        """The rule as it stands in the manifest."""


@dataclass(frozen=True, slots=True)
class OrderRule:
    """By position: train rows, then validation rows, then test rows.

    Parameters
    ----------
    validation_from, test_from : int
        Positions; equal where there is no validation.
    end : int or None
        Rows from here on are left out.
    """

    wants: ClassVar[frozenset[str]] = frozenset({"position"})
    by: ClassVar[str] = "order"

    validation_from: int
    test_from: int
    end: int | None = None

    def assign(self, facts: pa.Table) -> Codes:
        """See :meth:`RoleRule.assign`."""
        (fact,) = self.wants
        places = facts[fact].to_numpy()
        codes: Codes = (places >= self.validation_from).astype(np.int8)
        codes[places >= self.test_from] = _TEST
        if self.end is not None:
            codes[places >= self.end] = LEFT_OUT
        return codes

    def to_json(self) -> dict[str, Any]:
        """See :meth:`RoleRule.to_json`."""
        places = (self.validation_from, self.test_from, self.end)
        texts = [None if place is None else self._text(place) for place in places]
        names = ("validation_from", "test_from", "end")
        return {"by": self.by, **dict(zip(names, texts, strict=True))}

    def _text(self, place: int) -> str | int:
        return place


class TimeRule(OrderRule):
    """The same by time: places are microseconds since 1970."""

    __slots__ = ()
    wants: ClassVar[frozenset[str]] = frozenset({"time"})
    by: ClassVar[str] = "time"

    def _text(self, place: int) -> str | int:
        return to_texts(pa.array([place]), "timestamp[us]")[0]


@dataclass(frozen=True, slots=True)
class HashThresholds:
    """Salted hashes below ``test`` are test rows, others below ``validation`` validation rows."""

    test: int
    validation: int

    @classmethod
    def of_shares(cls, test: float, validation: float) -> HashThresholds:
        """Thresholds that give these shares of the hash space; validation of what remains."""
        test_below = int(test * 2**64)
        return cls(test_below, test_below + int(validation * (2**64 - test_below)))


@dataclass(frozen=True, slots=True)
class HashRule:
    """By the hash of the key or place, salted so that it says nothing about the bucket."""

    wants: ClassVar[frozenset[str]] = frozenset({"hash"})

    thresholds: HashThresholds
    salt: str

    def assign(self, facts: pa.Table) -> Codes:
        """See :meth:`RoleRule.assign`."""
        hashes = salted_hash(facts["hash"].to_numpy(), self.salt)
        return _by_threshold(
            hashes, np.uint64(self.thresholds.test), np.uint64(self.thresholds.validation)
        )

    def to_json(self) -> dict[str, Any]:
        """See :meth:`RoleRule.to_json`."""
        return {"by": "hash", "salt": self.salt, **_texts(self.thresholds)}


@dataclass(frozen=True, slots=True)
class StratifiedRule:
    """By hash within each class: every class has its own thresholds."""

    wants: ClassVar[frozenset[str]] = frozenset({"hash", "class"})

    classes: tuple[tuple[str, HashThresholds], ...]
    salt: str

    def assign(self, facts: pa.Table) -> Codes:
        """See :meth:`RoleRule.assign`."""
        encoded = facts["class"].combine_chunks().dictionary_encode()
        known = dict(self.classes)
        found = [known[label] for label in encoded.dictionary.to_pylist()]
        codes = encoded.indices.to_numpy()
        test = np.array([each.test for each in found], np.uint64)[codes]
        validation = np.array([each.validation for each in found], np.uint64)[codes]
        return _by_threshold(salted_hash(facts["hash"].to_numpy(), self.salt), test, validation)

    def to_json(self) -> dict[str, Any]:
        """See :meth:`RoleRule.to_json`."""
        classes = {label: _texts(thresholds) for label, thresholds in self.classes}
        return {"by": "stratified", "salt": self.salt, "classes": classes}


@dataclass(frozen=True, slots=True)
class FileRule:
    """By source file: the named parts are test rows, validation is by hash of the others."""

    wants: ClassVar[frozenset[str]] = frozenset({"hash", "part"})

    test_parts: tuple[int, ...]
    test: str
    thresholds: HashThresholds
    salt: str

    def assign(self, facts: pa.Table) -> Codes:
        """See :meth:`RoleRule.assign`."""
        hashes = salted_hash(facts["hash"].to_numpy(), self.salt)
        codes = _by_threshold(hashes, np.uint64(0), np.uint64(self.thresholds.validation))
        codes[np.isin(facts["part"].to_numpy(), self.test_parts)] = _TEST
        return codes

    def to_json(self) -> dict[str, Any]:
        """See :meth:`RoleRule.to_json`."""
        return {"by": "file", "test": self.test, "salt": self.salt, **_texts(self.thresholds)}


ROLE_RULES: dict[str, type[RoleRule]] = {
    "time": TimeRule,
    "order": OrderRule,
    "hash": HashRule,
    "stratified": StratifiedRule,
    "file": FileRule,
}
"""By ``sharding.holdout.by``."""


def rule_from_json(document: dict[str, Any]) -> RoleRule | None:
    """The rule of a manifest, where a row's content alone decides its role; else None."""
    if document.get("by") == "time":
        ends = [document[name] for name in ("validation_from", "test_from", "end")]
        first, second, end = (None if text is None else microseconds(text) for text in ends)
        assert first is not None  # noqa: S101 - written by to_json
        assert second is not None  # noqa: S101
        return TimeRule(first, second, end)
    if document.get("by") == "hash":
        return HashRule(_thresholds(document), document["salt"])
    if document.get("by") == "stratified":
        classes = document["classes"].items()
        return StratifiedRule(
            tuple((label, _thresholds(each)) for label, each in classes), document["salt"]
        )
    return None


def kept_rule(document: dict[str, Any]) -> RoleRule | None:
    """The rule of a manifest for rows that come later; None where the files' names decide."""
    if document.get("by") == "order":
        return OrderRule(*(document[name] for name in ("validation_from", "test_from", "end")))
    return rule_from_json(document)


def _by_threshold(hashes: npt.NDArray[np.uint64], test: Any, validation: Any) -> Codes:
    codes = np.where(hashes < validation, _VALIDATION, _TRAIN).astype(np.int8)
    codes[hashes < test] = _TEST
    return codes


def _texts(thresholds: HashThresholds) -> dict[str, str]:
    # As text: JSON numbers of this size are rounded by many readers.
    return {
        "test_below": str(thresholds.test),
        "validation_below": str(thresholds.validation),
    }


def _thresholds(document: dict[str, Any]) -> HashThresholds:
    return HashThresholds(int(document["test_below"]), int(document["validation_below"]))
