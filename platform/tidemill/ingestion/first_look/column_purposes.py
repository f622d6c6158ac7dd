"""What a column of the look's sample becomes in the schema, or why it is left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.casting import cast_column
from tidemill.config import DatasetConfig
from tidemill.errors import ConfigError
from tidemill.ingestion.first_look.number_spread import Spread, present_numbers
from tidemill.ingestion.first_look.time_remedies import time_remedy
from tidemill.ingestion.sources.categories import hardly_repeat
from tidemill.schema import Column, ColumnType, Purpose, SourceColumn
from tidemill.spelling import LARGEST_WHOLE

__all__ = ["MAX_EDGES", "WIDEST", "WIDE_EDGES", "judge_column"]

MAX_EDGES = 32
#: Of a table of many columns.
WIDE_EDGES = 8
# Words that a remedy names at most, and the share of numbers that makes a column numeric.
MAX_WORDS, MIN_NUMBERS = 5, 0.9

# Words end at blanks, but in scripts without: codes, addresses and dates have few of them.
_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|\p{L}\S*"
_PROSE_WORDS = 3

#: The physical type that holds every value of a kind: that of the sample.
WIDEST = {
    ColumnType.NUMERIC: "float64",
    ColumnType.BOOLEAN: "bool",
    ColumnType.DATETIME: "timestamp[us]",
    ColumnType.CATEGORICAL: "string",
    ColumnType.TEXT: "string",
}


def judge_column(
    name: str,
    kind: ColumnType,
    source: SourceColumn,
    values: pa.Array | None,
    dataset: DatasetConfig,
    carry: tuple[str, ...],
    *,
    spread: Spread,
) -> Column | str:
    """The column as the schema holds it, or why it is ignored."""
    if values is None:
        stated = name in dataset.types
        what = source.note or source.type
        return "dataset.types" if stated else f"{what} values cannot be learnt from"
    if name == dataset.target:
        return Column(name, kind, Purpose.TARGET, WIDEST[kind], spread.edges)
    if name == dataset.time:
        return _time_column(name, kind, values, spread)
    if name == dataset.key:
        return _key_column(name, source, values)
    why = None
    if name in dataset.drop:
        why = "dataset.drop"
    elif name not in dataset.types and name not in carry and _is_prose(kind, source, values):
        kind = ColumnType.TEXT
    elif name not in dataset.types:
        why = _why_useless(name, kind, source, values, dataset.missing_values)
    if why is None:
        physical = _physical(kind, spread, source, stated=name in dataset.types)
        return Column(name, kind, Purpose.FEATURE, physical, spread.edges)
    if name in carry:
        physical = "dictionary" if kind is ColumnType.CATEGORICAL else WIDEST[kind]
        return Column(name, kind, Purpose.CARRIED, physical, spread.edges)
    return why


def _key_column(name: str, source: SourceColumn, values: pa.Array) -> Column:
    # Codes of a key column are never learnt from; its type says how it compares.
    whole = source.type == "integer"
    if source.type == "number" and values.null_count < len(values):
        numbers = present_numbers(values)
        whole = bool(
            (numbers == np.floor(numbers)).all() and (np.abs(numbers) <= LARGEST_WHOLE).all()
        )
    if whole:
        return Column(name, ColumnType.NUMERIC, Purpose.KEY, "int64")
    return Column(name, ColumnType.CATEGORICAL, Purpose.KEY, "string")


def _why_useless(
    name: str,
    kind: ColumnType,
    source: SourceColumn,
    values: pa.Array,
    missing_values: Sequence[str],
) -> str | None:
    present = len(values) - values.null_count
    if not present:
        what = "time that exists" if kind is ColumnType.DATETIME else "value"
        return f"no {what} in the {len(values)} rows looked at"
    if kind is ColumnType.CATEGORICAL:
        distinct = pc.count_distinct(values).as_py()
        if hardly_repeat(distinct, present):
            hardly = f"{distinct} different texts in {present} rows"
            if source.note:
                return f"{source.note}; {hardly} ({_remedies(name, source, values)})"
            return _lost_numbers(name, values, missing_values) or (
                f"free text: {hardly} (dataset.types: categorical keeps it)"
            )
    return None


def _is_prose(kind: ColumnType, source: SourceColumn, values: pa.Array) -> bool:
    """Whether texts hardly repeat, and have as many words as what is written for people."""
    if kind is not ColumnType.CATEGORICAL or source.note:
        return False
    texts = values.drop_null().cast(pa.string())
    if not hardly_repeat(pc.count_distinct(texts).as_py(), len(texts)):
        return False
    words = pc.sum(pc.count_substring_regex(texts, _WORD)).as_py()
    return bool(words >= _PROSE_WORDS * len(texts))


def _remedies(name: str, source: SourceColumn, texts: pa.Array) -> str:
    """Lines for params.yaml, each of which was tried on the texts looked at."""
    keeps = f"dataset.types: {{{json.dumps(name)}: categorical}} keeps the texts"
    numbers = cast_column(texts, pa.float64())
    if numbers.faults is None and "dataset.conventions" not in source.note:
        return f"dataset.types: {{{json.dumps(name)}: numeric}} reads numbers, {keeps}"
    return keeps


def _lost_numbers(name: str, texts: pa.Array, missing_values: Sequence[str]) -> str | None:
    """What to say of free texts most of which are numbers, with lines that were tried."""
    present = texts.drop_null()
    others = present.filter(pc.is_null(cast_column(present, pa.float64()).values))
    share = 1 - len(others) / len(present)
    if not 0.5 <= share < 1:
        return None
    numbers = len(present) - len(others)
    words = Counter(pc.utf8_trim_whitespace(others).to_pylist()).most_common(MAX_WORDS)
    remedy = f"dataset.types: {{{json.dumps(name)}: categorical}} keeps the texts"
    for named in range(1, len(words) + 1):
        rest = len(others) - sum(cells for _, cells in words[:named])
        if numbers >= MIN_NUMBERS * (numbers + rest):
            line = [*missing_values, *(word for word, _ in words[:named])]
            said = json.dumps(line, ensure_ascii=False)
            remedy = f"dataset.missing_values: {said} reads numbers, {remedy}"
            break
    return f"{share:.0%} numbers, and texts such as {words[0][0]!r} ({remedy})"


def _time_column(name: str, kind: ColumnType, values: pa.Array, spread: Spread) -> Column:
    if kind is not ColumnType.DATETIME:
        raise ConfigError(
            f"dataset.time names {name!r}, whose values are not times but {kind.value}",
            remedy=time_remedy(name, values),
            column=name,
            type=kind.value,
        )
    return Column(name, kind, Purpose.TIME, "timestamp[us]", spread.edges)


def _physical(kind: ColumnType, spread: Spread, source: SourceColumn, *, stated: bool) -> str:
    """Float32 only where it holds every number; what is stated to be numeric is float64."""
    if kind is ColumnType.CATEGORICAL:
        return "dictionary"
    if kind is ColumnType.NUMERIC:
        wide = stated or source.wide
        fits = source.narrow or (not wide and spread.narrow)
        return "float32" if fits else "float64"
    return WIDEST[kind]
