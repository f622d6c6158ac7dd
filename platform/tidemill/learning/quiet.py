"""LightGBM for fits: its threads wait passively, and its own log stays off the screen."""

from __future__ import annotations

import logging
from typing import Any

from tidemill.learning.threads import wait_passively

__all__ = ["load_lightgbm"]


class _Debug:
    """LightGBM's messages as debug events of the logger ``lightgbm``."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("lightgbm")

    def info(self, message: str) -> None:
        self._logger.debug(message.strip())

    warning = info


def load_lightgbm() -> Any:
    """The module ``lightgbm``; what its library says in this thread goes to ``logging``, at debug.

    Its verbosity comes too late: a thread's first dataset warns of tables too small for a split
    before the parameter is read. Refusals are exceptions and are not affected.
    """
    wait_passively()
    import lightgbm

    lightgbm.register_logger(_Debug())
    # The library keeps one callback a thread, and sets it only in the thread that imports it.
    library = lightgbm.basic._LIB  # type: ignore[attr-defined]
    library.LGBM_RegisterLogCallback(library.callback)
    return lightgbm
