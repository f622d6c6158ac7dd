"""The laws of partials, as tests to inherit.

A new partial supplies rows and how they become a partial, and inherits the suite::

    class TestMyPartial(PartialContract):
        def rows(self):
            return st.lists(st.floats(-1e3, 1e3), max_size=50)

        def of(self, rows):
            return MyPartial.of(np.array(rows))
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.contracts import Partial

__all__ = ["PartialContract", "documents_agree"]

_SETTINGS = settings(deadline=None, derandomize=True, database=None)


class PartialContract(ABC):
    """What every partial owes: merging commutes, associates, and does not see the split.

    Attributes
    ----------
    relative, absolute : float
        The tolerance that the class states; 0 for partials that merge exactly.
    """

    relative: float = 0.0
    absolute: float = 0.0

    @abstractmethod
    def rows(self) -> st.SearchStrategy[list[Any]]:
        """Lists of rows, the empty list among them."""

    @abstractmethod
    def of(self, rows: list[Any]) -> Partial:
        """The partial of some rows, possibly none."""

    def test_merging_commutes(self) -> None:
        """Merging a with b gives what merging b with a gives."""
        self._check(lambda a, b, _: (a.merge(b), b.merge(a)))

    def test_merging_associates(self) -> None:
        """Merging (a, b) with c gives what merging a with (b, c) gives."""
        self._check(lambda a, b, c: (a.merge(b).merge(c), a.merge(b.merge(c))))

    def test_merging_with_no_rows_changes_nothing(self) -> None:
        """The partial of no rows is neutral."""
        self._check(lambda a, *_: (a.merge(self.of([])), a))

    def test_operands_stay_as_they_were(self) -> None:
        """Merging changes neither operand."""

        def merged(a: Partial, b: Partial, _: Partial) -> tuple[Any, Any]:
            before = [_document(a), _document(b)]
            a.merge(b)
            return [_document(a), _document(b)], before

        self._check(merged)

    def test_json_round_trip_is_exact(self) -> None:
        """from_json(to_json()) through JSON text is the same partial, to the last bit."""

        def round_trip(a: Partial, b: Partial, _: Partial) -> tuple[Any, Any]:
            text = json.dumps(a.merge(b).to_json(), allow_nan=False, sort_keys=True)
            again = type(a).from_json(json.loads(text))  # type: ignore[attr-defined]
            return json.dumps(again.to_json(), sort_keys=True), text

        self._check(round_trip)

    def test_the_split_does_not_matter(self) -> None:
        """Of all rows equals the merge of any split of them, whatever their order."""

        @_SETTINGS
        @given(st.data())
        def check(data: st.DataObject) -> None:
            rows = data.draw(self.rows())
            order = data.draw(st.permutations(rows))
            first = data.draw(st.integers(0, len(rows)))
            second = data.draw(st.integers(first, len(rows)))
            parts = (order[:first], order[first:second], order[second:])
            a, b, c = (self.of(part) for part in parts)
            self._assert_same(a.merge(b).merge(c), self.of(rows))

        check()

    def _check(self, sides: Callable[[Any, Any, Any], tuple[Any, Any]]) -> None:
        @_SETTINGS
        @given(self.rows(), self.rows(), self.rows())
        def check(a: list[Any], b: list[Any], c: list[Any]) -> None:
            self._assert_same(*sides(self.of(a), self.of(b), self.of(c)))

        check()

    def _assert_same(self, left: Any, right: Any) -> None:
        one, two = _document(left), _document(right)
        if not documents_agree(one, two, self.relative, self.absolute):
            raise AssertionError(f"{one}\n!=\n{two}")


def documents_agree(a: Any, b: Any, relative: float = 0.0, absolute: float = 0.0) -> bool:
    """Whether two JSON documents are equal, floats to a tolerance and all else exactly.

    >>> documents_agree({"x": [1.0, 2]}, {"x": [1.0 + 1e-12, 2]}, relative=1e-9)
    True
    """
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(
            documents_agree(a[key], b[key], relative, absolute) for key in a
        )
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(
            documents_agree(x, y, relative, absolute) for x, y in zip(a, b, strict=True)
        )
    if isinstance(a, float) and isinstance(b, float):
        if not relative and not absolute:
            return repr(a) == repr(b)  # 0.0 and -0.0 are different bytes in a file
        return math.isclose(a, b, rel_tol=relative, abs_tol=absolute)
    return type(a) is type(b) and bool(a == b)


def _document(value: Any) -> Any:
    return value.to_json() if hasattr(value, "to_json") else value
