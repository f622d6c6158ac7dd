"""Search a space: waves of trials, in processes, remembered on disk."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, cast

from tidemill.config import TuningConfig
from tidemill.contracts import Direction, Engine, Pruner, Scalar, Space, Trial, TrialState
from tidemill.errors import Busy, ConfigError, StorageFailed, TidemillError
from tidemill.searchers import PRUNERS, SAMPLERS
from tidemill.storage import hash_json
from tidemill.tuning.journal import Journal
from tidemill.tuning.limits import Allowance, Purse
from tidemill.tuning.pruning import OutOfTime, Pruned, Report
from tidemill.tuning.rungs import Rungs, Wave, best_first, planned_brackets
from tidemill.tuning.space import read_space
from tidemill.tuning.study import Study

__all__ = ["Objective", "search"]

Objective = Callable[[dict[str, Scalar], Report], float]


def search(
    objective: Objective,
    space: dict[str, dict[str, Any]],
    *,
    config: TuningConfig,
    metric: str,
    direction: Direction,
    seed: int,
    storage: Path,
    engine: Engine | None = None,
    trial_bytes: int | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    defaults: bool = False,
    least_share: float = 1.0,
) -> Study:
    """Find the parameters with the best value of ``objective``.

    Trials are proposed in waves of ``config.wave``. A proposal depends on the seed, its number
    and the trials of earlier waves; a trial is pruned by trials of earlier waves only. So the
    study is the same for any number of workers, and a killed search that is begun again with the
    same arguments finds its finished trials in ``storage`` and ends as an undisturbed one.
    With ``config.scheduler`` trials learn a share of the rows first, see :class:`Rungs`.

    Parameters
    ----------
    objective : callable
        Takes the parameters and a :class:`Report`, returns the figure; picklable where there is
        an ``engine`` of several workers. May call ``report(step, value)``, and lets what that
        raises pass through. Learns ``report.share`` of its rows.
    space : dict
        ``tuning.space``, or the learner's own in the same form.
    config : TuningConfig
        ``sampler``, ``pruner``, ``scheduler``, ``trials``, ``wave``, ``timeout_seconds``,
        ``cpu_seconds`` and ``workers`` are read.
    metric : str
        The figure's name.
    direction : {"maximize", "minimize"}
    seed : int
    storage : Path
        The journal's file. What the objective depends on beside its parameters (data, rows)
        must be part of this path; the caller holds the workspace.
    engine : Engine or None
        Runs the trials, ``config.workers`` at once; None: here, one after another. The caller
        closes it.
    trial_bytes : int or None
        What a trial holds in a worker of the engine, see ``Engine.stream``.
    on_trial : callable or None
        Called here with each finished trial, also with those that an earlier, killed search
        finished.
    defaults : bool
        Whether trial 0 has no parameters, which leaves the learner its own: a search then finds
        nothing that is worse. It is one of ``config.trials``, but of a grid one more.
    least_share : float
        Of the rows: no rung of ``config.scheduler`` learns less.

    Raises
    ------
    ConfigError
        If the space is wrong, or every trial failed, or time ran out before the first ended.
    BudgetExceeded
        If a worker of the engine has no room for ``trial_bytes``.
    StorageFailed, Busy
        If the disk or a service failed: the search ends, its finished trials are kept.

    Notes
    -----
    An objective that raises any other TidemillError fails its trial and the search goes on.
    Memory: the trials, and what the objective needs once per worker.
    """
    known = read_space(space)
    if config.trials < 1:
        raise ConfigError(
            "tuning.trials is 0: there is nothing to search",
            remedy="set tuning.trials to at least 1",
        )
    of_grid = SAMPLERS[config.sampler].enumerates
    brackets = planned_brackets(
        known, config, direction, seed, defaults=defaults, least_share=least_share
    )
    shares = [bracket.shares for bracket in brackets]
    plan = _plan(known, config, metric, direction, seed, shares, defaults=defaults)
    search_ = _Search(
        objective=objective,
        direction=direction,
        purse=Purse(config.timeout_seconds, config.cpu_seconds),
        space=known,
        rungs=Rungs(brackets, direction),
        defaults=defaults,
        pruner=PRUNERS.made(config.pruner),
        journal=Journal(storage, plan, direction, known, enumerated=of_grid),
        on_trial=on_trial or _ignore,
    )
    trials, complete = search_.run(_Runner(engine, config.workers, trial_bytes), config.wave)
    if not any(trial.value is not None for trial in trials):
        raise _nothing_found(trials, search_.rungs.total)
    best = best_first(trials, direction)[0]
    return Study(
        best_params=best.params,
        best_value=cast("float", best.value),
        best_number=best.number,
        trials=tuple(trials),
        complete=complete,
        metric=metric,
        direction=direction,
        altered=search_.journal.altered,
    )


def _ignore(_: Trial) -> None:
    """For callers who do not watch."""


def _plan(
    space: Space,
    config: TuningConfig,
    metric: str,
    direction: Direction,
    seed: int,
    shares: list[tuple[float, ...]],
    *,
    defaults: bool,
) -> str:
    """Name what trials depend on; a larger budget continues a study, except of a cut grid or rungs.

    Studies of before a pruner or a scheduler could be chosen go on.
    """
    pruner = {} if config.pruner == "median" else {"pruner": config.pruner}
    scheduled = config.scheduler != "none"
    enumerated = SAMPLERS[config.sampler].enumerates
    return hash_json(
        {
            **pruner,
            **({"scheduler": config.scheduler, "shares": shares} if scheduled else {}),
            **({"defaults": True} if defaults else {}),
            "space": {name: parameter.to_json() for name, parameter in space.items()},
            "sampler": config.sampler,
            "trials": config.trials if enumerated or scheduled else None,
            "metric": metric,
            "direction": direction,
            "seed": seed,
            "wave": config.wave,
        }
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A trial to run, the share of the rows to learn, and what it may take."""

    number: int
    params: dict[str, Scalar]
    share: float
    left: Allowance


