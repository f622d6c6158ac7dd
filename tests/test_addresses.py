"""What may be replaced: names and addresses lead to what keeps the port, or are refused."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from tidemill.addresses import Implementations, implementation
from tidemill.bucket_rules import BUCKET_RULES
from tidemill.config import TuningConfig
from tidemill.contracts import Split
from tidemill.errors import DependencyMissing, IntegrityError, UsageError
from tidemill.features import load_reducer, save_reducer
from tidemill.features.reducer import Reducer
from tidemill.formats import FORMATS
from tidemill.ingestion.sources.listing import SourceListing
from tidemill.learners import LEARNERS, strategies
from tidemill.schema import TableSchema, Task
from tidemill.searchers import SAMPLERS
from tidemill.steps import STEPS
from tidemill.storage import ShardManifest

PLATFORM = Path(__file__).parents[1] / "platform"
PORTS = [
    getattr(import_module(".".join(module.relative_to(PLATFORM).with_suffix("").parts)), name)
    for module in sorted((PLATFORM / "tidemill").rglob("*.py"))
    for name in re.findall(r"^(\w+)\b.*= Implementations\(", module.read_text(), re.MULTILINE)
]


class TwoWordPort(Protocol):
    """A port for these tests."""

    colour: ClassVar[str]

    @property
    def size(self) -> int:
        """Given by the class or when one is made."""

    def work(self) -> None:
        """Anything."""


class Made:
    colour = "red"

    def __init__(self, size=1):
        self.size = size

    def work(self):
        pass


class Sizeless(Made):
    def __init__(self):
        pass


class Idle:
    colour, size = "red", 1


class Holder:
    Inner = Made


@pytest.fixture
def table():
    """A port's implementations, none of them ours."""
    return Implementations({}, port=TwoWordPort, group="none", setting="here")


