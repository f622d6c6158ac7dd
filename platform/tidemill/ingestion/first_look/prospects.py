"""What a bounded sample tells before anything is learnt: hopeless targets, leaks, times."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.alike import Alike, alike
from tidemill.config import DatasetConfig
from tidemill.errors import KeyInvalid, TargetUnusable, first_few
from tidemill.ingestion.checks.batch_view import json_value
from tidemill.ingestion.checks.target_classes import class_labels
from tidemill.ingestion.first_look.number_spread import numbers_of_column
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.ingestion.sources.reading import read_split
from tidemill.ingestion.sources.wide_tables import LOOK_CELLS, bounded_rows
from tidemill.profiling import CategoryProfile, Profile
from tidemill.schema import Column, ColumnType, Purpose, TableSchema, Task

__all__ = ["check_key", "check_target", "leaks", "positive_class", "times_unused"]

MAX_LABELS = 1000
_MIN_ROWS, _MIN_MINORITY = 100, 10
_UNIQUE = 0.5
_PERFECT = 0.98
_TARGET_ROWS, _TARGET_SPLITS = 4096, 16

Codes = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def check_target(
    schema: TableSchema,
    dataset: DatasetConfig,
    profile: Profile,
    sample: pa.Table,
    *,
    max_missing: float,
) -> tuple[str, ...]:
    """Refuse a target from which nothing can be learnt; else tell its classes.

    Parameters
    ----------
    schema : TableSchema
    dataset : DatasetConfig
        A stated type of the target says that an id or thousands of classes are meant.
    profile : Profile
        Of some rows.
    sample : pyarrow.Table
        Fewer of them, in the order of the source.
    max_missing : float
        ``ingestion.max_target_missing``.

    Returns
    -------
    tuple of str
        The two classes of a binary target, the positive one last; empty of another.

    Raises
    ------
    TargetUnusable
        If it is mostly missing, has one value, is an id, or has thousands of classes.
    ConfigError
        If ``dataset.positive`` is none of its two classes.
    """
    target, found = schema.target, profile.columns[schema.target.name]
    for why, remedy in _problems(schema, dataset, profile, sample, max_missing):
        raise TargetUnusable(
            f"the target {target.name} {why}",
            remedy=f"name another column with --target; {remedy}",
            target=target.name,
            rows=found.rows,
            missing=found.nulls,
        )
    labels = class_labels(schema, profile, dataset.positive)
    return labels if schema.task is Task.BINARY and len(labels) == 2 else ()


def positive_class(
    dataset: DatasetConfig, schema: TableSchema, listing: SourceListing, root: Path
) -> str | None:
    """The class of a binary target that is taken as the positive one; None where none is known.

    It is stated, or the last in order of those in the first rows of a few splits.

    Notes
    -----
    Memory: a batch of rows, of which only the target is kept.
    """
    if schema.task is not Task.BINARY or dataset.positive is not None:
        return dataset.positive if schema.task is Task.BINARY else None
    alone = replace(schema, columns=(schema.target,))
    profile = Profile.of(alone.arrow_schema().empty_table(), alone)
    labels: tuple[str, ...] = ()
    batch_rows = bounded_rows(_TARGET_ROWS, len(listing.columns), LOOK_CELLS)
    for split in listing.splits[:_TARGET_SPLITS]:
        for batch in read_split(
            split, alone, dataset, listing, root, batch_rows=batch_rows, max_batches=1
        ):
            profile = profile.merge(Profile.of(batch.table, alone))
        labels = class_labels(alone, profile, None)
        if len(labels) > 1:
            break
    return labels[-1] if len(labels) == 2 else None


def check_key(schema: TableSchema, rows: pa.Table, option: str) -> None:
    """Refuse a key that does not name each of these rows.

    Parameters
    ----------
    rows : pyarrow.Table
        Some of the source.
    option : str
        What names the key.

    Raises
    ------
    KeyInvalid
        If a row has none, or two have the same.
    """
    if schema.key is None:
        return
    name = schema.key.name
    keys = rows[name].combine_chunks()
    found = pc.value_counts(keys.drop_null())
    repeated = found.filter(pc.greater(found.field("counts"), 1))
    said = []
    if keys.null_count:
        said.append(f"is missing in {keys.null_count:,}")
    if len(repeated):
        shown = first_few((repr(json_value(v.as_py())) for v in repeated.field("values")[:3]), 3)
        said.append(
            f"has {len(found):,} different values, of which {len(repeated):,} repeat ({shown}),"
        )
    if not said:
        return
    raise KeyInvalid(
        f"{option} {name} {' and '.join(said)} in the {len(keys):,} rows looked at: it must name "
        "one row each",
        remedy=f"leave {option} out (rows are then told apart by all their values), or name a "
        "column without gaps and repetitions",
        key=name,
        missing=keys.null_count,
        repeated_keys=len(repeated),
    )


def _problems(
    schema: TableSchema,
    dataset: DatasetConfig,
    profile: Profile,
    sample: pa.Table,
    max_missing: float,
) -> Iterator[tuple[str, str]]:
    target, found = schema.target, profile.columns[schema.target.name]
    name, rows, present = target.name, found.rows, found.rows - found.nulls
    if rows and found.nulls > max_missing * rows:
        yield (
            f"is missing in {found.nulls} of the {rows} rows looked at",
            "or say that this is right: --set ingestion.max_target_missing="
            f"{math.ceil(100 * found.nulls / rows) / 100}",
        )
    if not isinstance(found, CategoryProfile):
        if name not in dataset.types and _counts_rows(sample[name]):
            yield (
                "is a whole number that grows from row to row, as an id does",
                f"or say that it is a figure: {_set_type(name, 'numeric')}",
            )
        return
    distinct = round(found.n_distinct) if present else 0
    if present and distinct == 1:
        yield (
            f"has one value only, {next(iter(found.counts))!r}, in the {rows} rows looked at",
            "or give a table with rows of every class",
        )
    if name in dataset.types:
        return
    shown = first_few(map(repr, list(found.counts)[:3]), 3)
    if present > _MIN_ROWS and distinct > _UNIQUE * present:
        yield (
            f"has {distinct} different values in {present} rows, as an id has: {shown}",
            _meant(schema, sample),
        )
    if distinct > MAX_LABELS:
        yield f"has {distinct} classes in {present} rows: {shown}", _meant(schema, sample)


def _meant(schema: TableSchema, sample: pa.Table) -> str:
    """What to state if the target is right; tried on the sample."""
    name = schema.target.name
    texts = sample[name].combine_chunks().cast(pa.string()).drop_null()
    classes = f"{_set_type(name, 'categorical')} if these are classes"
    try:
        pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return f"or {classes}"
    figure = f"{_set_type(name, 'numeric')} --set dataset.task=auto if these are figures"
    return f"or {figure}, or {classes}"


def _set_type(name: str, kind: str) -> str:
    return f"--set 'dataset.types={{{json.dumps(name, ensure_ascii=False)}: {kind}}}'"


def _counts_rows(values: pa.ChunkedArray) -> bool:
    """Whether whole numbers grow from each row to the next."""
    numbers = numbers_of_column(values.combine_chunks())
    if numbers is None or len(numbers) < _MIN_ROWS:
        return False
    return bool((np.diff(numbers) > 0).all() and (numbers == np.floor(numbers)).all())


def leaks(schema: TableSchema, sample: pa.Table) -> tuple[tuple[str, float], ...]:
    """Features each of which alone predicts the target nearly perfectly, and how well.

    Half of the rows teach, the others judge: a number by the row whose number is nearest, a
    category by what is most frequent there (of a regression: by the mean). How well is the share
    of a constant's errors (of squares: R2) that is gone.

    Notes
    -----
    O(rows log rows) time a feature; memory: a few arrays of some 65,536 cells, or of the rows.
    """
    target = _target_of(schema, sample)
    if target is None:
        return ()
    features = [column for column in schema.columns if column.purpose is Purpose.FEATURE]
    columns = {c.name: (_is_number(c), sample[c.name].combine_chunks()) for c in features}
    gone: dict[str, float] = {}
    for numeric, group in alike(columns):
        values = _numbers(group) if numeric else _categories(group)
        shares = _errors_gone(values, target, schema.task, numeric=bool(numeric))
        gone |= zip(group.names, shares.tolist(), strict=True)
    return tuple((c.name, gone[c.name]) for c in features if gone[c.name] >= _PERFECT)


def _target_of(
    schema: TableSchema, sample: pa.Table
) -> tuple[npt.NDArray[np.bool_], Values] | None:
    """Rows that have a target, and it: classes as codes; None where too few say something."""
    values = sample[schema.target.name].combine_chunks()
    present = np.asarray(pc.is_valid(values))
    if schema.task is Task.REGRESSION:
        numbers = np.asarray(values.drop_null(), np.float64)
        judged = numbers[1::2]
        enough = len(numbers) >= _MIN_ROWS and len(np.unique(judged)) > 1
        return (present, numbers) if enough else None
    codes = _codes(values)[present]
    counts = np.bincount(codes[1::2]) if len(codes) > 1 else np.zeros(1, np.int64)
    if len(codes) < _MIN_ROWS or counts.sum() - counts.max() < _MIN_MINORITY:
        return None
    return present, codes.astype(np.float64)


def _is_number(column: Column) -> bool:
    return column.type in (ColumnType.NUMERIC, ColumnType.DATETIME)


def _numbers(group: Alike) -> Values:
    """(columns, rows); missing ones are a value, too, beyond the others."""
    plain = group.cells.cast(pa.int64()) if pa.types.is_timestamp(group.cells.type) else group.cells
    numbers = group.matrix(plain.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    finite = np.isfinite(numbers)
    largest = np.abs(numbers).max(axis=1, initial=1.0, where=finite, keepdims=True)
    with np.errstate(over="ignore"):  # infinity is beyond the others, too
        return np.where(finite, numbers, 2.0 * largest)


def _categories(group: Alike) -> Values:
    """(columns, rows); each column counts its own values."""
    return np.stack([_codes(part) for part in group.parts(group.cells)]).astype(np.float64)


def _codes(values: pa.Array) -> Codes:
    """Each different value as a number from 0, missing ones as the last."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    missing = len(encoded.dictionary)
    codes = encoded.indices.fill_null(missing).to_numpy(zero_copy_only=False)
    return np.asarray(codes, np.int64)