@dataclass(frozen=True, slots=True)
class _Ended:
    """A trial, None if it was cut, and the CPU seconds of its process meanwhile."""

    trial: Trial | None
    cpu_seconds: float


@dataclass(frozen=True)
class _Runner:
    """Runs the trials of a wave: with an engine, or here, with all that this process may use."""

    engine: Engine | None
    at_once: int
    trial_bytes: int | None

    def run(
        self, evaluate: Callable[[_Asked], _Ended], asked: Iterable[_Asked]
    ) -> Iterator[_Ended]:
        """Each trial as it ends."""
        if self.engine is None:
            yield from map(evaluate, asked)
            return
        # No more than can begin: the time that is left is told to a trial when it is handed out.
        at_once = min(self.at_once, self.engine.workers)
        stream = self.engine.stream(
            evaluate, asked, label="tune", at_once=at_once, item_bytes=self.trial_bytes
        )
        for _, ended in stream:
            yield ended


@dataclass(frozen=True)
class _Search:
    objective: Objective
    direction: Direction
    purse: Purse
    space: Space
    rungs: Rungs
    defaults: bool
    pruner: Pruner
    journal: Journal
    on_trial: Callable[[Trial], None]

    def run(self, runner: _Runner, wave_size: int) -> tuple[list[Trial], bool]:
        """All trials, in order, and whether they are all; fewer if time or CPU seconds run out."""
        remembered = self.journal.read()
        trials: list[Trial] = []
        for wave in self.rungs.waves(wave_size):
            comparable = [trial for trial in trials if trial.share == wave.share]
            ended = self._wave(wave, comparable, remembered, runner)
            trials += ended
            if len(ended) < len(wave.numbers):
                return trials, False
            with _told_of("sampler"):
                self.rungs.tell(wave, ended)
        return trials, True

    def _wave(
        self,
        wave: Wave,
        earlier: Sequence[Trial],
        remembered: dict[int, Trial],
        runner: _Runner,
    ) -> list[Trial]:
        numbers, share = wave.numbers, wave.share
        asked = dict(zip(numbers, self._asked(wave), strict=True))
        # A remembered trial with other parameters comes from another version of the sampler.
        done = {n: remembered[n] for n in numbers if _same(remembered.get(n), asked[n], share)}
        for trial in done.values():
            self.on_trial(trial)
        evaluate = partial(
            _evaluate,
            objective=self.objective,
            bars=self._bars(earlier),
            bar=self.pruner.bar,
            direction=self.direction,
        )
        todo = (_Asked(n, asked[n], share, self.purse.left()) for n in numbers if n not in done)
        for ended in runner.run(evaluate, todo):
            self.purse.pay(ended.cpu_seconds)
            if ended.trial is not None:
                self.journal.append(ended.trial)
                self.on_trial(ended.trial)
                done[ended.trial.number] = ended.trial
        return [done[n] for n in sorted(done)]

    def _bars(self, earlier: Sequence[Trial]) -> dict[int, float]:
        with _told_of("pruner"):
            bars = dict(self.pruner.bars(earlier, self.direction))
        for step, bar in bars.items():
            if not (isinstance(step, Integral) and isinstance(bar, Real) and abs(bar) < math.inf):
                raise ConfigError(
                    f"tuning.pruner: its bar at step {step!r} is {bar!r}; bars are finite numbers "
                    "by whole steps",
                    remedy="set tuning.pruner to another one",
                )
        return bars

    def _asked(self, wave: Wave) -> list[dict[str, Scalar]]:
        """What the sampler proposes, checked; what goes on has been."""
        with _told_of("sampler"):
            proposed = [dict(params) for params in self.rungs.ask(wave)]
        if len(proposed) != len(wave.numbers):
            raise ConfigError(
                f"tuning.sampler: it proposed {len(proposed)} trials where {len(wave.numbers)} "
                "were asked for",
                remedy="set tuning.sampler to another one",
            )
        unchecked = self.defaults and 0 in wave.numbers
        for params in proposed[unchecked:] if wave.proposed else ():
            if params.keys() != self.space.keys() or not all(
                self.space[name].holds(value) for name, value in params.items()
            ):
                raise ConfigError(
                    f"tuning.sampler: it proposed {params}, which the space does not hold",
                    remedy="set tuning.sampler to another one",
                    params=params,
                )
        return [
            {name: params[name] for name in self.space if name in params} for params in proposed
        ]


