"""An engine that looks at what it is given to ship: workers on other machines have no paths."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, TypeVar

from tidemill.contracts import Engine, Progress

__all__ = ["ShippingEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class ShippingEngine:
    """Another engine, and which paths each of its maps, folds and streams was given.

    Parameters
    ----------
    inner : Engine
        Does the work.

    Attributes
    ----------
    paths : dict of str to set of str
        By label: the paths within functions and items, packed as an engine ships them.
    """

    def __init__(self, inner: Engine) -> None:
        self._inner = inner
        self.paths: dict[str, set[str]] = {}

    @property
    def workers(self) -> int:
        """Of the other engine."""
        return self._inner.workers

    @property
    def host(self) -> str:
        """Of the other engine."""
        return self._inner.host

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
        item_bytes: int | None = None,
    ) -> list[Result]:
        """Look, and let the other engine map."""
        self._look(label, function, items)
        return self._inner.map(
            function, items, label=label, progress=progress, item_bytes=item_bytes
        )

    def fold(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        merge: Callable[[Result, Result], Result],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> Result:
        """Look, and let the other engine fold."""
        self._look(label, function, items)
        return self._inner.fold(function, items, merge, label=label, progress=progress)

    def stream(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        label: str,
        at_once: int | None = None,
        item_bytes: int | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Look at the function, and at each item as it is taken."""
        self._look(label, function)
        return self._inner.stream(
            function,
            self._looked(label, items),
            label=label,
            at_once=at_once,
            item_bytes=item_bytes,
        )

    def close(self) -> None:
        """Close the other engine."""
        self._inner.close()

    def _looked(self, label: str, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            self._look(label, item)
            yield item

    def _look(self, label: str, *shipped: Any) -> None:
        seen = _Packing(io.BytesIO())
        seen.dump(shipped)
        self.paths.setdefault(label, set()).update(seen.paths)


class _Packing(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.paths: set[str] = set()

    def reducer_override(self, packed: Any) -> Any:
        if isinstance(packed, PurePath):
            self.paths.add(str(packed))
        return NotImplemented
