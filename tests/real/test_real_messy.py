"""Files as people have them, made here: one of each kind of the messy survey.

A file comes back with every cell as it was made, or what is not read is told by its line.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.config import DatasetConfig
from tidemill.engines import LocalEngine
from tidemill.ingestion.first_look.look import look_result
from tidemill.ingestion.sources.listing import list_source
from tidemill.ingestion.sources.reading import read_split

NAMES = ("id", "city", "paid", "y")
TOWNS = ("Rome", "Oslo", "New York", "Bern")
ROWS = [(str(100 + i), TOWNS[i % 4], f"{i * 1.5 + 0.25}", "ab"[i % 2]) for i in range(40)]
TRUTH = [(float(a), b, float(c), d) for a, b, c, d in ROWS]


def text(separator: str = ",", end: str = "\n", york: str = "New York", quote: str = "") -> str:
    """The table, with another way to write New York."""
    rows = [[york if cell == TOWNS[2] else cell for cell in row] for row in (NAMES, *ROWS)]
    lines = (separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows)
    return end.join(lines) + end


PLAIN = text()
LINES = PLAIN.splitlines()
HEAD = LINES[0] + "\n"


def beneath(lines: list[str], at: int, line: str) -> str:
    """A line more."""
    return "\n".join([*lines[:at], line, *lines[at:]]) + "\n"


READ: dict[str, str | bytes] = {
    **{f"separator {s!r}": text(s) for s in (";", "\t", "|", ", ", "; ", "| ")},
    **{f"ends {e!r}": text(end=e) for e in ("\r", "\r\n", "\n\n", "\r\r\n")},
    "mixed ends": PLAIN.replace("a\n", "a\r\n"),
    "no end": PLAIN[:-1],
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "utf-16": PLAIN.encode("utf-16"),
    "all quoted": text(quote='"'),
    "sep=": "sep=;\n" + text(";"),
    "sep= of a spreadsheet": ("sep=\t\r\n" + text("\t", "\r\n")).encode("utf-16"),
    "title": "Sales of 2024\n\n" + PLAIN,
    "padded title": "Sales of 2024,,,\n" + PLAIN,
    "names of groups": "who,,what,\n" + PLAIN,
    "header again": beneath(LINES, 20, LINES[0]),
    "header again with a byte order mark": beneath(LINES, 20, "\ufeff" + LINES[0]),
    "comment": beneath(LINES, 20, "# checked by Bob"),
    "comments above": "# made by x\n# in 2024\n" + PLAIN,
    "separators behind all lines": "\n".join(line + ",," for line in LINES) + "\n",
    "separators before all lines": "\n".join("," + line for line in LINES) + "\n",
}
CELLS = {
    "separator": ('"New, York"', "New, York"),
    "quotes": ('"""New"" York"', '"New" York'),
    "backslash before quotes": ('"\\"New\\" York"', '"New" York'),
    "backslash": ("C:\\New", "C:\\New"),
    "backslash at the end": ('"C:\\New\\"', "C:\\New\\"),
    "line feed": ('"New\nYork"', "New\nYork"),
    "line feeds and header": (f'"New\n\n{HEAD}# York"', f"New\n\n{HEAD}# York"),
    "tab": ("New\tYork", "New\tYork"),
    "another separator": ("New;York;1", "New;York;1"),
    "apostrophe": ("'s Hage", "'s Hage"),
    "single quotes around a separator": ("'New, York'", "New, York"),
    **{
        f"character {ord(c):x}": (f"New{c}York", f"New{c}York")
        for c in "\x0b\x0c\x1c\x85\u2028\u2029"
    },
}
TOLD: dict[str, tuple[str | bytes, int]] = {
    "lost separator": (PLAIN.replace("New York,", 'New York"x"', 1), 1),
    "open quote": (PLAIN.replace("New York", '"New York', 1), 1),
    "text behind a quote": (PLAIN.replace("New York", '"New" York', 1), 1),
    "inches": (PLAIN.replace("New York", '5" pipe'), 10),
    "separator in a cell": (PLAIN.replace("New York", "New York, NY"), 10),
    "short": (PLAIN.replace(",Rome", ""), 10),
    "footer": (PLAIN + "(40 rows)\n", 1),
    "total": (PLAIN + "Total,,,\n", 0),
    "end of file mark": (PLAIN + "\x1a", 1),
    "latin-1": (PLAIN.replace("New York", "Zürich").encode("latin-1"), 10),
    "other table": (PLAIN + "name,age\nBob,5\n", 2),
    "line without its end": ("\n".join(LINES[:20]) + HEAD + "\n".join(LINES[20:]), 1),
}


def read(root: Path, source: str, **stated: Any) -> tuple[list[dict[str, Any]], int, set[int]]:
    """The rows, how many lines were rejected, and which rows have a fault."""
    dataset = DatasetConfig.model_validate({"source": source, "target": "y", **stated})
    listing = list_source(dataset, root, LocalEngine())
    found = look_result(dataset, listing, root)
    (split,) = listing.splits
    rows: list[dict[str, Any]] = []
    rejects, faulty = 0, set[int]()
    for batch in read_split(split, found.schema, dataset, listing, root, batch_rows=16):
        for faults in batch.faults.values():
            faulty |= {len(rows) + int(index) for index in faults.indices}
        rows += batch.table.to_pylist()
        rejects += len(batch.rejects)
    return rows, rejects, faulty


