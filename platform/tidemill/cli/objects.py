"""``tidemill data``: the objects of a store apart, and which versions need them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.options import JsonOption, WorkspaceOption, existing
from tidemill.errors import IntegrityError, UsageError
from tidemill.screen import Screen

if TYPE_CHECKING:
    from tidemill.storage import Workspace
    from tidemill.versioning import Needed

__all__ = ["add_commands"]

_AT_ONCE = 8
_PIECE_BYTES = 1 << 20


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    data = typer.Typer(no_args_is_help=True, help="The rows in a store apart (storage.url).")
    data.command("status")(status)
    data.command("fetch")(fetch)
    data.command("gc")(collect_garbage)
    app.add_typer(data, name="data")


OnlyWorkspaceOption = Annotated[
    bool, typer.Option("--only-workspace", help="What it has now counts, and no earlier version.")
]


def status(
    workspace: WorkspaceOption = Path(),
    only_workspace: OnlyWorkspaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say which versions need which objects, and which of these are not in the store."""
    from tidemill.storage import take_inventory
    from tidemill.versioning import needed_contents

    screen, place = Screen(as_json=as_json), existing(workspace)
    url = _url(place)
    found = take_inventory(url)
    versions = needed_contents(place.root, commits=not only_workspace)
    rows = [row for each in versions for row in _rows(each, url, found.objects)]
    claims = [
        {"workspace": name, "claims": len(claimed), "this": name == place.name()}
        for name, claimed in sorted(found.claims.items())
    ]
    told = {
        "store": url,
        "objects": len(found.objects),
        "strange": len(found.strange),
        "versions": rows,
        "workspaces": claims,
    }
    screen.result(told, "objects", rows)
    screen.table("workspaces that keep objects there", claims)
    _note_strange(screen, url, found.strange)


