"""Where everything lies in a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tidemill.storage.store_folder import StoreFolder

__all__ = ["Workspace"]


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder with params.yaml, and the places in it.

    Parameters
    ----------
    root : Path
        Absolute.
    """

    root: Path

    @classmethod
    def at(cls, root: Path | str = ".") -> Workspace:
        """The workspace at ``root``; whether it is one is for ``load_params`` to say."""
        return cls(Path(root).resolve())

    def store(self) -> str:
        """The address of the store that its data lie in: on a disk its own folder."""
        return str(self.root)

    def stored(self, place: Path) -> StoreFolder:
        """One of its places, as workers reach it."""
        return StoreFolder(self.store(), place.relative_to(self.root).as_posix())

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
