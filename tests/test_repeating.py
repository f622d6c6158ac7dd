"""A call that comes again keeps coming, and ends when it is told to."""

import threading
import time

from tidemill.repeating import Every, stop_all


def test_a_defect_does_not_end_the_calls():
    """What a call raises is logged; the next one comes all the same."""
    calls, enough = [], threading.Event()

    def call():
        calls.append(1)
        if len(calls) == 3:
            enough.set()
        raise ValueError("a defect")

    loop = Every(0.001, call, name="calls")
    loop.start()
    assert enough.wait(10)
    loop.stop()
    ended = len(calls)
    time.sleep(0.02)
    assert len(calls) == ended


def test_who_is_woken_does_not_wait_for_the_pause():
    """At once at the start, and again whenever it is woken."""
    called = threading.Semaphore(0)
    loop = Every(3600.0, called.release, name="sleeper", at_once=True)
    loop.start()
    assert called.acquire(timeout=10)
    loop.wake()
    assert called.acquire(timeout=10)
    loop.stop()
    assert not called.acquire(blocking=False)


def test_one_that_hangs_is_not_waited_for():
    """They are told together, and the wait for all of them is bounded."""
    begun, end = threading.Event(), threading.Event()
    hangs = Every(3600.0, lambda: (begun.set(), end.wait(30)), name="hangs", at_once=True)
    rests = Every(3600.0, end.set, name="rests")
    for loop in (hangs, rests):
        loop.start()
    assert begun.wait(10)
    stop_all((hangs, rests), 0.05)
    assert hangs.stopping
    assert not end.is_set(), "the one that rested was not called once more"
    end.set()
