"""Engines by name: ours, another package's by its entry point, and what an address leads to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidemill.cli.app import app
from tidemill.engines import ENGINES, LocalEngine, open_engine
from tidemill.errors import DependencyMissing, UsageError
from tidemill.settings import Settings, load_settings
from tidemill.testing.engine_items import square
from tidemill.testing.engines import EngineContract

OUTSIDE = Path(__file__).parent / "outside"


@pytest.fixture
def outside(monkeypatch):
    """A small package with an engine is installed, with its metadata."""
    monkeypatch.syspath_prepend(str(OUTSIDE))


class TestOutsideEngine(EngineContract):
    """An engine of another package, opened by its entry point's name, keeps the contract."""

    @pytest.fixture
    def engine(self, outside):
        with open_engine(Settings(engine="threads", workers=2)) as found:
            assert type(found).__module__ == "tidemill_threads"
            yield found


@pytest.mark.parametrize(
    ("engine", "offered"),
    [
        ("dask://127.0.0.1", "dask://HOST:PORT"),
        ("dask://127.0.0.1:port", "dask://HOST:PORT"),
        ("spark://127.0.0.1", "spark://HOST:PORT"),
        ("dask://", "or dask://HOST:PORT"),
        ("local://4", "TIDEMILL_WORKERS"),
    ],
)
def test_an_address_that_is_none_is_refused(engine, offered):
    """At once, with the form that it has."""
    with (
        pytest.raises(UsageError) as caught,
        open_engine(Settings(engine=engine, workers=1)) as found,
    ):
        found.map(square, [2], label="squares")
    assert offered in caught.value.remedy


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TIDEMILL_WORKERS", "two"), ("TIDEMILL_WORKERS", "0"), ("TIDEMILL_CACHE_GB", "-1")],
)
def test_a_variable_that_cannot_be_is_named(variable, value, monkeypatch):
    """With what it was given."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=rf"{variable}: .*'{value}'"):
        load_settings()


def test_our_own_engine_is_the_default(monkeypatch):
    """Without a setting it is the local one, with the workers that are set."""
    monkeypatch.delenv("TIDEMILL_ENGINE", raising=False)
    with open_engine(Settings(workers=1)) as engine:
        assert isinstance(engine, LocalEngine)
        assert engine.workers == 1
    assert next(iter(ENGINES)) == "local"


@pytest.mark.parametrize("name", ["threads", "tidemill_threads:ThreadEngine"])
def test_the_environment_names_an_engine(outside, monkeypatch, name):
    """TIDEMILL_ENGINE is a name or an address; what is given wins over it."""
    monkeypatch.setenv("TIDEMILL_ENGINE", name)
    with open_engine(load_settings()) as engine:
        assert type(engine).__name__ == "ThreadEngine"
        assert engine.map(square, [2, 3], label="squares") == [4, 9]
    assert load_settings(engine="local").engine == "local"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("thread", "did you mean 'threads'"),
        ("none_such:Engine", "there is nothing"),
        ("tidemill_threads:NoEngine", "there is nothing"),
        ("json:dumps", "is no engine"),
        ("tidemill.engines.shipping:Shipment", "is no engine"),
    ],
)
def test_a_wrong_name_is_refused(outside, name, said):
    """A name that leads nowhere, or to what is no engine, is refused with what can be done."""
    with pytest.raises(UsageError) as caught, open_engine(Settings(engine=name)):
        pytest.fail("it was opened")
    assert said in f"{caught.value} {caught.value.remedy}"


def test_an_engine_whose_package_is_missing_names_it(tmp_path, monkeypatch):
    """What an engine needs and nobody has installed is named."""
    (tmp_path / "needy.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        pytest.raises(DependencyMissing, match="no_such_package_at_all"),
        open_engine(Settings(engine="needy:Engine")),
    ):
        pytest.fail("it was opened")


def test_what_is_no_engine_is_refused(tmp_path, monkeypatch):
    """What lacks a method of the protocol is refused before it is used."""
    (tmp_path / "half.py").write_text(
        "class Half:\n    def __init__(self, workers, *, preload=()): self.workers = workers\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="no engine"), open_engine(Settings(engine="half:Half")):
        pytest.fail("it was opened")


def test_the_command_line_takes_an_engine(outside, tmp_path):
    """--engine runs a command on another engine, with the same answer."""
    (tmp_path / "a.csv").write_text("x,y\n1,0\n2,1\n3,0\n")
    (tmp_path / "params.yaml").write_text("dataset: {name: a, source: a.csv, target: y}\n")
    look = ["look", "--workspace", str(tmp_path), "--json"]
    said = [
        CliRunner().invoke(app, [*look, *more]).stdout
        for more in ([], ["--engine", "threads"], ["--engine", "tidemill_threads:ThreadEngine"])
    ]
    assert json.loads(said[0])["columns"]
    assert said[0] == said[1] == said[2]
    refused = CliRunner().invoke(app, [*look, "--engine", "thread"])
    assert isinstance(refused.exception, UsageError)
    assert refused.exception.message == "--engine: there is no 'thread'"
    assert "set --engine to one of" in refused.exception.remedy
