"""Texts as terms: words and pairs of words, hashed to buckets, a block at a time.

A word is a run of letters, marks and digits in lower case; each character of a script that puts
no blanks between words is one by itself. A text without a word is told by a term of its own, as a
missing one is.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.storage import stable_hash

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "BUCKETS",
    "LARGEST_TERMS",
    "LONGEST_TEXT",
    "count_terms",
    "only_terms",
    "text_fold",
    "weigh_terms",
]

BUCKETS = 2**30
"""Numbers that terms are hashed to: of a hundred thousand terms some five share theirs."""

LARGEST_TERMS = 2**17
"""Terms that are told apart at most."""

LONGEST_TEXT = 20_000
"""Characters of a text that are read; what follows is not."""

_BYTES = 2**24

_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_BETWEEN = r"[^\p{L}\p{M}\p{N}]+"
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)
_NO_WORD = np.uint64(1)

Hashes: TypeAlias = npt.NDArray[np.uint64]


def count_terms(texts: pa.Array | pa.ChunkedArray) -> csr_matrix:
    """How often each term occurs in each text; (rows, BUCKETS) float32.

    Notes
    -----
    Some 16 MiB of texts at a time, each word of them hashed once, not each time that it occurs.
    Memory: some 60 bytes a word of those, and 8 a term of all.

    >>> found = count_terms(pa.array(["The cat, the cat!", None, "CAT"]))
    >>> [sorted(found[row].data.tolist()) for row in range(3)]
    [[1.0, 2.0, 2.0, 2.0], [1.0], [1.0]]
    """
    from scipy.sparse import vstack

    if not len(texts):
        return _counted(texts)
    sizes = np.asarray(pc.fill_null(pc.binary_length(texts), 0)).astype(np.int64)
    before = (np.cumsum(sizes) - sizes) // _BYTES
    cuts = [0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), len(texts)]
    parts = [_counted(texts[a:b]) for a, b in itertools.pairwise(cuts)]
    return parts[0] if len(parts) == 1 else vstack(parts, format="csr")


def _counted(texts: pa.Array | pa.ChunkedArray) -> csr_matrix:
    """The same, all at once."""
    from scipy.sparse import coo_matrix

    rows = len(texts)
    words, of_word = _words(texts)
    same = of_word[1:] == of_word[:-1]
    pairs = _mixed(words[:-1][same] * _PAIR + words[1:][same])
    silent = np.flatnonzero(np.bincount(of_word, minlength=rows) == 0)
    terms = np.concatenate([words, pairs, np.full(len(silent), _NO_WORD)])
    of_term = np.concatenate([of_word, of_word[1:][same], silent])
    places = (terms & np.uint64(BUCKETS - 1)).astype(np.int32)
    ones = np.ones(len(terms), np.float32)
    return coo_matrix((ones, (of_term, places)), shape=(rows, BUCKETS)).tocsr()


def only_terms(counts: csr_matrix, terms: npt.NDArray[np.int32]) -> csr_matrix:
    """The counts of these terms, ascending, alone; (rows, n_terms) float32."""
    from scipy.sparse import csr_matrix

    at = np.searchsorted(terms, counts.indices)
    known = np.append(terms, -1)[at] == counts.indices
    ends = np.concatenate([[0], np.cumsum(known)])[counts.indptr]
    parts = (counts.data[known], at[known].astype(np.int32), ends)
    return csr_matrix(parts, shape=(counts.shape[0], len(terms)))


def weigh_terms(counts: csr_matrix, rarity: npt.NDArray[np.float32]) -> csr_matrix:
    """TF-IDF: the logarithm of each count by the term's rarity, each text of length 1.

    Parameters
    ----------
    counts : (rows, n_terms) float32
        Overwritten.
    rarity : (n_terms,) float32
        The inverse document frequency of each.
    """
    weights = counts.data
    np.log(weights, out=weights)
    weights += 1
    weights *= rarity[counts.indices]
    of_cell = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    squares = np.bincount(of_cell, np.square(weights, dtype=np.float64), counts.shape[0])
    lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
    weights /= lengths[of_cell].astype(np.float32)
    return counts


def text_fold(folds: npt.NDArray[np.int64], count: int, models: int) -> npt.NDArray[np.int64]:
    """Which model tells rows of these folds of ``count``: neighbours in time share one.

    >>> text_fold(np.arange(16), 16, 5).tolist()
    [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    """
    return folds * models // count


def _words(texts: pa.Array | pa.ChunkedArray) -> tuple[Hashes, npt.NDArray[Any]]:
    """The hash of each word, in order, and the row that it stands in."""
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    plain = pc.utf8_lower(pc.utf8_slice_codeunits(pc.fill_null(array, ""), 0, LONGEST_TEXT))
    split = pc.split_pattern_regex(pc.replace_substring_regex(plain, _UNSPACED, r" \1 "), _BETWEEN)
    words, of_word = pc.list_flatten(split), np.asarray(pc.list_parent_indices(split))
    present = np.asarray(pc.not_equal(words, ""))
    coded = words.dictionary_encode()
    hashed = _mixed(stable_hash(coded.dictionary))
    return hashed[np.asarray(coded.indices)[present]], of_word[present]


def _mixed(hashes: Hashes) -> Hashes:
    """The hashes with every bit in the lower ones (the finaliser of MurmurHash3, shortened)."""
    found = hashes ^ (hashes >> _HALF)
    found *= _MIX
    found ^= found >> _HALF
    return found
