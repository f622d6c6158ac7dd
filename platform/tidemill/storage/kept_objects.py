"""Objects that outlive their work: where each lies, and what tells that it is whole."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

from tidemill.contracts import Marking, Store

__all__ = ["KeptObject"]


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object that was compared with its hash when it was kept.

    Parameters
    ----------
    key : str
        Where it lies in its store: where it was written, or by its content once it was published
        in a store apart.
    mark : str or None
        What the store said of it then (:class:`tidemill.contracts.Marking`).
    """

    key: str
    mark: str | None

    @classmethod
    def of(cls, store: Store, key: str, now_ns: int) -> Self:
        """The object of that key as it is now; ``now_ns`` as for ``Marking.mark``."""
        return cls(key, store.mark(key, now_ns) if isinstance(store, Marking) else None)

    def is_whole(self, store: Store, sha256: str) -> bool:
        """Whether it is what it was: by its mark, or else by its bytes, which are read then.

        Raises
        ------
        IntegrityError
            If it is gone.
        """
        same = self.mark is not None and self == self.of(store, self.key, time.time_ns())
        return same or store.sha256(self.key) == sha256