def _errors_gone(
    values: Values, target: tuple[npt.NDArray[np.bool_], Values], task: Task, *, numeric: bool
) -> Values:
    """Of each of (features, rows) values; (features,)."""
    present, y = target
    x, truth = values[:, present], y[1::2]
    if numeric:
        guess = _by_nearest(x[:, ::2], y[::2], x[:, 1::2])
    else:
        guess = np.stack([_by_category(row[::2], y[::2], row[1::2], task) for row in x])
    if task is Task.REGRESSION:
        left, constant = ((truth - guess) ** 2).sum(axis=1), ((truth - truth.mean()) ** 2).sum()
    else:
        left = (truth != guess).sum(axis=1)
        constant = len(truth) - np.unique(truth, return_counts=True)[1].max()
    return np.asarray(1 - left / constant, np.float64)


def _by_nearest(x: Values, y: Values, asked: Values) -> Values:
    """Of each feature: the target of the row whose number is nearest, (features, asked)."""
    order = np.argsort(x, axis=1, kind="stable")
    x, y = np.take_along_axis(x, order, axis=1), y[order]
    right = np.clip(_below(x, asked), 1, x.shape[1] - 1)
    before, after = (np.take_along_axis(x, at, axis=1) for at in (right - 1, right))
    nearer = asked - before < after - asked
    return np.take_along_axis(y, right - nearer, axis=1)


