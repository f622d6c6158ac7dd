"""A package beside tidemill with an engine of its own: the threads of this process."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import reduce
from itertools import islice

from threadpoolctl import threadpool_limits

__all__ = ["ThreadEngine"]

_AHEAD = 2


class ThreadEngine:
    """Keeps the contract of ``tidemill.contracts.Engine`` with nothing of tidemill's."""

    host = "127.0.0.1"

    def __init__(self, workers, *, preload=(), address=None):
        self.workers = workers
        self._threads = self._limits = None
        self._guard = threading.Lock()

    def map(self, function, items, *, label, progress=None, item_bytes=None):
        found = dict(self._told(self._run(function, items, None, False), len(items), progress))
        return [found[index] for index in range(len(items))]

    def fold(self, function, items, merge, *, label, progress=None):
        if not len(items):
            raise ValueError(f"{label}: nothing to fold")
        found = self._told(self._run(function, items, None, True), len(items), progress)
        return reduce(merge, (result for _, result in found))

    def stream(self, function, items, *, label, at_once=None, item_bytes=None):
        return self._run(function, items, at_once, False)

    def close(self):
        with self._guard:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
            self._limits.restore_original_limits()

    def _run(self, function, items, at_once, in_order):
        threads, waiting, todo = self._started(), {}, iter(enumerate(items))
        room = at_once or _AHEAD * self.workers
        try:
            while True:
                for index, item in islice(todo, room - len(waiting)):
                    waiting[threads.submit(function, item)] = index
                if not waiting:
                    return
                done = wait(waiting, return_when=FIRST_COMPLETED).done if not in_order else waiting
                future = next(iter(done))
                result = future.result()
                yield waiting.pop(future), result
                del done, future, result
        finally:
            for future in waiting:
                future.cancel()

    def _told(self, found, total, progress):
        for finished, pair in enumerate(found, start=1):
            if progress is not None:
                progress(finished, total)
            yield pair
            del pair

    def _started(self):
        with self._guard:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.workers)
                self._limits = threadpool_limits(1)
            return self._threads
