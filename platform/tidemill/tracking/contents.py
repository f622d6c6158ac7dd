"""What lies in a folder of files: names and sizes first, then the bytes of those asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tidemill.errors import ModelUntrusted
from tidemill.storage import storage_errors
from tidemill.tracking.service import import_mlflow, service_errors

__all__ = ["Contents", "FolderContents", "StoreContents", "open_contents"]

_MAX_FILES = 10_000


class Contents(Protocol):
    """Files that are looked at before they are read, and read no further than asked.

    Attributes
    ----------
    place : str
        Where they lie, for messages.

    Notes
    -----
    What each implementation promises, and one contract holds them to
    (``tests/tracking/test_tracking_contents.py``):

    - Looking reads no file. Memory: a name and a number a file, and no more than 10,000 of them.
    - A file is read whole or not at all, and only if it is known to be small enough. Memory:
      ``limit`` bytes. A store that gives files as a whole needs as much disk for a moment: the
      size that it told, not what it may hold.
    - What cannot be read, or is not there, is an error of ours, never the store's own.
    """

    place: str

    def sizes(self) -> Mapping[str, int | None]:
        """Bytes by path: relative, with ``/``, of all folders below; none where there is none.

        None where the store does not say. Pipes and devices are no files; a link to a file is
        one, a link to a folder is none.

        Raises
        ------
        ModelUntrusted
            If there are more than 10,000 files: no model has so many.
        StorageFailed, ServiceUnavailable
            If the place cannot be looked into.
        """

    def read(self, name: str, limit: int) -> bytes:
        """All bytes of a file that :meth:`sizes` names and that has at most ``limit``.

        Raises
        ------
        ModelUntrusted
            If it has more, or the store does not say how many; ``fields["file"]`` names it.
        StorageFailed, ServiceUnavailable
            If it cannot be read.
        """


class FolderContents:
    """A folder of this machine.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.place, self._folder = str(folder), folder

    def sizes(self) -> dict[str, int | None]:
        """See :class:`Contents`; every size is known."""
        found: dict[str, int | None] = {}
        waiting = [self._folder] if self._folder.is_dir() else []
        with storage_errors(self._folder):
            while waiting:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(Path(entry.path))
                        elif entry.is_file():  # or a link to one: DVC links into its cache
                            name = Path(entry.path).relative_to(self._folder).as_posix()
                            found[name] = entry.stat().st_size
                            _check_count(len(found), self.place)
        return found

    def read(self, name: str, limit: int) -> bytes:
        """See :class:`Contents`."""
        with storage_errors(self._folder), (self._folder / name).open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise _too_large(self.place, name, limit)
        return content


class StoreContents:
    """A folder of an artifact store; a file is copied here when it is read.

    Parameters
    ----------
    repository
        MLflow's, of the folder.
    uri : str
        Of the tracking server, for messages.
    place : str
    """

    def __init__(self, repository: Any, uri: str, place: str) -> None:
        self.place, self._repository, self._uri = place, repository, uri
        self._told: dict[str, int | None] | None = None

    def sizes(self) -> dict[str, int | None]:
        """See :class:`Contents`; as the store says. MLflow's server says none of empty files."""
        found: dict[str, int | None] = {}
        with service_errors(self._uri):
            for name, size in self._listed():
                found[name] = size
                _check_count(len(found), self.place)
        self._told = found
        return dict(found)

    def _listed(self) -> Iterator[tuple[str, int | None]]:
        waiting: list[str | None] = [None]
        while waiting:
            for item in self._repository.list_artifacts(waiting.pop()):
                if item.is_dir:
                    waiting.append(item.path)
                else:
                    yield item.path, item.file_size

    def read(self, name: str, limit: int) -> bytes:
        """See :class:`Contents`."""
        told = (self.sizes() if self._told is None else self._told).get(name)
        if told is None or told > limit:  # it is copied as a whole, or not at all
            raise _too_large(self.place, name, limit, known=told is not None)
        with (
            tempfile.TemporaryDirectory(prefix="tidemill-model-") as scratch,
            storage_errors(Path(scratch)),
            service_errors(self._uri),
        ):
            copy = Path(self._repository.download_artifacts(name, scratch))
            return FolderContents(copy.parent).read(copy.name, limit)


def open_contents(uri: str, location: str) -> Contents:
    """The folder at an artifact address, wherever that is.

    Parameters
    ----------
    uri : str
        Of the tracking server, through which a store may have to be asked.
    location : str
        As MLflow gives it: a path, a ``file:`` address, a bucket, a place of the server.
    """
    repositories = import_mlflow("mlflow.store.artifact.artifact_repository_registry")
    local = import_mlflow("mlflow.store.artifact.local_artifact_repo").LocalArtifactRepository
    with service_errors(uri):
        repository = repositories.get_artifact_repository(
            location, tracking_uri=uri, registry_uri=uri
        )
    if isinstance(repository, local):
        return FolderContents(Path(repository.artifact_dir))
    return StoreContents(repository, uri, location)


def _check_count(count: int, place: str) -> None:
    if count > _MAX_FILES:
        raise ModelUntrusted(
            f"{place} holds more than {_MAX_FILES} files, which is no model",
            remedy="register the model again with tidemill run, or promote another version",
            file=None,
        )


def _too_large(place: str, name: str, limit: int, *, known: bool = True) -> ModelUntrusted:
    has = (
        f"has more than {limit:,} bytes"
        if known
        else "is empty, or of a size that its store does not say,"
    )
    return ModelUntrusted(
        f"{name} in {place} {has} and is not read",
        remedy="register the model again with tidemill run, or promote another version",
        file=name,
    )
