"""What DVC hashes for ``dataset.source``."""

from __future__ import annotations

from pathlib import Path

from tidemill.config import DatasetConfig
from tidemill.ingestion.sources.excel.workbook import is_sheet
from tidemill.ingestion.sources.listing import named_by, of_files

__all__ = ["shown", "source_deps"]


def source_deps(dataset: DatasetConfig, root: Path) -> tuple[str, ...]:
    """The files or folders that DVC hashes for the source; none where its rows are no files.

    A file or folder stands for itself, and a glob below a folder of the workspace for that
    folder, so that ``dvc repro`` sees new files. Other globs, and folders that hold the
    workspace itself, stand for the files that they name now.
    """
    if not of_files(dataset) or "://" in dataset.source or is_sheet(dataset.source):
        return ()
    fixed = _fixed_part(dataset.source)
    place = (root / fixed).resolve()
    globbed = fixed != dataset.source
    holds_workspace = root.resolve().is_relative_to(place)
    inside = place.is_relative_to(root.resolve())
    if not holds_workspace and (inside or not globbed):
        return (fixed,)
    return named_by(dataset, root)


def _fixed_part(source: str) -> str:
    parts: list[str] = []
    for part in Path(source).parts:
        if any(sign in part for sign in "*?["):
            return str(Path(*parts)) if parts else "."
        parts.append(part)
    return source


def shown(path: Path, root: Path) -> str:
    """A path as dvc.yaml has it: below the workspace relative to it."""
    absolute = path.resolve()
    inside = absolute.is_relative_to(root.resolve())
    return absolute.relative_to(root.resolve()).as_posix() if inside else absolute.as_posix()
