"""Find the pieces of the source, name what they hold, and find how they are written."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from tidemill.config import DatasetConfig
from tidemill.contracts import Engine, OfOneState, Source, Split
from tidemill.database_addresses import is_database, refuse_password
from tidemill.errors import ConfigError, SourceUnreadable
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.excel.workbook import is_sheet
from tidemill.ingestion.sources.files import FileSource, format_of
from tidemill.ingestion.sources.folder_columns import folder_columns
from tidemill.ingestion.sources.wide_tables import LOOK_CELLS, bounded_rows
from tidemill.schema import SourceColumn
from tidemill.storage import SourceFiles

__all__ = ["SourceListing", "list_source", "named_by", "of_files", "share_of_look"]


@dataclass(frozen=True, slots=True)
class SourceListing:
    """The pieces of the source and what they have in common.

    Parameters
    ----------
    splits : tuple of Split
        Ordered by address, then part.
    columns : tuple of SourceColumn
        Those of the first file, in its order, before ``derive`` and ``drop``.
    written : dict or None
        How it is written, as its source found it: of delimited text, the dialect.
    folders : tuple of str
        Those of the columns, the last ones, that stand in the names of folders.
    """

    splits: tuple[Split, ...]
    columns: tuple[SourceColumn, ...]
    written: dict[str, Any] | None = None
    folders: tuple[str, ...] = ()

    def like(self, other: Self) -> bool:
        """Whether splits of both are read alike: columns, how they are written, folders."""
        columns = [[column.bare() for column in one.columns] for one in (self, other)]
        written = (self.written, self.folders) == (other.written, other.folders)
        return written and columns[0] == columns[1]

    def source(self, dataset: DatasetConfig, root: Path) -> Source:
        """What reads the splits, which are all of one format."""
        return FORMATS[self.splits[0].format](dataset, root)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that :meth:`from_json` reads back."""
        return {
            "splits": [split.to_json() for split in self.splits],
            "columns": [column.to_json() for column in self.columns],
            "dialect": self.written,
            **({"folders": list(self.folders)} if self.folders else {}),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        IntegrityError
            If a format is not known here: neither entered nor named in params.yaml.
        """
        splits = tuple(Split.from_json(split) for split in document["splits"])
        for name in {split.format for split in splits}:
            FORMATS.told(name, "data/source.json")
        return cls(
            splits=splits,
            columns=tuple(SourceColumn.from_json(column) for column in document["columns"]),
            written=document["dialect"],
            folders=tuple(document.get("folders", ())),
        )


def list_source(
    dataset: DatasetConfig,
    root: Path,
    engine: Engine,
    *,
    named: str = "dataset.source",
    given: str | None = None,
    before: SourceListing | None = None,
    unread: Collection[str] = (),
) -> SourceListing:
    """Find what ``dataset.source`` names, name what it holds, and find how that is written.

    A Parquet file of many row groups becomes several splits of about a million rows. How text
    is written (delimiter, header, encoding) is found from the first file, types of columns from
    ``dataset.look_rows`` rows over all files.

    Parameters
    ----------
    dataset : DatasetConfig
    root : Path
        The workspace.
    engine : Engine
        Hashes the files.
    named : str
        What errors call the source: the option that took the place of ``dataset.source``.
    given : str or None
        What was written there, from where the reader stands; None: ``dataset.source`` itself.
    before : SourceListing or None
        An earlier one of the same settings: a database's table is cut where it was.
    unread : collection of str
        Addresses of which the splits are those of ``before`` for sure: they are not hashed again.

    Raises
    ------
    SourceMissing, SourceEmpty, SourceUnreadable
        If there is no file, no data, or a file that cannot be what it should be.
    SchemaMismatch
        If a file lacks columns of the first.
    ConfigError
        If ``dataset.csv`` cannot be, or ``dataset.cursor`` is stated of files.

    Notes
    -----
    Memory: the sample of ``look_rows`` rows as texts.
    """
    if dataset.cursor is not None and of_files(dataset):
        raise ConfigError(
            f"dataset.cursor ({dataset.cursor}) is for tables of databases, and "
            f"{dataset.source} is none",
            remedy="leave it out: of files those are read that are others than at the last look",
        )
    addresses = named_by(dataset, root, named, given)
    folders = _folders(dataset, root, addresses)
    if given is not None:  # from here on it is only told
        dataset = dataset.model_copy(update={"source": given})
    kept = () if before is None else before.splits
    with _of_one_state(dataset, root, addresses, kept) as source:
        splits = _all_splits(addresses, dataset, root, engine, named, source, before, unread)
        source = source or FORMATS[splits[0].format](dataset, root)
        return _sniffed(source, dataset, folders, named, splits)


def _sniffed(
    source: Source,
    dataset: DatasetConfig,
    folders: dict[str, str],
    named: str,
    splits: tuple[Split, ...],
) -> SourceListing:
    sniffed = source.sniff(splits, partial(share_of_look, dataset, splits), named)
    more = folder_columns(folders, dataset, sniffed.columns) if folders else ()
    names = tuple(column.name for column in more)
    return SourceListing(splits, (*sniffed.columns, *more), sniffed.written, names)


def named_by(
    dataset: DatasetConfig, root: Path, named: str = "dataset.source", given: str | None = None
) -> tuple[str, ...]:
    """The addresses that ``dataset.source`` names, which are files if no format is stated."""
    refuse_password(dataset.source, named)  # whatever reads it would tell it
    format_ = stated_format(dataset)
    kind = FileSource if format_ is None else FORMATS[format_]
    return kind(dataset, root).find(named, given)


def stated_format(dataset: DatasetConfig) -> str | None:
    """The format that is stated, or told by the address; None: each file tells its own."""
    if dataset.format != "auto":
        return dataset.format
    if is_sheet(dataset.source):
        return "excel"
    return "sql" if is_database(dataset.source) else None


def of_files(dataset: DatasetConfig) -> bool:
    """Whether rows lie in files: of a stated format, if names of its files end in something."""
    format_ = stated_format(dataset)
    return format_ is None or bool(FORMATS[format_].suffixes)


def share_of_look(dataset: DatasetConfig, splits: tuple[Split, ...], columns: int) -> int:
    """Rows that the look reads from the beginning of each split, fewer of many columns."""
    rows = bounded_rows(dataset.look_rows, columns, LOOK_CELLS)
    return max(-(-rows // len(splits)), 100)


def _folders(dataset: DatasetConfig, root: Path, addresses: tuple[str, ...]) -> dict[str, str]:
    """The folders of each file, where rows lie in files."""
    if not of_files(dataset):
        return {}
    files = SourceFiles(root)
    return {address: files.folders(dataset.source, address) for address in addresses}


@contextmanager
def _of_one_state(
    dataset: DatasetConfig, root: Path, addresses: tuple[str, ...], before: tuple[Split, ...]
) -> Iterator[Source | None]:
    """The source, at one state, where its rows may change meanwhile; else None."""
    name = stated_format(dataset)
    source = None if name is None else FORMATS[name](dataset, root)
    if isinstance(source, OfOneState):
        with source.one_state(addresses, before):
            yield source
    else:
        yield None


def _all_splits(
    addresses: tuple[str, ...],
    dataset: DatasetConfig,
    root: Path,
    engine: Engine,
    named: str,
    source: Source | None,
    before: SourceListing | None,
    unread: Collection[str],
) -> tuple[Split, ...]:
    """The splits of all addresses, found by the engine's workers where no state is held here."""
    known: dict[str, list[Split]] = {}
    for split in before.splits if before is not None else ():
        known.setdefault(split.address, []).append(split)
    asked = [address for address in addresses if address not in unread or address not in known]
    job = partial(_splits, dataset=dataset, root=root, source=source, known=dict(known))
    found = map(job, asked) if source else engine.map(job, asked, label="hash the source")
    known |= dict(zip(asked, found, strict=True))
    splits = [split for address in addresses for split in known[address]]
    formats = sorted({split.format for split in splits})
    if len(formats) > 1:
        raise SourceUnreadable(
            f"{named} {dataset.source!r} holds files of several formats: {', '.join(formats)}",
            remedy="name files of one format, for example with a glob",
            formats=tuple(formats),
        )
    return tuple(replace(split, id=number) for number, split in enumerate(splits))


def _splits(
    address: str,
    *,
    dataset: DatasetConfig,
    root: Path,
    source: Source | None,
    known: dict[str, list[Split]],
) -> list[Split]:
    """What lies at an address, as splits, still without their ids."""
    if address in known and SourceFiles(root).elsewhere(address):
        before = known[address][0]  # its name costs one question, its splits several
        if FORMATS[before.format](dataset, root).etag(address) == before.etag:
            return known[address]
    name = stated_format(dataset) or format_of(address, root)
    source = source or FORMATS[name](dataset, root)
    return [replace(split, format=name) for split in source.split(address)]