def _below(x: Values, asked: Values) -> npt.NDArray[np.intp]:
    """How many of each row of ``x`` are less than each of ``asked``; many searches at once."""
    order = np.argsort(np.concatenate([asked, x], axis=1), axis=1, kind="stable")
    taught = np.cumsum(order >= asked.shape[1], axis=1)
    found = np.empty(order.shape, np.intp)
    np.put_along_axis(found, order, taught, axis=1)
    return found[:, : asked.shape[1]]


def _by_category(x: Values, y: Values, asked: Values, task: Task) -> Values:
    size = int(max(x.max(initial=0), asked.max(initial=0))) + 1
    if task is Task.REGRESSION:
        sums, rows = (
            np.bincount(x.astype(np.int64), y, size),
            np.bincount(x.astype(np.int64), minlength=size),
        )
        means = np.where(rows > 0, sums / np.maximum(rows, 1), y.mean())
        return np.asarray(means[asked.astype(np.int64)], np.float64)
    classes = int(y.max(initial=0)) + 1
    pairs, counts = np.unique(x * classes + y, return_counts=True)
    order = np.argsort(counts, kind="stable")
    best = np.full(size, float(np.bincount(y.astype(np.int64)).argmax()))
    best[(pairs[order] // classes).astype(np.int64)] = pairs[order] % classes
    return best[asked.astype(np.int64)]


def times_unused(schema: TableSchema, sample: pa.Table) -> tuple[str, ...]:
    """Columns of times, where none is named to order rows; one in the rows' order goes alone."""
    if schema.time is not None:
        return ()
    names = [c.name for c in schema.columns if c.type is ColumnType.DATETIME]
    sorted_ = [name for name in names if _is_sorted(sample[name])]
    return tuple(sorted_[:1] or names)


def _is_sorted(values: pa.ChunkedArray) -> bool:
    seconds = numbers_of_column(values.combine_chunks())
    return seconds is not None and len(seconds) > 1 and bool((np.diff(seconds) >= 0).all())
