"""The champion that serves, and how another one takes its place."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog

from tidemill.config import Params
from tidemill.errors import (
    ModelMissing,
    ModelUntrusted,
    ServiceUnavailable,
    TidemillError,
    first_few,
)
from tidemill.learning import predict_scores
from tidemill.schema import TableSchema, Task
from tidemill.storage import read_json
from tidemill.tracking import ModelVersion, Registry, Tracker, fetch_reference, load_champion
from tidemill_monitor.intake.plans import Shape
from tidemill_monitor.monitor_settings import MonitorSettings
from tidemill_monitor.serving.patience import Patience

if TYPE_CHECKING:
    from tidemill.drift import Reference

__all__ = ["Champion", "ChampionHolder", "Reloaded"]

_ASK_SECONDS = 5.0
_REGISTRY_SECONDS = 10.0
_RELOAD_SECONDS = 20.0
_START_SECONDS = 60.0
_log = structlog.get_logger("tidemill_monitor")


@dataclass(frozen=True, slots=True, eq=False)
class Champion:
    """A model that serves.

    Parameters
    ----------
    name, version, run_id, digest
        Of the registered version.
    since : datetime
        When it began to serve here.
    schema : TableSchema
        Of the table that it was trained on.
    metric : str or None
        The figure that decides, where the reference says so.
    figures : mapping
        Recorded at registration.
    reducer, learner
        The two steps of its pipeline; both may be used by several threads at once.
    shape : Shape
        What rows for it must hold.
    reference : Reference or None
        None for a version that was registered without one.
    notes : tuple of str
        What lies beside its files, is not used, and can be deleted; segments that are asked for
        and that it has no categories of.
    """

    name: str
    version: int
    run_id: str
    digest: str
    since: dt.datetime
    schema: TableSchema
    metric: str | None
    figures: Mapping[str, float]
    reducer: Any
    learner: Any
    shape: Shape
    reference: Reference | None
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """What it predicts: a class of two, of several, or a number."""
        return self.schema.task


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did."""

    version: int
    previous: int | None
    changed: bool


