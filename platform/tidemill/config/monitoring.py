"""The section of params.yaml that the monitor reads; no stage depends on it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema, model_validator

from tidemill.config.sections import Address, Fraction, Section
from tidemill.schema import Verdict

__all__ = [
    "MAX_CHANNELS",
    "AlertRule",
    "AlertsConfig",
    "Channel",
    "DriftConfig",
    "HarmConfig",
    "MonitoringConfig",
    "QualityConfig",
    "RetrainingConfig",
    "VerdictWord",
    "WindowConfig",
]

MAX_CHANNELS = 32
"""Of the alerts; each has a worker of its own."""

VerdictWord = Annotated[Verdict, WithJsonSchema({"enum": list(Verdict), "type": "string"})]
"""A verdict in settings and addresses; its schema lists the words where it stands."""


class WindowConfig(Section):
    """A bounded stretch of live traffic."""

    by: Literal["time", "count"] = "time"
    seconds: int = Field(3600, ge=1, description="length of a window by time, of event time")
    rows: int = Field(5000, ge=50, description="length of a window by count, in order of arrival")
    lateness_seconds: int = Field(
        300, ge=0, description="a window by time stays open so long for late events"
    )
    min_rows: int = Field(500, ge=30, description="below this nothing is concluded")
    segments: tuple[str, ...] = Field(
        (), description="categorical columns; each of their values is judged by itself too"
    )
    max_segments: int = Field(20, ge=1, description="values of a segment column that are followed")


class DriftConfig(Section):
    """When a difference from the reference is a finding."""

    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05, description="share of healthy windows with any drift finding, over all features"
    )
    min_effect: float = Field(
        0.05, ge=0, description="smallest Jensen-Shannon distance (0 to 1) worth a finding"
    )
    thresholds: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="by hand: feature (or '*') to {test: threshold}, for example {'*': {psi: 0.2}}",
    )


class QualityConfig(Section):
    """When a feed is broken rather than drifting."""

    max_invalid_fraction: Fraction = Field(0.05, description="rows refused of the rows sent")
    null_increase: Fraction = Field(
        0.1, description="missing values above the reference's share, absolute"
    )
    new_categories: Fraction = Field(0.05, description="rows with categories never seen")
    out_of_range: Fraction = Field(0.05, description="rows outside the range seen in training")
    max_duplicates: Fraction = Field(0.05, description="events sent again, of the events sent")
    scale_jump: float = Field(
        5.0, gt=1, description="ratio of medians that looks like another unit"
    )
    volume_ratio: float = Field(
        10.0, gt=1, description="rows a window, above or below the usual, that are worth a finding"
    )
    ask_after: int = Field(
        3, ge=2, description="broken windows in a row before it is asked: is this the new normal?"
    )
    freshness_seconds: int | None = Field(
        None, ge=1, description="silence that is worth an alert; null: silence is normal"
    )


class HarmConfig(Section):
    """When the model's errors have grown."""

    metric: str = Field("auto", description="the figure that is followed; auto: as in evaluation")
    max_loss: float = Field(
        0.03,
        ge=0,
        description="how much worse than on held-out rows is harm (in the metric's unit; "
        "relative for rmse and mae)",
    )
    max_log_loss: float | None = Field(
        0.03,
        ge=0,
        description="classifiers, beside the metric: growth of the log loss that is harm, as a "
        "share of what a dummy loses that knows the classes' shares only; null: not guarded",
    )
    max_wrong: float | None = Field(
        0.03,
        ge=0,
        description="classifiers, beside the metric: growth of the share of wrong answers that is "
        "harm; null: not guarded",
    )
    max_rmse: float | None = Field(
        0.1,
        ge=0,
        description="regression, beside the metric: growth of the RMSE that is harm, as a share "
        "of what held-out rows had; null: not guarded",
    )
    max_bias: float | None = Field(
        0.25,
        ge=0,
        description="regression, beside the metric: growth of the mean signed error that is "
        "harm, as a share of the mean absolute error on held-out rows; null: not guarded",
    )
    false_alarm_rate: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.025,
        description="share of healthy windows that are accused, over all these figures and all "
        "segments",
    )
    min_labels: int = Field(200, ge=30, description="labelled rows before a window's harm is told")
    estimate: bool = Field(True, description="estimate the figure before labels arrive")
    change_detection: bool = Field(True, description="follow the error stream across windows")


def _refuse_twice(where: str, what: str, names: Sequence[str]) -> None:
    if twice := sorted(name for name in set(names) if names.count(name) > 1):
        raise ValueError(f"{where}: {what} {twice[0]!r} more than once; each needs its own")


