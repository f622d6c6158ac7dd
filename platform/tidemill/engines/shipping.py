"""Functions on their way to the worker processes of this machine: written once, read once."""

from __future__ import annotations

import pickle
import shutil
import tempfile
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from tidemill.storage import hash_bytes, storage_errors

__all__ = ["Depot", "Shipment", "kept_function"]

_KEPT = 2

_kept: OrderedDict[str, Callable[[Any], Any]] = OrderedDict()


def kept_function(name: str, read: Callable[[], bytes]) -> Callable[[Any], Any]:
    """The function of that name: a worker keeps those that it had last, and reads others.

    Parameters
    ----------
    name : str
        The hash of its content.
    read : callable
        Returns its content, pickled by the process that this worker works for.
    """
    function = _kept.get(name)
    if function is None:
        function = pickle.loads(read())  # noqa: S301
        _kept[name] = function
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(name)
    return function


@dataclass(frozen=True, slots=True)
class Shipment:
    """The address of a function: small, whatever is bound to it.

    Parameters
    ----------
    name : str
        The hash of its content.
    path : Path
    """

    name: str
    path: Path

    def __call__(self, item: Any) -> Any:
        """The function's result."""
        # The folder is one that only the user may write who made this worker.
        return kept_function(self.name, self.path.read_bytes)(item)


class Depot:
    """Where the functions of the maps that run now lie; maps of one function share it.

    Notes
    -----
    Disk: the pickled functions, in the folder for temporary files. Memory: one of them, while it
    is written.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidemill-engine-"))
        self._users: Counter[str] = Counter()
        # Also for who never closes; where this process is killed, its workers delete the folder.
        self._delete = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._guard = threading.Lock()

    @contextmanager
    def holding(self, function: Callable[[Any], Any]) -> Iterator[Shipment]:
        """The function's address, good inside the block.

        Raises
        ------
        StorageFailed
            If there is no room for it.
        """
        content = bytes(ForkingPickler.dumps(function))
        name = hash_bytes(content)
        shipment = Shipment(name, self.folder / name)
        with self._guard:
            if not self._users[shipment.name]:
                with storage_errors(shipment.path):
                    shipment.path.write_bytes(content)
            self._users[shipment.name] += 1
        del content
        try:
            yield shipment
        finally:
            with self._guard:
                self._users[shipment.name] -= 1
                if not self._users[shipment.name]:
                    shipment.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the folder."""
        self._delete()
