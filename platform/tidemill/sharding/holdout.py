"""From HoldoutConfig to a rule, with the share of rows that each role can expect."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from tidemill.config import HoldoutConfig
from tidemill.errors import ConfigError, TooFewRows
from tidemill.schema import Role
from tidemill.sharding.ranges import microseconds
from tidemill.sharding.roles import (
    ROLES,
    FileRule,
    HashRule,
    HashThresholds,
    OrderRule,
    RoleRule,
    StratifiedRule,
    TimeRule,
)
from tidemill.sharding.survey import Survey
from tidemill.storage import ValidatedManifest

__all__ = ["Shares", "asked_roles", "refuse_empty_roles", "rule_of"]

Shares = dict[Role, float]


def asked_roles(config: HoldoutConfig) -> tuple[Role, ...]:
    """The roles that must have rows: validation and test only where they were asked for.

    Params refuses a test share of 0; rows that are appended to frozen test rows have it.
    """
    frozen = isinstance(config.test, float) and config.test == 0.0
    none = {Role.VALIDATION: config.validation == 0.0, Role.TEST: frozen}
    return tuple(role for role in ROLES if not none.get(role))


def rule_of(
    config: HoldoutConfig, manifest: ValidatedManifest, survey: Survey | None, *, salt: str
) -> tuple[RoleRule, Shares]:
    """The rule that gives each row its role, and the expected share of each role.

    Raises
    ------
    TooFewRows
        If it is known already that a role would be empty.
    ConfigError
        If ``test`` or ``test_end`` is not a time, or a regression is to be stratified.
    """
    if config.by == "order":
        return _by_order(config, manifest.rows)
    if config.by == "file":
        return _by_file(config, manifest, salt)
    if config.by == "time":
        assert survey is not None  # noqa: S101 - the plan asks for one
        return _by_time(config, survey)
    if config.by == "stratified":
        assert survey is not None  # noqa: S101 - the plan asks for one
        return _stratified(config, survey, salt)
    assert isinstance(config.test, float)  # noqa: S101 - checked by Params
    rule = HashRule(HashThresholds.of_shares(config.test, config.validation), salt)
    return rule, _shares(config.test, config.validation)


def refuse_empty_roles(rows: dict[Role, float], config: HoldoutConfig) -> None:
    """Refuse a plan that leaves an asked role without rows.

    Raises
    ------
    TooFewRows
        With the rows of each role.
    """
    empty = [role for role in asked_roles(config) if not rows.get(role)]
    if empty:
        names = " and ".join(role.value for role in empty)
        counts = {role.value: int(rows.get(role, 0)) for role in ROLES}
        raise TooFewRows(
            f"no row is left for {names} (sharding.holdout.by: {config.by}, "
            f"test: {config.test}, validation: {config.validation})",
            remedy="change sharding.holdout.test or sharding.holdout.validation (0 for none), or "
            "give more rows",
            empty=[role.value for role in empty],
            rows=counts,
        )


def _shares(test: float, validation: float) -> Shares:
    remaining = 1 - test
    return {
        Role.TRAIN: remaining * (1 - validation),
        Role.VALIDATION: remaining * validation,
        Role.TEST: test,
    }


def _by_order(config: HoldoutConfig, rows: int) -> tuple[RoleRule, Shares]:
    if isinstance(config.test, float):
        test_from = rows - round(rows * config.test)
    else:
        assert isinstance(config.test, int)  # noqa: S101 - checked by Params
        test_from = min(max(config.test, 0), rows)
    validation_from = test_from - round(test_from * config.validation)
    counts: Shares = {
        Role.TRAIN: validation_from,
        Role.VALIDATION: test_from - validation_from,
        Role.TEST: rows - test_from,
    }
    refuse_empty_roles(counts, config)
    shares = {role: count / rows for role, count in counts.items()}
    return OrderRule(validation_from, test_from), shares


def _by_file(
    config: HoldoutConfig, manifest: ValidatedManifest, salt: str
) -> tuple[RoleRule, Shares]:
    glob = str(config.test)
    sources = [part.source for part in manifest.parts]
    matches = tuple(number for number, source in enumerate(sources) if _matches(source, glob))
    test_rows = sum(manifest.parts[number].file.rows for number in matches)
    if not 0 < test_rows < manifest.rows:
        shown = ", ".join(sources[:5]) + (", ..." if len(sources) > 5 else "")
        which = "all rows" if test_rows else "no row"
        raise TooFewRows(
            f"sharding.holdout.test: the glob {glob!r} takes {which} for test",
            remedy=f"write a glob that matches some but not all of the files: {shown}",
            glob=glob,
            sources=sources[:100],
        )
    rule = FileRule(matches, glob, HashThresholds.of_shares(0.0, config.validation), salt)
    return rule, _shares(test_rows / manifest.rows, config.validation)


def _matches(source: str, glob: str) -> bool:
    return fnmatchcase(source, glob) or fnmatchcase(PurePosixPath(source).name, glob)


def _by_time(config: HoldoutConfig, survey: Survey) -> tuple[RoleRule, Shares]:
    times = np.sort(survey.sample["time"].to_numpy())
    end = None if config.test_end is None else _time(config.test_end, "test_end")
    if end is not None:
        times = times[times < end]
    if isinstance(config.test, str):
        test_from = _time(config.test, "test")
    else:
        test_from = _latest(times, config.test, config)
    before = times[times < test_from]
    validation_from = test_from
    if config.validation > 0 and len(before):
        validation_from = _latest(before, config.validation, config)
    rule = TimeRule(validation_from, test_from, end)
    train = int(np.searchsorted(before, validation_from))
    counts = (train, len(before) - train, len(times) - len(before))
    total = max(len(survey.sample), 1)
    return rule, {role: n / total for role, n in zip(ROLES, counts, strict=True)}


def _time(text: str, setting: str) -> int:
    try:
        return microseconds(text)
    except ValueError as exc:
        raise ConfigError(
            f"sharding.holdout.{setting}: {text!r} is not a time",
            remedy="write it as ISO 8601, for example 2024-01-31 or 2024-01-31T12:00:00",
            setting=f"sharding.holdout.{setting}",
        ) from exc


def _latest(times: npt.NDArray[np.int64], share: float, config: HoldoutConfig) -> int:
    """The time from which on the share of ascending ``times`` comes closest to ``share``.

    Equal times stay together, and the earliest are never taken.
    """
    wanted = len(times) * (1 - share)
    if len(times) == 0 or times[0] == times[-1]:
        raise TooFewRows(
            "sharding.holdout.by: time needs rows of at least two times on either side of every "
            f"boundary, and {'all have the same' if len(times) else 'there are none'}",
            remedy="choose another sharding.holdout.by, an earlier or later sharding.holdout.test, "
            "or validation: 0",
            test=config.test,
        )
    near = times[min(int(wanted), len(times) - 1)]
    after = np.searchsorted(times, near, side="right")
    choices = [near] if near > times[0] else []
    choices += [times[after]] if after < len(times) else []
    return int(min(choices, key=lambda time: abs(np.searchsorted(times, time) - wanted)))


def _stratified(config: HoldoutConfig, survey: Survey, salt: str) -> tuple[RoleRule, Shares]:
    assert isinstance(config.test, float)  # noqa: S101 - checked by Params
    classes, totals = [], np.zeros(3)
    for label in sorted(survey.classes):
        thresholds, counts = _class_thresholds(
            survey.classes[label], config.test, config.validation
        )
        classes.append((label, thresholds))
        totals += counts
    shares = dict(zip(ROLES, (totals / max(totals.sum(), 1)).tolist(), strict=True))
    return StratifiedRule(tuple(classes), salt), shares


def _class_thresholds(
    histogram: npt.NDArray[np.int64], test: float, validation: float
) -> tuple[HashThresholds, npt.NDArray[np.int64]]:
    below = np.concatenate([[0], np.cumsum(histogram)])
    total = below[-1]
    first = int(np.argmin(np.abs(below - total * test)))
    remaining = total - below[first]
    second = int(np.argmin(np.abs(below - (below[first] + remaining * validation))))
    second = max(first, second)
    counts = np.array([total - below[second], below[second] - below[first], below[first]])
    return HashThresholds(_edge(first, len(histogram)), _edge(second, len(histogram))), counts


def _edge(bin_number: int, bins: int) -> int:
    return min(bin_number * (2**64 // bins), 2**64 - 1)
