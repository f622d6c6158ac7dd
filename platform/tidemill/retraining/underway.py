"""One retraining, from its order to its outcome: the steps by the runner of the main job."""

from __future__ import annotations

from tidemill.config import load_params
from tidemill.contracts import Engine
from tidemill.pipeline import Execute, Observer, Quiet, Runner, context_for, runs_ended, take_back
from tidemill.retraining.job import RetrainingJob
from tidemill.retraining.order import Order, Outcome, Rows, keep_outcome, outcome_of, sweep
from tidemill.retraining.steps import STEPS, facts_of
from tidemill.settings import Settings
from tidemill.storage import Workspace

__all__ = ["retrain"]


def retrain(
    workspace: Workspace,
    rows: Rows,
    order: Order,
    *,
    settings: Settings,
    engine: Engine,
    execute: Execute = lambda _name, call: call(),
    observer: Observer | None = None,
) -> Outcome:
    """Learn from labelled live rows, and promote the challenger if it is better.

    The caller holds the workspace lock.

    Parameters
    ----------
    rows : callable
        Opens the labelled rows: ``event_id``, ``at``, the features, the target; the same ones at
        every call. Called once, when they were not gathered before.
    execute : callable
        Runs a step's call, for example as a Prefect task.

    Raises
    ------
    ModelMissing
        If there is no champion.
    ConfigError
        If the shards are not those of the present settings and data.
    TidemillError
        Whatever a step raises; the next call goes on after the last finished step.
    """
    done = outcome_of(workspace, order.decision)
    if done is not None:
        sweep(workspace, order.decision)
        return done
    watcher: Observer = observer or Quiet()
    take_back(workspace, watcher.warned)
    params = load_params(workspace.root)
    context = context_for(workspace, params, settings, engine)
    with runs_ended(context):
        job = RetrainingJob.begun(context, params, order, rows)
        # Without a record beside them: a step's receipt knows what stands, and is current then.
        runs = Runner(context, job, execute, watcher).run(STEPS)
        facts = {**facts_of(context, job), **runs[-1].result.facts}
    return keep_outcome(workspace, order, facts, runs)
