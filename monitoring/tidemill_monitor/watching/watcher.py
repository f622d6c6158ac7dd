"""The watcher: every second it closes, judges, alerts and decides; a thread around a tick."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from tidemill.config import Params
from tidemill.drift import freshness_finding
from tidemill.errors import TidemillError
from tidemill.ledger import Alert, DecisionRow, Ledger, Window
from tidemill.profiling import Profile
from tidemill.repeating import Every, stop_all
from tidemill_monitor.dates import is_ahead
from tidemill_monitor.meters import Meters
from tidemill_monitor.monitor_settings import MonitorSettings
from tidemill_monitor.serving.champion import ChampionHolder
from tidemill_monitor.watching.alerting import Alerting
from tidemill_monitor.watching.approval import ask_for_approval
from tidemill_monitor.watching.benches import Benches
from tidemill_monitor.watching.closing import is_due
from tidemill_monitor.watching.deciding import Deciding
from tidemill_monitor.watching.folds import Folds
from tidemill_monitor.watching.housekeeping import Housekeeping
from tidemill_monitor.watching.leftout import follow_left_out
from tidemill_monitor.watching.metering import WatchMeters
from tidemill_monitor.watching.newnormal import NewNormal, NormalQuestion, NotAsked
from tidemill_monitor.watching.past import Past, read_past
from tidemill_monitor.watching.stints import Stint, Stints
from tidemill_monitor.watching.takeover import end_unwatched, move_messages
from tidemill_monitor.watching.verdict_writing import VerdictWriter

__all__ = ["Tick", "Watcher"]

_FOLLOWED = "alerts/followed"
_ASK_SECONDS = 30.0
_SETTLE_SECONDS = 5.0
_STOP_SECONDS = 10.0

_log = structlog.get_logger("tidemill_monitor.watching")


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did.

    Parameters
    ----------
    closed, judged, alerts : int
        Windows closed and judged; alerts raised, counted or resolved.
    decision : DecisionRow or None
        The one that it wrote.
    """

    closed: int = 0
    judged: int = 0
    alerts: int = 0
    decision: DecisionRow | None = None


