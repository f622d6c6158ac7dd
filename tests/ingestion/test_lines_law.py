"""One line has one meaning: what PyArrow, our own cutting and Python's csv read is the same."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.contracts import Split
from tidemill.ingestion.sources.delimited import csv_rows
from tidemill.ingestion.sources.delimited.asides import Asides
from tidemill.ingestion.sources.delimited.csv_dialect import CsvDialect
from tidemill.ingestion.sources.delimited.csv_rows import read_csv_rows
from tidemill.ingestion.sources.delimited.records import cut_records
from tidemill.storage import SourceFiles

NAMES = ("a", "b", "c")
DIALECTS = [
    CsvDialect(delimiter, quote, "utf-8", header=False, escape=escape, skip_blanks=blanks)
    for delimiter in (",", ";", "\t", "|", " ")
    for quote in ('"', "'", "")
    for escape in ("", "\\")
    for blanks in (False, True)
    if not (blanks and delimiter == " ") and not (escape and not quote)
]
DIALECTS += [
    replace(DIALECTS[0], trailing=True),
    replace(DIALECTS[0], trailing=True, skip_blanks=True),
    replace(DIALECTS[0], comment="#"),
]
# Whatever readers disagree about: line ends that are none, marks, blanks, quotes, words.
PIECES = ["a", "0", " ", "  ", "é", "\v", "\x85", "\u2028", "\ufeff", "\0", "#", "'", '"', '""']
PIECES += [",", ";", "\t", "|", "\\", "\\\\", '\\"', "\\'", "\r", ", ", ',"', '",', "sep=;"]
CELL = st.lists(st.sampled_from([*PIECES, "\n", "\r\n"]), max_size=5).map("".join)
TEXT = st.lists(st.sampled_from([*PIECES, "\n", "\n", "\r\n", ",", ","]), max_size=24).map("".join)


@dataclass
class Read:
    """Rows by their number, and why others were refused."""

    rows: dict[int, tuple[str, ...]]
    refused: dict[int, str]


def read(root: Path, text: str, dialect: CsvDialect, *, slow: bool, batch_rows: int = 4) -> Read:
    """All rows of a text, by the fast path where it dares, or by the slow one."""
    content = codecs.BOM_UTF8 + text.encode()
    (root / "a.csv").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    split = Split(0, "a.csv", "csv", "none", len(content), digest)
    rows: dict[int, tuple[str, ...]] = {}
    refused: dict[int, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        if slow:
            patch.setattr(csv_rows._Parser, "_read_fast", lambda *_: None)
        for batch in read_csv_rows(
            split,
            SourceFiles(root),
            dialect=dialect,
            names=NAMES,
            wanted=dict.fromkeys(NAMES, pa.string()),
            batch_rows=batch_rows,
        ):
            cells = zip(*(batch.columns[name].to_pylist() for name in NAMES), strict=True)
            rows |= dict(zip(batch.rows.tolist(), cells, strict=True))
            refused |= {reject.row: reject.reason for reject in batch.rejects}
    return Read(rows, refused)


def by_csv(text: str, dialect: CsvDialect) -> list[list[str]] | None:
    """What Python's csv makes of a text; None if it refuses."""
    reader = csv.reader(
        re.split(r"(?<=\n)", text),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape or None,
        skipinitialspace=dialect.skip_blanks,
        strict=True,
    )
    try:
        return [fields for fields in reader if fields]
    except csv.Error:
        return None


def written(cell: str, dialect: CsvDialect, style: int) -> str:
    """One field as csv writes it."""
    out = io.StringIO(newline="")
    csv.writer(
        out,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        quoting=style,
        escapechar=dialect.escape or None,
        doublequote=not dialect.escape,
        lineterminator="\r\n",
    ).writerow([cell])
    return out.getvalue()[:-2]


def check_writers(
    root: Path, rows: list[tuple[str, ...]], dialect: CsvDialect, style: int, end: str, blanks: int
) -> None:
    """Every row that csv wrote comes back, by both paths."""
    if end == "\r":  # a line feed anywhere says that lines end in them; others are refused
        rows = [tuple(cell.replace("\n", "") for cell in row) for row in rows]
    if dialect.skip_blanks:  # where a cell that begins with blanks needs quotes, csv gives none
        rows = [tuple(cell.lstrip(" ") for cell in row) for row in rows]
    between = dialect.delimiter + " " * blanks * dialect.skip_blanks
    lines = [between.join(written(cell, dialect, style) for cell in row) for row in rows]
    text = "".join(line + end for line in lines)
    fast, slow = read(root, text, dialect, slow=False), read(root, text, dialect, slow=True)
    assert fast == slow
    assert not fast.refused
    assert list(fast.rows.values()) == rows


def check_texts(root: Path, text: str, dialect: CsvDialect) -> None:
    """Whatever a text is: both paths agree, and csv agrees with every record that was taken."""
    nothing = [""] * dialect.trailing
    fast, slow = read(root, text, dialect, slow=False), read(root, text, dialect, slow=True)
    assert fast == slow
    asides = Asides(dialect, NAMES)
    cut = cut_records(iter([text.encode()]), dialect, batch_rows=1000, path="a.csv", asides=asides)
    records = [b.record(i).decode() for b in cut for i in range(len(b.starts))]
    assert sorted([*fast.rows, *fast.refused]) == list(range(len(records)))
    for number, record in enumerate(records):
        alone = by_csv(record, dialect)
        if number in fast.rows:
            assert alone == [[*fast.rows[number], *nothing]]
        else:
            strange = any(sign and sign in record for sign in (dialect.quote, dialect.escape))
            fits = alone is not None and [len(f) for f in alone] == [3 + len(nothing)]
            assert strange or not fits or (nothing and alone[0][-1])
    if not nothing and all("fields instead of" in reason for reason in fast.refused.values()):
        whole = by_csv(text, dialect)
        assert whole is not None or dialect.comment in text
        taken = [tuple(f) for f in whole or () if len(f) == 3]
        assert taken == list(fast.rows.values()) or (dialect.comment and dialect.comment in text)


SOME = settings(
    max_examples=settings.default.max_examples * 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
MANY = settings(SOME, max_examples=6000)
QUOTING = [d for d in DIALECTS if d.quote and not (d.trailing or d.comment)]
WRITTEN = {
    "rows": st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6),
    "dialect": st.sampled_from(QUOTING),
    "style": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    "end": st.sampled_from(["\n", "\r\n", "\r"]),
    "blanks": st.integers(0, 2),
}


@SOME
@given(**WRITTEN)
def test_what_csv_writes_is_read(tmp_path: Path, **drawn: Any) -> None:
    """Separators with blanks, quotes, escapes, line ends and marks in cells."""
    check_writers(tmp_path, **drawn)


@SOME
@given(text=TEXT, dialect=st.sampled_from(DIALECTS))
def test_both_paths_and_csv_agree(tmp_path: Path, text: str, dialect: CsvDialect) -> None:
    """On any text, in any dialect."""
    check_texts(tmp_path, text + "\n", dialect)


@pytest.mark.slow
@MANY
@given(**WRITTEN)
def test_what_csv_writes_is_read_in_thousands(tmp_path: Path, **drawn: Any) -> None:
    """The same, often."""
    check_writers(tmp_path, **drawn)


@pytest.mark.slow
@MANY
@given(text=TEXT, dialect=st.sampled_from(DIALECTS))
def test_both_paths_and_csv_agree_in_thousands(
    tmp_path: Path, text: str, dialect: CsvDialect
) -> None:
    """The same, often."""
    check_texts(tmp_path, text + "\n", dialect)