def fetch(
    workspace: WorkspaceOption = Path(),
    out: Annotated[
        Path | None, typer.Option("--out", help="A new folder for the files, by their names.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the objects of the workspace's version to this machine's cache, or to a folder."""
    from tidemill.settings import load_settings
    from tidemill.storage import PosixStore, PublishedNames, object_key, open_store
    from tidemill.versioning import needed_contents

    screen, place = Screen(as_json=as_json), existing(workspace)
    url = _url(place)
    if out is not None and out.exists():
        raise UsageError(f"{out} is there already", remedy="name a folder that is not there")
    wanted = [
        (f"{where}/{name}", sha256)
        for where in next(iter(needed_contents(place.root, commits=False))).contents
        if where.startswith("data/")
        for name, sha256 in PublishedNames.read(place.root / where).names.items()
    ]
    store, limit = open_store(url), load_settings().cache_bytes
    total = sum(store.size(object_key(each)) or 0 for each in {each for _, each in wanted})
    in_place = isinstance(store, PosixStore)
    if out is None and total > limit and not in_place:
        raise UsageError(
            f"the objects have {total / 2**30:.1f} GB, and {limit / 2**30:.1f} GB are kept here",
            remedy="set TIDEMILL_CACHE_GB to more, or name a folder for them: --out FOLDER",
        )
    if out is None:
        _bring_all(url, None, wanted)
    else:
        _bring_to(out, url, wanted)
    # Of a store of files they are compared with their hashes, and read where they lie.
    kept = url if in_place else load_settings().cache_dir
    told = {"objects": len(wanted), "bytes": total, "folder": str(out or kept)}
    screen.result(told, "fetched", [told])


def collect_garbage(
    workspace: WorkspaceOption = Path(),
    yes: Annotated[bool, typer.Option("--yes", help="Take them away, not only say them.")] = False,
    only_workspace: OnlyWorkspaceOption = False,
    gone: Annotated[
        list[str] | None,
        typer.Option("--gone", help="The name of a workspace that is no more: claims and work."),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Where another gc was killed; looks a minute."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take away the objects that no version of any workspace needs."""
    from tidemill.storage import collect, find_leftovers, open_store, workspace_lock
    from tidemill.versioning import needed_contents

    screen, place = Screen(as_json=as_json), existing(workspace)
    url, owners = _url(place), {place.name(), *(gone or ())}
    with workspace_lock(place):
        versions = list(needed_contents(place.root, commits=not only_workspace))
        _require_known(versions)
        needed = {sha256 for each in versions for sha256 in each.contents.values()}
        if yes:
            found = collect(url, owners, needed, take_over=take_over)
            for name in gone or ():
                open_store(url).discard(f"work/{name}")
        else:
            found = find_leftovers(url, owners, needed)
    told: dict[str, Any] = {
        "taken_away": yes,
        "claims": len(found.claims),
        "objects": len(found.objects),
        "unfinished": len(found.unfinished),
        "strange": len(found.strange),
    }
    screen.result(told, "garbage", [told])
    for owner in sorted({claim.split("/")[1] for claim in found.unfinished}):
        screen.note(
            f"{owner} has a version that is not published yet: its objects stay. Where its run was "
            "killed they go after the next: `tidemill run`, then `tidemill data gc --yes`, both "
            f"there; where there is no such workspace any more: tidemill data gc --gone {owner}"
        )
    _note_strange(screen, url, found.strange)


def _note_strange(screen: Screen, url: str, strange: tuple[str, ...]) -> None:
    if strange:
        screen.note(
            f"{len(strange)} among the objects and claims of {url} were not put there by tidemill, "
            f"are passed over and stay: {strange[0]!r}" + (", ..." if strange[1:] else "")
        )


def _rows(needed: Needed, url: str, there: set[str]) -> Iterator[dict[str, Any]]:
    """A row a place: how many objects it has, and how many of them are not there."""
    from tidemill.storage import PublishedNames

    for where, sha256 in needed.contents.items():
        row: dict[str, Any] = {"version": needed.version[:12], "place": where}
        if sha256 in there:
            names = set(PublishedNames.kept(url, sha256).names.values())
            yield {**row, "objects": len(names), "missing": len(names - there)}
        else:
            yield {**row, "objects": "?", "missing": "all"}
    for where in needed.unknown:
        row = {"version": needed.version[:12], "place": where}
        yield {**row, "objects": "?", "missing": "its names: dvc fetch --all-commits"}


def _url(place: Workspace) -> str:
    if place.url is None:
        raise UsageError(
            "the rows of this workspace lie in its own folder: params.yaml names no storage.url",
            remedy="DVC keeps them: dvc status, dvc fetch, dvc gc",
        )
    return place.url


def _bring_to(out: Path, url: str, wanted: Iterable[tuple[str, str]]) -> None:
    """All of them as files of a new folder, or none."""
    from tidemill.storage import commit_directory, discard_directory, fresh_directory

    staged = fresh_directory(out.with_name(f".{out.name}.staged"))
    try:
        _bring_all(url, staged, wanted)
        commit_directory(staged, out)
    finally:
        discard_directory(staged)


def _bring_all(url: str, out: Path | None, wanted: Iterable[tuple[str, str]]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(partial(_bring, url, out), wanted))


def _bring(url: str, out: Path | None, wanted: tuple[str, str]) -> None:
    from tidemill.storage import brought, object_key, replaced_file

    name, sha256 = wanted
    copy = brought(url, object_key(sha256), sha256)
    if out is None:
        return
    target = out / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(target) as file:
        if isinstance(copy, Path):
            with copy.open("rb") as source:
                shutil.copyfileobj(source, file, _PIECE_BYTES)
        else:
            shutil.copyfileobj(copy, file, _PIECE_BYTES)


def _require_known(versions: Iterable[Needed]) -> None:
    unknown = [
        f"{each.version[:12]} ({', '.join(each.unknown)})" for each in versions if each.unknown
    ]
    if unknown:
        raise IntegrityError(
            f"what {len(unknown)} versions need is not known here: {unknown[0]}, ...",
            remedy="bring their manifests: dvc fetch --all-commits; or, where no earlier version "
            "is wanted any more: tidemill data gc --only-workspace",
            versions=unknown,
        )
