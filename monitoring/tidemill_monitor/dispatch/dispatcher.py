"""The dispatcher: one worker for calls to Prefect, and one for each channel."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import structlog

from tidemill.config import Params
from tidemill.config.monitoring import Channel
from tidemill.errors import TidemillError
from tidemill.ledger import Ledger, Message
from tidemill.repeating import Every, stop_all
from tidemill_monitor.dispatch.channels import NOTIFICATION, ChannelGone, Deadlines, send
from tidemill_monitor.dispatch.flow_runs import CANCEL_KIND, KIND, OUTCOME_KIND, Retraining
from tidemill_monitor.dispatch.outbox_worker import OutboxWorker
from tidemill_monitor.dispatch.prefect import PrefectApi
from tidemill_monitor.monitor_settings import MonitorSettings
from tidemill_monitor.serving.champion import ChampionHolder
from tidemill_monitor.topics import Topics

__all__ = ["Dispatcher"]

PREFECT_CAP_SECONDS = 60.0
FOLLOW_SECONDS = 10.0
STOP_SECONDS = 10.0

_log = structlog.get_logger("tidemill_monitor.dispatch")


class Dispatcher:
    """Delivers the outbox and follows flow runs, in threads of its own.

    Parameters
    ----------
    params : Params
    settings : MonitorSettings
        Where Prefect is, and where flows report.
    ledger : Ledger
    champion : ChampionHolder
        Loaded anew when a flow has promoted.
    topics : Topics
        Told what has changed.
    clock : callable
        Gives the time, aware and UTC.
    deadlines : Deadlines
        How long channels are waited for.

    Notes
    -----
    One worker, and thread, for the calls to Prefect and one for each channel of params.yaml (32 at
    most): a receiver that hangs holds up no other one, and no retraining. Messages to channels
    that are not there any more have a worker of their own.
    """

    def __init__(
        self,
        *,
        params: Params,
        settings: MonitorSettings,
        ledger: Ledger,
        champion: ChampionHolder,
        topics: Topics,
        clock: Callable[[], dt.datetime],
        deadlines: Deadlines = Deadlines(),  # noqa: B008 - a constant
    ) -> None:
        self._patience = deadlines
        self._ledger, self._clock = ledger, clock
        self._champion, self._topics = champion, topics
        self._channels = {c.name: c for c in params.monitoring.alerts.channels}
        self.retraining = Retraining(
            ledger,
            PrefectApi(settings.prefect_api_url or "", ui_url=settings.prefect_link),
            params.monitoring.retraining,
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
        self._workers = (
            OutboxWorker(ledger, calls, clock, name="prefect", cap_seconds=PREFECT_CAP_SECONDS),
            *(OutboxWorker(ledger, tell, clock, name=f"to-{n}", targets=(n,)) for n in names),
            OutboxWorker(ledger, tell, clock, name="strays", besides=names),
        )
        follower = Every(FOLLOW_SECONDS, self._follow, name="flow-runs")
        self._loops = (*(worker.loop for worker in self._workers), follower)
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to deliver what the outbox holds, and to follow flow runs."""
        self._unsubscribe = self._ledger.on_commit(self._woken)
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """End after the messages at hand, within ten seconds."""
        self._unsubscribe()
        stop_all(self._loops, STOP_SECONDS)
        self.retraining.prefect.close()

    def work(self) -> int:
        """Deliver what is due now, in the calling thread; for tests and for one-off commands."""
        return sum(worker.work() for worker in self._workers)

    def _woken(self, topics: frozenset[str]) -> None:
        if "outbox" in topics:
            for worker in self._workers:
                worker.loop.wake()

    def _notify(self, message: Message, now: dt.datetime) -> None:
        send(
            self._channel(message.target),
            message.payload,
            message_id=_id_of(message),
            now=now,
            deadlines=self._patience,
        )

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
            self._champion.reload()
        except TidemillError as exc:
            _log.warning("reload_failed", error=exc.message)
        self._topics.publish("models", "decisions")

    def _follow(self) -> None:
        try:
            if self.retraining.follow(self._clock()):
                self._topics.publish("decisions")
        except TidemillError as exc:
            _log.info("flow_runs_unknown", error=exc.message)


def _id_of(message: Message) -> str:
    """The same for every attempt and every replay, so that receivers can tell."""
    return f"msg_{message.id}_{int(message.created_at.timestamp())}"
