"""The dispatcher: one worker for calls to Prefect, and one for each channel."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from tidemill.config.monitoring import Channel
from tidemill.errors import TidemillError
from tidemill.ledger import Message
from tidemill_monitor.dispatch.channels import NOTIFICATION, ChannelGone, send
from tidemill_monitor.dispatch.outbox import OutboxWorker
from tidemill_monitor.dispatch.prefect import PrefectApi
from tidemill_monitor.dispatch.retraining import CANCEL_KIND, KIND, OUTCOME_KIND, Retraining

if TYPE_CHECKING:
    from tidemill_monitor.service import Service

__all__ = ["Dispatcher"]

PREFECT_CAP_SECONDS = 60.0
FOLLOW_SECONDS = 10.0

_log = structlog.get_logger("tidemill_monitor.dispatch")


class Dispatcher:
    """Delivers the outbox and follows flow runs, in threads of its own.

    Parameters
    ----------
    service : Service

    Notes
    -----
    One worker, and thread, for the calls to Prefect and one for each channel of params.yaml (32 at
    most): a receiver that hangs holds up no other one, and no retraining. Messages to channels
    that are not there any more have a worker of their own.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        settings = service.settings
        self._channels = {c.name: c for c in service.params.monitoring.alerts.channels}
        self.retraining = Retraining(
            service.ledger,
            PrefectApi(settings.prefect_api_url or "", ui_url=settings.prefect_link),
            service.params.monitoring.retraining,
            workspace=str(settings.root),
            monitor_url=settings.report_url,
            promoted=self._promoted,
        )
        calls = {
            KIND: self.retraining.launch,
            CANCEL_KIND: self.retraining.cancel,
            OUTCOME_KIND: self.retraining.ask_outcome,
        }
        tell, names = {NOTIFICATION: self._notify}, tuple(self._channels)
        self._workers = {
            "prefect": OutboxWorker(
                service.ledger, calls, service.clock, cap_seconds=PREFECT_CAP_SECONDS
            ),
            **{
                f"to-{name}": OutboxWorker(service.ledger, tell, service.clock, targets=(name,))
                for name in names
            },
            "strays": OutboxWorker(service.ledger, tell, service.clock, besides=names),
        }
        self._stopping = threading.Event()
        self._follower: threading.Thread | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to deliver."""
        self._unsubscribe = self._service.ledger.on_commit(self._woken)
        for name, worker in self._workers.items():
            worker.start(f"outbox-{name}")
        self._follower = threading.Thread(target=self._follow, name="flow-runs", daemon=True)
        self._follower.start()

    def stop(self) -> None:
        """End after the messages at hand, within ten seconds."""
        self._stopping.set()
        self._unsubscribe()
        for worker in self._workers.values():
            worker.stop()
        end = time.monotonic() + 10.0
        for worker in self._workers.values():
            worker.join(max(0.0, end - time.monotonic()))
        if self._follower is not None:
            self._follower.join(max(0.0, end - time.monotonic()))
        self.retraining.prefect.close()

    def work(self) -> int:
        """Deliver what is due now, in the calling thread; for tests and for one-off commands."""
        return sum(worker.work() for worker in self._workers.values())

    def _woken(self, topics: frozenset[str]) -> None:
        if "outbox" in topics:
            for worker in self._workers.values():
                worker.wake()

    def _notify(self, message: Message, now: dt.datetime) -> None:
        send(self._channel(message.target), message.payload, message_id=_id_of(message), now=now)

    def _channel(self, name: str) -> Channel:
        if name in self._channels:
            return self._channels[name]
        raise ChannelGone(
            f"params.yaml has no channel {name} any more",
            remedy="add it to monitoring.alerts.channels again, then replay the message",
            channel=name,
        )

    def _promoted(self) -> None:
        try:
            self._service.champion.reload()
        except TidemillError as exc:
            _log.warning("reload_failed", error=exc.message)
        self._service.topics.publish("models", "decisions")

    def _follow(self) -> None:
        while not self._stopping.wait(FOLLOW_SECONDS):
            try:
                if self.retraining.follow(self._service.clock()):
                    self._service.topics.publish("decisions")
            except TidemillError as exc:
                _log.info("flow_runs_unknown", error=exc.message)
            except Exception:
                _log.exception("follow_defect")


def _id_of(message: Message) -> str:
    """The same for every attempt and every replay, so that receivers can tell."""
    return f"msg_{message.id}_{int(message.created_at.timestamp())}"
