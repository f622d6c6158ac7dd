"""Stages of the user's own: through every door, current or not, in summary and lineage."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tidemill.config import load_params, set_params
from tidemill.errors import ConfigError, StageFailed, UsageError
from tidemill.pipeline import STAGES, with_own
from tidemill.storage import ValidatedManifest, hash_file, read_json
from tidemill.testing.workspaces import output_hashes, run_here
from tidemill.tracking import Tracker
from tidemill.versioning import check_dvc_yaml, dvc_document

RECIPE = (
    (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text().split("## A stage of your own")[1]
)
CODE = re.search(r"```python\n(.*?)```", RECIPE, re.DOTALL)[1]
SETTINGS = re.search(r"```yaml\n(.*?)```", RECIPE, re.DOTALL)[1]
COUNT = YAML(typ="safe").load(SETTINGS)["stages"]["count"]


def set_stages(root, **stages):
    """Write the section ``stages``."""
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), [f"stages={json.dumps(stages)}"]))


def rows_of(root):
    """Valid rows of each part."""
    return [part.file.rows for part in ValidatedManifest.read(root / "data" / "validated").parts]


@pytest.fixture(scope="module")
def counted(finished, tmp_path_factory):
    """A finished workspace that got a stage of its own, and the run that followed."""
    from tidemill.testing.workspaces import copy_workspace

    root = copy_workspace(finished, tmp_path_factory.mktemp("own") / "ws")
    (root / "ride_counts.py").write_text(CODE)
    set_stages(root, count=COUNT)
    return root, run_here(root)


def test_it_is_a_stage_like_the_others(counted, ran, copy, shell):
    """It runs once, in its place; DVC knows it, and the next run finds it current."""
    root, summary = counted
    assert ran(summary) == ["count", "register"]
    assert [run.stage for run in summary.stages][:4] == ["look", "ingest", "count", "shard"]
    rows = rows_of(root)
    figures = {"parts": 3, "rows": sum(rows), "biggest": str(max(rows))}
    assert summary.facts["own_stages"] == {"count": figures}
    assert read_json(root / "reports" / "summary.json")["own_stages"] == {"count": figures}
    assert json.loads((root / "reports" / "parts.json").read_text()) == rows
    other = copy(root)
    assert "up to date" in shell(other, "dvc", "status")
    assert ran(run_here(other)) == []


def test_its_lineage_is_noted(counted):
    """Its record names code, parameters and outputs; MLflow's run has both."""
    root, summary = counted
    record = read_json(root / "reports" / "stage-count.json")
    assert record["call"] == "ride_counts:count"
    assert record["params"] == {"at_least": 1}
    assert record["writes"] == {"reports/parts.json": hash_file(root / "reports" / "parts.json")}
    tracker = Tracker(f"sqlite:///{root}/mlflow.db", "rides")
    run = tracker.client().get_run(summary.facts["run_id"])
    assert run.data.params["count.params.at_least"] == "1"
    assert run.data.metrics["count/rows"] == sum(rows_of(root))


@pytest.mark.slow
def test_the_note_of_it_goes_with_a_new_version(counted, copy):
    """Beside metrics and settings of the version."""
    root = copy(counted[0])
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), ["training.params.num_iterations=9"]))
    run = run_here(root).facts["run_id"]
    client = Tracker(f"sqlite:///{root}/mlflow.db", "rides").client()
    left = client.list_artifacts(run, "registration")
    assert "registration/stage-count.json" in [found.path for found in left]


@pytest.mark.parametrize("until", ["count", pytest.param("register", marks=pytest.mark.slow)])
def test_dvc_repro_runs_it_and_leaves_the_same_bytes(until, counted, finished, copy, shell, ran):
    """By either door; after dvc repro, tidemill run has nothing to do."""
    root = copy(finished)
    (root / "ride_counts.py").write_text(CODE)
    set_stages(root, count=COUNT)
    run_here(root, until="look")  # dvc.yaml follows params.yaml
    said = shell(root, "dvc", "repro", until)
    assert "Running stage 'count'" in said
    for name in ("parts.json", "stage-count.json"):
        left = (root / "reports" / name).read_bytes()
        assert left == (counted[0] / "reports" / name).read_bytes()
    assert output_hashes(root) == output_hashes(counted[0])
    assert ran(run_here(root, until=until)) == []


