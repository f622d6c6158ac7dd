"""How the monitor logs: one line an event on stderr, and no values of variables."""

from __future__ import annotations

import sys

import structlog

__all__ = ["configure_logs"]


def configure_logs() -> None:
    """Let structlog write plain lines to stderr, unless the process has its own way already.

    Its own default draws tracebacks with every local variable: rows, keys and addresses that
    hold secrets would end up in the log.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
