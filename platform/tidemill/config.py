"""params.yaml as one frozen tree, checked once, at the edge.

Every stage receives the sections it needs and nothing else. Unknown keys are refused with the
nearest known one; every problem in the file is reported at once.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from tidemill.errors import ConfigError, WorkspaceMissing, nearest
from tidemill.schema import ColumnType, Task

__all__ = [
    "CsvFormat",
    "DatasetConfig",
    "EvaluationConfig",
    "HoldoutConfig",
    "IngestionConfig",
    "Params",
    "ReductionConfig",
    "RegistrationConfig",
    "ShardingConfig",
    "TrainingConfig",
    "TuningConfig",
    "load_params",
    "params_schema",
    "params_text",
    "read_params",
    "set_params",
]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Scalar = str | int | float | bool | None


class Section(BaseModel):
    """A frozen section of params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class CsvFormat(Section):
    """How delimited text is written; ``auto`` is found by look from a bounded sample."""

    delimiter: str = Field("auto", description="one character, or auto")
    quote: str = Field('"', description="quoting character; empty for none")
    encoding: str = Field("utf-8", description="utf-8, latin-1 or utf-16")
    header: Literal["auto"] | bool | tuple[str, ...] = Field(
        "auto", description="auto, true, false, or the list of column names of a file without one"
    )
    null_values: tuple[str, ...] = Field(
        ("", "NA", "NaN", "nan", "null", "NULL", "None", "N/A"),
        description="texts that mean 'missing'",
    )


