from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from functools import partial

import pytest

from tidemill.engines import LocalEngine
from tidemill.errors import KeyInvalid, ServiceUnavailable, StorageFailed, WorkerLost
from tidemill.orchestration import PrefectEngine, run_through_prefect
from tidemill.orchestration.tasks import run_children
from tidemill.testing.errands import (
    die_once,
    die_over_again,
    fail_once,
    modules_loaded,
    refuse,
    square,
    touch_slowly,
)


def test_shards_are_child_tasks_that_the_api_shows(
    workspace, settings, pipeline_of, said, only_run
):
    """A sharded stage has its groups as completed child tasks, named by stage and number."""
    seen = []

    def ingest(engine):
        results = engine.map(
            square,
            range(7),
            label="ingest",
            progress=lambda done, total: seen.append((done, total)),
        )
        return said({"results": results})

    summary = run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    assert summary.stages[0].result.facts["results"] == [0, 1, 4, 9, 16, 25, 36]
    assert seen == [(n, 7) for n in range(1, 8)]
    tasks = only_run().tasks
    assert set(tasks) == {"ingest", *(f"ingest {n}/7" for n in range(1, 8))}
    assert {task.state_name for task in tasks.values()} == {"Completed"}


def test_an_error_stops_the_others_where_it_is_raised(workspace, settings, pipeline_of, said):
    """Not when Prefect has written so; it is raised itself, though others end before it."""
    began, stopped = threading.Event(), threading.Event()
    stoppers, more = [], []

    def bad():
        assert began.wait(60)
        raise KeyInvalid("no key", remedy="give one")

    def other():
        began.set()
        assert stopped.wait(60)
        raise CancelledError("another one failed")

    def stop():
        stoppers.append(threading.current_thread())
        stopped.set()

    def ingest(_):
        with pytest.raises(KeyInvalid, match="no key"):
            run_children(
                [bad, other, *[lambda: more.append(1)] * 6],
                label="ingest",
                threads=2,
                retries=2,
                retry_delay_seconds=0,
                stop=stop,
            )
        assert stoppers[0] is not threading.current_thread()
        assert more == []
        return said()

    run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))


@pytest.mark.slow
def test_a_stage_has_about_fifty_children_at_most(workspace, settings, pipeline_of, said, only_run):
    """However many shards and maps a stage has, Prefect sees about fifty tasks of it."""

    def shard(engine):
        for _ in range(4):
            assert engine.map(square, range(300), label="shard") == [n * n for n in range(300)]
        return said()

    run_through_prefect(workspace, settings, pipeline=pipeline_of(shard=shard))

    # 25 + 12 + 6 + 3, and the stage itself.
    assert only_run().n_tasks == 47


def test_workers_do_not_import_prefect(workspace, settings, pipeline_of, said):
    """The processes that do the work hold our code and not Prefect's."""

    def ingest(engine):
        loaded = engine.map(modules_loaded, ["prefect", "tidemill.engines"], label="ingest")
        return said({"prefect": loaded[0], "engines": loaded[1]})

    summary = run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    facts = summary.stages[0].result.facts
    assert facts["prefect"] == []
    assert "tidemill.engines.local" in facts["engines"]


def test_a_killed_worker_is_retried_in_a_new_pool(
    workspace, settings, pipeline_of, said, only_run, tmp_path
):
    """A worker that is killed once costs a retry of its group, which the API shows."""

    def ingest(engine):
        work = partial(die_once, bad=3, folder=tmp_path)
        at_once = PrefectEngine(engine.inner, retry_delay_seconds=0)
        return said({"results": at_once.map(work, range(6), label="ingest")})

    summary = run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    assert summary.stages[0].result.facts["results"] == [0, 1, 2, 3, 4, 5]
    tasks = only_run().tasks
    assert tasks["ingest 4/6"].run_count == 2
    assert tasks["ingest"].run_count == 1


def test_an_error_that_a_retry_can_help_is_retried(
    workspace, settings, pipeline_of, said, only_run, tmp_path
):
    """A failed write is tried again, because its type says so."""

    def ingest(engine):
        work = partial(fail_once, folder=tmp_path)
        at_once = PrefectEngine(engine.inner, retry_delay_seconds=0)
        return said({"results": at_once.map(work, range(2), label="ingest")})

    summary = run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    assert summary.stages[0].result.facts["results"] == [0, 1]
    tasks = only_run().tasks
    assert {tasks[f"ingest {n}/2"].run_count for n in (1, 2)} == {2}


