"""Small whole workspaces: made, run in this process, copied, and their outputs compared."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from tidemill.drafting import init_workspace
from tidemill.engines import open_engine
from tidemill.pipeline import STAGES, Observer, RunSummary, run_pipeline
from tidemill.samples import write_sample
from tidemill.settings import Settings
from tidemill.storage import Workspace, hash_file

__all__ = [
    "QUICK",
    "copy_workspace",
    "finished_workspace",
    "made_once",
    "output_hashes",
    "run_here",
    "small_workspace",
]

QUICK = (
    "dataset.name=rides",
    "tuning.trials=2",
    "tuning.space={num_leaves: {low: 4, high: 8}}",
    "training.params={num_iterations: 12, learning_rate: 0.3}",
)
"""Settings with which a whole run costs a few seconds of one core."""


def small_workspace(
    root: Path, *, rows: int = 6000, months: int = 3, seed: int = 7, settings: Iterable[str] = ()
) -> Path:
    """Make a workspace for a sample of ride requests in ``root/data/raw``; nothing is run yet."""
    write_sample(root / "data" / "raw", rows=rows, months=months, seed=seed)
    with open_engine(Settings(workers=1)) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data" / "raw"),
            target="cancelled",
            time="requested_at",
            key="ride_id",
            assignments=[*QUICK, *settings],
            engine=engine,
        )
    return root


def run_here(
    root: Path,
    *,
    force: bool = False,
    until: str | None = None,
    tracking_uri: str | None = None,
    observer: Observer | None = None,
) -> RunSummary:
    """Run the pipeline of the workspace at ``root`` in this very process, without a pool."""
    settings = Settings(workers=1, MLFLOW_TRACKING_URI=tracking_uri)
    with open_engine(settings) as engine:
        return run_pipeline(
            Workspace.at(root),
            settings=settings,
            engine=engine,
            force=force,
            until=until,
            observer=observer,
        )


def made_once(base: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name``, made by the first of pytest's workers that asks; the others wait.

    Parameters
    ----------
    base : Path
        pytest's base folder, which its workers share but for the last part.
    name : str
    make : callable
        Fills the folder, which is there and empty; what one left unfinished is deleted.

    Returns
    -------
    Path
        Of all workers: never change what is in it, take a copy.
    """
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once" / name
    done = folder.with_name(f"{name}.done")
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def finished_workspace(base: Path) -> Path:
    """A small workspace after one whole run, see :func:`made_once`."""

    def make(folder: Path) -> None:
        small_workspace(folder / "ws")
        run_here(folder / "ws")

    return made_once(base, "finished", make) / "ws"


def copy_workspace(source: Path, target: Path) -> Path:
    """Copy a workspace; its MLflow store then names the copy's own artifacts."""
    shutil.copytree(source, target, symlinks=True)
    store, record = target / "mlflow.db", target / ".tidemill" / "registered.json"
    if store.exists():
        with closing(sqlite3.connect(store)) as connection, connection:
            _rename_texts(connection, source, target)
    if record.exists():
        record.write_text(record.read_text().replace(str(source), str(target)))
    return target


def _rename_texts(connection: sqlite3.Connection, source: Path, target: Path) -> None:
    """In one pass; of MLflow's 65 tables most are empty."""
    names = (source.as_uri(), target.as_uri(), str(source), str(target))
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        if connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone() is None:  # noqa: S608
            continue
        for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = '  # noqa: S608
                f'replace(replace("{column}", ?1, ?2), ?3, ?4) WHERE typeof("{column}") = \'text\' '
                f'AND (instr("{column}", ?1) OR instr("{column}", ?3))',
                names,
            )


def output_hashes(root: Path, *stages: str) -> dict[str, str]:
    """SHA-256 of every file that the stages (default: all) have left, by relative path."""
    found: dict[str, str] = {}
    for stage in STAGES:
        if stages and stage.name not in stages:
            continue
        for out in stage.outs:
            place = root / out.path
            files = sorted(place.rglob("*")) if place.is_dir() else [place]
            found |= {
                file.relative_to(root).as_posix(): hash_file(file)
                for file in files
                if file.is_file()
            }
    return found
