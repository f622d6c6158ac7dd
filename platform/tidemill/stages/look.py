"""look: find the splits of the source, and the types of its columns from a bounded sample."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidemill.config import DatasetConfig
from tidemill.errors import ColumnMissing, ConfigError, IntegrityError, first_few
from tidemill.ingestion import left_out, list_source, named_by, of_files, positive_class
from tidemill.schema import Purpose, TableSchema
from tidemill.stages.context import StageContext, StageResult
from tidemill.stages.last_look import LastLook, look_on
from tidemill.storage import SourceFiles, Workspace, read_output, write_hashed

__all__ = ["run_look", "segments_stand"]


def run_look(
    context: StageContext, *, dataset: DatasetConfig, segments: Sequence[str] = ()
) -> StageResult:
    """Leave data/source.json and data/schema.json.

    Files that are what they were at the last look are not hashed again. Where the first rows of all
    files have the columns of the last look, edges of histograms stay as they are.

    Memory: the ``dataset.look_rows`` rows of the sample.

    Raises
    ------
    ColumnMissing, ConfigError
        If one of ``segments`` (``monitoring.window.segments``) is no feature with categories: the
        monitor would not follow it. Nothing is written then.
    """
    workspace = context.workspace
    last, spoilt = _last(context, dataset)
    look = _looked(context, dataset, last)
    listing, found, positive = look.listing, look.result, look.positive
    schema = _complete(found.schema, dataset)
    for name in segments:
        _require_segment(name, schema, left_out(listing, dataset, schema))
    write_hashed(workspace.source_listing, listing.to_json())
    write_hashed(workspace.schema, schema.to_json())
    look.keep(workspace, dataset)
    return StageResult(
        stage="look",
        facts={
            "files" if of_files(dataset) else "splits": len(
                {split.address for split in listing.splits}
            ),
            "columns": len(schema.columns),
            "task": schema.task.value,
            # By the setting that names another one.
            **({"dataset.positive": positive} if positive is not None else {}),
            "bytes": sum(split.bytes for split in listing.splits),
            "target": schema.target.name,
        },
        tables={
            "columns": [
                {"column": c.name, "type": c.type.value, "purpose": c.purpose.value}
                for c in schema.columns
            ],
            "left out": [{"column": c, "reason": why} for c, why in found.ignored.items()],
            "taken as missing": found.taken_as_missing,
        },
        # What the user dropped needs no word.
        warnings=spoilt
        + tuple(
            f"the column {column} is left out: {why}"
            for column, why in found.ignored.items()
            if why != "dataset.drop"
        )
        + tuple(f"{column}: {note}" for column, note in found.notes.items())
        + found.layout
        + _said_of_age(look.looked_at, len(listing.splits)),
    )


def segments_stand(workspace: Workspace, segments: Sequence[str]) -> bool:
    """Whether the last look's features have all of them; without a sound one nothing is said."""
    if not segments:
        return True
    try:
        schema = read_output(workspace.schema, TableSchema.from_json)
    except IntegrityError:  # the record of the graph tells that look is to run
        return True
    return set(segments) <= set(schema.segmentable)


def _require_segment(name: str, schema: TableSchema, left: Mapping[str, str]) -> None:
    if name in schema.segmentable:
        return
    setting = "monitoring.window.segments"
    if name not in schema:
        raise ColumnMissing(
            column=name,
            available=schema.segmentable,
            setting=setting,
            left_out=left.get(name, ""),
        )
    column = schema[name]
    what = column.type if column.purpose is Purpose.FEATURE else f"the {column.purpose}"
    raise ConfigError(
        f"{setting} names the column {name!r}, which is {what}: segments are of categories",
        remedy=f"set {setting} to some of: {first_few(schema.segmentable, 20)}"
        + (f"; or set dataset.types: {{{name}: categorical}}" * (what == column.type)),
        column=name,
        setting=setting,
    )


def _last(context: StageContext, dataset: DatasetConfig) -> tuple[LastLook | None, tuple[str, ...]]:
    """The last look, where it counts; and what to say where it is not as it was left."""
    if context.anew:
        return None, ()
    try:
        return LastLook.of(context.workspace, dataset), ()
    except IntegrityError as exc:
        return None, (
            f"{exc.message}: all files were looked at anew, as at first; where that moves the "
            "edges of histograms, ingest reads every split again, and figures change a little",
        )


def _looked(context: StageContext, dataset: DatasetConfig, last: LastLook | None) -> LastLook:
    workspace = context.workspace
    marks = _marks(workspace, dataset)
    listing = list_source(
        dataset,
        workspace.root,
        context.engine,
        before=last.listing if last else None,
        unread=last.unread(marks) if last else (),
    )
    marks |= {split.address: split.mark for split in listing.splits if split.mark}
    listing, found, stays = look_on(dataset, listing, last, workspace)
    if last is not None and stays:
        return replace(last, listing=listing, result=found, marks=marks)
    schema = _complete(found.schema, dataset)
    positive = positive_class(dataset, schema, listing, workspace.root)
    return LastLook(listing, found, positive, len(listing.splits), marks)


def _complete(schema: TableSchema, dataset: DatasetConfig) -> TableSchema:
    return replace(schema, derived=tuple(sorted(dataset.derive.items())))


def _marks(workspace: Workspace, dataset: DatasetConfig) -> dict[str, str]:
    """What tells of each file on a disk that it is as it was; taken before any is read."""
    if not of_files(dataset):
        return {}
    files, now = SourceFiles(workspace.root), time.time_ns()
    if files.elsewhere(dataset.source):
        return {}
    marks = {address: files.mark(address, now) for address in named_by(dataset, workspace.root)}
    return {address: mark for address, mark in marks.items() if mark is not None}


def _said_of_age(looked_at: int, splits: int) -> tuple[str, ...]:
    """That the edges of histograms are of a look at the smaller part of the source."""
    if splits <= 2 * looked_at:
        return ()
    return (
        f"edges of histograms are of a look at {looked_at:,} splits, and there are "
        f"{splits:,} by now: tidemill run --force looks at all, and makes everything anew",
    )
