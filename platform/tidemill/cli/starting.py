"""``tidemill init``, ``sample``, ``suite draft``, ``suite docs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tidemill.cli.options import EngineOption, JsonOption, WorkspaceOption
from tidemill.screen import Screen

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command("init")(init)
    app.command("sample")(sample)
    suite = typer.Typer(no_args_is_help=True, help="The Great Expectations suite.")
    suite.command("draft")(draft)
    suite.command("docs")(docs)
    app.add_typer(suite, name="suite")


def init(
    folder: Annotated[Path, typer.Argument(help="The workspace to make.")],
    source: Annotated[str, typer.Option(help="File, folder, glob or DATABASE#TABLE.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    time: Annotated[str | None, typer.Option(help="The column that orders rows.")] = None,
    key: Annotated[str | None, typer.Option(help="The column that names a row.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting."),
    ] = None,
    engine: EngineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: params.yaml, dvc.yaml and a drafted suite for your own table."""
    from tidemill.drafting import init_workspace
    from tidemill.engines import open_engine
    from tidemill.settings import load_settings
    from tidemill.storage import Workspace

    screen = Screen(as_json=as_json)
    with open_engine(load_settings(engine=engine)) as opened:
        made = init_workspace(
            Workspace.at(folder),
            source=source,
            target=target,
            time=time,
            key=key,
            assignments=settings or [],
            engine=opened,
            told=screen.note,
        )
    if as_json:
        screen.document({"workspace": str(folder), **made.facts, "warnings": list(made.warnings)})
        return
    screen.table("columns", made.tables["columns"])
    screen.table("left out", made.tables["left out"])
    screen.table("taken as missing", made.tables["taken as missing"])
    for warning in made.warnings:
        screen.note(warning)
    screen.note(f"task: {made.facts['task']}, target: {made.facts['target']}")
    screen.note(
        f"workspace ready: {folder}; look at params.yaml, then: cd {folder} && tidemill run"
    )


def sample(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Where to write.")] = Path(
        "data/raw"
    ),
    rows: Annotated[int, typer.Option(min=1, help="Rows in all.")] = 200_000,
    months: Annotated[int, typer.Option(min=1, max=120, help="Monthly files.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same bytes.")] = 42,
    file_format: Annotated[
        Literal["csv", "parquet"], typer.Option("--format", help="csv or parquet.")
    ] = "csv",
    as_json: JsonOption = False,
) -> None:
    """Write a simulated ride-hailing table as monthly files."""
    from tidemill.samples import write_sample

    screen = Screen(as_json=as_json)
    paths = write_sample(folder, rows=rows, months=months, seed=seed, format=file_format)
    if as_json:
        screen.document({"files": [str(path) for path in paths], "rows": rows})
    else:
        screen.note(f"{rows:,} rows in {len(paths)} files under {folder}")


def draft(
    workspace: WorkspaceOption = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace the suite.")] = False,
    engine: EngineOption = None,
) -> None:
    """Draft the suite again from a profile of the data."""
    from tidemill.config import load_params
    from tidemill.drafting import draft_suite_file
    from tidemill.engines import open_engine
    from tidemill.errors import UsageError
    from tidemill.ingestion import list_source, look
    from tidemill.settings import load_settings
    from tidemill.storage import Workspace

    screen = Screen()
    place = Workspace.at(workspace)
    params = load_params(place.root)
    path = place.root / params.ingestion.suite
    if path.exists() and not force:
        raise UsageError(f"{path} exists", remedy="give --force to replace it", path=str(path))
    with open_engine(load_settings(engine=engine), store=place.store()) as opened:
        listing = list_source(params.dataset, place.root, opened)
    schema = look(params.dataset, listing, place.root)
    count = draft_suite_file(place, listing, schema, params.dataset, suite=params.ingestion.suite)
    screen.note(f"{count} expectations written to {path}; read them before you trust them")


def docs(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Make Great Expectations' Data Docs of the last validation, refused or not."""
    from tidemill.ingestion import write_data_docs
    from tidemill.storage import Workspace

    place = Workspace.at(workspace)
    screen = Screen(as_json=as_json)
    made = write_data_docs(place.reports / "validation.json", place.data_docs)
    if as_json:
        screen.document({"data_docs": str(made)})
    else:
        screen.note(f"Data Docs of the last validation: {made}")
