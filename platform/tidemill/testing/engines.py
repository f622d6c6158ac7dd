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
import os
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import tidemill
from tidemill.contracts import AHEAD, Engine
from tidemill.errors import StorageFailed, TooFewRows, WorkerLost

__all__ = ["EngineContract", "refuse", "square"]

_MANY = 120
"""Items of the tests that count: many more than any engine may begin ahead."""

_seen: Counter[tuple[str, str]] = Counter()
"""What this process has done: in a worker, what items find there of those before them."""


def square(number: int) -> int:
    """Square; larger numbers come back sooner."""
    time.sleep(0.02 / (1 + number))
    return number * number


def refuse(bad: frozenset[int], number: int) -> int:
    """Raise an error of ours, with fields, for the numbers in ``bad``."""
    if number in bad:
        raise TooFewRows(f"refused {number}", remedy="send another", number=number)
    return number


def _reached(host: str, port: int) -> bool:
    """Whether something listens there."""
    with socket.create_connection((host, port), timeout=10):
        return True


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
                reach = partial(_reached, engine.host)
                ports = [int(near.getsockname()[1])] * engine.workers
                assert all(engine.map(reach, ports, label="reach"))
        except OSError as exc:
            pytest.fail(f"{engine.host} is no address of this machine for them: {exc}")

    def test_results_keep_the_order_of_items(self, engine: Engine) -> None:
        """Results come in the order of items, whichever is finished first."""
        assert engine.map(square, list(range(12)), label="squares") == [n * n for n in range(12)]

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
        told = engine.fold(_named, items, _joined, label="words")
        assert told == functools.reduce(_joined, map(_named, items))
        assert engine.fold(_named, items[:1], _joined, label="words") == "0"

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
        _Held.most = _Held.alive = 0
        merged = engine.fold(_Held, list(range(_MANY)), _Held.merge, label="held")
        assert merged.number == sum(range(_MANY))
        assert _Held.most <= AHEAD * engine.workers + 8

    def test_a_fold_begins_few_items(self, engine: Engine) -> None:
        """While the caller merges no more items begin than the protocol allows."""

        def linger(*_: int) -> int:
            time.sleep(0.15)
            return _fail(0)

        token = secrets.token_hex(8)
        with pytest.raises(ZeroDivisionError):
            engine.fold(partial(_mark, token, frozenset()), range(_MANY), linger, label="marks")
        assert _begun(engine, token) <= AHEAD * engine.workers + 2

    def test_one_thread_a_worker(self, engine: Engine) -> None:
        """BLAS has one thread while a function runs, whatever the door."""
        found = engine.map(_threads, [1, 2, 3], label="threads")
        found += engine.map(_threads, [1], label="threads")
        found.append(engine.fold(_threads, [1, 2, 3], max, label="threads"))
        found += [n for _, n in engine.stream(_threads, [1, 2, 3], label="threads")]
        assert set(found) == {1}

    def test_constants_are_shipped_once_a_worker(self, engine: Engine) -> None:
        """What is bound to the function is packed once and unpacked once a worker."""
        for call in (engine.map, partial(engine.fold, merge=max)):
            constant = _Constant()
            arrivals = call(partial(_arrivals, constant), list(range(_MANY)), label="constants")
            arrivals = arrivals if isinstance(arrivals, list) else [arrivals]
            assert max(arrivals) <= 1
            assert constant.packed <= _MANY // 2

    def test_workers_see_the_same_packages(self, engine: Engine) -> None:
        """Workers have the caller's Python and packages."""
        assert set(engine.map(_versions, [1, 2], label="versions")) == {_versions(0)}

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
            engine.map(_fail, [1, 2], label="failures")

    def test_a_lost_worker_is_told(self, engine: Engine) -> None:
        """A worker process that dies is ``WorkerLost``, and a later map finds others."""
        here = _place()
        if here in engine.map(_where, [1, 2], label="places"):
            return  # with nobody to lose but the caller
        with pytest.raises(WorkerLost):
            engine.map(partial(_die, here), [1, 2, 3], label="deaths")
        assert engine.map(square, [2, 3], label="squares") == [4, 9]

    def test_an_error_stops_the_work(self, engine: Engine) -> None:
        """After an error nothing begins beyond what had been handed out."""
        for call in _DOORS:
            token = secrets.token_hex(8)
            with pytest.raises(TooFewRows):
                call(engine, partial(_mark, token, frozenset({3})), range(_MANY))
            assert _begun(engine, token) < _MANY // 2

    def test_an_error_of_the_caller_stops_the_work(self, engine: Engine) -> None:
        """What ``progress`` or ``merge`` raises is raised, and cancels what has not begun."""

        def stop(*told: Any) -> Any:
            raise KeyError(told)

        fold = partial(engine.fold, merge=stop)
        for call in (partial(engine.map, progress=stop), partial(fold, progress=stop), fold):
            token = secrets.token_hex(8)
            with pytest.raises(KeyError):
                call(partial(_mark, token, frozenset()), range(_MANY), label="marks")
            assert _begun(engine, token) < _MANY // 2

    def test_leaving_a_stream_stops_the_work(self, engine: Engine) -> None:
        """A caller that leaves a stream cancels what has not begun."""
        token = secrets.token_hex(8)
        stream = engine.stream(partial(_mark, token, frozenset()), range(_MANY), label="marks")
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

            function = partial(_fail_first, secrets.token_hex(8))
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


