"""Where everything lies in a workspace."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from tidemill.config import storage_url
from tidemill.errors import UsageError
from tidemill.storage.atomic import discard_directory, fresh_directory, write_bytes
from tidemill.storage.hashing import hash_bytes
from tidemill.storage.published_names import CONTENTS, PublishedNames
from tidemill.storage.store_folder import StoreFolder
from tidemill.storage.stores import open_store

__all__ = ["Workspace"]

_WORK = "work"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder with params.yaml, and the places in it.

    Parameters
    ----------
    root : Path
        Absolute.
    url : str or None
        ``storage.url`` of params.yaml: the store apart where its rows lie, and what workers share.
    """

    root: Path
    url: str | None = None

    @classmethod
    def at(cls, root: Path | str = ".") -> Workspace:
        """The workspace at ``root``; whether it is one is for ``load_params`` to say."""
        place = Path(root).resolve()
        return cls(place, storage_url(place))

    def store(self) -> str:
        """The address of the store that its data lie in: without ``storage.url`` its own folder."""
        return self.url or str(self.root)

    def stored(self, place: Path) -> StoreFolder:
        """One of its places, as workers reach it.

        Raises
        ------
        IntegrityError
            If it was published in a store apart, and what names its objects is damaged.
        UsageError
            If it was published in a store apart, and params.yaml names none.
        """
        for folder in (place, *place.parents):
            if folder == self.root:
                break
            if (folder / CONTENTS).is_file():
                return self._published(folder, place.relative_to(folder).as_posix())
        if self.url is None or not place.is_relative_to(self.hidden):
            return StoreFolder(str(self.root), place.relative_to(self.root).as_posix())
        work = place.relative_to(self.hidden).as_posix()
        return StoreFolder(self.url, f"{_WORK}/{self.name()}/{work}", self.name())

    def discard(self, place: Path) -> None:
        """Take away one of its places below :attr:`hidden`, and what of it lies in the store.

        Raises
        ------
        StorageFailed
            If the disk or the store refuses.
        """
        discard_directory(place)
        if self.url is not None:
            open_store(self.url).discard(
                f"{_WORK}/{self.name()}/{place.relative_to(self.hidden).as_posix()}"
            )

    def fresh(self, place: Path) -> Path:
        """One of its places below :attr:`hidden`, empty; errors as of :meth:`discard`."""
        self.discard(place)
        return fresh_directory(place)

    def name(self) -> str:
        """Its name in a store that it shares with others; drawn when it is first asked for.

        A copy of the folder has another.
        """
        drawn = self.hidden / "name"
        if not drawn.is_file():
            write_bytes(drawn, uuid.uuid4().hex.encode())
        return hash_bytes(drawn.read_bytes() + str(self.root).encode())[:16]

    def _published(self, folder: Path, below: str) -> StoreFolder:
        if self.url is None:
            raise UsageError(
                f"the objects of {folder} lie in a store apart, and params.yaml names none",
                remedy="set storage.url in params.yaml to the store that they were written to, or "
                "make them anew here: tidemill run --force",
                path=str(folder),
            )
        contents = PublishedNames.read(folder).sha256
        return StoreFolder(self.url, "" if below == "." else below, self.name(), contents)

    @property
    def params(self) -> Path:
        """params.yaml: the settings that the user writes."""
        return self.root / "params.yaml"

    @property
    def source_listing(self) -> Path:
        """Splits of the source with size, time and hash (look)."""
        return self.root / "data" / "source.json"

    @property
    def schema(self) -> Path:
        """Types and histogram edges (look)."""
        return self.root / "data" / "schema.json"

    @property
    def validated(self) -> Path:
        """Typed Parquet parts and their manifest (ingest)."""
        return self.root / "data" / "validated"

    @property
    def quarantine(self) -> Path:
        """Refused rows with reasons and positions (ingest)."""
        return self.root / "data" / "quarantine"

    @property
    def shards(self) -> Path:
        """Shards, their block profiles and their manifest (shard)."""
        return self.root / "data" / "shards"

    @property
    def live(self) -> Path:
        """Labelled live rows that were taken over for learning, one folder a retraining."""
        return self.root / "data" / "live"

    @property
    def reducer(self) -> Path:
        """The fitted reducer (reduce)."""
        return self.root / "models" / "reducer"

    @property
    def best_params(self) -> Path:
        """The learner's parameters (tune)."""
        return self.root / "models" / "params.json"

    @property
    def candidate(self) -> Path:
        """The pipeline that is judged (train)."""
        return self.root / "models" / "candidate"

    @property
    def serving(self) -> Path:
        """The pipeline that serves beside the judged one: what is registered (refit)."""
        return self.root / "models" / "serving"

    @property
    def reports(self) -> Path:
        """Results for people and for DVC: JSON, pages, figures."""
        return self.root / "reports"

    @property
    def hidden(self) -> Path:
        """State that is no output: work in progress, studies, logs."""
        return self.root / ".tidemill"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' pages of the last validation, once they were asked for."""
        return self.hidden / "data_docs"

    def work(self, stage: str, key: str) -> Path:
        """Work in progress of one stage on inputs named by ``key``; outlives a crash."""
        return self.hidden / "work" / stage / key
