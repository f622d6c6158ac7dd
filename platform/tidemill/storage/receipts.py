"""Which works are finished: one note a work, written last, with the hashes of what it left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from tidemill.errors import IntegrityError, StorageFailed
from tidemill.storage.atomic import json_bytes
from tidemill.storage.hashed import hashed, is_whole
from tidemill.storage.kept_objects import KeptObject
from tidemill.storage.nearby import brought
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stores import open_store

__all__ = ["Receipts"]

_HASH = "sha256"
_KEY = "key"
_FILES = "files_sha256"
_SPOILT = ".spoilt"
_NONE: Mapping[str, KeptObject] = MappingProxyType({})


class Receipts:
    """The receipts of works of one kind, in a folder of a store, with the objects they vouch for.

    Several workers may do one work at once: its objects and its receipt are whole or absent, and
    the same. Nothing else would notice a damaged value, so an object counts with its hash only;
    what has no sound receipt is made again, and :meth:`made_anew` says so.

    Parameters
    ----------
    folder : StoreFolder
    kept : mapping of str to KeptObject
        Objects of before, by their names: where each lies by now, and what spares reading it.

    Notes
    -----
    Memory: one receipt.
    """

    def __init__(self, folder: StoreFolder, kept: Mapping[str, KeptObject] = _NONE) -> None:
        self.folder = folder
        self._kept = kept
        self.store = open_store(folder.store)

    @classmethod
    def at(cls, place: Path) -> Self:
        """Those of a folder of this machine."""
        return cls(StoreFolder.at(place))

    def done(self, work: str, key: str = "") -> dict[str, Any] | None:
        """The document of a finished work; None where it is to be made.

        Parameters
        ----------
        work : str
            Its name, unique in the folder.
        key : str
            Names what the work rests on; that of another key is to be made.
        """
        note = self._note(work)
        if self.store.size(note) is None:
            return None
        try:
            found = json.loads(self.store.read(note))
            if isinstance(found, dict) and is_whole(found) and _HASH in found:
                if found.pop(_KEY, "") != key:
                    return None
                if _FILES not in found:
                    return None  # whole, but of an earlier release: nothing is wrong with the disk
                if all(self._holds(*each) for each in found.pop(_FILES).items()):
                    return {name: value for name, value in found.items() if name != _HASH}
        except (
            AttributeError,
            IntegrityError,
            KeyError,
            RecursionError,
            StorageFailed,
            ValueError,
        ):
            pass  # damaged
        self.spoil(work)
        return None

    def finish(
        self,
        work: str,
        document: Mapping[str, Any],
        left: Mapping[str, str] | None = None,
        *,
        key: str = "",
    ) -> None:
        """Note that a work is finished.

        Parameters
        ----------
        document : mapping
            What :meth:`done` gives back; JSON.
        left : mapping of str to str, optional
            The objects that it left: their names in the folder, and their hashes.
        key : str
            As for :meth:`done`.
        """
        told = {**document, _FILES: dict(left or {}), **({_KEY: key} if key else {})}
        with self.store.replace(self._note(work)) as note:
            note.write(json_bytes(hashed(told)))

    def held(self, *names: str) -> dict[str, str]:
        """The hashes of objects of the folder as they are now, for :meth:`finish`.

        Raises
        ------
        IntegrityError
            If one is missing.
        """
        return {name: self.store.sha256(self.folder.key(name)) for name in names}

    def spoil(self, work: str) -> None:
        """Take away the receipt of a work that is not whole; :meth:`made_anew` counts it."""
        note = self._note(work)
        with self.store.replace(f"{note}{_SPOILT}", durable=False):
            pass
        self.store.discard(note)

    def made_anew(self, what: str) -> tuple[str, ...]:
        """What to say of works (``what``, in the plural) found spoilt; each is told once."""
        found = [key for key in self.store.list_keys(self.folder.folder) if key.endswith(_SPOILT)]
        for left in found:
            self.store.discard(left)
        if not found:
            return ()
        told = f"{len(found)} {what} in {self.folder}"
        if self.folder.apart:
            return (
                f"{told} were gone, or not what had been written, and were made again: `tidemill "
                "data gc` takes away what no version needs; if it was not that, look at the store",
            )
        return (f"{told} were not what had been written, and were made again: look at the disk",)

    def _note(self, work: str) -> str:
        return self.folder.key(f"{work}.json")

    def _holds(self, name: str, sha256: str) -> bool:
        if name in self._kept:
            return self._kept[name].is_whole(self.store, sha256)
        if not self.folder.apart:
            return self.store.sha256(self.folder.key(name)) == sha256
        key = self.folder.key(name)
        if self.store.size(key) is None:
            # A copy nearby tells nothing of that: others would not find it, nor who publishes it.
            return False
        brought(self.folder.store, key, sha256)  # it will be read here
        return True
