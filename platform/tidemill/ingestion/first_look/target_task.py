"""What is predicted, as the target's values in the sample tell: two classes, several, a number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.config import DatasetConfig
from tidemill.errors import ConfigError, TargetUnusable
from tidemill.ingestion.first_look.number_spread import numbers_of_column
from tidemill.schema import Column, ColumnType, Task

__all__ = ["as_target", "task_of"]

MAX_CLASSES = 20


def task_of(dataset: DatasetConfig, target: Column, values: pa.Array) -> Task:
    """The task that params.yaml asks for, else the one that the values suggest.

    Raises
    ------
    ConfigError
        If a regression is asked for and the target holds no numbers.
    TargetUnusable
        If two classes are asked for and there are more.
    """
    numeric = target.type in (ColumnType.NUMERIC, ColumnType.DATETIME)
    distinct = pc.count_distinct(values).as_py()
    if dataset.task != "auto":
        if dataset.task is Task.REGRESSION and target.type is not ColumnType.NUMERIC:
            raise ConfigError(
                f"dataset.task: regression needs numbers, and {target.name!r} is "
                f"{target.type.value}",
                remedy="set dataset.task: auto, or dataset.target to a numeric column",
                column=target.name,
                type=target.type.value,
            )
        if dataset.task is Task.BINARY and distinct > 2:
            raise TargetUnusable(
                f"dataset.task: binary needs two classes, and {target.name!r} has {distinct} in "
                "the rows looked at",
                remedy="set dataset.task: auto, or name a target of two classes",
                target=target.name,
                classes=distinct,
            )
        return dataset.task
    if distinct <= 2:
        return Task.BINARY
    if numeric and (distinct > MAX_CLASSES or not _all_whole(values)):
        return Task.REGRESSION
    return Task.MULTICLASS


def _all_whole(values: pa.Array) -> bool:
    numbers = numbers_of_column(values)
    return numbers is not None and bool((numbers == np.floor(numbers)).all())


def as_target(column: Column, task: Task) -> Column:
    """The column as the task has it: a float, or a class."""
    if task is Task.REGRESSION:
        return replace(column, type=ColumnType.NUMERIC, physical="float64")
    return replace(column, type=ColumnType.CATEGORICAL, physical="dictionary", edges=())
