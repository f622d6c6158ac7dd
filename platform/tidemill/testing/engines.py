# ruff: noqa: S101 - these are tests
"""What every engine must do: inherit :class:`EngineContract` and supply the fixture ``engine``.

Nothing here looks at files or at the clocks of workers: what happened in a worker comes back as a
result, so that an engine whose workers are other machines can pass. Of those in
``tidemill.testing.bad_engines`` each breaks one clause.
"""

from __future__ import annotations

import functools
import gc
import operator
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tidemill.contracts import AHEAD, Engine
from tidemill.errors import StorageFailed, TooFewRows, WorkerLost
from tidemill.testing.engine_items import (
    CountedConstant,
    HeldResult,
    arrivals,
    blas_threads,
    die,
    divide_by_zero,
    fail_first,
    is_reached,
    joined,
    mark,
    named,
    package_versions,
    place,
    refuse,
    square,
    tell,
    where,
)

__all__ = ["EngineContract"]

_MANY = 120
"""Items of the tests that count: many more than any engine may begin ahead."""


class EngineContract:
    """The contract of :class:`tidemill.contracts.Engine`, a test a clause.

    A subclass named ``Test...`` supplies a fixture ``engine``::

        class TestMyEngine(EngineContract):
            @pytest.fixture
            def engine(self):
                with closing(MyEngine(2)) as engine:
                    yield engine
    """

    def test_it_is_an_engine(self, engine: Engine) -> None:
        """It has what the protocol names, and at least one worker."""
        assert isinstance(engine, Engine)
        assert engine.workers >= 1

    def test_workers_reach_its_host(self, engine: Engine) -> None:
        """What listens here at its host, and at no other address, is reached by each worker."""
        try:
            with socket.create_server((engine.host, 0)) as near:
                reach = partial(is_reached, engine.host)
                ports = [int(near.getsockname()[1])] * engine.workers
                assert all(engine.map(reach, ports, label="reach"))
        except OSError as exc:
            pytest.fail(f"{engine.host} is no address of this machine for them: {exc}")

    def test_results_keep_the_order_of_items(self, engine: Engine) -> None:
        """Results come in the order of items, whichever is finished first."""
        for held in (None, 1 << 20):
            found = engine.map(square, list(range(12)), label="squares", item_bytes=held)
            assert found == [n * n for n in range(12)]

    def test_no_items_no_results(self, engine: Engine) -> None:
        """A map or a stream of nothing is nothing; a fold of nothing has no type to return."""
        assert engine.map(square, [], label="nothing") == []
        assert list(engine.stream(square, [], label="nothing")) == []
        with pytest.raises(ValueError, match="nothing"):
            engine.fold(square, [], max, label="nothing")

    def test_any_sequence_will_do(self, engine: Engine) -> None:
        """Items may be a tuple, as in manifests; the function may be a partial."""
        assert engine.map(partial(refuse, frozenset()), (3, 1, 2), label="tuple") == [3, 1, 2]

    def test_progress_counts_every_item_once(self, engine: Engine) -> None:
        """Progress is called once an item, rising by one to the total; of a fold too."""
        for count in (1, 5):
            for call in (engine.map, partial(engine.fold, merge=max)):
                steps: list[tuple[int, int]] = []

                def progress(*step: int, steps: list[tuple[int, int]] = steps) -> None:
                    steps.append(step)  # type: ignore[arg-type]

                call(square, list(range(count)), label="squares", progress=progress)
                assert steps == [(number, count) for number in range(1, count + 1)]

    def test_a_fold_merges_from_left_to_right(self, engine: Engine) -> None:
        """The fold is the one of the list: sums of floats are equal to the last bit."""
        items = list(range(15))
        told = engine.fold(named, items, joined, label="words")
        assert told == functools.reduce(joined, map(named, items))
        assert engine.fold(named, items[:1], joined, label="words") == "0"

    def test_a_stream_has_every_item_once(self, engine: Engine) -> None:
        """A stream yields each result once, with its place; items may come from a generator."""
        for told in ({}, {"item_bytes": 1 << 20}):
            found = list(engine.stream(square, iter(range(12)), label="squares", **told))
            assert sorted(found) == [(n, n * n) for n in range(12)]

    def test_a_stream_takes_items_as_there_is_room(self, engine: Engine) -> None:
        """No more items are taken ahead of the results than the protocol allows."""
        assert _most_ahead(engine, None) <= AHEAD * engine.workers

    def test_a_stream_holds_to_its_limit(self, engine: Engine) -> None:
        """With ``at_once`` no more items than that have been taken without a result."""
        assert _most_ahead(engine, 1) <= 1

    def test_a_fold_holds_few_results(self, engine: Engine) -> None:
        """However many items, the caller holds what is merged and a few results a worker."""
        gc.collect()
        HeldResult.most = HeldResult.alive = 0
        merged = engine.fold(HeldResult, list(range(_MANY)), HeldResult.merge, label="held")
        assert merged.number == sum(range(_MANY))
        assert HeldResult.most <= AHEAD * engine.workers + 8

    def test_a_fold_begins_few_items(self, engine: Engine) -> None:
        """While the caller merges no more items begin than the protocol allows."""

        def linger(*_: int) -> int:
            time.sleep(0.15)
            return divide_by_zero(0)

        token = secrets.token_hex(8)
        with pytest.raises(ZeroDivisionError):
            engine.fold(partial(mark, token, frozenset()), range(_MANY), linger, label="marks")
        assert _begun(engine, token) <= AHEAD * engine.workers + 2

    def test_one_thread_a_worker(self, engine: Engine) -> None:
        """BLAS has one thread while a function runs, whatever the door."""
        found = engine.map(blas_threads, [1, 2, 3], label="threads")
        found += engine.map(blas_threads, [1], label="threads")
        found.append(engine.fold(blas_threads, [1, 2, 3], max, label="threads"))
        found += [n for _, n in engine.stream(blas_threads, [1, 2, 3], label="threads")]
        assert set(found) == {1}

    def test_constants_are_shipped_once_a_worker(self, engine: Engine) -> None:
        """What is bound to the function is packed once and unpacked once a worker."""
        for call in (engine.map, partial(engine.fold, merge=max)):
            constant = CountedConstant()
            found = call(partial(arrivals, constant), list(range(_MANY)), label="constants")
            counts = found if isinstance(found, list) else [found]
            assert max(counts) <= 1
            assert constant.packed <= _MANY // 2

    def test_workers_see_the_same_packages(self, engine: Engine) -> None:
        """Workers have the caller's Python and packages."""
        assert set(engine.map(package_versions, [1, 2], label="versions")) == {package_versions(0)}

    def test_an_error_keeps_type_remedy_and_fields(self, engine: Engine) -> None:
        """An error of ours arrives whole, from whatever process and by whatever door."""
        function = partial(refuse, frozenset({4}))
        for items in ([4], [0, 1, 2, 4, 5]):
            for call in _DOORS:
                with pytest.raises(TooFewRows) as caught:
                    call(engine, function, items)
                assert caught.value.message == "refused 4"
                assert caught.value.remedy == "send another"
                assert caught.value.fields == {"number": 4}

    def test_a_foreign_error_keeps_its_type(self, engine: Engine) -> None:
        """An error that is not ours arrives as what it is."""
        with pytest.raises(ZeroDivisionError, match="number"):
            engine.map(divide_by_zero, [1, 2], label="failures")

    def test_a_lost_worker_is_told(self, engine: Engine) -> None:
        """A worker process that dies is ``WorkerLost``, and a later map finds others."""
        here = place()
        if here in engine.map(where, [1, 2], label="places"):
            return  # with nobody to lose but the caller
        with pytest.raises(WorkerLost):
            engine.map(partial(die, here), [1, 2, 3], label="deaths")
        assert engine.map(square, [2, 3], label="squares") == [4, 9]

    def test_an_error_stops_the_work(self, engine: Engine) -> None:
        """After an error nothing begins beyond what had been handed out."""
        for call in _DOORS:
            token = secrets.token_hex(8)
            with pytest.raises(TooFewRows):
                call(engine, partial(mark, token, frozenset({3})), range(_MANY))
            assert _begun(engine, token) < _MANY // 2

    def test_an_error_of_the_caller_stops_the_work(self, engine: Engine) -> None:
        """What ``progress`` or ``merge`` raises is raised, and cancels what has not begun."""

        def stop(*told: Any) -> Any:
            raise KeyError(told)

        fold = partial(engine.fold, merge=stop)
        for call in (partial(engine.map, progress=stop), partial(fold, progress=stop), fold):
            token = secrets.token_hex(8)
            with pytest.raises(KeyError):
                call(partial(mark, token, frozenset()), range(_MANY), label="marks")
            assert _begun(engine, token) < _MANY // 2

    def test_leaving_a_stream_stops_the_work(self, engine: Engine) -> None:
        """A caller that leaves a stream cancels what has not begun."""
        token = secrets.token_hex(8)
        stream = engine.stream(partial(mark, token, frozenset()), range(_MANY), label="marks")
        next(stream)
        stream.close()
        assert _begun(engine, token) < _MANY // 2

    def test_a_map_after_an_error_works(self, engine: Engine) -> None:
        """A failed map leaves the engine usable."""
        with pytest.raises(TooFewRows):
            engine.map(partial(refuse, frozenset({0})), [0, 1], label="refusals")
        assert engine.map(square, [2, 3], label="squares") == [4, 9]

    def test_an_item_that_runs_twice_counts_once(self, engine: Engine) -> None:
        """An engine that tries again, after an error that a retry can help, tells nothing twice."""
        for call in (engine.map, partial(engine.fold, merge=operator.add)):
            steps: list[int] = []

            def progress(finished: int, _: int, /, steps: list[int] = steps) -> None:
                steps.append(finished)

            function = partial(fail_first, secrets.token_hex(8))
            try:
                found = call(function, list(range(6)), label="retries", progress=progress)
            except StorageFailed:
                continue  # it does not try again: that is the caller's affair
            flat = found if isinstance(found[0], int) else [n for [n] in found]
            assert flat == list(range(6))
            assert steps == list(range(1, 7))

    def test_threads_may_call_it_at_once(self, engine: Engine) -> None:
        """Concurrent calls of several threads each get their own results."""
        results: dict[int, Any] = {}

        def call(number: int) -> None:
            items = list(range(number, number + 6))
            results[number] = (
                engine.map(square, items, label=f"squares {number}"),
                engine.fold(square, items, max, label=f"largest {number}"),
                sorted(engine.stream(square, items, label=f"stream {number}")),
            )

        threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(4):
            squares = [n * n for n in range(number, number + 6)]
            assert results.get(number) == (squares, max(squares), list(enumerate(squares)))

    def test_it_may_be_closed_again_and_used_again(self, engine: Engine) -> None:
        """``close`` may be called twice, and a later map finds workers."""
        engine.map(square, [1, 2], label="squares")
        engine.close()
        engine.close()
        assert engine.map(square, [2, 3], label="squares") == [4, 9]


_DOORS: tuple[Callable[[Engine, Callable[[int], int], Any], Any], ...] = (
    lambda engine, function, items: engine.map(function, items, label="map"),
    lambda engine, function, items: engine.fold(function, items, max, label="fold"),
    lambda engine, function, items: list(engine.stream(function, items, label="stream")),
)


def _most_ahead(engine: Engine, at_once: int | None) -> int:
    """The most items that a stream has taken without giving a result."""
    taken = given = most = 0

    def items() -> Iterator[int]:
        nonlocal taken, most
        for number in range(_MANY):
            taken += 1
            most = max(most, taken - given)
            yield number

    for _ in engine.stream(operator.pos, items(), label="stream", at_once=at_once):
        given += 1
    assert given == taken == _MANY
    return most


def _begun(engine: Engine, token: str) -> int:
    """Items that workers have begun; whatever is still queued comes before the question."""
    asked = engine.map(partial(tell, token), range(AHEAD * engine.workers), label="begun")
    return sum(dict(asked).values())
