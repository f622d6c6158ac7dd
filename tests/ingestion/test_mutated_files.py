"""A changed byte in a source file costs what it touches, or the file; never another value."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import resource
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.errors import SourceUnreadable, TidemillError
from tidemill.ingestion.first_look.look import look_result
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split

N = 120
TYPES = {"n": "numeric", "x": "numeric", "c": "categorical", "t": "datetime", "y": "categorical"}
STEMS = ("red", "green, light", "blue", 'the "new" one', "über", "")

Row = tuple[Any, ...]


def rows() -> list[Row]:
    """Whole numbers, fractions, texts that need quotes, times, labels."""
    rng = np.random.default_rng(11)
    return [
        (
            n,
            round(float(rng.normal()), 3),
            STEMS[rng.integers(0, len(STEMS))],
            f"2024-{rng.integers(1, 13):02}-{rng.integers(1, 29):02} 10:{n % 60:02}:00",
            "yes" if rng.random() < 0.5 else "no",
        )
        for n in range(N)
    ]


def as_csv() -> bytes:
    """Plain text, as Python's csv writes it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(TYPES)
    writer.writerows(rows())
    return out.getvalue().encode()


def as_zstd() -> bytes:
    """With a checksum of its content, which pyarrow does not write."""
    program = shutil.which("zstd")
    if program is None:
        pytest.skip("there is no zstd command, which writes checksums")
    return subprocess.run([program, "-c", "--check"], input=as_csv(), capture_output=True).stdout


def as_parquet() -> bytes:
    """Three row groups with checksums on their pages."""
    n, x, c, t, y = zip(*rows(), strict=True)
    times = pc.strptime(pa.array(t), "%Y-%m-%d %H:%M:%S", "us")
    table = pa.table({"n": pa.array(n), "x": pa.array(x), "c": c, "t": times, "y": y})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=40, write_page_checksum=True, compression="zstd")
    return out.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a.csv": as_csv,
    "a.csv.bz2": lambda: bz2.compress(as_csv()),
    "a.csv.gz": lambda: gzip.compress(as_csv(), mtime=0),
    "a.csv.zst": as_zstd,
    "a.parquet": as_parquet,
}


def read(root: Path, name: str) -> list[Row]:
    """All rows that are accepted, cells at fault as None; raises what the product raises."""
    dataset = DatasetConfig.model_validate({"source": name, "target": "y", "types": TYPES})
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    columns: list[list[Any]] = [[] for _ in TYPES]
    for split in listing.splits:
        for batch in read_split(split, found.schema, dataset, listing, root, batch_rows=64):
            for cells, column in zip(columns, TYPES, strict=True):
                if column in found.schema.names:
                    cells += batch.table[column].cast(pa.string()).to_pylist()
                else:
                    cells += [None] * batch.table.num_rows
    return list(zip(*columns, strict=True))


def mutated(content: bytes, rng: np.random.Generator) -> tuple[bytes, int]:
    """The content with one byte flipped, replaced, put in, taken out, or all behind it cut off."""
    place = int(rng.integers(0, len(content)))
    kind = rng.integers(0, 9)
    old = content[place]
    if kind < 3:
        new = bytes([old ^ (1 << int(rng.integers(0, 8)))])
    elif kind < 5:
        new = bytes([int(rng.integers(0, 256))])
    elif kind < 6:
        new = bytes([rng.choice(list(b',"\n\r;\\ 0'))])
    elif kind < 7:
        new = bytes([old, rng.choice(list(b',"\n\r5x'))])
    elif kind < 8:
        new = b""
    else:
        return content[:place], place
    return content[:place] + new + content[place + 1 :], place


def altered(whole: list[Row], found: list[Row]) -> list[tuple[Row, ...]]:
    """Rows read that were not written, each beside those written at its place."""
    begin = 0
    while begin < min(len(whole), len(found)) and whole[begin] == found[begin]:
        begin += 1
    end = 0
    while end < min(len(whole), len(found)) - begin and whole[-1 - end] == found[-1 - end]:
        end += 1
    written = whole[begin : len(whole) - end]
    return [(row, *written) for row in found[begin : len(found) - end] if row not in written]