def _named(number: int) -> str:
    time.sleep(0.01 / (1 + number))
    return str(number)


def _joined(left: str, right: str) -> str:
    return f"({left} {right})"


def _fail(number: int) -> int:
    raise ZeroDivisionError(f"number {number}")


def _versions(_: int) -> tuple[str, ...]:
    import numpy as np

    return tidemill.__version__, np.__version__, *map(str, sys.version_info[:2])


def _threads(_: int) -> int:
    import numpy  # noqa: F401 - brings its BLAS
    from threadpoolctl import threadpool_info

    return max(int(lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas")


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


class _Held:
    """A result that knows how many of its kind this process holds."""

    alive = 0
    most = 0

    def __init__(self, number: int) -> None:
        self.number = number
        _Held.alive += 1
        _Held.most = max(_Held.most, _Held.alive)

    def __del__(self) -> None:
        _Held.alive -= 1

    def __reduce__(self) -> tuple[Any, ...]:
        return _Held, (self.number,)

    def merge(self, other: _Held) -> _Held:
        return _Held(self.number + other.number)


class _Constant:
    """Counts how often it was packed, where it is; and unpacked, where it arrives."""

    def __init__(self) -> None:
        self.name, self.packed = secrets.token_hex(8), 0

    def __reduce__(self) -> tuple[Any, ...]:
        self.packed += 1
        return _arrive, (self.name,)


def _arrive(name: str) -> _Constant:
    constant = _Constant()
    constant.name = name
    _seen[name, _process()] += 1
    return constant


def _arrivals(constant: _Constant, _: int) -> int:
    return _seen[constant.name, _process()]


def _place() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _where(_: int) -> tuple[str, int]:
    return _place()


def _die(caller: tuple[str, int], number: int) -> int:
    if number == 2 and _place() != caller:
        os._exit(7)
    return number


def _process() -> str:
    # Processes that were forked share what was counted before.
    return str(os.getpid())


def _mark(token: str, bad: frozenset[int], number: int) -> int:
    _seen[token, _process()] += 1
    time.sleep(0.01)
    return refuse(bad, number)


def _begun(engine: Engine, token: str) -> int:
    """Items that workers have begun; whatever is still queued comes before the question."""
    asked = engine.map(partial(_tell, token), range(AHEAD * engine.workers), label="begun")
    return sum(dict(asked).values())


def _tell(token: str, _: int) -> tuple[tuple[str, int], int]:
    time.sleep(0.02)
    return _place(), _seen[token, _process()]


def _fail_first(token: str, number: int) -> list[int]:
    """Fail for the third item at first, in each process, with an error that a retry can help."""
    if number == 2 and not _seen[token, _process()]:
        _seen[token, _process()] += 1
        raise StorageFailed("no disk", remedy="try again")
    return [number]
