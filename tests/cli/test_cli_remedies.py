"""Mistakes at init: what is wrong is told as it is, and what the remedy says works."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.cli.conftest import marked

from tidemill.config import changed_settings, read_params, set_params
from tidemill.errors import ConfigError

RNG = np.random.default_rng(8)
TABLE = pd.DataFrame(
    {
        "x": RNG.normal(size=200).round(2),
        "city": RNG.choice(["Ulm", "Bonn", "Hamm"], 200),
        "y": RNG.choice(["yes", "no"], 200),
    }
)
CSV = TABLE.to_csv(index=False).encode()
TRUTHS = CSV.replace(b",yes\n", b",true\n").replace(b",no\n", b",false\n")
OBJECTS = TABLE.to_dict("records")


@pytest.fixture
def init(tmp_path, cli):
    """Makes a workspace of a file with this content, and gives what is said."""

    def run(content: bytes, *options: str, name: str = "a.csv", target: str = "y"):
        (tmp_path / name).write_bytes(content)
        source = ["--source", tmp_path / name, "--target", target]
        return cli("init", tmp_path / "ws", *source, *options, "--json")

    return run


SETTINGS = {
    "a delimiter that YAML reads": ("dataset.csv.delimiter=,", "is not a YAML value"),
    "a truth that is a label": ("dataset.positive=true", "valid string"),
    "a word for missing": ("dataset.missing_values=NA", "valid tuple"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_value_that_is_right_in_quotes_or_as_a_list(init, kind):
    """Is offered so, as the shell takes it."""
    given, said = SETTINGS[kind]
    refused = init(TRUTHS, "--set", given)
    assert refused.code == 2
    assert said in refused.document["message"]
    offered = refused.document["remedy"].partition(": ")[2]
    offered = shlex.split(offered.replace("...", given.partition("=")[2]))
    assert init(TRUTHS, *offered).code == 0


@pytest.mark.parametrize(
    "given",
    [
        "dataset.csv.null_values=[geheim",
        "dataset.key=}geheim",
        "training.params.x=@geheim",
        "dataset.source: a=geheim",
    ],
)
def test_a_value_that_is_no_yaml_is_not_repeated(given):
    """It may be a secret: not in the message, the remedy, the fields or the cause."""
    with pytest.raises(ConfigError) as caught:
        set_params("dataset: {source: a.csv, target: y}\n", [given])
    found = caught.value
    assert "geheim" not in f"{found} {found.remedy} {found.fields} {found.__cause__}"
    assert f"--set {given[:11]}" in found.message.replace("'", "")


@pytest.mark.parametrize(
    ("options", "blamed"),
    [
        (["--set", "training.learner=xgboost"], "--set training.learner"),
        (["--set", "trainin.learner=sgd"], "--set trainin.learner"),
        (["--set", "seed=1", "--set", "dataset.drop=[x"], "a list as [a, b]"),
        (["--key", "y"], "correct --key"),
        (["--time", "y"], "correct --time"),
        (["--set", "dataset.drop=[y]"], "correct --set dataset.drop"),
    ],
)
def test_what_was_given_is_blamed(init, options, blamed):
    """By its own name: there is no params.yaml to correct."""
    refused = init(CSV, *options)
    assert refused.code == 2
    assert blamed in refused.document["remedy"]
    assert "params.yaml" not in refused.document["message"] + refused.document["remedy"]


@pytest.mark.parametrize(("option", "column"), [("--key", "cty"), ("--time", "city")])
def test_a_column_that_an_option_names_is_blamed_on_the_option(init, option, column):
    """So is one of which the data say that it is missing, or no time."""
    refused = init(CSV, option, column)
    assert refused.code == 2
    assert refused.document["message"].startswith(f"{option} names ")
    assert f"dataset.{option[2:]} " not in refused.document["remedy"]
    by_set = init(CSV, "--set", f"dataset.{option[2:]}={column}")
    assert by_set.document["message"].startswith(f"dataset.{option[2:]} names ")


def test_the_order_of_rows_in_the_place_of_a_time_that_is_none(init):
    """Works as the remedy writes it, line by line."""
    refused = init(CSV, "--time", "city").document["remedy"]
    lines = re.findall(r"[\w.]+: \w+", refused)
    assert lines
    followed = [part for line in lines for part in ("--set", line.replace(": ", "="))]
    assert init(CSV, "--time", "city", *followed).code == 0


def test_a_positive_class_that_the_target_does_not_hold(init):
    """Is refused before anything is made, with the classes that are there."""
    refused = init(CSV, "--set", "dataset.positive=ja")
    assert (refused.code, refused.document["error"]) == (2, "ConfigError")
    assert refused.document["fields"]["classes"] == ["no", "yes"]


def test_three_classes_are_not_two(init):
    """A binary target is refused before anything is scanned."""
    refused = init(CSV, "--set", "dataset.task=binary", target="city")
    assert (refused.code, refused.document["error"]) == (3, "TargetUnusable")
    assert "'city' has 3" in refused.document["message"]
    (offered,) = re.findall(r"dataset\.task: \w+", refused.document["remedy"])
    assert init(CSV, "--set", offered.replace(": ", "="), target="city").code == 0


def test_a_stated_type_that_fits_no_value_is_told(init):
    """Before every cell is lost to it."""
    done = init(CSV, "--set", "dataset.types={city: numeric}")
    assert done.code == 0
    said = "city: no value looked at can be read as numeric (dataset.types)"
    assert said in done.document["warnings"]


@pytest.mark.parametrize(
    "indent",
    [
        pytest.param(None, id="one line"),
        pytest.param(1, id="many lines", marks=pytest.mark.slow),
    ],
)
def test_an_array_of_json_is_written_anew_by_the_remedy(init, tmp_path, indent):
    """The command that is offered makes lines that are read."""
    refused = init(json.dumps(OBJECTS, indent=indent).encode(), name="a.json")
    assert refused.code == 3
    assert "one array of JSON" in refused.document["message"]
    command = refused.document["remedy"].partition("or this: ")[2]
    made = re.search(r"> (\S+)$", command)[1]
    shell = command.replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(shell, shell=True, check=True, cwd=tmp_path)
    path = Path(tmp_path, made)
    assert [json.loads(line) for line in path.read_text().splitlines()] == OBJECTS
    assert init(path.read_bytes(), name="b.jsonl").code == 0


ELSEWHERE = {
    "beside": ("tickets.csv", "tickts.csv", "tickets.csv"),
    "below": ("data/tickets.csv", "data/tickts.csv", "data/tickets.csv"),
    "above": ("../tickets.csv", "../tickts.csv", "../tickets.csv"),
    "a folder misspelt": ("data/raw/tickets.csv", "dta/raw/tickets.csv", "data/raw/tickets.csv"),
    "a folder": ("tickets/a.csv", "ticket", "tickets"),
}


@pytest.mark.parametrize("kind", marked(ELSEWHERE, slow={"beside", "a folder"}))
def test_a_source_that_is_not_there_is_told_as_it_was_written(kind, tmp_path, monkeypatch, cli):
    """What is offered in its place works from where one stands, wherever the workspace is."""
    there, given, meant = ELSEWHERE[kind]
    here = tmp_path / "here"
    (here / there).parent.mkdir(parents=True, exist_ok=True)
    (here / there).write_bytes(CSV)
    monkeypatch.chdir(here)
    command = ["init", "deep/er/ws", "--target", "y", "--json", "--source"]
    refused = cli(*command, given)
    assert (refused.code, refused.document["error"]) == (2, "SourceMissing")
    assert refused.document["message"].startswith(f"--source {given!r} names no file (")
    (offered,) = re.findall(r"did you mean '(.*?)'\?", refused.document["remedy"])
    assert offered == meant
    assert cli(*command, offered).code == 0


def test_a_path_that_nothing_is_like_has_no_offer(tmp_path, monkeypatch, cli):
    """Nor one whose folder alone could be meant."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for given in ("qqq.csv", "dta/a.csv", "nowhere/at/all.csv", "dta/*.csv"):
        refused = cli("init", "ws", "--target", "y", "--json", "--source", given)
        assert refused.document["error"] == "SourceMissing"
        assert "did you mean" not in refused.document["remedy"]


MISPLACED = {
    "dataset.skip_lines=1": "dataset.csv.skip_lines",
    "dataset.delimiter=';'": "dataset.csv.delimiter",
    "skip_lines=1": "dataset.csv.skip_lines",
    "dataset.csv.skip_line=1": "dataset.csv.skip_lines",
    "tuning.trails=1": "tuning.trials",
    "training.trials=1": "tuning.trials",
    "trainin.learner=sgd": "training",
    "sharding.test=0.3": "sharding.holdout.test",
    "training.learning_rate=0.1": "training.params.learning_rate",
    "sead=1": "seed",
    "dataset.quux=1": None,
}


@pytest.mark.parametrize("given", MISPLACED)
def test_an_unknown_setting_offers_the_whole_path_that_was_meant(given):
    """The same for a command line, Prefect's overrides and params.yaml itself."""
    text = "dataset: {source: a, target: y}"
    with pytest.raises(ConfigError) as by_set:
        set_params(text, [given])
    found = re.findall(r"unknown key; did you mean '(.*?)'\?", by_set.value.message)
    assert found == ([MISPLACED[given]] if MISPLACED[given] else [])
    with pytest.raises(ConfigError) as in_file:
        read_params(_written(given))
    assert in_file.value.message == f"params.yaml: {by_set.value.message}"
    if found and "." in found[0]:
        right = f"{found[0]}={given.partition('=')[2]}"
        assert list(changed_settings(text, set_params(text, [right]))) == found


def _written(assignment: str) -> str:
    """A params.yaml that says it."""
    name, _, value = assignment.partition("=")
    document: dict[str, Any] = {"dataset": {"source": "a", "target": "y"}}
    *sections, key = name.split(".")
    node = document
    for section in sections:
        node = node.setdefault(section, {})
    node[key] = value.strip("'")
    return json.dumps(document)


REFUSED = {
    "letters of another encoding": (CSV.replace(b"Ulm", "Köln".encode("latin-1")), {}),
    "words among numbers": (
        b"x,y\n" + b"1.5,yes\n2.5,no\n" * 99 + b"far,no\n" * 50,
        {"x": "numeric"},
    ),
    "lines of other lengths": (CSV.replace(b",Ulm,", b",Ulm,,"), {}),
}


@pytest.mark.parametrize("kind", marked(REFUSED, slow={"lines of other lengths"}))
def test_what_a_refused_table_may_do_is_true_of_its_rows(kind, init, tmp_path, cli):
    """Each setting of the remedy lets the rows pass; a suite that found nothing is not blamed."""
    content, types = REFUSED[kind]
    place = tmp_path / "ws"
    assert init(content, "--set", f"dataset.types={json.dumps(types)}").code == 0
    assert cli("stage", "look", "-w", place).code == 0
    refused = cli("stage", "ingest", "-w", place, "--json").document
    assert refused["error"] == "ValidationFailed"
    remedy = refused["remedy"].partition(";")[0]
    assert "suite" not in remedy
    (least,) = re.findall(r"raise (ingestion\.\S+) to at least (\S+)", remedy)
    settings = [f"{least[0]}={least[1]}"]
    settings += [f"{name}=latin-1" for name in re.findall(r"set (dataset\.csv\.encoding)", remedy)]
    assert len(settings) == 1 + (kind == "letters of another encoding")
    _require_settings_help(settings, place, cli)


def test_a_suite_that_refused_rows_is_named(init, tmp_path, cli):
    """As one way among others; the limit lets them pass as well."""
    place = tmp_path / "ws"
    assert init(CSV).code == 0
    path = place / "expectations" / "suite.json"
    suite = json.loads(path.read_text())
    cities = {"column": "city", "value_set": ["Ulm", "Bonn"]}
    suite["expectations"] = [
        {"type": "expect_column_values_to_be_in_set", "kwargs": cities, "meta": {}}
    ]
    path.write_text(json.dumps(suite))
    assert cli("stage", "look", "-w", place).code == 0
    refused = cli("stage", "ingest", "-w", place, "--json").document
    assert "correct the suite (expectations/suite.json)" in refused["remedy"]
    (least,) = re.findall(r"raise (ingestion\.\S+) to at least ([\d.]+)", refused["remedy"])
    _require_settings_help(["=".join(least)], place, cli)


def _require_settings_help(settings, place, cli):
    for setting in settings:
        text = (place / "params.yaml").read_text()
        (place / "params.yaml").write_text(set_params(text, [setting]))
        assert cli("stage", "look", "-w", place).code == 0
        assert cli("stage", "ingest", "-w", place).code == 0
        (place / "params.yaml").write_text(text)
