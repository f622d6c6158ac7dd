"""How many columns of texts are read: those of clean numbers at once, each other one by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.alike import Alike, alike
from tidemill.conventions import may_be_grouped
from tidemill.ingestion.sources.text_columns import Stated, column_of_texts
from tidemill.numbers import SHORTEST, doubtful_texts, mask_of, numbers_of
from tidemill.schema import SourceColumn
from tidemill.spelling import missing_of

__all__ = ["columns_of_texts"]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_OF_NUMBERS = np.zeros(256, np.bool_)
_OF_NUMBERS[np.frombuffer(b"+-.0123456789", np.uint8)] = True


def columns_of_texts(
    texts: Mapping[str, pa.Array], stated: Mapping[str, Stated]
) -> dict[str, SourceColumn]:
    """What :func:`column_of_texts` finds of each column, in the order of ``texts``.

    Parameters
    ----------
    texts : dict of column name to (rows,) pyarrow.Array of string
    stated : dict of column name to Stated

    Notes
    -----
    Memory: some 65,536 cells at a time beside the texts.
    """
    found: dict[str, SourceColumn] = {}
    for said, group in alike({name: (stated[name], cells) for name, cells in texts.items()}):
        if len(group.names) > 1 and said.type is None and said.convention is None:
            found |= dict(_clean(group, said))
    return {
        name: found.get(name) or column_of_texts(name, cells, stated[name])
        for name, cells in texts.items()
    }


def _clean(group: Alike, said: Stated) -> Iterator[tuple[str, SourceColumn]]:
    """Of the columns of which every text is a number, and none of them doubtful."""
    missing: Mask = group.matrix(mask_of(missing_of(group.cells, {*said.missing, ""})))
    other: Mask = group.matrix(_of_other_bytes(group.cells)) & ~missing
    some = np.flatnonzero(~other.any(axis=1) & ~missing.all(axis=1))
    numbers, missing = group.of(some), missing[some]
    texts = pc.if_else(pa.array(missing.ravel()), pa.scalar(None, pa.string()), numbers.cells)
    values = numbers_of(texts)
    lost = numbers.matrix(mask_of(pc.and_(pc.is_null(values), pc.is_valid(texts))))
    floats = numbers.matrix(values.to_numpy(zero_copy_only=False))
    whole = ((floats == np.floor(floats)) | np.isnan(floats)).all(axis=1)
    for at, style in _styles(Alike(numbers.names, texts, numbers.rows), floats):
        place = slice(at * numbers.rows, (at + 1) * numbers.rows)
        pointed = not (whole[at] and style == SHORTEST)  # 1000 is no 1.000
        if lost[at].any() or (pointed and _may_be_grouped(floats[at], texts[place])):
            continue
        name, plain = numbers.names[at], "integer" if whole[at] else "number"
        counted = _counted(numbers.cells[place], missing[at])
        yield name, SourceColumn(name, plain, style=style, missing=counted)


def _may_be_grouped(numbers: Floats, texts: pa.Array) -> bool:
    """Whether the points of a column may group thousands: a look at its values clears most."""
    present = np.abs(numbers[~np.isnan(numbers)])
    if not ((present >= 1) | (present == 0)).all() or (present >= 1000).any():
        return False
    return may_be_grouped(texts.drop_null())


def _of_other_bytes(texts: pa.Array) -> Mask:
    """Which texts hold a byte that is in no plain number, a blank or an exponent among them."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset :][: len(texts) + 1]
    held = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    other = np.concatenate([np.zeros(1, np.int32), np.cumsum(~_OF_NUMBERS[held], dtype=np.int32)])
    counted = other[offsets - offsets[0]]
    found: Mask = counted[1:] != counted[:-1]
    return found


def _styles(group: Alike, floats: Floats) -> Iterator[tuple[int, str]]:
    """How each column spells its numbers, where a look at first and last bytes can tell."""
    begins = pc.or_(pc.starts_with(group.cells, "."), pc.starts_with(group.cells, "-."))
    open_ = ~group.matrix(mask_of(begins)).any(axis=1)
    plain = ~group.matrix(doubtful_texts(group.cells, floats.ravel(), SHORTEST)).any(axis=1)
    yield from ((at, SHORTEST) for at in np.flatnonzero(open_ & plain).tolist())
    broken = floats != np.floor(floats)
    broken &= ~np.isnan(floats)
    by_decimals: dict[int, list[int]] = {}
    for at in np.flatnonzero(open_ & ~plain & broken.any(axis=1)).tolist():
        first = group.cells[at * group.rows + int(broken[at].argmax())].as_py()
        by_decimals.setdefault(len(first.partition(".")[2]), []).append(at)
    for decimals, columns in by_decimals.items():
        places, style = np.array(columns), f"decimals {decimals}"
        some = group.of(places)
        strange = some.matrix(doubtful_texts(some.cells, floats[places].ravel(), style))
        yield from ((at, style) for at in places[~strange.any(axis=1)].tolist())


def _counted(texts: pa.Array, missing: npt.NDArray[np.bool_]) -> tuple[tuple[str, int], ...]:
    """The texts that mean 'missing', and how many cells hold each."""
    if not missing.any():
        return ()
    words = pc.utf8_trim_whitespace(texts.filter(pa.array(missing)))
    return tuple(sorted(Counter(words.to_pylist()).items()))
