"""The source of what gather wrote: two objects of Parquet, wherever the workspace's store is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tidemill.config import DatasetConfig
from tidemill.ingestion import live_dataset
from tidemill.ingestion.sources.parquet.parquet_source import ParquetSource
from tidemill.storage import StoredFiles, StoreFolder

__all__ = ["FILES", "LEARN", "PROOF", "GatheredRows", "gathered_dataset"]

FILES, LEARN, PROOF = "files", "learn", "proof"
"""Of gathered rows: their folder, and the stems of its two files."""


class GatheredRows(ParquetSource):
    """The files of gathered rows, which are called by their names alone.

    So what is told of their rows does not tell in which store, workspace or retraining they lay.

    Parameters
    ----------
    dataset : DatasetConfig
        Of :func:`gathered_dataset`.
    root : Path
        The workspace.
    """

    # Nothing of the user's is of this format, whatever it is called or begins with.
    suffixes: ClassVar[tuple[str, ...]] = ()
    magic: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self, dataset: DatasetConfig, root: Path) -> None:
        super().__init__(dataset, root)
        store, _, folder = dataset.source.rpartition("#")
        self.files = StoredFiles(root, StoreFolder(store, folder))

    def find(self, named: str, given: str | None = None) -> tuple[str, ...]:
        """Both, as each has rows."""
        del named, given
        return f"{LEARN}.parquet", f"{PROOF}.parquet"


def gathered_dataset(dataset: DatasetConfig, gathered: StoreFolder) -> DatasetConfig:
    """The dataset section that reads what was gathered in a folder."""
    source = f"{gathered.store}#{gathered.below(FILES).folder}"
    return live_dataset(dataset, source, format_=f"{__name__}:{GatheredRows.__name__}")
