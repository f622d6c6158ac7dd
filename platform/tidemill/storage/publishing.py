"""Objects of stores become a folder of the workspace, as a whole; or stay, and it names them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from tidemill.contracts import Store
from tidemill.errors import IntegrityError
from tidemill.storage.atomic import commit_directory, discard_directory, fresh_directory
from tidemill.storage.claims import wait_for_collector
from tidemill.storage.posix import PosixStore
from tidemill.storage.published_names import CLAIMS, CONTENTS, OBJECTS, PublishedNames, object_key
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stores import ObjectFile, open_store

__all__ = ["publish"]

Published: TypeAlias = tuple[StoreFolder, str, str]
"""The folder of a store, the name of an object there, and its SHA-256."""

_PIECE_BYTES = 1 << 20
_AT_ONCE = 16


def publish(
    place: Path,
    objects: Mapping[str, Published],
    documents: Mapping[str, bytes],
    *,
    beside: Path | None = None,
) -> None:
    """Let a folder of the workspace hold exactly these objects and documents.

    Objects of a store apart stay there, as objects that are named by their content: the folder
    holds the documents, and contents.json, which names the objects. It is written last, there and
    here. A crash leaves ``place`` as it was, absent, or new; never a mixture. The objects stay
    where they are, so that the next run can publish them again. All is flushed to the disk.

    Parameters
    ----------
    place : Path
        Whatever is there gives way.
    objects : mapping of str to (StoreFolder, str, str)
        Name below ``place``, with sub-folders joined by ``/``; the folder of a store, the name
        there, and the SHA-256, which counts in a store apart: what was published there before
        need not lie under its name any more. A file of the same disk is
        linked, so nobody may edit it in place;
        those of other stores are copied, but of a store apart.
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
    Memory: 1 MiB, and 200 bytes an object. Disk: the objects once more where they cannot be linked.
    """
    stores = {address: open_store(address) for address in {at.store for at, *_ in objects.values()}}
    apart = {name: each for name, each in objects.items() if each[0].apart}
    told = dict(documents)
    if apart:
        (address,) = {at.store for at, *_ in apart.values()}
        told[CONTENTS] = _keep_apart(stores[address], apart, documents)
    staged = fresh_directory((beside or place.parent) / f".{place.name}.staged")
    try:
        folder = PosixStore(str(staged.absolute()))
        for name, (at, given, _) in objects.items():
            if name not in apart:
                _bring(stores[at.store], at.key(given), folder, name)
        for name, content in told.items():
            with folder.replace(name, durable=False) as document:
                document.write(content)
        commit_directory(staged, place, beside=beside)
    finally:
        discard_directory(staged)


def _keep_apart(
    store: Store, objects: Mapping[str, Published], documents: Mapping[str, bytes]
) -> bytes:
    """Name the objects by their content in their own store; what the folder then holds."""

    def copy(each: Published) -> None:
        at, given, sha256 = each
        if at.key(given) == object_key(sha256):
            return
        try:
            store.copy(at.key(given), object_key(sha256))
        except IntegrityError:  # published before, it may lie there alone
            if store.size(object_key(sha256)) is None:
                raise

    def copy_again(each: Published) -> None:
        if store.size(object_key(each[2])) is None:
            store.copy(each[0].key(each[1]), object_key(each[2]))  # or tell that it is lost

    names = {name: sha256 for name, (_, _, sha256) in objects.items()}
    (owner,) = {at.apart for at, *_ in objects.values()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(copy, objects.values()))
        for name, content in documents.items():
            names[name] = _kept(store, content)
        contents = PublishedNames(names)
        told = contents.to_bytes()
        store.commit(f"{CLAIMS}/{owner}/{contents.sha256}", told, expected=None)
        # Claimed by nobody before, some may have been taken away meanwhile: not from now on.
        wait_for_collector(store)
        list(pool.map(copy_again, objects.values()))
    for content in (*documents.values(), told):
        _kept(store, content)
    return told


def _kept(store: Store, content: bytes) -> str:
    with store.write(OBJECTS) as document:
        document.write(content)
    return document.stored.sha256


def _bring(store: Store, key: str, folder: PosixStore, name: str) -> None:
    if isinstance(store, PosixStore) and folder.link(name, store, key):
        return
    with folder.replace(name, durable=False) as file:  # flushed with its folder
        shutil.copyfileobj(ObjectFile(store, key), file, _PIECE_BYTES)
