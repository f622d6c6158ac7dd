"""Bad input: what, where, remedy, the right exit code, and nothing half-written."""

from __future__ import annotations

import csv
import gzip
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tidemill.cli.starting import draft
from tidemill.config import set_params
from tidemill.pipeline import STAGES
from tidemill.storage import ShardManifest, read_json
from tidemill.testing.workspaces import copy_workspace, output_hashes, run_here

Row = dict[str, str]
REPORT = "reports/validation.json"  # ingest writes it although it refuses: it tells why


def setting(*assignments: str) -> Callable[[Path], None]:
    """Write settings as ``--set`` does."""

    def change(root: Path) -> None:
        path = root / "params.yaml"
        path.write_text(set_params(path.read_text(), list(assignments)))

    return change


def text(old: str, new: str) -> Callable[[Path], None]:
    """Edit params.yaml by hand."""

    def change(root: Path) -> None:
        path = root / "params.yaml"
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new))

    return change


def raw(root: Path) -> list[Path]:
    """The source files."""
    return sorted((root / "data" / "raw").iterdir())


def each_file(edit: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Do something to every source file."""
    return lambda root: [edit(path) for path in raw(root)]


def rows(edit: Callable[[list[Row]], list[Row]], *files: int) -> Callable[[Path], None]:
    """Rewrite the rows of the given source files (default: of all)."""

    def change(root: Path) -> None:
        for number, path in enumerate(raw(root)):
            if files and number not in files:
                continue
            with path.open(newline="") as file:
                found = list(csv.DictReader(file))
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(found[0]))
                writer.writeheader()
                writer.writerows(edit(found))

    return change


def column(name: str, value: Callable[[int, str], str]) -> Callable[[list[Row]], list[Row]]:
    """Rewrite one column."""
    return lambda found: [{**row, name: value(i, row[name])} for i, row in enumerate(found)]


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    """One change after another."""
    return lambda root: [change(root) for change in changes]


def cut_gzip(root: Path) -> None:
    """Let the last file be the first half of a gzip file."""
    path = raw(root)[-1]
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_suffix(".csv.gz").write_bytes(packed[: len(packed) // 2])


def cut_parquet(root: Path) -> None:
    """Let the source be Parquet, the last file half of one."""
    import pyarrow.csv
    import pyarrow.parquet

    for path in raw(root):
        table = pyarrow.csv.read_csv(path)
        pyarrow.parquet.write_table(table, path.with_suffix(".parquet"))
        path.unlink()
    last = raw(root)[-1]
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])


@dataclass(frozen=True)
class Case:
    """What is wrong, and what must be said about it.

    ``fields`` maps a field to its value, or to a function of it.
    """

    change: Callable[[Path], Any]
    code: int
    error: str
    message: tuple[str, ...]
    remedy: str
    fields: dict[str, Any]


def asked(name: str, setting_name: str, close: str) -> dict[str, Any]:
    """Fields of a ColumnMissing."""
    return {"column": name, "setting": setting_name, "nearest": close}


CASES = {
    "missing source": Case(
        setting("dataset.source=data/rwa"), 2, "SourceMissing",
        ("dataset.source", "'data/rwa'"), "did you mean 'data/raw'?", {"nearest": "data/raw"},
    ),
    "folder without files": Case(
        each_file(Path.unlink), 2, "SourceMissing",
        ("is a folder without files", "data/raw"), "dataset.source", {"source": "data/raw"},
    ),
    "empty files": Case(
        each_file(lambda path: path.write_text("")), 3, "SourceEmpty",
        ("data/raw", "empty"), "put data there", {"source": "data/raw"},
    ),
    "headers only": Case(
        each_file(lambda path: path.write_text(path.read_text().splitlines()[0] + "\n")),
        3, "SourceEmpty", ("data/raw", "no rows"), "dataset.csv.header", {"source": "data/raw"},
    ),
    "cut gzip": Case(
        cut_gzip, 3, "SourceUnreadable",
        ("rides-2024-03.csv.gz", "cut off"), "fetch the file again",
        {"path": "data/raw/rides-2024-03.csv.gz", "position": lambda at: at > 1000},
    ),
    "cut parquet": Case(
        cut_parquet, 3, "SourceUnreadable",
        ("rides-2024-03.parquet",), "fetch the file again",
        {"path": "data/raw/rides-2024-03.parquet"},
    ),
    "another table among the files": Case(
        lambda root: raw(root)[-1].write_text("a,b\n1,2\n"), 3, "SchemaMismatch",
        ("rides-2024-03.csv", "lacks the columns", "ride_id"), "take the file out",
        {"path": "data/raw/rides-2024-03.csv"},
    ),
    "target that is no column": Case(
        setting("dataset.target=canceled"), 2, "ColumnMissing",
        ("dataset.target", "'canceled'"), "did you mean 'cancelled'?",
        asked("canceled", "dataset.target", "cancelled"),
    ),
    "time that is no column": Case(
        setting("dataset.time=requested"), 2, "ColumnMissing",
        ("dataset.time",), "'requested_at'", asked("requested", "dataset.time", "requested_at"),
    ),
    "key that is no column": Case(
        setting("dataset.key=rideid"), 2, "ColumnMissing",
        ("dataset.key",), "'ride_id'", asked("rideid", "dataset.key", "ride_id"),
    ),
    "dropped column that is none": Case(
        setting("dataset.drop=[passenger]"), 2, "ColumnMissing",
        ("dataset.drop",), "'passengers'", asked("passenger", "dataset.drop", "passengers"),
    ),
    "typed column that is none": Case(
        setting("dataset.types={surg: numeric}"), 2, "ColumnMissing",
        ("dataset.types",), "'surge'", asked("surg", "dataset.types", "surge"),
    ),
    "shards by no column": Case(
        setting("sharding.by=pickup_zon"), 2, "ColumnMissing",
        ("sharding.by",), "'pickup_zone'", asked("pickup_zon", "sharding.by", "pickup_zone"),
    ),
    "a segment that is no column": Case(
        setting("monitoring.window.segments=[product, pickup_zon]"), 2, "ColumnMissing",
        ("monitoring.window.segments",), "'pickup_zone'",
        {"column": "pickup_zon", "nearest": "pickup_zone"},
    ),
    "a segment that is no category": Case(
        setting("monitoring.window.segments=[distance_km]"), 2, "ConfigError",
        ("monitoring.window.segments", "which is numeric"), "dataset.types: {distance_km: categor",
        {"column": "distance_km"},
    ),
    "a suite for a column that was dropped": Case(
        setting("dataset.drop=[passengers]"), 2, "ColumnMissing",
        ("of the suite", "'passengers'"), "or have it drafted anew", {"column": "passengers"},
    ),
    "wrong type": Case(
        text("trials: 2", "trials: many"), 2, "ConfigError",
        ("tuning.trials", "'many'"), "correct tuning.trials",
        {"problems": lambda problems: "integer" in problems["tuning.trials"]},
    ),
    "unknown key": Case(
        text("trials: 2", "trails: 2"), 2, "ConfigError",
        ("tuning.trails: unknown key", "did you mean 'tuning.trials'?"), "correct tuning.trails",
        {"problems": lambda problems: list(problems) == ["tuning.trails"]},
    ),
    "unknown section": Case(
        text("tuning:", "tunning:"), 2, "ConfigError",
        ("did you mean 'tuning'?",), "correct tunning", {},
    ),
    "a section that is left out": Case(
        lambda root: (root / "params.yaml").write_text(
            (root / "params.yaml").read_text().partition("\nregistration:")[0] + "\n"
        ),
        2, "ConfigError", ("registration",), "registration: {}", {"missing": ["registration"]},
    ),
    "no YAML": Case(
        text("tuning:", "tuning: ["), 2, "ConfigError",
        ("not valid YAML at line",), "mend", {"line": lambda line: line > 20},
    ),
    "two problems at once": Case(
        both(text("trials: 2", "trials: many"), text("learner: lightgbm", "learner: lightgmb")),
        2, "ConfigError", ("tuning.trials", "training.learner"), "training.learner",
        {"problems": lambda problems: len(problems) == 2},
    ),
    "a parameter that the learner lacks": Case(
        text("num_iterations: 12", "num_leafs: 12"), 2, "ConfigError",
        ("training.params: num_leafs", "lightgbm", "did you mean 'num_leaves'?"),
        "correct training.params", {},
    ),
    "a figure that the task lacks": Case(
        setting("evaluation.metric=roc_acu"), 2, "ConfigError",
        ("evaluation.metric", "'roc_acu'", "binary"), "did you mean 'roc_auc'?",
        {"metric": "roc_acu"},
    ),
    "a figure to tune that the task lacks": Case(
        setting("tuning.metric=rmse"), 2, "ConfigError",
        ("tuning.metric", "'rmse'", "binary"), "roc_auc", {"metric": "rmse"},
    ),
    "a target of one class": Case(
        rows(column("cancelled", lambda i, value: "0")), 3, "TargetUnusable",
        ("cancelled", "'0'"), "choose another dataset.target", {"classes": ["0"]},
    ),
    "a target that is often missing": Case(
        rows(column("cancelled", lambda i, value: "" if i % 3 else value)), 3, "TargetUnusable",
        ("cancelled", "missing in 66."), "ingestion.max_target_missing",
        {"missing": lambda missing: 3990 < missing < 4010, "rows": 6000},
    ),
    "no valid row": Case(
        both(
            rows(column("distance_km", lambda i, value: "far")),
            setting("dataset.types={distance_km: numeric}", "ingestion.max_invalid_fraction=1.0"),
        ),
        3, "ValidationFailed", ("no valid row",), "mend the source", {"rows_valid": 0},
    ),
    "too many invalid rows": Case(
        setting("ingestion.max_invalid_fraction=0.001"), 3, "ValidationFailed",
        ("of 6000 rows", "are invalid", "at most 0.1%"), "ingestion.max_invalid_fraction",
        {"reasons": lambda found: any(
            row["reason"] == "distance_km is not a number" and row["rows"] > 5
            and "data/raw/rides-2024-0" in row["examples"][0] for row in found
        )},
    ),
    "numbers that are texts by now": Case(
        rows(column("distance_km", lambda i, value: "far" if i % 2 else value)),
        2, "SuiteInvalid", ("distance_km", "categorical"), "distance_km: numeric",
        {"column": "distance_km"},
    ),
    "a key with repetitions": Case(
        rows(lambda found: [*found[:-1], {**found[-1], "ride_id": found[0]["ride_id"]}], 1),
        3, "KeyInvalid", ("ride_id", "more than once", "rides-2024-02.csv, row 0"),
        "choose a column", {"repeated_keys": 1, "repeated_rows": 2},
    ),
    "a key with gaps": Case(
        rows(lambda found: [{**found[0], "ride_id": ""}, *found[1:]], 1), 3, "KeyInvalid",
        ("ride_id is missing in 1 row", "rides-2024-02.csv, row 0"), "choose a column",
        {"missing": 1, "key": "ride_id"},
    ),
    "more shards than rows": Case(
        both(rows(lambda found: found[:30]), setting("sharding.shards=4096")), 3, "TooFewRows",
        ("4096 shards", "90 valid rows"), "sharding.shards", {"shards": 4096, "rows": 90},
    ),
    "no suite": Case(
        lambda root: (root / "expectations" / "suite.json").unlink(), 2, "SuiteInvalid",
        ("no expectation suite",), "tidemill suite draft", {},
    ),
    "an empty suite": Case(
        lambda root: (root / "expectations/suite.json").write_text(
            '{"name": "x", "expectations": []}'
        ),
        2, "SuiteInvalid", ("no expectation",), "draft a new one", {},
    ),
}  # fmt: skip


def check_document(document: dict[str, Any], case: Case) -> None:
    """Compare an error printed by --json with what it should be."""
    assert document["error"] == case.error, document
    for part in case.message:
        assert part in document["message"]
    assert case.remedy in document["remedy"]
    for name, wanted in case.fields.items():
        found = document["fields"][name]
        assert wanted(found) if callable(wanted) else found == wanted


#: Found after the scan, seconds each; their rooms hold the same laws.
LATE = {
    "another table among the files",
    "a target of one class",
    "a target that is often missing",
    "no valid row",
    "too many invalid rows",
    "numbers that are texts by now",
    "a key with repetitions",
    "a key with gaps",
    "more shards than rows",
}
#: Each is refused as another case is that is not slow.
TWINS = {
    "cut parquet",
    "key that is no column",
    "dropped column that is none",
    "typed column that is none",
    "time that is no column",
    "a figure to tune that the task lacks",
}
PARAMETERS = [
    pytest.param(case, id=name, marks=[pytest.mark.slow] if name in LATE | TWINS else [])
    for name, case in CASES.items()
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_bad_input_is_refused(case, finished, copy, cli):
    """Exit code, type, message, fields and remedy are right; the earlier outputs stay whole."""
    root = copy(finished)
    before, lock = output_hashes(root), (root / "dvc.lock").read_bytes()
    case.change(root)
    done = cli("run", "--direct", "-w", root, "--json")
    assert done.code == case.code, done.err
    check_document(done.document, case)
    assert "Traceback" not in done.err
    after = output_hashes(root)
    # A stage before the refusal may have finished and left other, whole outputs.
    assert not list((root / "data").rglob("*.tmp"))
    recorded = lock_of_finished_stages(root)
    assert {n: after[n] for n in recorded} == recorded
    if "ingest" not in stages_since(root, lock):
        kept = ("data/validated/", "data/quarantine/", "data/shards/", "models/")
        assert [n for n in before if n.startswith(kept) and after[n] != before[n]] == []


def lock_of_finished_stages(root: Path) -> dict[str, str]:
    """Hashes of what the manifests of validated rows and shards record, by path."""
    found = {}
    for folder, entries in (("data/validated", "parts"), ("data/shards", "shards")):
        for entry in read_json(root / folder / "manifest.json")[entries]:
            found[f"{folder}/{entry['file']['path']}"] = entry["file"]["sha256"]
    return found


def stages_since(root: Path, lock: bytes) -> set[str]:
    """Stages whose entry in dvc.lock is another than in ``lock``."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    old, new = yaml.load(lock)["stages"], yaml.load((root / "dvc.lock").read_bytes())["stages"]
    return {name for name in new if new[name] != old.get(name)}


#: Of a run after which all is well: to the shards, and with the slow tests to its end.
AFTERWARDS = [
    pytest.param(("--until", "shard"), id="shards"),
    pytest.param((), id="whole", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("until", AFTERWARDS)
def test_a_refusal_is_readable_and_hinders_nothing(until, finished, copy, cli):
    """People see a table of reasons with counts, and a remedy; after the mending all goes on."""
    root = copy(finished)
    kept = (root / "params.yaml").read_text()
    setting("ingestion.max_invalid_fraction=0.001")(root)
    done = cli("run", "--direct", "-w", root)
    assert done.code == 3
    assert done.out == ""
    table = [line for line in done.err.splitlines() if "distance_km is not a number" in line]
    assert "data/raw/rides-2024-01.csv, row" in table[-1]
    assert "tidemill suite docs" in done.err.partition("remedy:")[2]
    report = read_json(root / REPORT)["meta"]["tidemill"]
    assert report["accepted"] is False
    assert sum(reason["rows"] for reason in report["reasons"]) >= report["rows_invalid"]
    pages = root / ".tidemill" / "data_docs" / "index.html"
    assert not pages.exists()
    made = cli("suite", "docs", "-w", root, "--json")
    assert made.document == {"data_docs": str(pages)}
    assert pages.exists()
    (root / "params.yaml").write_text(kept)
    done = cli("run", "--direct", *until, "-w", root)
    assert done.code == 0
    assert f"tidemill suite docs makes {pages}" in " ".join(done.out.split())
    assert not pages.exists()  # they spoke of the validation that was refused
    assert output_hashes(root) == output_hashes(finished)


@pytest.fixture(scope="module")
def odd(blank, tmp_path_factory):
    """A workspace with a constant and an empty column, and a category of the test rows only."""
    root = copy_workspace(blank, tmp_path_factory.mktemp("odd") / "ws")
    rows(lambda found: [{**row, "tolls": "1", "discount": ""} for row in found])(root)
    rows(column("product", lambda i, value: "hovercraft"), 2)(root)
    draft(workspace=root, force=True)
    return root, run_here(root, until="evaluate")


@pytest.mark.slow
def test_constant_and_empty_features_are_dropped_and_said(odd):
    """A constant and an all-null column do not reach the model, and the run says why."""
    root, summary = odd
    looked, *_ = summary.stages
    assert [w for w in looked.result.warnings if "discount" in w and "no value" in w]
    report = read_json(root / "reports" / "reduction.json")
    assert report["dropped"]["tolls"] == "all values are equal"
    assert not {"tolls", "discount"} & set(report["names"])


@pytest.mark.slow
def test_categories_unseen_in_training_are_handled(odd):
    """Categories that occur in the test rows only do not stop the run, and count as one bucket."""
    _, summary = odd
    assert summary.facts["challenger"] > 0.6


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("stage", ["reduce", "tune", "train", "evaluate", "refit", "register"])
def test_a_flipped_byte_in_a_shard_is_found_by_each_reader(stage, finished, copy, cli):
    """Every stage that reads shards refuses a damaged one, and leaves its outputs alone."""
    root = copy(finished)
    shutil.rmtree(root / ".tidemill" / "work")
    for shard in ShardManifest.read(root / "data/shards").shards:
        flip(root / "data" / "shards" / shard.file.path)
    before = output_hashes(root)
    done = cli("stage", stage, "-w", root, "--json")
    assert done.code == 3, done.err
    assert done.document["error"] == "IntegrityError"
    # register compares the dataset with dvc.lock before it reads a shard.
    assert ("data/shards is" if stage == "register" else "shard-0000") in done.document["message"]
    assert "dvc checkout" in done.document["remedy"] or "tidemill run" in done.document["remedy"]
    assert stage != "register" or "tidemill shards verify" in done.document["remedy"]
    assert output_hashes(root) == before


@pytest.mark.parametrize("until", AFTERWARDS)
def test_a_run_heals_a_flipped_byte(until, finished, copy, cli):
    """shards verify tells the damaged file, and the next run makes the same bytes again."""
    root = copy(finished)
    shard = ShardManifest.read(root / "data/shards").shards[1].file.path
    flip(root / "data" / "shards" / shard)
    done = cli("shards", "verify", "-w", root, "--json")
    assert done.code == 3
    assert done.document["error"] == "IntegrityError"
    assert [row["path"] for row in done.document["fields"]["table"]] == [shard]
    assert cli("run", "--direct", *until, "-w", root).code == 0
    assert output_hashes(root) == output_hashes(finished)


def test_a_flipped_byte_in_a_kept_matrix_teaches_nobody(finished, copy, cli):
    """Matrices that earlier stages left are compared with their hashes, and made again if need be.

    So are those of an earlier release, which left none.
    """
    root = copy(finished)
    kept = sorted((root / ".tidemill" / "work" / "reduced").glob("*/*"))
    for file in kept:
        if file.suffix in (".x", ".y"):
            flip(file)
    done = cli("stage", "train", "-w", root)
    assert done.code == 0
    assert "reduced matrices" in done.err
    assert "made again" in done.err
    assert output_hashes(root) == output_hashes(finished)
    for file in kept:
        if file.suffix == ".json":
            file.write_text('{"rows": 700}')
        else:
            flip(file)
    assert cli("stage", "train", "-w", root).code == 0
    assert output_hashes(root) == output_hashes(finished)


@pytest.fixture
def small_disk(tmp_path: Path):
    """Make a disk of so many KB at a path; skipped where one may not be mounted."""
    mounted = []

    def make(path: Path, kilobytes: int) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", path],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"no disk of its own may be mounted here: {done.stderr.strip()}")
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True)


def size_kb(root: Path) -> int:
    """What a folder takes on a tmpfs."""
    pages = sum(-(-p.stat().st_size // 4096) for p in root.rglob("*") if p.is_file())
    return 4 * (pages + sum(1 for _ in root.rglob("*")))


@pytest.mark.parametrize(
    "spare_kb", [pytest.param(kb, marks=pytest.mark.slow) for kb in (20, 120, 250, 400, 700)]
)
def test_a_full_disk_is_said_and_nothing_is_half_written(
    spare_kb, blank, finished, tmp_path, small_disk, cli
):
    """Exit 74, whichever write meets the end of the disk; with space, the run goes on."""
    disk = small_disk(tmp_path / "disk", size_kb(blank) + spare_kb)
    root = copy_workspace(blank, disk / "ws")
    done = cli("run", "--direct", "-w", root, "--json")
    assert done.code == 74, done.err
    assert done.document["error"] == "StorageFailed"
    assert "space" in done.document["remedy"]
    assert "Traceback" not in done.err
    left = output_hashes(root)
    whole = output_hashes(finished)
    assert {name: whole.get(name) for name in left} == left
    subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
    assert cli("run", "--direct", "--until", "reduce", "-w", root, "--json").code == 0
    made = output_hashes(root)
    assert made == {name: whole[name] for name in made}
    assert (root / "models" / "reducer").is_dir()


@pytest.fixture
def dead_address() -> str:
    """An address on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


def test_an_mlflow_server_that_is_away_is_named(finished, copy, cli, dead_address, monkeypatch):
    """Exit 75 with the address and what to do; the stages before keep their outputs."""
    root = copy(finished)
    before = output_hashes(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_address)
    setting("registration.min_improvement=0.1")(root)
    done = cli("run", "--direct", "-w", root, "--json")
    assert done.code == 75, done.err
    assert done.document["error"] == "ServiceUnavailable"
    assert dead_address in done.document["message"]
    assert "MLFLOW_TRACKING_URI" in done.document["remedy"]
    assert done.document["fields"]["uri"] == dead_address
    assert output_hashes(root) == before


def test_a_prefect_server_that_is_away_is_named(finished, copy, shell, dead_address):
    """Exit 75 with the address and what to do."""
    root = copy(finished)
    done = shell(
        root, "tidemill", "run", "--json", check=False, PREFECT_API_URL=f"{dead_address}/api"
    )
    assert done.returncode == 75, done.stderr
    assert '"ServiceUnavailable"' in done.stdout
    assert dead_address in done.stdout
    assert "PREFECT_API_URL" in done.stdout


HOLDER = """
import sys, time
from tidemill.storage import Workspace, workspace_lock
with workspace_lock(Workspace.at(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold():
    """Hold a workspace in another process until told to let go."""
    holders = []

    def start(root: Path) -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("command", [["run", "--direct"], ["stage", "evaluate"]])
def test_two_runs_at_once(command, finished, copy, cli, hold):
    """The second gets exit 75 with the first one's process id, and has not touched anything."""
    root = copy(finished)
    holder = hold(root)
    before = (root / "params.yaml").read_text()
    extra = ["--set", "evaluation.max_gap=0.5"] if command[0] == "run" else []
    done = cli(*command, *extra, "-w", root, "--json")
    assert done.code == 75
    assert done.document["error"] == "WorkspaceBusy"
    assert done.document["fields"]["holder"] == str(holder.pid)
    assert "--wait" in done.document["remedy"]
    assert (root / "params.yaml").read_text() == before


def test_a_run_may_wait_for_the_other(finished, copy, cli, hold):
    """With --wait the second run goes on as soon as the first lets go."""
    root = copy(finished)
    holder = hold(root)
    lock = str(root / ".tidemill" / "lock")
    asked, over = threading.Event(), threading.Event()

    def let_go_once_asked():
        while lock not in {file.path for file in psutil.Process().open_files()}:
            if over.wait(0.02):
                return
        time.sleep(0.1)  # it is open, and asked for in the next line
        asked.set()
        holder.communicate("\n")

    watching = threading.Thread(target=let_go_once_asked)
    watching.start()
    done = cli("run", "--direct", "--until", "look", "-w", root, "--wait", "60", "--json")
    over.set()
    watching.join()
    assert asked.is_set()
    assert done.code == 0, done.err


def test_set_in_a_file_that_is_no_yaml(finished, copy, cli):
    """--set on a broken params.yaml is a ConfigError that tells the line, not a defect."""
    root = copy(finished)
    text("tuning:", "tuning: [")(root)
    broken = (root / "params.yaml").read_text()
    done = cli("run", "--direct", "-w", root, "--set", "seed=1", "--json")
    assert (done.code, done.document["error"]) == (2, "ConfigError")
    assert (root / "params.yaml").read_text() == broken


@pytest.mark.parametrize(
    "command", [["run", "--direct"], ["run", "--direct", "--set", "seed=1"], ["stage", "look"]]
)
def test_a_folder_that_is_no_workspace_stays_as_it_is(command, tmp_path, cli):
    """Exit 2 says how to make a workspace; nothing is left in the folder."""
    done = cli(*command, "-w", tmp_path, "--json")
    assert (done.code, done.document["error"]) == (2, "WorkspaceMissing")
    assert "tidemill init" in done.document["remedy"]
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_changes_during_the_run_is_not_blessed(finished, copy, cli, monkeypatch):
    """A file that grows between look and ingest is refused, and dvc.lock keeps its state."""
    root = copy(finished)
    lock = (root / "dvc.lock").read_bytes()
    with raw(root)[0].open("a") as file:
        file.write(raw(root)[1].read_text().splitlines()[1] + "\n")
    first = STAGES[0]

    def look_then_grow(context, params):
        result = first.run(context, params)
        with raw(root)[1].open("a") as file:
            file.write(raw(root)[2].read_text().splitlines()[1] + "\n")
        return result

    changed = (replace(first, run=look_then_grow), *STAGES[1:])
    monkeypatch.setattr("tidemill.pipeline.running.STAGES", changed)
    done = cli("run", "--direct", "-w", root, "--json")
    assert done.code == 3, done.err
    assert done.document["error"] in {"IntegrityError", "SourceUnreadable"}
    assert "changed" in done.document["message"]
    assert (root / "dvc.lock").read_bytes() == lock
