"""What leaves the monitor: calls to Prefect, notifications; from an outbox, signed, guarded."""

from tidemill_monitor.dispatch.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