@contextmanager
def _told_of(port: Literal["sampler", "pruner"]) -> Iterator[None]:
    """What code of others raises is told as theirs, but for what the machine lacks."""
    try:
        yield
    except (TidemillError, OSError, MemoryError):
        raise
    except Exception as exc:
        raise ConfigError(
            f"tuning.{port}: it raised {type(exc).__name__}: {exc}",
            remedy=f"mend it, or set tuning.{port} to another one",
        ) from exc


def _same(trial: Trial | None, params: dict[str, Scalar], share: float) -> bool:
    return trial is not None and trial.params == params and trial.share == share


def _evaluate(
    asked: _Asked,
    *,
    objective: Objective,
    bars: Mapping[int, float],
    bar: str,
    direction: Direction,
) -> _Ended:
    """Run one trial, in a worker."""
    before = time.process_time()
    report = Report(bars, direction, asked.left, bar, asked.share)
    trial = None if asked.left.is_over() else _ended(asked, objective, report)
    return _Ended(trial, time.process_time() - before)


def _ended(asked: _Asked, objective: Objective, report: Report) -> Trial | None:
    """The trial; None if it was cut."""
    number, params = asked.number, asked.params
    state: TrialState = "failed"
    value, message = None, None
    try:
        value = float(objective(dict(params), report))
        state = "complete"
        if not math.isfinite(value):
            state, message, value = "failed", f"the objective is {value}", None
    except OutOfTime:
        return None
    except Pruned as exc:
        state, message = "pruned", str(exc)
    except (StorageFailed, Busy):
        raise
    except TidemillError as exc:
        message = f"{exc.message} ({exc.remedy})"
    return Trial(number, params, value, state, tuple(report.steps), message, asked.share)


def _nothing_found(trials: list[Trial], total: int) -> ConfigError:
    failed = [trial for trial in trials if trial.state == "failed"]
    if not failed:
        return ConfigError(
            f"time ran out before the first of {total} trials ended",
            remedy="raise tuning.timeout_seconds or tuning.cpu_seconds, whichever is set, or lower "
            "tuning.max_rows",
            trials=total,
        )
    return ConfigError(
        f"none of {len(trials)} trials succeeded; trial {failed[0].number}: {failed[0].message}",
        remedy="correct what the message names, or narrow tuning.space",
        trials=len(trials),
        params=failed[0].params,
        reason=failed[0].message,
    )
