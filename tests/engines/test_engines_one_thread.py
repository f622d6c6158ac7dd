"""Libraries compute in one thread inside the block, also those that were loaded since."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

from tidemill.engines.one_thread import one_thread

PLATFORM = Path(__file__).parents[2] / "platform"
LATER = """
from threadpoolctl import threadpool_info
from tidemill.engines.one_thread import one_thread
def threads(): return [library["num_threads"] for library in threadpool_info()]
with one_thread(): before = len(threads())
import scipy.linalg  # has a BLAS of its own
assert len(threads()) > before
with one_thread(): assert set(threads()) == {1}, threads()
assert set(threads()) == {2}, threads()
"""


def threads(user_api: str) -> set[int]:
    """Numbers of threads that libraries of this kind may use."""
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == user_api}


def test_inside_there_is_one_thread_and_afterwards_as_many_as_before():
    """Blocks lie in each other; one kind of libraries leaves the other alone."""
    import numpy  # noqa: F401 - brings a BLAS
    import sklearn.metrics  # noqa: F401 - brings OpenMP

    with threadpool_limits(2):
        with one_thread("blas"):
            assert (threads("blas"), threads("openmp")) == ({1}, {2})
            with one_thread():
                assert (threads("blas"), threads("openmp")) == ({1}, {1})
            assert (threads("blas"), threads("openmp")) == ({1}, {2})
        assert (threads("blas"), threads("openmp")) == ({2}, {2})


def test_a_library_that_is_loaded_later_is_found():
    """The list is kept only as long as no module is imported."""
    environment = {"PYTHONPATH": str(PLATFORM), "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", LATER], check=True, env=environment)
