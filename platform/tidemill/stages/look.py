"""look: find the splits of the source, and the types of its columns from a bounded sample."""

from __future__ import annotations

from dataclasses import replace

from tidemill.config import DatasetConfig
from tidemill.ingestion import list_source, look_result, of_files, positive_class
from tidemill.stages.context import StageContext, StageResult
from tidemill.storage import write_hashed

__all__ = ["run_look"]


def run_look(context: StageContext, *, dataset: DatasetConfig) -> StageResult:
    """Leave data/source.json and data/schema.json.

    Memory: the ``dataset.look_rows`` rows of the sample.
    """
    workspace = context.workspace
    listing = list_source(dataset, workspace.root, context.engine)
    found = look_result(dataset, listing, workspace.root)
    schema = replace(found.schema, derived=tuple(sorted(dataset.derive.items())))
    write_hashed(workspace.source_listing, listing.to_json())
    write_hashed(workspace.schema, schema.to_json())
    positive = positive_class(dataset, schema, listing, workspace.root)
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
        warnings=tuple(
            f"the column {column} is left out: {why}"
            for column, why in found.ignored.items()
            if why != "dataset.drop"
        )
        + tuple(f"{column}: {note}" for column, note in found.notes.items())
        + found.layout,
    )