def test_every_port_is_tried():
    """The lists of ports above are all that there are, each once."""
    words = [port._word for port in PORTS]
    assert len(set(words)) == len(words)
    assert {"engine", "source", "store"} < set(words)


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port._word)
@pytest.mark.parametrize("name", [":X", "..x:Y", "a b:Y", "math:", "math:pi:e", "math:.pi", "none"])
def test_an_address_that_is_none_is_refused(port, name):
    """However it is written, of every port: with what can be done."""
    with pytest.raises(UsageError) as caught:
        port[name]
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(:", "SyntaxError: invalid syntax"),
        ("raise ValueError('at once')", "ValueError: at once"),
        ("None.nothing", "AttributeError: 'NoneType' object"),
        ("from math import nothing", "ImportError: cannot import name 'nothing'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told(tmp_path, monkeypatch, code, said):
    """What its code raises is an error of the module, not a defect of tidemill's."""
    (tmp_path / "broken_module.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=said) as caught:
        implementation("broken_module:X", {}, group="none", setting="here")
    assert "here" in caught.value.message


def test_ours_win(tmp_path, monkeypatch):
    """A package cannot take the place of what comes with tidemill."""
    metadata = tmp_path / "taking_over-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: taking-over\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tidemill.errands]\nnearest = math:pi\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    ask = {"group": "tidemill.errands", "setting": "here"}
    assert implementation("nearest", {}, **ask) != implementation(
        "nearest", {"nearest": "tidemill.errors:nearest"}, **ask
    )


def test_what_is_made_may_hold_what_the_port_names(table):
    """A property of the port is asked of what is made, all else of the class already."""
    assert table.made(f"{__name__}:Made", size=3).size == 3
    assert table.made(f"{__name__}:Holder.Inner").size == 1
    assert table[f"{__name__}:Sizeless"] is Sizeless
    for name, given, said in (
        ("Sizeless", {}, "it lacks size"),
        ("Idle", {}, "it lacks work"),
        ("Made", {"weight": 3}, "unexpected keyword argument 'weight'"),
    ):
        with pytest.raises(UsageError, match=f"is no two word port: .*{said}"):
            table.made(f"{__name__}:{name}", **given)


def test_a_name_that_two_packages_enter_is_refused(tmp_path, monkeypatch):
    """Else the order of a path would choose; a name of ours stays ours, and addresses work."""
    for package in ("one", "other"):
        metadata = tmp_path / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        lines = f"[tidemill.samplers]\ntwice = {package}:Sampler\ngrid = {package}:Sampler\n"
        (metadata / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"several packages enter 'twice': one:Sampler, other:Sam"):
        SAMPLERS["twice"]
    assert SAMPLERS["grid"].__module__ == "tidemill.tuning.samplers"


def stored_steps(folder):
    """A reducer whose step is of a module that nobody named."""
    step = {"step": "trap:Named", "kept": None, "names": [], "state": {}}
    save_reducer(Reducer([], [], steps=[step]), folder)
    return lambda: load_reducer(folder)


def stored_strategy(folder):
    """Shards cut by such a rule."""
    schema = TableSchema((), Task.REGRESSION)
    manifest = ShardManifest(schema, "trap:Named", None, {}, ())
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    return lambda: ShardManifest.read(folder)


def stored_format(folder):
    """A listing of files of such a format."""
    split = Split(0, "a.csv", "trap:Named", "none", 1, "0")
    document = SourceListing((split,), ()).to_json()
    return lambda: SourceListing.from_json(document)


@pytest.mark.parametrize(
    ("port", "stored"),
    [(STEPS, stored_steps), (BUCKET_RULES, stored_strategy), (FORMATS, stored_format)],
)
def test_a_folder_that_was_copied_here_chooses_no_module(tmp_path, monkeypatch, port, stored):
    """What files name is made only where params.yaml, or an installed package, names it too."""
    (tmp_path / "trap.py").write_text("from tidemill.testing.bad_steps import *\nNamed = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(port, "_opened", {})
    read = stored(tmp_path)
    with pytest.raises(IntegrityError, match=r"names 'trap:Named'.*not known here") as caught:
        read()
    assert f"name it in {port._setting}" in caught.value.remedy
    assert "trap" not in sys.modules
    monkeypatch.setitem(port._opened, "trap:Named", object)  # as reading params.yaml does
    assert read()


def test_an_error_names_the_setting_that_was_read(table):
    """A port may be chosen in several places; what was opened for one is known for all."""
    elsewhere = table.named_by("--there")
    with pytest.raises(UsageError, match=r"^--there: there is no 'nothing'") as caught:
        elsewhere["nothing"]
    assert "set --there to" in caught.value.remedy
    assert elsewhere[f"{__name__}:Made"] is Made
    assert f"{__name__}:Made" in table
    with pytest.raises(UsageError, match=r"^here: "):
        table["nothing"]


def test_a_name_that_is_not_there_may_be_of_a_package():
    """A params.yaml that came from elsewhere is not wrong: its package is missing."""
    with pytest.raises(ValueError, match="or install the package that has it"):
        LEARNERS.known("straight_lines_of_others")


def test_a_broken_package_that_nobody_named_is_in_nobodys_way(tmp_path, monkeypatch):
    """The settings' schema and the words of `strategy` do without it; who names it is told."""
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[tidemill.learners]\nbroken = broken_one:X\n")
    (tmp_path / "broken_one.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    alone, spread = ("incremental", "in_memory", "boosted"), ("merged", "averaged", "distributed")
    assert strategies() == (*alone, *spread, "shard_ensemble")
    assert "broken" not in LEARNERS.usable()
    with pytest.raises(DependencyMissing, match="needs the package 'nothing_of_that_name'"):
        LEARNERS["broken"]


def test_a_broken_package_that_is_named_is_told_before_any_work(tmp_path, monkeypatch):
    """params.yaml is refused while it is read: its module is gone."""
    package = tmp_path / "ghost-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: ghost\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[tidemill.pruners]\nghost = ghost_gone:Ghost\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="ghost_gone") as caught:
        TuningConfig(pruner="ghost")
    assert "must be installed" in caught.value.remedy


def test_packages_are_looked_for_once_on_a_path(tmp_path, monkeypatch):
    """To look opens a file of each package; what comes on another path is found at once."""
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "late" not in SAMPLERS
    metadata = tmp_path / "late-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[tidemill.samplers]\nlate = late:Sampler\n")
    assert "late" not in SAMPLERS
    monkeypatch.syspath_prepend(str(tmp_path / "more"))
    assert "late" in SAMPLERS