class Channel(Section):
    """Where alerts go."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    kind: Literal["apprise", "webhook"]
    url: str = Field(
        "", description="an apprise or https address; better by url_env: it may hold a secret"
    )
    url_env: str | None = Field(None, description="the environment variable that holds the address")
    secret_env: str | None = Field(
        None,
        description="of a webhook: the environment variable with the secret to sign with",
    )
    allow_private: bool = Field(False, description="addresses of the local network may be reached")

    @model_validator(mode="after")
    def _addressed(self) -> Channel:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("monitoring.alerts.channels: give each either url or url_env")
        if self.kind == "webhook" and not self.secret_env:
            raise ValueError("monitoring.alerts.channels: a webhook needs secret_env to sign with")
        return self


class AlertRule(Section):
    """Which verdicts are told to whom."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    on: tuple[VerdictWord, ...] = Field(min_length=1)
    windows: int = Field(1, ge=1, description="windows in a row with such a verdict")
    calm: int = Field(
        2, ge=1, description="windows in a row that deny the trouble, before it counts as over"
    )
    severity: Literal["info", "warning", "critical"] = "warning"
    channels: tuple[str, ...] = Field((), description="names of channels; empty: all of them")

    @model_validator(mode="after")
    def _each_once(self) -> AlertRule:
        _refuse_twice("monitoring.alerts.rules", f"{self.name} names the channel", self.channels)
        return self


class Silence(Section):
    """A stretch of time in which nobody is notified; alerts are kept all the same."""

    start: dt.datetime
    end: dt.datetime
    rules: tuple[str, ...] = Field((), description="names of rules; empty: all")

    @model_validator(mode="after")
    def _forward(self) -> Silence:
        start, end = (
            at if at.tzinfo else at.replace(tzinfo=dt.UTC) for at in (self.start, self.end)
        )
        if end <= start:
            raise ValueError(
                f"monitoring.alerts.silences: one ends at {end.isoformat()}, and starts at "
                f"{start.isoformat()}: nothing would be silent"
            )
        return self


class AlertsConfig(Section):
    """Who is told what."""

    channels: tuple[Channel, ...] = Field((), max_length=MAX_CHANNELS)
    rules: tuple[AlertRule, ...] = (
        AlertRule(name="broken-feed", on=(Verdict.BROKEN_FEED,), severity="critical"),
        AlertRule(name="harm", on=(Verdict.CONFIRMED_HARM,), severity="critical"),
        AlertRule(
            name="suspected-harm", on=(Verdict.SUSPECTED_HARM,), windows=2, severity="warning"
        ),
    )
    silences: tuple[Silence, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> AlertsConfig:
        channels = [channel.name for channel in self.channels]
        rules = [rule.name for rule in self.rules]
        _refuse_twice("monitoring.alerts.channels", "a channel has the name", channels)
        _refuse_twice("monitoring.alerts.rules", "a rule has the name", rules)
        for rule in self.rules:
            if unknown := set(rule.channels) - set(channels):
                raise ValueError(
                    f"monitoring.alerts.rules: {rule.name} names the channel "
                    f"{sorted(unknown)[0]!r}, which monitoring.alerts.channels lacks"
                )
        for silence in self.silences:
            if unknown := set(silence.rules) - set(rules):
                raise ValueError(
                    f"monitoring.alerts.silences: one names the rule {sorted(unknown)[0]!r}, "
                    "which monitoring.alerts.rules lacks"
                )
        return self


class RetrainingConfig(Section):
    """When a retraining is started, and when its model is taken."""

    enabled: bool = True
    on: Literal[Verdict.CONFIRMED_HARM, Verdict.SUSPECTED_HARM] = Field(
        Verdict.CONFIRMED_HARM, description="suspected harm: also before labels confirm it"
    )
    windows: int = Field(2, ge=1, description="k: harmed windows ...")
    of: int = Field(3, ge=1, description="... of the last n")
    min_labels: int = Field(1000, ge=100, description="labelled live rows that a retraining needs")
    cooldown_seconds: int = Field(86_400, ge=0, description="pause after a retraining")
    monthly_budget: int = Field(8, ge=0, description="retrainings in 30 days")
    approval: bool = Field(False, description="a person must approve each")
    proof_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3,
        description="share of labelled live rows, by stretches of time, that judge, not teach",
    )
    max_regression: float = Field(
        0.02,
        ge=0,
        description="how much worse the new model may be on the frozen test shards; more where a "
        "meaning has changed",
    )
    max_attempts: int = Field(3, ge=1, description="flow runs started for one decision")

    @model_validator(mode="after")
    def _k_of_n(self) -> RetrainingConfig:
        if self.windows > self.of:
            raise ValueError("monitoring.retraining.windows: cannot be more than of")
        return self


class MonitoringConfig(Section):
    """The monitor: windows, findings, verdicts, alerts, retraining."""

    window: WindowConfig = WindowConfig()
    drift: DriftConfig = DriftConfig()
    quality: QualityConfig = QualityConfig()
    harm: HarmConfig = HarmConfig()
    alerts: AlertsConfig = AlertsConfig()
    retraining: RetrainingConfig = RetrainingConfig()
    retention_days: int = Field(
        90, ge=1, description="events stay so long; windows and decisions stay for ever"
    )
    archive: Address | None = Field(
        None, description="where closed windows move as Parquet: a folder or any fsspec address"
    )
