"""Objects of stores become a folder of the workspace, as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tidemill.contracts import Store
from tidemill.storage.atomic import commit_directory, discard_directory, fresh_directory
from tidemill.storage.posix import PosixStore
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stores import ObjectFile, open_store

__all__ = ["publish"]

_PIECE_BYTES = 1 << 20


def publish(
    place: Path,
    objects: Mapping[str, tuple[StoreFolder, str]],
    documents: Mapping[str, bytes],
    *,
    beside: Path | None = None,
) -> None:
    """Let a folder of the workspace hold exactly these objects and documents.

    A crash leaves ``place`` as it was, absent, or new; never a mixture. The objects stay where
    they are, so that the next run can publish them again. All is flushed to the disk.

    Parameters
    ----------
    place : Path
        Whatever is there gives way.
    objects : mapping of str to (StoreFolder, str)
        Name below ``place``, with sub-folders joined by ``/``; the folder of a store and the name
        there. A file of the same disk is linked, so nobody may edit it in place; others are copied.
    documents : mapping of str to bytes
        Name below ``place``, and content: manifests.
    beside : Path, optional
        The folder where it is put together, and where that and what gives way may lie after a
        crash, on the same file system; ``place``'s own by default.

    Raises
    ------
    IntegrityError
        If an object is missing; ``place`` then is what it was.
    StorageFailed
        If the disk or a store refuses; ``place`` then is what it was, but where only what gave
        way could not be deleted.

    Notes
    -----
    Memory: 1 MiB. Disk: the objects once more where they cannot be linked.
    """
    stores = {address: open_store(address) for address in {at.store for at, _ in objects.values()}}
    staged = fresh_directory((beside or place.parent) / f".{place.name}.staged")
    try:
        folder = PosixStore(str(staged.absolute()))
        for name, (at, given) in objects.items():
            _bring(stores[at.store], at.key(given), folder, name)
        for name, content in documents.items():
            with folder.replace(name, durable=False) as document:
                document.write(content)
        commit_directory(staged, place, beside=beside)
    finally:
        discard_directory(staged)


def _bring(store: Store, key: str, folder: PosixStore, name: str) -> None:
    if isinstance(store, PosixStore) and folder.link(name, store, key):
        return
    with folder.replace(name, durable=False) as file:  # flushed with its folder
        shutil.copyfileobj(ObjectFile(store, key), file, _PIECE_BYTES)