def cells_apart(a: Row, b: Row) -> int:
    """In how many cells two rows differ; one at fault is told, not silently another."""
    return sum(one != other and one is not None for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "count", [4, pytest.param(800, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_changed_byte_changes_one_cell_or_is_told(tmp_path: Path, name: str, count: int) -> None:
    """Rows go missing (they are rejected), files are refused; other values come from nowhere."""
    content = FILES[name]()
    (tmp_path / name).write_bytes(content)
    whole = read(tmp_path, name)
    assert len(whole) == N
    rng = np.random.default_rng(29)
    refused = 0
    for number in range(count):
        changed, place = mutated(content, rng)
        (tmp_path / name).write_bytes(changed)
        try:
            found = read(tmp_path, name)
        except TidemillError:
            refused += 1
            continue
        told = f"{number}: byte {place} of {name}"
        if name != "a.csv":
            assert found == whole, told
        strange = altered(whole, found)
        assert len(strange) <= 1, told
        for row, *written in strange:
            assert min(cells_apart(row, other) for other in written) <= 1, f"{told}: {row}"
    assert refused or name == "a.csv"


def _long_line(path: Path) -> None:
    path.write_text("x,y\n1,0\n" + "7" * 100_000_000 + ",1\n")


def _zeros(path: Path) -> None:
    opened = {
        ".gz": partial(gzip.open, mode="wb"),
        ".zst": partial(pa.CompressedOutputStream, compression="zstd"),
    }
    with opened[path.suffix](str(path)) as out:
        out.write(b"x,y\n" + b"1,0\n2,1\n" * 100)
        for _ in range(1400):
            out.write(b"0,1\n" * (1 << 18))


def _zero_streams(path: Path) -> None:
    one = bz2.compress(b"0,1\n" * (1 << 18))
    path.write_bytes(bz2.compress(b"x,y\n" + b"1,0\n2,1\n" * 100) + one * 1400)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("line.csv", _long_line, "line 3 does not end within 16 MB"),
        ("line.jsonl", _long_line, "."),
        ("streams.csv.bz2", _zero_streams, "expands more than 400 times"),
        ("zeros.csv.gz", _zeros, "expands more than 400 times"),
        ("zeros.csv.zst", _zeros, "expands more than 400 times"),
    ],
)
def test_a_bomb_costs_an_error(
    tmp_path: Path, name: str, make: Callable[[Path], None], said: str
) -> None:
    """Whatever it would open to, it is refused in the memory of a few blocks."""
    make(tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = DatasetConfig.model_validate({"source": name, "target": "y"})

    def whole() -> None:
        listing = list_source(dataset, tmp_path, LocalEngine())
        schema = look_result(dataset, listing, tmp_path).schema
        for split in listing.splits:
            for _ in read_split(split, schema, dataset, listing, tmp_path, batch_rows=65_536):
                pass

    with pytest.raises(SourceUnreadable, match=said):
        whole()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 << 10  # KB


@pytest.mark.parametrize(
    ("name", "frame", "said", "remedy"),
    [
        (
            "named",
            "21070631 0000612c620a310a",
            "with a dictionary, which the file does",
            "-d -D DI",
        ),
        ("unnamed", "20060500 00010203", "is damaged or cut off", "if a dictionary was used"),
    ],
)
def test_a_dictionary_of_zstd_that_is_elsewhere_is_told(
    tmp_path: Path, name: str, frame: str, said: str, remedy: str
) -> None:
    """A frame that names its dictionary is no damage; of one that names none it may be."""
    (tmp_path / f"{name}.csv.zst").write_bytes(bytes.fromhex("28b52ffd" + frame))
    dataset = DatasetConfig.model_validate({"source": f"{name}.csv.zst", "target": "b"})
    with pytest.raises(SourceUnreadable, match=said) as caught:
        list_source(dataset, tmp_path, LocalEngine())
    assert remedy in caught.value.remedy


def _wide_csv(path: Path) -> None:
    path.write_text(",".join(f"c{i}" for i in range(MANY)) + "\n" + ",".join("1" * MANY) + "\n")


def _wide_json(path: Path) -> None:
    path.write_text("{" + ", ".join(f'"c{i}": 1' for i in range(MANY)) + "}\n")


MANY = 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize(("name", "make"), [("a.csv", _wide_csv), ("a.jsonl", _wide_json)])
def test_a_million_columns_cost_an_error(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    """They are counted, and nothing more is done with them."""
    make(tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = DatasetConfig.model_validate({"source": name, "target": "c5"})
    with pytest.raises(SourceUnreadable, match="1,000,000 columns"):
        list_source(dataset, tmp_path, LocalEngine())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10  # KB


@pytest.mark.slow
def test_a_stray_quote_costs_its_line_in_a_large_file(tmp_path: Path) -> None:
    """Far from both ends of 30 MB, and by the right line."""
    lines = [f"{i},{i * 3},some text {i},{i % 2}\n" for i in range(900_000)]
    lines[500_000] = '500000,"1500000,some text,0\n'
    (tmp_path / "a.csv").write_text("k,n,c,y\n" + "".join(lines))
    dataset = DatasetConfig.model_validate({"source": "a.csv", "target": "y"})
    listing = list_source(dataset, tmp_path, LocalEngine())
    schema = look_result(dataset, listing, tmp_path).schema
    (split,) = listing.splits
    batches = read_split(split, schema, dataset, listing, tmp_path, batch_rows=65_536)
    found = [(batch.table.num_rows, batch.rejects) for batch in batches]
    assert sum(rows for rows, _ in found) == 899_999
    assert [reject.line for _, rejects in found for reject in rejects] == [500_002]
