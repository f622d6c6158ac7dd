"""``tidemill retrain`` and ``tidemill rollback``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.options import EngineOption, JsonOption, WaitOption, WorkspaceOption, existing
from tidemill.screen import Screen

if TYPE_CHECKING:
    from tidemill.config import Params
    from tidemill.contracts import Engine
    from tidemill.ingestion import LabelledRows
    from tidemill.storage import Workspace

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands to ``app``."""
    app.command("retrain")(retrain)
    app.command("rollback")(rollback)


def retrain(
    labelled: Annotated[
        str, typer.Option("--labelled", help="A file, folder or glob of labelled live rows.")
    ],
    decision: Annotated[
        str | None, typer.Option(help="Names the retraining; default: by the rows' content.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Kept with the new version of the data.")] = "",
    accused: Annotated[
        list[str] | None,
        typer.Option(
            help="A figure that confirmed the harm (again for more): it decides on proof rows "
            "in place of evaluation.metric."
        ),
    ] = None,
    workspace: WorkspaceOption = Path(),
    engine: EngineOption = None,
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Learn from labelled live rows, and promote the challenger if it is better on unseen ones.

    What the monitor starts for a decision, without monitor and Prefect. The same rows again go
    on, or find it done.
    """
    from tidemill.cli.observer import at_work
    from tidemill.config import load_params
    from tidemill.engines import open_engine
    from tidemill.pipeline import context_for, take_back
    from tidemill.retraining import Order
    from tidemill.retraining import retrain as run
    from tidemill.settings import load_settings

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    settings = load_settings(engine=engine)
    with (
        at_work(place, screen, wait=wait) as observer,
        open_engine(settings, preload=("tidemill.stages",), store=place.store()) as opened,
    ):
        take_back(place, observer.warned)  # before anything is read as params.yaml says
        params = load_params(place.root)
        rows = _Labelled(place, params, labelled, opened)
        order = Order(decision or rows.name, reason, tuple(accused or ()))
        done = run(place, rows, order, settings=settings, engine=opened, observer=observer)
        tracker = context_for(place, params, settings, opened).tracker
    facts = {**done.facts, "mlflow_run": tracker.run_page(done.facts["run_id"])}
    if as_json:
        screen.document(facts)
    screen.facts("retraining", {k: v for k, v in facts.items() if k != "odd_cells"})
    screen.table("odd cells", done.facts.get("odd_cells", ()))


class _Labelled:
    """Labelled rows in files of any kind that tidemill reads, as the workspace's table is."""

    def __init__(self, place: Workspace, params: Params, source: str, engine: Engine) -> None:
        from tidemill.ingestion import as_labelled, list_source
        from tidemill.storage import ShardManifest, SourceFiles, hash_json

        self._place, self._params = place, params
        where = SourceFiles(Path.cwd()).absolute(source)
        self._dataset = params.dataset.of_another(where)
        self._listing = list_source(
            self._dataset, place.root, engine, named="--labelled", given=source
        )
        given = dict.fromkeys(params.dataset.derive, "")
        # Where all is text, a number is as it is written.
        typed = self._listing.source(self._dataset, place.root).typed
        given |= {c.name: c.type if typed else "text" for c in self._listing.columns}
        self._schema = as_labelled(ShardManifest.read(place.shards).schema, given)
        self.name = f"rows-{hash_json([s.etag for s in self._listing.splits])[:12]}"

    def __call__(self) -> Iterator[LabelledRows]:
        from tidemill.ingestion import LabelledRows, read_split

        for split in self._listing.splits:
            for batch in read_split(
                split,
                self._schema,
                self._dataset,
                self._listing,
                self._place.root,
                batch_rows=self._params.ingestion.batch_rows,
            ):
                yield LabelledRows.of(batch, self._schema, split)


def rollback(
    reason: Annotated[str, typer.Option(help="Kept with the version that goes.")] = "",
    workspace: WorkspaceOption = Path(),
    wait: WaitOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Let the champion before this one serve again: model, reference and thresholds together."""
    from tidemill.config import load_params
    from tidemill.settings import load_settings
    from tidemill.storage import workspace_lock
    from tidemill.tracking import Tracker, roll_back

    screen = Screen(as_json=as_json)
    place = existing(workspace)
    params = load_params(place.root)
    tracker = Tracker(load_settings().tracking_uri(place.root), params.experiment_name)
    with workspace_lock(place, wait_seconds=wait):
        done = roll_back(tracker, params.model_name, reason=reason)
    reloaded = _reload_monitor(place.root)
    facts: dict[str, Any] = {**asdict(done), "monitor": reloaded}
    if as_json:
        screen.document(facts)
        return
    screen.note(
        f"{params.model_name}: version {done.version} is champion again, in place of {done.before}"
    )
    for note in done.notes:
        screen.note(f"warning: {note}")
    screen.note(f"monitor: {reloaded}")


def _reload_monitor(workspace: Path) -> str:
    """Ask the monitor to look now; it does by itself before long."""
    from tidemill.errors import TidemillError
    from tidemill.monitor_client import find_monitor

    try:
        with find_monitor(workspace, patience_seconds=1.0) as monitor:
            return f"serves version {monitor.post('/v1/models/reload')['version']}"
    except TidemillError:
        return "a running one follows within some seconds"
