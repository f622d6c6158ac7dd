"""A monitor without HTTP and without a model registry, for tests: the ledger and clock are real."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tidemill.config.monitoring import MonitoringConfig
from tidemill.drift import Reference
from tidemill.errors import TidemillError
from tidemill.ledger import EventBatch, LabelBatch, Ledger, Window
from tidemill.testing.traffic import empty_store
from tidemill.testing.worlds import Traffic
from tidemill.tracking import ModelVersion
from tidemill_monitor.dispatch import Dispatcher
from tidemill_monitor.meters import Meters
from tidemill_monitor.readiness import Asked, Part, Readiness
from tidemill_monitor.topics import Topics
from tidemill_monitor.watching import Folds, Housekeeping, Tick, Watcher

__all__ = ["FakeChampions", "FakeClock", "Watched", "watched"]


class FakeChampions:
    """Stands for the champion's holder: versions with references, one of which serves."""

    def __init__(self, name: str, references: Mapping[int, Reference], serving: int = 1) -> None:
        self.name = name
        self.references = dict(references)
        self.reloads = 0
        self.fault: TidemillError | None = None
        self.serve(serving)

    def serve(self, version: int) -> None:
        """Let another version serve."""
        reference = self.references[version]
        self.current = SimpleNamespace(
            name=self.name,
            version=version,
            schema=reference.schema,
            reference=reference,
            metric=reference.metric,
            figures=reference.figures,
            since=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            run_id="run",
            notes=(),
        )

    def reference(self, version: int) -> Reference | None:
        """As the holder's."""
        return self.references.get(version)

    def reload(self) -> SimpleNamespace:
        """Count how often a reload was asked for; raises ``fault`` if there is one."""
        self.reloads += 1
        if self.fault is not None:
            raise self.fault
        version = self.current.version
        return SimpleNamespace(version=version, previous=version, changed=False)

    def versions(self) -> tuple[ModelVersion, ...]:
        """As the holder's."""
        return tuple(
            ModelVersion(
                name=self.name,
                version=version,
                run_id=f"run-{version}",
                digest="d",
                aliases=("champion",) if version == self.current.version else (),
                metrics={"roc_auc": 0.8},
                tags={"tidemill.promotion": '{"reason": "better on proof"}'},
            )
            for version in sorted(self.references)
        )


class FakeClock:
    """Stands still until it is moved; begins with the present."""

    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        """The time."""
        return self.now


def _well(*, needed: bool) -> Asked:
    async def asked() -> Part:
        return {"ok": True, "needed": needed}

    return asked


class _FakeService(SimpleNamespace):
    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)


class Watched:
    """A watcher on a ledger of its own; time goes on when a test says so."""

    def __init__(
        self,
        ledger: Ledger,
        folds: Folds,
        champions: FakeChampions,
        config: MonitoringConfig,
        clock: FakeClock,
    ) -> None:
        self.clock = clock
        self.ledger = ledger
        self.champions = champions
        params = SimpleNamespace(monitoring=config, seed=1)
        settings = SimpleNamespace(
            report_url="http://monitor.example",
            link_url="http://monitor.example",
            mlflow_link=None,
            prefect_link=None,
            tick_seconds=0.05,
            root=Path("/workspace"),
            prefect_api_url=None,
            tracking_uri="sqlite:///nowhere.db",
            webhook_secret=None,
            believe_clock=False,
        )
        self.service = _FakeService(
            params=params,
            settings=settings,
            ledger=ledger,
            champion=champions,
            clock=clock,
            meters=Meters(),
            topics=Topics(),
            readiness=Readiness({"ledger": _well(needed=True), "prefect": _well(needed=False)}),
        )
        self._folds = folds
        self.watcher = self.service.watcher = self.watch()

    def watch(self, **other: Any) -> Watcher:
        """A watcher that has not started; ``other`` parts stand for its own."""
        service: Any = self.service
        parts = {
            "params": service.params,
            "settings": service.settings,
            "ledger": self.ledger,
            "champion": service.champion,
            "folds": self._folds,
            "housekeeping": Housekeeping(self.ledger, service.params.monitoring),
            "meters": service.meters,
            "clock": self.clock,
        }
        return Watcher(**(parts | other))

    def dispatch(self, **more: Any) -> Dispatcher:
        """A dispatcher that has not started, with the settings as they are now."""
        service: Any = self.service
        service.dispatcher = Dispatcher(
            params=service.params,
            settings=service.settings,
            ledger=self.ledger,
            champion=service.champion,
            topics=service.topics,
            clock=self.clock,
            **more,
        )
        found: Dispatcher = service.dispatcher
        return found

    def send(
        self, traffic: Traffic, *, version: int = 1, labels: bool = False, **more: Any
    ) -> None:
        """Report events, with their labels if asked, and wait until they are folded."""
        self.ledger.events.append(
            EventBatch(traffic.events, version, ("prediction", "score", "zone"), **more)
        )
        if labels:
            self.label(traffic)
        self.ledger.settle()

    def label(self, traffic: Traffic) -> None:
        """Report what turned out."""
        self.ledger.labels.append(LabelBatch(traffic.truth))
        self.ledger.settle()

    def tick(self, *, forward: dt.timedelta = dt.timedelta()) -> Tick:
        """Let time pass, then tick."""
        self.clock.now += forward
        return self.watcher.tick()

    @property
    def now(self) -> dt.datetime:
        """The time."""
        return self.clock.now

    def windows(self, **chosen: Any) -> list[Window]:
        """Windows, oldest first."""
        return self.ledger.windows.list(limit=200, **chosen)[::-1]


@contextmanager
def watched(
    folder: Path,
    references: Mapping[int, Reference],
    config: MonitoringConfig | Mapping[str, Any] | None = None,
    *,
    prepare: Callable[[FakeChampions], None] = lambda _: None,
) -> Iterator[Watched]:
    """A watcher on a SQLite store in ``folder``; opened again, it goes on where it was.

    A new store has the thresholds that earlier watchers found with the very same references.
    """
    settings = (
        config
        if isinstance(config, MonitoringConfig)
        else MonitoringConfig.model_validate(config or {})
    )
    champions = FakeChampions("rides", references)
    prepare(champions)
    folds = Folds(champions, settings)
    clock, store = FakeClock(), folder / "ledger.db"
    is_new = not store.exists()
    if is_new:
        store.write_bytes(empty_store())
    with Ledger.open(f"sqlite:///{store}", folding=folds, clock=clock) as ledger:
        if is_new and (known := _known_thresholds(references)):
            ledger.notes.put_many(known, clock())
        yield Watched(ledger, folds, champions, settings, clock)
        _remember_thresholds(references, ledger)


@lru_cache(maxsize=8)
def _thresholds_of(_: Reference) -> dict[str, Any]:
    """What was found with a reference, by settings, kind and rows: it takes longest of all."""
    return {}


def _known_thresholds(references: Mapping[int, Reference]) -> dict[str, Any]:
    return {
        f"thresholds/{version}/{name}": document
        for version, reference in references.items()
        for name, document in _thresholds_of(reference).items()
    }


def _remember_thresholds(references: Mapping[int, Reference], ledger: Ledger) -> None:
    for version, reference in references.items():
        place = f"thresholds/{version}/"
        names = [key.removeprefix(place) for key in ledger.notes.keys(place)]
        for name in names:
            if name.count("/") == 2:  # of the whole; others are of what a store has seen
                _thresholds_of(reference)[name] = ledger.notes.get(place + name)
