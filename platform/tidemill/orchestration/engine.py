"""The Prefect engine: shards as child tasks, each waiting on another engine.

Prefect sees about fifty child tasks a stage, whatever the number of shards, and retries those
whose error says that a retry can help. The work itself happens in the inner engine's workers,
where Prefect is not imported.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from typing import TypeVar

from tidemill.contracts import AHEAD, Engine, Metered, Progress, WorkerCosts
from tidemill.orchestration.merging import Merging

__all__ = ["PrefectEngine"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Done = TypeVar("Done")


class PrefectEngine:
    """Maps and folds with child tasks of the task that runs now, over any engine.

    Parameters
    ----------
    inner : Engine
        Does the work; the caller closes it.
    max_children : int
        About as many child tasks has one stage. A stage with several maps shares them: each map
        takes at most half of what is left, and never fewer than two.
    retries : int
        How often a child task is tried again after an error that is ``retryable``.
    retry_delay_seconds : float

    Notes
    -----
    Nothing is kept in Prefect's result store: what a stage wrote to disk is what a resumed run
    goes by. Memory: what the inner engine needs.
    """

    def __init__(
        self,
        inner: Engine,
        *,
        max_children: int = 50,
        retries: int = 2,
        retry_delay_seconds: float = 1.0,
    ) -> None:
        self.inner = inner
        self._max_children = max_children
        self._retries = retries
        self._retry_delay_seconds = retry_delay_seconds
        self._left: dict[object, int] = {}
        self._made_in = copy_context()
        _keep_main_out_of_workers()

    @property
    def workers(self) -> int:
        """Items at the same time, as the inner engine has it."""
        return self.inner.workers

    @property
    def host(self) -> str:
        """The address by which workers reach this process, as the inner engine has it."""
        return self.inner.host

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        label: str,
        progress: Progress | None = None,
        item_bytes: int | None = None,
    ) -> list[Result]:
        """Return ``[function(item) for item in items]``, in order; see ``Engine.map``.

        A child task is a group of neighbours.

        Raises
        ------
        WorkerLost
            If worker processes died in every attempt.
        BudgetExceeded
            If a worker has no room for ``item_bytes``.
        """
        if not items:
            return []
        groups = _grouped(len(items), self._children(len(items)))
        count = _Count(len(items), progress)
        # All groups that run at once together begin what one map of the inner engine would.
        at_once = -(-AHEAD * self.workers // min(len(groups), self._threads))

        def work(group: range, tell: Progress) -> list[Result]:
            found: dict[int, Result] = {}
            todo = [items[i] for i in group]
            stream = self.inner.stream(
                function, todo, label=label, at_once=at_once, item_bytes=item_bytes
            )
            for at, result in stream:
                found[at] = result
                tell(len(found), len(group))
            return [found[at] for at in range(len(group))]

        works = [partial(work, group, count.group()) for group in groups]
        results = self._run(works, label, count.stop)
        return [result for group in results for result in group]

    def fold(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        merge: Callable[[Result, Result], Result],
        *,
        label: str,
        progress: Progress | None = None,
    ) -> Result:
        """Return ``reduce(merge, map(function, items))``, from left to right; see ``Engine.fold``.

        A child task is a lane: every n-th item, of as many lanes as run at once, so that results
        come about in the order in which they are merged. A lane that is tried again goes on with
        the items that are not done.

        Raises
        ------
        ValueError
            If there are no items.
        WorkerLost
            If worker processes died in every attempt.
        """
        if not items:
            raise ValueError(f"{label}: nothing to fold")
        lanes = min(len(items), self._threads)
        self._children(lanes)
        merged = Merging(merge, len(items), ahead=AHEAD * self.workers, progress=progress)

        def work(lane: int) -> None:
            begun: list[int] = []

            def todo() -> Iterator[Item]:
                for index in range(lane, len(items), lanes):
                    if merged.awaits(index):
                        begun.append(index)
                        yield items[index]

            for at, result in self.inner.stream(function, todo(), label=label, at_once=1):
                merged.put(begun[at], result)

        self._run([partial(work, lane) for lane in range(lanes)], label, merged.stop)
        return merged.result()

    def stream(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        label: str,
        at_once: int | None = None,
        item_bytes: int | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield ``(index, result)`` of each item as it is done; see ``Engine.stream``.

        The inner engine's own: not child tasks, and not tried again.
        """
        return self.inner.stream(
            function, items, label=label, at_once=at_once, item_bytes=item_bytes
        )

    def take_costs(self) -> WorkerCosts | None:
        """What the inner engine's workers told; None if it is not ``Metered``."""
        return self.inner.take_costs() if isinstance(self.inner, Metered) else None

    def close(self) -> None:
        """Close the inner engine."""
        self.inner.close()

    @property
    def _threads(self) -> int:
        # One more than there are workers, so that none waits for the next group.
        return self.workers + (self.workers > 1)

    def _run(
        self, works: Sequence[Callable[[], Done]], label: str, stop: Callable[[], None]
    ) -> list[Done]:
        from tidemill.orchestration.tasks import current_task, run_children

        run = partial(
            run_children,
            works,
            label=label,
            threads=self._threads,
            retries=self._retries,
            retry_delay_seconds=self._retry_delay_seconds,
            stop=stop,
        )
        # A thread that the caller began knows neither the flow nor its server.
        return run() if current_task() is not None else self._made_in.copy().run(run)

    def _children(self, n_items: int) -> int:
        from tidemill.orchestration.tasks import current_task

        stage = current_task()
        left = self._left.get(stage, self._max_children)
        children = min(n_items, max(2, left // 2))
        if stage is not None:
            self._left[stage] = left - children
        return children


def _grouped(n_items: int, n_groups: int) -> list[range]:
    """Split the positions into consecutive groups whose sizes differ by one at most.

    >>> _grouped(7, 3)
    [range(0, 2), range(2, 4), range(4, 7)]
    """
    edges = [n_items * group // n_groups for group in range(n_groups + 1)]
    return [range(begin, end) for begin, end in pairwise(edges)]


class _Count:
    """Finished items over all groups; an attempt that repeats items does not count twice."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._finished = 0
        self._guard = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let groups that still run end at their next item: the map has failed."""
        self._stopped.set()

    def group(self) -> Progress:
        best = 0

        def tell(finished: int, _of_group: int, /) -> None:
            nonlocal best
            if self._stopped.is_set():
                raise CancelledError("another group of this map failed")
            with self._guard:
                if finished <= best:
                    return
                best = finished
                self._finished += 1
                if self._progress is not None:
                    self._progress(self._finished, self._total)

        return tell


def _keep_main_out_of_workers() -> None:
    # A worker process of multiprocessing imports its parent's main module again. Where Prefect
    # started this process (python -m prefect.flow_engine), that would load Prefect into each of
    # them, and nothing but the module's own words can tell multiprocessing not to.
    main = sys.modules.get("__main__")
    if main is not None and (getattr(main.__spec__, "name", None) or "").startswith("prefect."):
        main.__spec__ = None
        main.__file__ = None
