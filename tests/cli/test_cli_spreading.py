"""map and merge: the scan over stdin and stdout leaves what ingest leaves."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys

import pytest

from tidemill.config import set_params
from tidemill.testing.workspaces import (
    copy_workspace,
    made_once,
    output_hashes,
    run_here,
    small_workspace,
)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """A workspace of three splits after look; never change it."""

    def make(folder):
        run_here(small_workspace(folder / "ws", rows=1500), until="look")

    return made_once(tmp_path_factory.getbasetemp(), "looked", make) / "ws"


@pytest.fixture
def root(looked, tmp_path):
    """A copy of it."""
    return copy_workspace(looked, tmp_path / "ws")


@pytest.fixture
def piped(cli, monkeypatch):
    """Run the command line with lines on stdin."""

    def run(lines, *arguments):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return cli(*arguments)

    return run


@pytest.fixture
def items(cli, root):
    """The lines of its splits."""
    return cli("map", "--items", "-w", root).out.splitlines()


def scanned(piped, root, items):
    """The lines of splits, each scanned by a command of its own, the last one first."""
    return [
        line
        for item in reversed(items)
        for line in piped([item], "map", "-w", root).out.splitlines()
    ]


def test_map_sort_merge_is_ingest(root, items, piped, tmp_path):
    """Every file of ingest has the same bytes, and DVC has noted it; a line may come twice."""
    local = copy_workspace(root, tmp_path / "local")
    run_here(local, until="ingest")
    lines = scanned(piped, root, [*items, items[1]])  # batch systems try twice
    assert [line[:8] for line in sorted(lines)] == ["00000000", "00000001", "00000001", "00000002"]
    done = piped(sorted(lines), "merge", "-w", root)
    assert done.code == 0, done.err
    assert output_hashes(root, "ingest") == output_hashes(local, "ingest")
    again = piped(sorted(lines), "merge", "-w", root, "--json").document
    assert {run["stage"]: run["state"] for run in again["stages"]} == {
        "look": "current",
        "ingest": "current",
    }


def test_a_missing_line_is_named_and_nothing_left(root, items, piped):
    """merge refuses; the remedy's commands end well."""
    lines = scanned(piped, root, items[:1] + items[2:])
    refused = piped(lines, "merge", "-w", root)
    assert refused.code == 3
    assert "1 of 3 splits have no line of a scan: 00000001" in refused.err
    assert not (root / "data/validated").exists()
    assert piped(piped(items, "map", "-w", root).out.splitlines(), "merge", "-w", root).code == 0


def test_workers_that_saw_another_folder_are_told(root, items, piped, tmp_path):
    """Their lines are right; what they wrote is not here."""
    other = copy_workspace(root, tmp_path / "other")
    lines = [*scanned(piped, other, items[:2]), *scanned(piped, root, items[2:])]
    refused = piped(lines, "merge", "-w", root)
    assert refused.code == 3
    assert "2 of 3 splits left nothing in" in refused.err
    assert not (root / "data/validated").exists()


@pytest.mark.parametrize("command", ["map", "merge"])
def test_lines_of_other_settings_are_refused(root, items, piped, command):
    """The key says what a scan rests on."""
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), ["dataset.missing_values=[none]"]))
    refused = piped(items, command, "-w", root)
    assert refused.code == 3
    assert "split 0 is one of other data or settings" in refused.err


def test_lines_that_were_not_scanned_are_told_as_that(root, items, piped):
    """map --items | merge: nothing was scanned, no folder is to blame."""
    refused = piped(items, "merge", "-w", root)
    assert refused.code == 3
    assert "3 of 3 splits have no line of a scan" in refused.err


def test_a_line_given_twice_is_scanned_once(root, items, piped):
    """And an empty one, as batch systems add them, is none."""
    found = piped([items[0], "", items[0], items[2], "\t "], "map", "-w", root).out.splitlines()
    assert [line[:8] for line in found] == ["00000000", "00000002"]


@pytest.mark.parametrize("line", ["x", "1\t2", "a\tb\tc", "00000000\tkey\tno JSON", "-1\tk\t1"])
def test_what_is_no_line_is_refused(root, piped, line):
    """By its text, before anything is scanned."""
    refused = piped([line], "map", "-w", root)
    assert refused.code in {2, 3}
    assert "line" in refused.err
    assert not list((root / ".tidemill").rglob("part-*"))


@pytest.mark.parametrize("command", ["map", "merge"])
@pytest.mark.parametrize(
    ("told", "code", "says"),
    [
        ("[" * 60_000, 2, "no line of a split"),
        ("\0" * 200_000, 2, "of more than 65,536 characters"),
        ("true", 2, "no line of a split"),
        ('"s3://elsewhere/a.csv"', 3, "which is not its address"),
    ],
    ids=["nested", "long", "bool", "elsewhere"],
)
def test_a_line_of_the_right_key_is_read_to_its_end(root, items, piped, command, told, code, says):
    """What it tells is bounded, and is what the split is."""
    position, key, _ = items[0].split("\t", 2)
    refused = piped([f"{position}\t{key}\t{told}"], command, "-w", root)
    assert refused.code == code
    assert says in " ".join(refused.err.split())
    assert not list((root / ".tidemill").rglob("part-*"))


def test_bytes_that_are_no_text_are_refused(root, cli, monkeypatch):
    """By what they are; a line that never ends costs a bounded read."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), "utf-8"))
    refused = cli("map", "-w", root)
    assert refused.code == 2
    assert "bytes that are no text" in " ".join(refused.err.split())


def test_merge_scans_nothing_of_data_that_came_later(root, items, piped):
    """What it would have to scan itself is refused, and look has seen it by then."""
    lines = scanned(piped, root, items)
    path = root / "data/raw/rides-2024-02.csv"
    path.write_text(path.read_text().replace("0", "1", 1))
    refused = piped(lines, "merge", "-w", root)
    assert refused.code == 3
    assert "is one of other data or settings" in refused.err
    assert not (root / "data/validated").exists()


def test_a_source_that_changed_is_refused(root, items, piped):
    """As ingest refuses it; the scans that ended are kept."""
    path = root / "data/raw/rides-2024-02.csv"
    path.write_text(path.read_text().replace("0", "1", 1))
    refused = piped(items, "map", "-w", root)
    assert refused.code == 3
    assert "changed after it was listed" in refused.err
    assert [line.split("\t")[0] for line in refused.out.splitlines()] == ["00000000"]


@pytest.mark.slow
def test_a_shell_is_a_batch_system(root, tmp_path):
    """The page's own line, with real processes side by side."""
    local = copy_workspace(root, tmp_path / "local")
    run_here(local, until="ingest")
    tidemill = shutil.which("tidemill")
    assert tidemill
    line = (
        f"{tidemill} map --items | split -l 1 --filter '{tidemill} map' | sort | {tidemill} merge"
    )
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert output_hashes(root, "ingest") == output_hashes(local, "ingest")
