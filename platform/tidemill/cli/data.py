"""``tidemill look``, ``shards``, ``quarantine``: what lies in the workspace."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.options import EngineOption, JsonOption, WaitOption, WorkspaceOption, existing
from tidemill.screen import Screen

if TYPE_CHECKING:
    from tidemill.storage import StoreFolder, Workspace

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command("look")(look)
    shards = typer.Typer(no_args_is_help=True, help="The shards and where rows lie in them.")
    shards.command("list")(list_shards)
    shards.command("locate")(locate)
    shards.command("verify")(verify)
    shards.command("rebalance")(rebalance)
    app.add_typer(shards, name="shards")
    quarantine = typer.Typer(no_args_is_help=True, help="The rows that validation refused.")
    quarantine.command("show")(show_quarantine)
    app.add_typer(quarantine, name="quarantine")


def look(
    workspace: WorkspaceOption = Path(), engine: EngineOption = None, as_json: JsonOption = False
) -> None:
    """Say what the source's columns are, from a bounded sample; writes nothing."""
    from tidemill.config import load_params
    from tidemill.engines import open_engine
    from tidemill.ingestion import list_source, look_result
    from tidemill.settings import load_settings

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    params = load_params(place.root)
    with open_engine(load_settings(engine=engine), store=place.store()) as opened:
        listing = list_source(params.dataset, place.root, opened)
        found = look_result(params.dataset, listing, place.root)
    schema = found.schema
    screen.result(
        {
            **schema.to_json(),
            "left_out": found.ignored,
            "notes": found.notes,
            "missing": found.taken_as_missing,
            "layout": list(found.layout),
        },
        f"{params.dataset.source}: {schema.task.value}",
        [
            {"column": c.name, "type": c.type.value, "purpose": c.purpose.value, "as": c.physical}
            for c in schema.columns
        ],
    )
    screen.table("left out", [{"column": c, "reason": why} for c, why in found.ignored.items()])
    screen.table("taken as missing", found.taken_as_missing)
    screen.table("notes", [{"column": c, "note": note} for c, note in found.notes.items()])
    screen.table("how the files are written", [{"found": text} for text in found.layout])


def list_shards(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Show each shard: role, rows, blocks, range of keys, size."""
    from tidemill.bucket_rules import BUCKET_RULES

    screen = Screen(as_json=as_json)
    manifest = _shards(existing(workspace)).shard_manifest()
    rule = BUCKET_RULES[manifest.strategy]()
    rows = [
        {
            "shard": shard.id,
            "role": shard.role.value,
            "rows": shard.file.rows,
            "blocks": len(shard.file.blocks),
            "mb": round(shard.file.bytes / 1e6, 1),
            "from": shard.lower or shard.time_from,
            "to": shard.upper or shard.time_to,
            "sha256": shard.file.sha256[:12],
        }
        for shard in manifest.shards
    ]
    screen.result(rows, f"shards by {rule.explain(manifest.by or 'row')}", rows)


def _shards(place: Workspace) -> StoreFolder:
    """The shards of a workspace, whose manifest may name what params.yaml names."""
    from tidemill.config import load_params

    load_params(place.root)
    return place.stored(place.shards)


def locate(
    key: Annotated[str, typer.Argument(help="The key of the row.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Find the shard, block and row of a key."""
    from tidemill.errors import UsageError
    from tidemill.sharding import locate as find

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    folder = _shards(place)
    found = find(folder.shard_manifest(), folder, key)
    if found is None:
        raise UsageError(
            f"no shard holds the key {key!r}",
            remedy="the row may be in quarantine: tidemill quarantine show",
            key=key,
        )
    screen.result(asdict(found), key, [asdict(found)])


def verify(
    workspace: WorkspaceOption = Path(), engine: EngineOption = None, as_json: JsonOption = False
) -> None:
    """Compare every shard with its manifest; exit 3 if one differs."""
    from tidemill.engines import open_engine
    from tidemill.errors import IntegrityError
    from tidemill.settings import load_settings
    from tidemill.sharding import verify as check

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    folder = _shards(place)
    manifest = folder.shard_manifest()
    with open_engine(load_settings(engine=engine), store=place.store()) as opened:
        problems = check(manifest, folder, opened)
    if problems:
        raise IntegrityError(
            f"{len(problems)} problem(s) in {len(manifest.shards)} shards",
            remedy="bring the shards back with `dvc checkout`, or run `tidemill run`",
            table=[asdict(problem) for problem in problems],
        )
    if as_json:
        screen.document({"shards": len(manifest.shards), "problems": []})
    else:
        screen.note(f"{len(manifest.shards)} shards are sound")


def rebalance(
    workspace: WorkspaceOption = Path(),
    engine: EngineOption = None,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Deal all rows to shards anew, by borders of today's rows; nothing else moves a row."""
    from tidemill.cli.observer import at_work
    from tidemill.cli.running import show_summary
    from tidemill.engines import open_engine
    from tidemill.pipeline import run_pipeline
    from tidemill.settings import load_settings

    screen, place = Screen(as_json=as_json), existing(workspace)
    environment = load_settings(engine=engine)
    with (
        at_work(place, screen, wait=wait) as observer,
        open_engine(environment, preload=("tidemill.stages",), store=place.store()) as opened,
    ):
        summary = run_pipeline(
            place,
            settings=environment,
            engine=opened,
            observer=observer,
            anew=("shard",),
            until="shard",
        )
    show_summary(screen, summary)


def show_quarantine(
    workspace: WorkspaceOption = Path(),
    limit: Annotated[
        int | None, typer.Option(min=1, help="Rows to show: 20; with --csv all.")
    ] = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="Only how often each reason is.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line a reason, as CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show refused rows with their position, every reason and the value that offends."""
    from tidemill.ingestion import count_reasons, read_quarantine, refused_rows

    screen, place = Screen(as_json=as_json), existing(workspace)
    folder = place.stored(place.quarantine)
    if as_csv:
        _write_csv(islice(refused_rows(folder), limit))
        return
    told = [{"reason": why, "rows": rows} for why, rows in count_reasons(folder).most_common()]
    if counts:
        screen.result(told, "reasons", told)
        return
    rows = read_quarantine(folder, limit=limit or 20)
    lines = [
        {
            "source": row["source"],
            "row": row["row"],
            "line": row["line"],
            "reason": why,
            "value": _shown(cells),
        }
        for row in rows
        for why, cells in zip(row["reasons"], row["offending"], strict=True)
    ]
    screen.result(rows, "refused rows", lines)
    screen.table("reasons", told)


def _write_csv(rows: Iterable[dict[str, Any]]) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["source", "row", "line", "reason", "column", "value", "values"])
    for row in rows:
        for why, cells in zip(row["reasons"], row["offending"], strict=True):
            place = [row["source"], row["row"], row["line"], why]
            values = cells.values()
            out.writerow([*place, " ".join(cells), " ".join(map(_text, values)), row["values"]])


def _shown(cells: Mapping[str, Any]) -> str:
    return ", ".join(_text(value) for value in cells.values())[:80]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