@pytest.mark.slow
def test_an_error_of_the_data_is_not_retried(workspace, settings, pipeline_of, said, only_run):
    """Refused data arrive as their own type, after one attempt, with fields and remedy."""

    def ingest(engine):
        engine.map(partial(refuse, bad=2), range(4), label="ingest")
        return said()

    with pytest.raises(KeyInvalid) as caught:
        run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    assert caught.value.fields["number"] == 2
    assert caught.value.remedy == "take another one"
    run = only_run(of="ingest")
    assert run.state.name == "Failed"
    assert "number 2 is bad" in run.state.message
    assert {task.run_count for task in run.tasks.values()} <= {0, 1}


@pytest.mark.slow
def test_a_worker_lost_for_good_is_an_error_of_its_own(
    workspace, settings, pipeline_of, said, only_run
):
    """When every attempt kills its worker, WorkerLost arrives and the stage does not repeat it."""

    def ingest(engine):
        quick = PrefectEngine(engine.inner, retries=1, retry_delay_seconds=0)
        quick.map(partial(die_over_again, bad=1), range(2), label="ingest")
        return said()

    with pytest.raises(WorkerLost, match="died during ingest"):
        run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    tasks = only_run(of="ingest").tasks
    assert tasks["ingest"].run_count == 1


@pytest.mark.slow
def test_a_service_that_comes_back_costs_one_more_attempt(
    workspace, settings, pipeline_of, said, only_run
):
    """A stage whose own error a retry can help runs once more."""
    attempts = []

    def register(_engine):
        attempts.append(1)
        if len(attempts) == 1:
            raise ServiceUnavailable("MLflow is away", remedy="wait")
        return said({"version": 1})

    summary = run_through_prefect(workspace, settings, pipeline=pipeline_of(register=register))

    assert summary.stages[0].result.facts == {"version": 1}
    tasks = only_run().tasks
    assert tasks["register"].run_count == 2


@pytest.mark.slow
def test_the_first_error_stops_the_others(workspace, settings, pipeline_of, said, tmp_path):
    """After an error no further item begins."""
    folder = tmp_path / "done"
    folder.mkdir()

    def ingest(engine):
        work = partial(touch_slowly, folder=folder, bad=0, seconds=0.05)
        # Four groups of 150: those that run when the first fails have far to go.
        PrefectEngine(engine.inner, max_children=8).map(work, range(600), label="ingest")
        return said()

    with pytest.raises(KeyInvalid):
        run_through_prefect(workspace, settings, pipeline=pipeline_of(ingest=ingest))

    refused_at = (folder / "0").stat().st_mtime_ns
    assert sum(path.stat().st_mtime_ns > refused_at for path in folder.iterdir()) < 100


def test_one_worker_means_this_process(workspace, settings, pipeline_of, said):
    """With one worker no process is started, and the errors are the same."""
    threads = []

    def ingest(engine):
        def work(number):
            threads.append(threading.get_ident())
            return refuse(number, bad=5)

        assert engine.map(work, range(5), label="ingest") == [0, 1, 2, 3, 4]
        assert engine.map(work, [], label="ingest") == []
        engine.map(work, [5], label="ingest")
        return said()

    with LocalEngine(1) as inner, pytest.raises(KeyInvalid):
        run_through_prefect(workspace, settings, engine=inner, pipeline=pipeline_of(ingest=ingest))

    assert len(threads) == 6


def test_retries_end(workspace, settings, pipeline_of, said, tmp_path):
    """An error that stays is raised as it is after the last attempt."""

    def ingest(engine):
        def work(number):
            raise StorageFailed(f"no disk for {number}", remedy="buy one")

        PrefectEngine(engine.inner, retries=1, retry_delay_seconds=0).map(work, [1], label="ingest")
        return said()

    with LocalEngine(1) as inner, pytest.raises(StorageFailed, match="no disk for 1"):
        run_through_prefect(workspace, settings, engine=inner, pipeline=pipeline_of(ingest=ingest))
