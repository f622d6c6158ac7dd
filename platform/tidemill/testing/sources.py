# ruff: noqa: S101 - these are tests
"""What every source must do: inherit :class:`SourceContract`, name the ``format``, and write one.

Of those in ``tidemill.testing.bad_sources`` each breaks one clause.
"""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tidemill.config import DatasetConfig
from tidemill.contracts import RawBatch, RowsAsked, Sniffed, Source, Split
from tidemill.errors import SourceEmpty, SourceMissing, SourceUnreadable
from tidemill.formats import FORMATS

__all__ = ["SourceContract"]

_WORDS = ("red", "green", "blue")
_ROWS = 240
_SHARE = 50
"""Rows of each split that sniffing may read."""
_MANY, _WIDE = 12_000, 5_000
"""Rows of the test that measures memory, and characters of each: 60 MB."""

Rows = Sequence[tuple[str, int]]


def _rows(count: int, first: int = 0) -> list[tuple[str, int]]:
    return [(_WORDS[n % 3], n) for n in range(first, first + count)]


class SourceContract:
    r"""The contract of :class:`tidemill.contracts.Source`, a test a clause.

    A subclass named ``Test...`` says which source, and how to write what it reads::

        class TestMySource(SourceContract):
            format = "mypackage:MySource"

            def write(self, folder, name, rows):
                lines = [f"{word} {number}" for word, number in rows]
                (folder / f"{name}.mine").write_text("\n".join(["word number", *lines]))
    """

    format: str

    def write(self, folder: Path, name: str, rows: Rows) -> None:
        """Write rows with the columns ``word`` and ``number`` below ``folder``.

        ``name`` tells several pieces apart; the same one again takes the place of the first.
        """
        raise NotImplementedError

    def spoil(self, folder: Path, name: str, row: int) -> bool:
        """Make that record of a piece no row; False where a format can have no such record."""
        del folder, name, row
        return False

    def open(self, folder: Path, source: str = ".") -> Source:
        """The source, as any process makes it."""
        dataset = DatasetConfig(source=source, format=self.format, target="number")
        return FORMATS[self.format](dataset, folder)

    def splits(self, folder: Path) -> tuple[Split, ...]:
        """All splits, numbered as in a listing."""
        source = self.open(folder)
        found = [s for address in source.find("dataset.source") for s in source.split(address)]
        return tuple(replace(s, id=n, format=self.format) for n, s in enumerate(found))

    def sniffed(self, folder: Path) -> tuple[tuple[Split, ...], Sniffed]:
        """All splits, and what they have in common."""
        splits = self.splits(folder)
        found = self.open(folder).sniff(splits, lambda _columns: _SHARE, "dataset.source")
        return splits, found

    def read(self, folder: Path, **more: Any) -> list[list[RawBatch]]:
        """All batches of each split."""
        splits, found = self.sniffed(folder)
        return [
            list(self.open(folder).rows(split, _asked(found, **more)))
            for split in pickle.loads(pickle.dumps(splits))  # noqa: S301 - our own
        ]

    def test_it_is_a_source(self, tmp_path: Path) -> None:
        """It is opened by its name, and has what the protocol names."""
        assert isinstance(self.open(tmp_path), Source)
        kind = FORMATS[self.format]
        assert all(suffix.startswith(".") for suffix in kind.suffixes)
        assert kind.scanned >= 1

    def test_all_that_travels_is_the_split(self, tmp_path: Path) -> None:
        """A source made anew finds and reads the same; addresses and splits are in order."""
        for name in ("b", "a"):
            self.write(tmp_path, name, _rows(_ROWS))
        first, second = self.splits(tmp_path), self.splits(tmp_path)
        assert first == second
        assert [s.address for s in first] == sorted(s.address for s in first)
        assert all(isinstance(split.address, str) for split in first)
        assert [_texts(b) for b in self.read(tmp_path)] == [_texts(b) for b in self.read(tmp_path)]

    def test_splits_have_every_row_once(self, tmp_path: Path) -> None:
        """Whatever lies there is in one split or another, in its order."""
        self.write(tmp_path, "a", _rows(_ROWS))
        self.write(tmp_path, "b", _rows(_ROWS, _ROWS))
        found = [row for batches in self.read(tmp_path) for row in _texts(batches)]
        assert found == [(word, str(number)) for word, number in _rows(2 * _ROWS)]

    def test_an_etag_follows_the_content(self, tmp_path: Path) -> None:
        """The same content has the same; a single other value has another."""
        changed = [*_rows(_ROWS - 1), (_WORDS[-1], _ROWS - 2)]
        etags = []
        for rows in (_rows(_ROWS), changed, _rows(_ROWS)):
            self.write(tmp_path, "a", rows)
            splits = self.splits(tmp_path)
            assert {self.open(tmp_path).etag(s.address) for s in splits} == {splits[0].etag}
            etags.append(splits[0].etag)
        assert etags[0] == etags[2] != etags[1]

    def test_rows_have_the_columns_that_are_asked_for(self, tmp_path: Path) -> None:
        """All that were found, or some of them, and no other."""
        self.write(tmp_path, "a", _rows(_ROWS))
        splits, found = self.sniffed(tmp_path)
        assert [column.name for column in found.columns] == ["word", "number"]
        assert [column.type for column in found.columns] == ["text", "integer"]
        for names in (("word", "number"), ("number",)):
            asked = _asked(found, columns=dict.fromkeys(names, pa.string()))
            for batch in self.open(tmp_path).rows(splits[0], asked):
                assert tuple(batch.columns) == names

    def test_sniffing_reads_its_share_alone(self, tmp_path: Path) -> None:
        """What stands behind the rows that it may read of a split changes nothing that it finds."""
        rows = [(("yes", "no")[n % 2] if n < _SHARE else "red", n) for n in range(_ROWS)]
        found = []
        for count in (_SHARE, _ROWS):
            folder = tmp_path / str(count)
            folder.mkdir()
            self.write(folder, "a", rows[:count])
            found.append(self.sniffed(folder)[1].columns)
        assert found[0] == found[1]

    def test_rows_do_not_depend_on_batches(self, tmp_path: Path) -> None:
        """Batch k holds its own records, and the first is the first where no more are wanted."""
        self.write(tmp_path, "a", _rows(_ROWS))
        whole = [_texts(batches) for batches in self.read(tmp_path)]
        for size in (7, 100, _ROWS):
            for batches in self.read(tmp_path, batch_rows=size):
                for number, batch in enumerate(batches):
                    assert {int(row) // size for row in batch.rows} <= {number}
            assert [_texts(b) for b in self.read(tmp_path, batch_rows=size)] == whole
            firsts = [next(iter(b)) for b in self.read(tmp_path, batch_rows=size, max_batches=1)]
            assert [_texts([b]) for b in firsts] == [rows[:size] for rows in whole]

    def test_every_record_has_its_number(self, tmp_path: Path) -> None:
        """Rows and rejects together are all records, each once."""
        self.write(tmp_path, "a", _rows(_ROWS))
        self.spoil(tmp_path, "a", 5)
        for batches in self.read(tmp_path, batch_rows=50):
            rows = [int(row) for batch in batches for row in batch.rows]
            rejected = [reject.row for batch in batches for reject in batch.rejects]
            assert rows == sorted(rows)
            assert sorted([*rows, *rejected]) == list(range(len(rows) + len(rejected)))

    def test_a_record_that_is_no_row_is_rejected(self, tmp_path: Path) -> None:
        """With its reason and its text; all others are read."""
        self.write(tmp_path, "a", _rows(_ROWS))
        if not self.spoil(tmp_path, "a", 5):
            pytest.skip("no record of this format can be no row")
        ((*batches,),) = self.read(tmp_path, batch_rows=50)
        (reject,) = (reject for batch in batches for reject in batch.rejects)
        assert reject.row == 5
        assert reject.reason
        assert 0 < len(reject.raw) <= 500
        expected = [(w, str(n)) for w, n in _rows(_ROWS) if n != 5]
        assert _texts(batches) == expected

    def test_what_has_changed_is_refused(self, tmp_path: Path) -> None:
        """A split that is read to its end is the one that was listed."""
        self.write(tmp_path, "a", _rows(_ROWS))
        splits, found = self.sniffed(tmp_path)
        self.write(tmp_path, "a", [*_rows(_ROWS - 1), (_WORDS[-1], _ROWS - 2)])
        source, asked = self.open(tmp_path), _asked(found)
        with pytest.raises(SourceUnreadable) as caught:
            _ = [list(source.rows(split, asked)) for split in splits]
        assert caught.value.remedy

    def test_memory_is_that_of_a_few_batches(self, tmp_path: Path) -> None:
        """While rows are read less than half of them are held."""
        many = [(f"{number:0{_WIDE}d}", number) for number in range(_MANY)]
        self.write(tmp_path, "a", many)
        splits, found = self.sniffed(tmp_path)
        del many
        before, most = pa.total_allocated_bytes(), 0
        tracemalloc.start()
        try:
            for split in splits:
                for _ in self.open(tmp_path).rows(split, _asked(found, batch_rows=100)):
                    held = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before
                    most = max(most, held)
        finally:
            tracemalloc.stop()
        assert most < _MANY * _WIDE / 2

    def test_nothing_to_read_is_told(self, tmp_path: Path) -> None:
        """No such place, and no rows: both with a remedy."""
        with pytest.raises(SourceMissing) as missing:
            self.open(tmp_path, "nowhere").find("dataset.source")
        self.write(tmp_path, "a", [])
        with pytest.raises(SourceEmpty) as empty:
            self.sniffed(tmp_path)
        assert missing.value.remedy
        assert empty.value.remedy


def _asked(found: Sniffed, *, batch_rows: int = 1000, **more: Any) -> RowsAsked:
    names = tuple(column.name for column in found.columns)
    columns = more.pop("columns", dict.fromkeys(names, pa.string()))
    return RowsAsked(columns, names, found.written, batch_rows, **more)


def _texts(batches: Sequence[RawBatch]) -> list[tuple[str, ...]]:
    return [row for batch in batches for row in _of(batch)]


def _of(batch: RawBatch) -> Iterator[tuple[str, ...]]:
    values = [array.to_pylist() for array in batch.columns.values()]
    return (tuple(map(str, row)) for row in zip(*values, strict=True))