@pytest.mark.parametrize("change", ["code", "params", "output"])
def test_what_changes_makes_it_run_again(change, counted, copy, ran):
    """Its code, its parameters, or what it had left."""
    root = copy(counted[0])
    if change == "code":
        (root / "ride_counts.py").write_text(CODE.replace("sum(many)", "sum(many) + 0"))
    elif change == "params":
        set_stages(root, count={**COUNT, "params": {"at_least": max(rows_of(root))}})
    else:
        (root / "reports" / "parts.json").write_text("[]")
    summary = run_here(root, until="shard")
    assert ran(summary) == ["count"]
    if change == "params":
        assert summary.facts["own_stages"]["count"]["rows"] == max(rows_of(root))


def test_it_is_forgotten_with_its_setting(counted, copy, shell, ran):
    """Taken out of params.yaml it is in no graph any more, and DVC does not miss it."""
    root = copy(counted[0])
    set_stages(root)
    assert ran(run_here(root)) == []
    assert "count" not in YAML(typ="safe").load(root / "dvc.yaml")["stages"]
    assert "up to date" in shell(root, "dvc", "status")


@pytest.mark.parametrize("until", ["look", pytest.param("ingest", marks=pytest.mark.slow)])
def test_a_stage_of_the_users_may_make_the_source(until, blank, copy, ran):
    """One that comes first leaves what dataset.source names; look follows its content."""
    root = copy(blank)
    (root / "joined.py").write_text(
        "def join(job):\n"
        "    (source,) = job.reads.values()\n"
        "    place = job.writes['data/joined']\n"
        "    place.mkdir()\n"
        "    for path in sorted(source.glob('*.csv'))[: job.params['files']]:\n"
        "        (place / path.name).write_bytes(path.read_bytes())\n"
    )
    stage = {"call": "joined:join", "reads": ["data/raw"], "writes": ["data/joined"]}
    set_stages(root, join={**stage, "params": {"files": 1}})
    params = root / "params.yaml"
    params.write_text(set_params(params.read_text(), ["dataset.source=data/joined"]))
    first = ["join", "look", "ingest"]
    assert ran(run_here(root, until=until)) == first[: first.index(until) + 1]
    assert ran(run_here(root, until=until)) == []
    set_stages(root, join={**stage, "params": {"files": 2}})
    summary = run_here(root, until="ingest")
    assert ran(summary) == ["join", "look", "ingest"]
    raw = sorted((root / "data" / "raw").glob("*.csv"))[:2]
    assert summary.facts["rows_read"] == sum(len(p.read_text().splitlines()) - 1 for p in raw)


@pytest.mark.slow
def test_killed_inside_it_begins_anew_and_nothing_half_is_seen(counted, copy, ran, shell):
    """Workers of the run find the module; what was before it stays done."""
    root = copy(counted[0])
    (root / "reports" / "parts.json").unlink()
    dies = CODE.replace("    many =", "    job.writes['reports/parts.json'].write_text('half')\n"
                        "    import os; os.kill(os.getpid(), 9)\n    many =")  # fmt: skip
    (root / "ride_counts.py").write_text(dies)
    killed = shell(root, "tidemill", "run", "--direct", check=False, TIDEMILL_WORKERS="2")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (root / "reports" / "parts.json").exists()
    (root / "ride_counts.py").write_text(CODE)
    assert ran(run_here(root, until="shard")) == ["count"]
    assert not list((root / ".tidemill" / "work").glob("own/*/*"))