def cells(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The rows as the table has them."""
    return [tuple(row.get(name) for name in NAMES) for row in rows]


@pytest.mark.parametrize("kind", READ)
def test_a_file_of_another_habit_is_read(tmp_path: Path, kind: str) -> None:
    """Every cell, and no line is refused."""
    written = READ[kind]
    (tmp_path / "t.csv").write_bytes(written if isinstance(written, bytes) else written.encode())
    rows, rejects, faulty = read(tmp_path, "t.csv")
    assert (cells(rows), rejects, faulty) == (TRUTH, 0, set())


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_of_another_habit_is_read(tmp_path: Path, kind: str) -> None:
    """As it was meant."""
    written, meant = CELLS[kind]
    (tmp_path / "t.csv").write_bytes(text(york=written).encode())
    rows, rejects, _ = read(tmp_path, "t.csv")
    assert {row["city"] for row in rows} == {*TOWNS, meant} - {"New York"}
    assert (len(rows), rejects) == (40, 0)


@pytest.mark.parametrize("kind", TOLD)
def test_what_is_broken_is_told_by_line(tmp_path: Path, kind: str) -> None:
    """And all other rows are as they were made."""
    written, refused = TOLD[kind]
    (tmp_path / "t.csv").write_bytes(written if isinstance(written, bytes) else written.encode())
    rows, rejects, faulty = read(tmp_path, "t.csv")
    sound = [row for place, row in enumerate(cells(rows)) if place not in faulty]
    assert rejects == refused
    assert len(faulty) == (kind == "total")
    assert len(sound) >= 40 - refused
    assert set(sound) <= set(TRUTH)


DAYS = [dt.datetime(2024, 1 + i % 12, 1 + i % 28, i % 24, i) for i in range(40)]  # noqa: DTZ001
COLUMNS: dict[str, tuple[Callable[[int], str], Callable[[int], Any]]] = {
    "codes": (lambda i: f"{i % 7:05d}", lambda i: f"{i % 7:05d}"),
    "versions": (lambda i: ("1.10", "1.1")[i % 2], lambda i: ("1.10", "1.1")[i % 2]),
    "exponents": (lambda i: f"{i % 3}E5", lambda i: f"{i % 3}E5"),
    "beyond float64": (lambda i: f"{2**53 + i % 3}", lambda i: f"{2**53 + i % 3}"),
    "beyond int64": (lambda i: f"{2**64 + i % 3}", lambda i: f"{2**64 + i % 3}"),
    "hexadecimal": (lambda i: f"0x{i % 3:X}F", lambda i: f"0x{i % 3:X}F"),
    "decimal comma": (lambda i: f"{i},5", lambda i: i + 0.5),
    "German": (lambda i: f"{i + 1}.234,5", lambda i: i * 1000 + 1234.5),
    "French": (lambda i: f"{i + 1}\u202f234,5", lambda i: i * 1000 + 1234.5),
    "Swiss": (lambda i: f"{i + 1}'234.5", lambda i: i * 1000 + 1234.5),
    "dollars": (lambda i: f"-${i + 1},234.50", lambda i: -i * 1000 - 1234.5),
    "euros": (lambda i: f"{i},50 €", lambda i: i + 0.5),
    "percent": (lambda i: f"{i}.5%", lambda i: i + 0.5),
    "truths": (lambda i: ("Y", "N")[i % 2], lambda i: i % 2 == 0),
    "a third word": (
        lambda i: ("yes", "no", "maybe")[i % 3],
        lambda i: ("yes", "no", "maybe")[i % 3],
    ),
    "gaps": (lambda i: ("NA", "x", "null", "")[i % 4], lambda i: (None, "x", None, None)[i % 4]),
    "day first": (lambda i: f"{DAYS[i]:%d/%m/%Y %H:%M}", lambda i: DAYS[i]),
    "month first": (lambda i: f"{DAYS[i]:%m/%d/%Y %I:%M %p}", lambda i: DAYS[i]),
    "offsets": (
        lambda i: f"{DAYS[i].isoformat()}-05:30",
        lambda i: DAYS[i] + dt.timedelta(hours=5.5),
    ),
    "the last day": (
        lambda i: "9999-12-31" if i % 2 else "0001-01-01",
        lambda i: dt.datetime(9999, 12, 31) if i % 2 else dt.datetime(1, 1, 1),  # noqa: DTZ001
    ),
}


def texts_of(root: Path, form: str, texts: list[str]) -> str:
    """The texts as column v of a file."""
    labels = ["ab"[i % 2] for i in range(40)]
    source = f"t.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"v": texts, "y": labels}), root / source)
        return source
    pairs = zip(texts, labels, strict=True)
    if form == "csv":
        lines = ["v;y", *(f"{cell};{label}" for cell, label in pairs)]
    else:
        lines = [json.dumps({"v": cell, "y": label}) for cell, label in pairs]
    (root / source).write_text("\n".join(lines) + "\n")
    return source


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_another_habit_is_read(tmp_path: Path, kind: str, form: str) -> None:
    """As what it means, in whatever file its texts are."""
    write, mean = COLUMNS[kind]
    source = texts_of(tmp_path, form, [write(i) for i in range(40)])
    rows, rejects, faulty = read(tmp_path, source)
    assert [row["v"] for row in rows] == [mean(i) for i in range(40)]
    assert (rejects, faulty) == (0, set())
