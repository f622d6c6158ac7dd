"""One thread for the libraries that would take several: sums must not depend on where they run."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


def one_thread(user_api: str | None = None) -> AbstractContextManager[object]:
    """Inside the block the libraries that are loaded compute in one thread.

    Parameters
    ----------
    user_api : {"blas", "openmp"}, optional
        Those alone; default: all of them.

    Notes
    -----
    To find them takes some milliseconds (the list of all that the process has mapped), so it is
    done once as long as no module is imported.
    """
    modules = [*sys.modules]
    libraries = _libraries(len(modules), modules[-1])
    limited: AbstractContextManager[object] = libraries.limit(limits=1, user_api=user_api)
    return limited


@lru_cache(maxsize=1)
def _libraries(count: int, newest: str) -> ThreadpoolController:  # noqa: ARG001 - what it stands for
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