@pytest.mark.parametrize(
    ("place", "force"),
    [
        ("notes", False),
        pytest.param("notes", True, marks=pytest.mark.slow),
        pytest.param("notes/mine.json", True, marks=pytest.mark.slow),
    ],
)
def test_what_it_has_not_left_is_not_replaced(place, force, counted, copy):
    """What somebody put there stays as it is; once it is moved away the stage runs."""
    root = copy(counted[0])
    notes = root / "notes" / "mine.json"
    notes.parent.mkdir()
    notes.write_text("mine")
    code = CODE.replace('job.writes["reports/parts.json"]', "next(iter(job.writes.values()))")
    (root / "ride_counts.py").write_text(code)
    set_stages(root, count={**COUNT, "writes": [place]})
    with pytest.raises(StageFailed, match=f"would replace {place}, which it has not left"):
        run_here(root, until="count")
    assert notes.read_text() == "mine"
    notes.rename(root / "elsewhere.json")
    run_here(root, until="count")
    (root / "ride_counts.py").write_text(f"{code}\n# It runs again, over what it left.\n")
    run_here(root, until="count", force=force)
    assert json.loads((root / place).read_text()) == rows_of(root)


BROKEN = {
    "no module": ({"call": "nowhere:count"}, UsageError, "there is no module 'nowhere'"),
    "no function": ({"call": "ride_counts:cuont"}, UsageError, "cuont"),
    "it raises": ({"params": {}}, StageFailed, r"raised KeyError: 'at_least'"),
    "it leaves too little": (
        {"writes": ["reports/parts.json", "reports/more.json"]},
        StageFailed,
        "left nothing at reports/more.json",
    ),
    "it reads what is not": (
        {"reads": ["data/validated", "data/prices.csv"]},
        StageFailed,
        "prices.csv, and there is nothing",
    ),
    "another's output": (
        {"writes": ["reports/metrics.json"]},
        ConfigError,
        "reports/metrics.json is left by evaluate",
    ),
    "rows that teach": (
        {"writes": ["data/validated/more.parquet"]},
        ConfigError,
        "data/validated/more.parquet is left by ingest",
    ),
    "too early": ({"after": "look"}, ConfigError, "reads data/validated, which ingest leaves"),
    "after nothing": ({"after": "ingets"}, ConfigError, "there is no stage 'ingets'"),
    "outside": ({"writes": ["../mine.json"]}, ConfigError, "no plain path below the workspace"),
    "hidden": ({"reads": [".tidemill/work"]}, ConfigError, "is kept by tidemill"),
    "no address": ({"call": "ride_counts"}, ConfigError, "is not module:name"),
    "unknown key": (
        {"wirtes": []},
        ConfigError,
        r"stages\.count\.wirtes: unknown key; did you mean 'stages\.count\.writes'",
    ),
    "a param beside params": (
        {"at_most": 3},
        ConfigError,
        r"did you mean 'stages\.count\.params\.at_most'",
    ),
    "a path that is no list": ({"reads": "data/validated"}, ConfigError, r"stages\.count\.reads: "),
    "a place in another": (
        {"writes": ["reports/mine", "reports/mine/parts.json"]},
        ConfigError,
        r"stages\.count\.writes: 'reports/mine/parts\.json' lies in 'reports/mine'",
    ),
    "no function at all": ({"call": "ride_counts:NUMBER"}, UsageError, "is int, no function"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_wrong_one_is_refused_by_name(broken, counted, copy):
    """With what is wrong, where, and a remedy; the workspace keeps what it had."""
    change, kind, text = BROKEN[broken]
    root = copy(counted[0])
    with (root / "ride_counts.py").open("a") as file:
        file.write("\n\nNUMBER = 3\n")
    before = (root / "dvc.lock").read_bytes(), (root / "reports" / "parts.json").read_bytes()
    params = root / "params.yaml"
    document = YAML(typ="safe").load(params)
    with params.open("w") as file:
        YAML(typ="safe").dump({**document, "stages": {"count": {**COUNT, **change}}}, file)
    with pytest.raises(kind, match=text) as caught:
        run_here(root)
    assert caught.value.remedy
    assert (root / "dvc.lock").read_bytes() == before[0]
    assert (root / "reports" / "parts.json").read_bytes() == before[1]


@pytest.mark.parametrize(
    "given",
    [
        "[1]",
        "{'a': float('nan')}",
        *(pytest.param(given, marks=pytest.mark.slow) for given in ("{1: 2}", "{'a': [1]}")),
    ],
)
def test_what_are_no_figures_are_refused(given, counted, copy):
    """Figures are numbers, texts and booleans by name."""
    root = copy(counted[0])
    (root / "ride_counts.py").write_text(f"{CODE}\n    return {given}\n".replace(
        '    return {"parts"', '    figures = {"parts"'))  # fmt: skip
    with pytest.raises(StageFailed, match="are no figures"):
        run_here(root, until="count")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(
            "    json.dumps(job)",
            "raised TypeError: Object of type StageJob",
            marks=pytest.mark.slow,
        ),
        ("    raise SystemExit(3)", "raised SystemExit: 3"),
        ("    rows_of('nowhere.parquet')", "raised FileNotFoundError"),
    ],
)
def test_what_it_raises_is_placed_in_its_own_code(line, said, counted, copy):
    """Not in the library that it called; and what would end the process ends the stage."""
    root = copy(counted[0])
    code = CODE.replace("    many =", f"{line}\n    many =")
    (root / "ride_counts.py").write_text(code)
    with pytest.raises(StageFailed, match=said) as caught:
        run_here(root)
    at = line if "rows_of" not in line else "    return pq.read_metadata(path).num_rows"
    number = code.splitlines().index(at) + 1
    assert caught.value.fields["place"] == f"{root}/ride_counts.py:{number}"