class ChampionHolder:
    """Holds the champion; a request takes ``current`` once and keeps it to its end.

    Parameters
    ----------
    settings : MonitorSettings
    params : Params
    clock : callable
        Gives the time, aware and UTC.

    Notes
    -----
    MLflow may hang. A reload waits 20 seconds for it (60 at the start), a question 10; after that
    they fail at once until it has answered, and the champion that serves goes on.
    """

    def __init__(
        self, settings: MonitorSettings, params: Params, clock: Callable[[], dt.datetime]
    ) -> None:
        self._settings, self._clock = settings, clock
        self._segments = params.monitoring.window.segments
        self.name = params.registration.model or params.dataset.name
        self._tracker = Tracker(
            settings.tracking_uri, params.registration.experiment or params.dataset.name
        )
        self.current: Champion | None = None
        self.fault: TidemillError | None = None
        self._reloading = threading.Lock()
        self._loading = Patience("MLflow", _RELOAD_SECONDS)
        self._asking = Patience("MLflow", _REGISTRY_SECONDS)
        self._fetching = Patience("MLflow", _REGISTRY_SECONDS)
        self._references: dict[int, Reference | None] = {}
        self._versions: tuple[float, frozenset[int]] = (-_ASK_SECONDS, frozenset())

    def load(self) -> None:
        """Load the champion if that is possible; ``fault`` says why not."""
        try:
            self.reload(seconds=_START_SECONDS)
        except TidemillError as error:
            _log.warning("champion not loaded", code=error.code, reason=error.message)

    def reload(self, *, seconds: float | None = None) -> Reloaded:
        """Load the version that is champion now; the old one serves until it is ready.

        Raises
        ------
        TidemillError
            If it cannot be loaded; the old one goes on serving and ``fault`` says why. What is
            late is still taken when it is there.
        """
        try:
            return self._loading.ask(self._reload, seconds=seconds)
        except ServiceUnavailable as error:
            self.fault = error
            raise

    def _reload(self) -> Reloaded:
        with self._reloading:
            before = self.current
            try:
                found = self._registered()
                if before is not None and found.version == before.version:
                    self.fault = None
                    return Reloaded(before.version, before.version, changed=False)
                champion = self._made(found)
            except TidemillError as error:
                self.fault = error
                raise
            self.current, self.fault = champion, None
        _log.info("champion loaded", version=champion.version, notes=champion.notes)
        return Reloaded(champion.version, before.version if before else None, changed=True)

    def refresh(self) -> None:
        """Follow the registry: load the champion if it is another one, or none is loaded."""
        try:
            self.reload()
        except TidemillError as error:
            _log.warning("champion not loaded", code=error.code, reason=error.message)

    def known(self, version: int) -> bool:
        """Whether the registry has such a version; asks it again at most every five seconds."""
        if self.current is not None and version == self.current.version:
            return True
        asked, versions = self._versions
        if version not in versions and time.monotonic() - asked >= _ASK_SECONDS:
            found = self.versions()
            versions = frozenset(item.version for item in found)
            self._versions = (time.monotonic(), versions)
        return version in versions

    def versions(self) -> tuple[ModelVersion, ...]:
        """All registered versions, oldest first.

        Raises
        ------
        ServiceUnavailable
            If MLflow does not answer.
        """
        return self._asking.ask(lambda: Registry(self._tracker).versions(self.name))

    def reference(self, version: int) -> Reference | None:
        """What the version was trained on; None if it was registered without.

        Raises
        ------
        ModelUntrusted
            If it is not what was registered.
        ServiceUnavailable
            If MLflow does not answer.
        """
        if version not in self._references:
            return self._fetching.ask(lambda: self._referred(version))
        return self._references[version]

    def _referred(self, version: int) -> Reference | None:
        if version not in self._references:
            self._references[version] = self._fetch(version)
        return self._references[version]

    def _registered(self) -> ModelVersion:
        found = Registry(self._tracker).champion(self.name)
        if found is None:
            raise ModelMissing(
                f"the registry has no champion of the model {self.name!r}",
                remedy="train and register one with: tidemill run",
                model_name=self.name,
            )
        return found

    def _made(self, found: ModelVersion) -> Champion:
        loaded = load_champion(self._settings.tracking_uri, self.name, version=found.version)
        schema = loaded.schema
        reference = self._referred(found.version)
        champion = Champion(
            name=self.name,
            version=loaded.version,
            run_id=loaded.run_id,
            digest=loaded.digest,
            since=self._clock(),
            schema=schema,
            metric=reference.metric if reference is not None else None,
            figures=dict(found.metrics),
            reducer=loaded.pipeline[0],
            learner=loaded.pipeline[-1],
            shape=Shape(schema, self._bounds),
            reference=reference,
            notes=(*loaded.notes, *_unfollowed(self._segments, schema, found.version)),
        )
        _try_out(champion)
        return champion

    def _bounds(self) -> tuple[dt.datetime, dt.datetime]:
        ahead = dt.timedelta(seconds=self._settings.max_future_seconds)
        return self._settings.oldest_at, self._clock() + ahead

    def _fetch(self, version: int) -> Reference | None:
        from tidemill.drift import Reference

        folder = self._settings.folder / "references" / str(version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fetch_reference(self._settings.tracking_uri, self.name, version, folder)
        path = folder / "reference.json"
        if not path.exists():
            return None
        try:
            return Reference.from_json(read_json(path))
        except (KeyError, TypeError, ValueError) as exc:
            raise ModelUntrusted(
                f"the reference of version {version} of {self.name!r} cannot be read",
                remedy="it was written by another version of tidemill: register the model again "
                "with tidemill run",
                version=version,
            ) from exc


def _unfollowed(segments: Sequence[str], schema: TableSchema, version: int) -> tuple[str, ...]:
    """What is asked for of segments and cannot be had of a version."""
    without = [name for name in segments if name not in schema.segmentable]
    if not without:
        return ()
    return (
        f"monitoring.window.segments: {len(without)} of {len(segments)} are not followed, as "
        f"version {version} learnt from no categorical column of that name: "
        f"{first_few(without, 20)}; it has: {first_few(schema.segmentable, 20) or 'none'}",
    )


def _try_out(champion: Champion) -> None:
    """Predict a row without values: what is compiled at first use is compiled now."""
    row = {c.name: pa.nulls(1, c.arrow_type) for c in champion.schema.features}
    try:
        matrix = champion.reducer.transform(pa.table(row))
        predict_scores(champion.learner, matrix, champion.task)
    except Exception as error:
        raise ModelUntrusted(
            f"version {champion.version} of {champion.name!r} was loaded and cannot predict "
            f"({type(error).__name__})",
            remedy="train and register the model again: tidemill run",
            version=champion.version,
        ) from error