class DatasetConfig(Section):
    """The user's table."""

    name: str = Field("dataset", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    source: str = Field(description="a file, a folder or a glob, relative to the workspace")
    format: Literal["auto", "csv", "parquet", "jsonl"] = "auto"
    csv: CsvFormat = CsvFormat()
    target: str = Field(description="the column to predict")
    task: Literal["auto"] | Task = Field(
        "auto", description="auto, binary, multiclass or regression"
    )
    positive: str | None = Field(
        None, description="the positive label of a binary target; default: the last in order"
    )
    time: str | None = Field(None, description="the column that orders rows")
    key: str | None = Field(None, description="the column that names a row; must be unique")
    types: dict[str, ColumnType] = Field(
        default_factory=dict, description="column types where look errs"
    )
    derive: dict[str, str] = Field(
        default_factory=dict, description="new columns by row-wise SQL expressions"
    )
    drop: tuple[str, ...] = Field((), description="columns left out")
    look_rows: int = Field(50_000, ge=100, description="rows the look reads, over all files")


class IngestionConfig(Section):
    """Validation of every batch."""

    suite: str = Field("expectations/suite.json", description="the Great Expectations suite")
    max_invalid_fraction: Fraction = Field(
        0.1, description="over this share of invalid rows the data are refused"
    )
    max_target_missing: Fraction = Field(
        0.5, description="over this share of rows without target the data are refused"
    )
    batch_rows: int = Field(65_536, ge=256, description="rows in memory at once, per worker")


class HoldoutConfig(Section):
    """Which rows are train, validation and test."""

    by: Literal["time", "order", "hash", "stratified", "file"] = Field(
        "hash",
        description="time: latest rows; order: last rows; hash: by hash of the key or row; "
        "stratified: by hash within each class; file: a glob of source files",
    )
    test: float | int | str = Field(
        0.2,
        description="a fraction below 1; or where the test rows begin: a time (by: time), "
        "a row number counted from 0 (by: order), a glob of source files (by: file)",
    )
    test_end: str | None = Field(None, description="by time: rows from here on are left out")
    validation: Annotated[float, Field(ge=0.0, lt=0.9)] = Field(
        0.1, description="the share of the remaining rows used for validation"
    )

    @field_validator("test", "test_end", mode="before")
    @classmethod
    def _time_as_text(cls, value: Any) -> Any:
        # YAML reads an unquoted 2024-01-14 as a date.
        return value.isoformat() if isinstance(value, dt.date) else value


class ShardingConfig(Section):
    """How validated rows become shards."""

    strategy: Literal["hash", "range", "time"] = "hash"
    by: str | None = Field(
        None, description="hash, range: the column; default dataset.key, else the whole row"
    )
    shards: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = "auto"
    shard_mb: int = Field(128, ge=1, le=4096, description="size aimed at with shards: auto")
    block_rows: Literal["auto"] | Annotated[int, Field(ge=64, le=1_048_576)] = "auto"
    holdout: HoldoutConfig = HoldoutConfig()


class ReductionConfig(Section):
    """The reducer: impute, encode, scale, select, project."""

    impute: Literal["mean", "median", "zero", "none"] = Field(
        "mean", description="for numeric features; none keeps missing values for learners that can"
    )
    indicator: bool = Field(False, description="add a column that says 'was missing'")
    encode: Literal["one_hot", "ordinal"] = "one_hot"
    min_frequency: Fraction = Field(0.001, description="rarer categories share one 'rare' bucket")
    max_categories: int = Field(100, ge=2, le=10_000, description="kept categories per feature")
    scale: Literal["standard", "none"] = "standard"
    min_variance: float = Field(0.0, ge=0.0, description="features with no more are dropped")
    max_correlation: float = Field(
        1.0, gt=0.0, le=1.0, description="of two features that correlate more, the later goes"
    )
    project: Literal["none", "pca"] = "none"
    components: int | float = Field(
        0.95, description="pca: a number of components, or the share of variance they explain"
    )


class TuningConfig(Section):
    """The search for the learner's parameters."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    trials: int = Field(10, ge=0, description="0 turns tuning off")
    timeout_seconds: float | None = Field(
        None, gt=0, description="ends the study early and gives up reproducibility"
    )
    workers: int = Field(1, ge=1, description="trials at once, each in a process")
    metric: str = Field("auto", description="auto, or a figure of the task such as roc_auc")
    max_rows: int = Field(200_000, ge=100, description="training rows a trial may see")
    space: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="parameter: {low, high, log, step} or {choices: [...]}; "
        "empty: the learner's own",
    )


class TrainingConfig(Section):
    """What is trained, and how it meets the shards."""

    learner: Literal["sgd", "hist_gradient_boosting", "lightgbm"] = "lightgbm"
    strategy: Literal["auto", "incremental", "boosted", "in_memory"] = "auto"
    memory_budget_mb: int = Field(2048, ge=64, description="what an in-memory fit may use")
    class_weight: Literal["none", "balanced"] = "none"
    params: dict[str, Scalar] = Field(
        default_factory=dict, description="the learner's parameters; they win over tuned ones"
    )


class EvaluationConfig(Section):
    """Figures on the test shards."""

    metric: str = Field("auto", description="the figure that decides; auto: roc_auc, log_loss, r2")
    max_gap: float = Field(
        0.1, ge=0, description="warn when training beats validation by more (relative)"
    )


class RegistrationConfig(Section):
    """The registry and the promotion."""

    model: str | None = Field(None, description="registered name; default: dataset.name")
    experiment: str | None = Field(None, description="MLflow experiment; default: dataset.name")
    min_improvement: float = Field(
        0.0, ge=0, description="by how much a challenger must beat the champion"
    )


class Params(Section):
    """The whole of params.yaml."""

    seed: int = Field(42, ge=0, le=2**32 - 1)
    dataset: DatasetConfig
    ingestion: IngestionConfig = IngestionConfig()
    sharding: ShardingConfig = ShardingConfig()
    reduction: ReductionConfig = ReductionConfig()
    tuning: TuningConfig = TuningConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registration: RegistrationConfig = RegistrationConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        holdout = self.sharding.holdout
        if holdout.by == "time" and self.dataset.time is None:
            raise ValueError("sharding.holdout.by: time needs dataset.time")
        if self.sharding.strategy == "time" and self.dataset.time is None:
            raise ValueError("sharding.strategy: time needs dataset.time")
        if self.sharding.strategy == "range" and not (self.sharding.by or self.dataset.key):
            raise ValueError("sharding.strategy: range needs sharding.by or dataset.key")
        if isinstance(holdout.test, float) and not 0 < holdout.test < 1:
            raise ValueError("sharding.holdout.test: a fraction lies between 0 and 1")
        if isinstance(holdout.test, int) and holdout.by != "order":
            raise ValueError("sharding.holdout.test: a row number needs holdout.by: order")
        if isinstance(holdout.test, str) and holdout.by not in ("time", "file"):
            raise ValueError("sharding.holdout.test: a text needs holdout.by: time or file")
        if holdout.by == "file" and not isinstance(holdout.test, str):
            raise ValueError("sharding.holdout.by: file needs holdout.test: a glob")
        for role in ("target", "time", "key"):
            if getattr(self.dataset, role) in self.dataset.drop:
                raise ValueError(f"dataset.drop: holds dataset.{role}; take it out of one of them")
        if self.training.learner == "sgd" and self.reduction.impute == "none":
            raise ValueError(
                "training.learner: sgd needs every value: set reduction.impute to mean, and "
                "reduction.encode to one_hot and reduction.scale to standard as well"
            )
        return self


def load_params(root: Path) -> Params:
    """Read and check ``root/params.yaml``.

    Raises
    ------
    WorkspaceMissing
        If there is no such file.
    ConfigError
        If it is not valid YAML, or a key or value is wrong; all problems in one error.
    """
    return read_params(params_text(root))


def params_text(root: Path) -> str:
    """The text of ``root/params.yaml``, whatever it says.

    Raises
    ------
    WorkspaceMissing
        If there is no such file.
    ConfigError
        If it is not text.
    """
    path = root / "params.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise WorkspaceMissing(
            f"there is no params.yaml in {root}",
            remedy="change to a workspace, or make one with: tidemill init DIR --source ... "
            "--target ...",
            path=str(path),
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(
            "params.yaml is not UTF-8 text", remedy="save params.yaml as UTF-8", path=str(path)
        ) from exc


def read_params(text: str) -> Params:
    """Check the text of a params.yaml.

    >>> read_params("dataset: {source: rides.csv, target: cancelled}").training.learner
    'lightgbm'
    """
    document = _document(text, YAML(typ="safe", pure=True))
    try:
        return Params.model_validate(document)
    except ValidationError as exc:
        raise _config_error(exc) from exc


def _document(text: str, yaml: YAML) -> Any:
    try:
        document = yaml.load(io.StringIO(text))
    except YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"params.yaml is not valid YAML{where}: {getattr(exc, 'problem', exc)}",
            remedy="mend the YAML there",
            line=mark.line + 1 if mark else None,
        ) from exc
    if not isinstance(document, Mapping):
        raise ConfigError(
            "params.yaml holds no settings",
            remedy="give it at least dataset.source and dataset.target",
        )
    return document


def _config_error(exc: ValidationError) -> ConfigError:
    problems = {}
    for problem in exc.errors():
        location = _setting_of([str(part) for part in problem["loc"]])
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            close = nearest(location[-1], _known_keys(location[:-1]))
            hint = f"; did you mean {close!r}?" if close else ""
            problems[key] = f"unknown key{hint}"
        elif problem["type"] == "missing":
            problems[key] = "is required"
        else:
            text = problem["msg"].removeprefix("Value error, ")
            given = problem["input"]
            shown = f" (given: {given!r})" if key and not isinstance(given, dict) else ""
            name, _, rest = text.partition(": ")
            problems[key or name] = (text if key else rest) + shown
    listing = "; ".join(f"{key}: {text}" for key, text in problems.items())
    return ConfigError(
        f"params.yaml: {listing}",
        remedy=f"correct {', '.join(problems)} in params.yaml",
        problems=problems,
    )


def _setting_of(location: list[str]) -> list[str]:
    """The setting that pydantic means: without the branch of a union that it tried."""
    model: type[BaseModel] = Params
    for depth, part in enumerate(location):
        field = model.model_fields.get(part)
        if field is None:
            return location[: depth + 1]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
        else:
            is_mapping = str(field.annotation).startswith("dict")
            return location[: depth + 2] if is_mapping else location[: depth + 1]
    return location


def _known_keys(location: list[str]) -> list[str]:
    model: type[BaseModel] = Params
    for part in location:
        field = model.model_fields.get(part)
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            return []
        model = field.annotation
    return list(model.model_fields)


class _SpelledOut(RoundTripRepresenter):
    """Writes null as a word, not as nothing."""

    def represent_none(self, data: None) -> Any:  # noqa: ARG002
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_SpelledOut.add_representer(type(None), _SpelledOut.represent_none)

_ASSIGNMENT = re.compile(r"^(?P<key>[A-Za-z_][\w.-]*)=(?P<value>.*)$", re.DOTALL)


def set_params(text: str, assignments: list[str]) -> str:
    r"""Return params.yaml's text with ``section.key=value`` set, comments kept.

    Values are read as YAML. The result is checked as a whole before it is returned.

    >>> print(set_params("dataset:\n  source: a  # mine\n  target: y\n", ["dataset.source=b"]))
    dataset:
      source: b  # mine
      target: y
    <BLANKLINE>
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.Representer = _SpelledOut
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = _document(text, yaml)
    for assignment in assignments:
        match = _ASSIGNMENT.match(assignment)
        if match is None:
            raise ConfigError(
                f"--set {assignment!r} is not of the form section.key=value",
                remedy="write for example: --set training.learner=sgd",
                assignment=assignment,
            )
        *sections, key = match["key"].split(".")
        node = document
        for section in sections:
            if not isinstance(node.get(section), Mapping):
                node[section] = {}
            node = node[section]
        try:
            node[key] = YAML(typ="safe", pure=True).load(match["value"])
        except YAMLError as exc:
            raise ConfigError(
                f"--set {match['key']}: {match['value']!r} is not a YAML value",
                remedy="quote the value",
                assignment=assignment,
            ) from exc
    out = io.StringIO()
    yaml.dump(document, out)
    result = out.getvalue()
    read_params(result)
    return result


def params_schema() -> dict[str, Any]:
    """The JSON schema of params.yaml, for editors."""
    schema = Params.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