def test_what_it_prints_stays_out_of_the_document(counted, copy, capsys):
    """stdout is what `--json` writes its document to."""
    root = copy(counted[0])
    (root / "talking.py").write_text("def f(job):\n    print('looking')\n    return {}\n")
    set_stages(root, talking={"after": "ingest", "call": "talking:f"})
    run_here(root, until="talking")
    told = capsys.readouterr()
    assert (told.out, "looking" in told.err) == ("", True)


def test_numbers_of_numpy_are_figures(counted, copy):
    """A sum of an array, or whether one is positive; not its NaN."""
    root = copy(counted[0])
    figures = "{'sum': np.int64(3), 'any': np.bool_(True), 'mean': np.float32(0.5)}"
    (root / "numbered.py").write_text(f"import numpy as np\n\ndef f(job):\n    return {figures}\n")
    set_stages(root, numbered={"after": "ingest", "call": "numbered:f"})
    summary = run_here(root, until="numbered")
    found = summary.facts["own_stages"]["numbered"]
    assert found == {"sum": 3, "any": True, "mean": 0.5}
    assert {name: type(value) for name, value in found.items()} == {
        "sum": int,
        "any": bool,
        "mean": float,
    }


def test_names_and_order(counted):
    """Several after one follow in the order of params.yaml; those that wait in a ring do not."""
    root = counted[0]
    params = load_params(root)

    def names(**after):
        stages = {
            name: params.stages["count"].model_copy(
                update={"after": anchor, "reads": (), "writes": ()}
            )
            for name, anchor in after.items()
        }
        found = with_own(STAGES, params.model_copy(update={"stages": stages}), root)
        return [stage.name for stage in found]

    assert names(a="look", b="a", c="look", d=None)[:5] == ["d", "look", "a", "b", "c"]
    assert names(a="register")[-2:] == ["register", "a"]
    with pytest.raises(ConfigError, match="a, b come after each other"):
        names(a="b", b="a")
    with pytest.raises(ConfigError, match="is a stage of tidemill"):
        names(ingest="look")
    with pytest.raises(ConfigError, match="is no name of a stage"):
        names(**{"My Stage": "look"})


def test_without_any_the_graph_is_that_of_before(finished):
    """dvc.yaml and its stages are the same to the letter."""
    params = load_params(finished)
    assert with_own(STAGES, params, finished) == STAGES
    assert check_dvc_yaml(finished, dvc_document(_specs(params, finished))) == []


def _specs(params, root):
    from tidemill.pipeline.graph import stage_specs

    return stage_specs(params, root)