class Watcher:
    """Watches one model's windows.

    Parameters
    ----------
    params : Params
    settings : MonitorSettings
        For links, and how often it ticks.
    ledger : Ledger
    champion : ChampionHolder
        Which version serves, and the references of all.
    folds : Folds
        Knows how far event time has come.
    housekeeping : Housekeeping
        Keeps the store bounded.
    meters : Meters
    clock : callable
        Gives the time, aware and UTC.

    Notes
    -----
    All of it happens in one thread; a tick that fails is told in /readyz and tried again. What is
    kept in order now and then has a thread of its own: a slow archive or disk holds up no tick.
    """

    def __init__(
        self,
        *,
        params: Params,
        settings: MonitorSettings,
        ledger: Ledger,
        champion: ChampionHolder,
        folds: Folds,
        housekeeping: Housekeeping,
        meters: Meters,
        clock: Callable[[], dt.datetime],
    ) -> None:
        self._settings, self._ledger, self._clock = settings, ledger, clock
        self._champion, self._folds = champion, folds
        self._config = config = params.monitoring
        model = champion.name
        self._benches = Benches(champion, config, params.seed, ledger=ledger, clock=clock)
        self._verdicts = VerdictWriter(ledger, config, self._benches)
        self.alerting = Alerting(ledger, config.alerts, model=model, link=settings.link_url)
        self.deciding = Deciding(ledger, config.retraining, model=model)
        self._brought_up: set[int] = set()
        self._stints = Stints(ledger, model)
        self.newnormal = NewNormal(ledger, config.quality)
        self._question: NormalQuestion | None = None
        self._asked_normal_of: int | None = None
        self._housekeeping = housekeeping
        self._past: tuple[int, dict[str, Past]] | None = None
        self._asked_at: dt.datetime | None = None
        self._started_at = self._looked_at = clock()
        self._trouble: str | None = None
        self._disorder: str | None = None
        self._meters = WatchMeters(ledger, meters)
        self._judging = threading.Lock()
        self._loops = (
            Every(settings.tick_seconds, self._run, name="watcher"),
            Every(settings.tick_seconds, self._keep_house, name="housekeeping"),
        )

    def start(self) -> None:
        """Tick in a thread of its own until :meth:`stop`.

        First, before anybody is told anything: what the last run left follows the settings of
        this one.
        """
        self.take_over(self._clock())
        for loop in self._loops:
            loop.start()

    def take_over(self, now: dt.datetime) -> None:
        """Hold open alerts, and messages that wait, to params.yaml as it is now."""
        ended = end_unwatched(self._ledger, self.alerting, self._config, now)
        moved = move_messages(self._ledger, self._config, now)
        if ended or moved:
            _log.info("settings_changed", alerts_ended=len(ended), messages_moved=moved)

    def stop(self) -> None:
        """End after the tick at hand, within ten seconds."""
        stop_all(self._loops, _STOP_SECONDS)

    def tick(self) -> Tick:
        """Close what is due, judge what waits, bring alerts up to date, decide."""
        now = self._clock()
        if is_ahead(self._looked_at, now):  # the clock was set back
            self._started_at = min(self._started_at, now)
            self.take_over(now)
        self._looked_at = now
        if (champion := self._champion.current) is not None:
            stint = self._stints.serves(champion.version, now)
            if stint.version not in self._brought_up:
                self._verdicts.judge_old_breaks(stint.version, now)
                self.newnormal.judge_owed(stint.version)
                self._brought_up.add(stint.version)
        # What was read of the past stands while nothing is closed or judged.
        past, self._past = self._past, None
        closed = self._close(now)
        with self._judging:
            judged = self._verdicts.judge_all(now)
        if not (closed or judged):
            self._past = past
        alerts = self._alert(bool(closed or judged), now)
        decision = self._decide(bool(closed or judged), now)
        serving = self._champion.current
        self._meters.count(
            closed,
            judged,
            decision,
            version=None if serving is None else serving.version,
            stint=self.stint(),
            asked=self._question,
        )
        return Tick(len(closed), len(judged), alerts, decision)

    def merged(self, version: int) -> tuple[Profile, Profile | None] | None:
        """What a version was trained on, and what it said of held-out rows; None if not known."""
        bench = self._benches.whole(version)
        return None if bench is None else (bench.yardstick.merged, bench.yardstick.merged_outputs)

    def stint(self) -> Stint | None:
        """Since when the version that serves does so, and whether it has returned."""
        champion, stint = self._champion.current, self._stints.current
        same = champion is not None and stint is not None and stint.version == champion.version
        return stint if same else None

    def question(self) -> NormalQuestion | None:
        """Whether it is asked, as of the last tick, that a break is the new normal."""
        return self._question

    def accept_normal(self, window: int | None, name: str, note: str) -> dict[str, Any]:
        """A person says that a break is the new normal of the champion's feed."""
        version = self._serving()
        with self._judging:  # a tick holds no window to what was before, and says it knew
            record = self.newnormal.accept(version, window, name, note, self._clock())
            self._benches.forget(version)
            self.newnormal.judge_owed(version)
            self._question = None
        return record

    def hold_normal(self, window: int | None, name: str, note: str) -> NormalQuestion:
        """A person says that it is none; nobody is asked again until something changes."""
        now = self._clock()
        self._question = self.newnormal.hold(self._serving(), window, name, note, now)
        return self._question

    def _serving(self) -> int:
        champion = self._champion.current
        if champion is None:
            raise NotAsked("no version serves", remedy="train and register a model: tidemill run")
        return champion.version

    def readiness(self) -> dict[str, object]:
        """Whether the last tick, and the last housekeeping, went well, for /readyz."""
        trouble = self._trouble or self._disorder
        return {
            "name": "watcher",
            "ok": trouble is None,
            "detail": trouble or "windows are closed and judged",
            "remedy": "it tries again by itself; see the monitor's log" if trouble else "",
        }

    def _close(self, now: dt.datetime) -> list[Window]:
        window, champion = self._config.window, self._champion.current
        closed = []
        for version in {w.model_version for w in self._ledger.windows.open()}:
            opened = self._ledger.windows.open(version)
            wholes = [w for w in opened if not w.segment]
            mark = self._watermark(version, wholes, now)
            serving = champion is not None and champion.version == version
            due = {
                w.sequence
                for w in wholes
                if is_due(w, window, watermark=mark, now=now, serving=serving)
            }
            # Segments whose whole is closed: the last close was cut short, or they came late.
            due |= {w.sequence for w in opened if w.segment} - {w.sequence for w in wholes}
            if due:
                # What is acknowledged and not yet folded belongs in.
                self._ledger.settle(_SETTLE_SECONDS)
            # Each is a commit of its own; the whole comes last, because it tells what is due.
            ending = sorted((w for w in opened if w.sequence in due), key=lambda w: not w.segment)
            closed += [self._ledger.windows.close(w.id, now) for w in ending]
        return closed

    def _watermark(
        self, version: int, opened: Sequence[Window], now: dt.datetime
    ) -> dt.datetime | None:
        if self._config.window.by == "count":
            return None
        # After a restart nothing was folded yet; events reached at least their window's start.
        # A window that is still to come was opened by a clock that is ahead.
        reached = [w.start for w in opened if w.start <= now]
        known = [max(reached, default=None), self._folds.watermark(version, now)]
        return max((at for at in known if at is not None), default=None)

    def _ask_whether_normal(self, version: int, news: bool, now: dt.datetime) -> None:
        if not (news or self._asked_normal_of != version):
            return
        self._asked_normal_of = version
        self._question = self.newnormal.question(version)
        self.newnormal.tell(
            self._question,
            self._config.alerts,
            model=self._champion.name,
            link=self._settings.link_url,
            now=now,
        )

    def _alert(self, news: bool, now: dt.datetime) -> int:
        champion = self._champion.current
        if champion is None:
            return 0
        changed, segments = [], self._told(champion.version)
        since = self._followed(now)
        for segment, past in segments.items():
            changed += self.alerting.follow(
                segment, champion.version, past.told, now, whole=past.whole, since=since
            )
        if news:
            # Last: killed before it, what came and went is looked for again.
            self._ledger.notes.put(_FOLLOWED, now.isoformat(), now)
        changed += self.alerting.end_replaced(champion.version, segments, now)
        changed += self._listen(now)
        self._ask_whether_normal(champion.version, bool(news), now)
        changed += follow_left_out(self._ledger, self.alerting, now)
        self.alerting.tell_after_silences(now)
        return len(changed)

    def _followed(self, now: dt.datetime) -> dt.datetime:
        """Until when alerts follow the verdicts; of a ledger that has none yet, the start."""
        noted = self._ledger.notes.get(_FOLLOWED)
        known = self._started_at if noted is None else dt.datetime.fromisoformat(noted)
        return min(known, now)

    def _told(self, version: int) -> dict[str, Past]:
        if self._past is None or self._past[0] != version:
            past = read_past(self._ledger, self._config, version, self.stint())
            self._past = version, past
        return self._past[1]

    def _listen(self, now: dt.datetime) -> list[Alert]:
        if self._config.quality.freshness_seconds is None:
            return []
        last = self._ledger.events.totals(now).last_received_at
        if last is None:
            return []
        # Silence while nobody could have been heard is not the feed's.
        heard = self._started_at if is_ahead(last, now) else max(last, self._started_at)
        silent = (now - heard).total_seconds()
        finding = freshness_finding(silent, self._config.quality)
        return self.alerting.listen(finding, last, now)

    def _decide(self, news: bool, now: dt.datetime) -> DecisionRow | None:
        champion = self._champion.current
        asked = self._asked_at
        waited = asked is None or abs((now - asked).total_seconds()) >= _ASK_SECONDS
        if champion is None or not (news or waited):
            return None
        self._asked_at = now
        decision = self.deciding.ask(champion.version, now, stint=self.stint())
        ask_for_approval(
            self._ledger,
            self._config.alerts,
            model=champion.name,
            version=champion.version,
            link=self._settings.link_url,
            now=now,
        )
        return decision

    def _run(self) -> None:
        try:
            with self._meters.timed():
                self.tick()
            self._trouble = None
        except TidemillError as exc:
            self._failed(exc.message)
            _log.warning("tick_failed", code=exc.code, error=exc.message)
        except Exception as exc:
            self._failed(f"a defect: {type(exc).__name__}")
            _log.exception("tick_defect")

    def _keep_house(self) -> None:
        try:
            if self._housekeeping.run_if_due(self._clock()):
                self._disorder = self._housekeeping.doubt
        except Exception as exc:
            self._disorder = f"a defect in housekeeping: {type(exc).__name__}"
            self._meters.failures.inc()
            _log.exception("housekeeping_defect")

    def _failed(self, trouble: str) -> None:
        self._trouble = trouble
        self._meters.failures.inc()
