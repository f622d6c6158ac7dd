"""The house stands as DESIGN says: rooms, floors and names that a machine can check."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "platform" / "tidemill"
MONITOR = ROOT / "monitoring" / "tidemill_monitor"

ONLY_IN = {
    "prefect": ("orchestration",),
    "mlflow": ("tracking",),
    "dvc": ("versioning",),
    "great_expectations": ("ingestion",),
    "optuna": ("tuning",),
    "sqlalchemy": (
        "ingestion",
        "ledger",
        "tracking",
        "testing",
    ),  # tracking knows its errors: MLflow lets them out
    "alembic": ("ledger",),
    "river": ("drift",),
    "fastapi": (),
    "dask": ("engines",),
    "distributed": ("engines",),
    "obstore": ("storage",),
    "pyspark": ("engines",),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def arrows_between_modules() -> dict[str, set[str]]:
    """What each module imports of the house; imports for types alone count."""
    graph = grimp.build_graph(
        "tidemill", "tidemill_monitor", cache_dir=None, exclude_type_checking_imports=False
    )
    return {one: graph.find_modules_directly_imported_by(one) for one in graph.modules}


@cache
def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", ["platform", "monitoring", "flows", "tests"])
def test_no_init_shadows_a_module(folder):
    """platform/__init__.py would shadow the standard library's platform."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_platform_has_one_child():
    """The source root holds the package and nothing else."""
    assert [p.name for p in (ROOT / "platform").iterdir() if p.name != "__pycache__"] == [
        "tidemill"
    ]


@pytest.mark.parametrize(("library", "rooms"), ONLY_IN.items())
def test_libraries_stay_in_their_rooms(library, rooms):
    """Each heavy library is imported in its own room only."""
    strangers = [
        str(path.relative_to(PACKAGE))
        for path in modules()
        if library in imported(path) and path.relative_to(PACKAGE).parts[0] not in rooms
    ]
    assert strangers == []


@pytest.mark.parametrize("library", sorted(set(ONLY_IN) - {"fastapi"}))
def test_the_monitor_leaves_heavy_libraries_to_their_rooms(library):
    """Of them the monitor has FastAPI alone; it reaches the rest through tidemill's rooms."""
    strangers = [path.name for path in sorted(MONITOR.rglob("*.py")) if library in imported(path)]
    assert strangers == []


def test_no_modules_import_in_a_circle():
    """Arrows run one way, also between the modules of one room, and for types alone."""
    arrows = dict(arrows_between_modules())
    while arrows:
        aims = set().union(*arrows.values())
        kept = {one for one, imports in arrows.items() if one in aims and imports & arrows.keys()}
        if kept == arrows.keys():
            break
        arrows = {one: arrows[one] & kept for one in kept}
    assert sorted(arrows) == []


#: Modules whose names are given, with what our own code warns of as an error.
IMPORT = """
import importlib, sys, warnings
warnings.filterwarnings("error", module="tidemill")
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.mark.slow
def test_every_module_can_be_imported():
    """Those without an example too, which no collection imports; migrations are Alembic's."""
    names = [
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for package in (PACKAGE, MONITOR)
        for path in sorted(package.rglob("*.py"))
        if "migrations" not in path.parts
    ]
    paths = os.pathsep.join(str(package.parent) for package in (PACKAGE, MONITOR))
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, *names],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_architecture_names_every_room():
    """The page's table of floors has each room that the linter's floors have."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    floors = " ".join(contracts["contracts"][0]["layers"])
    page = (ROOT / "ARCHITECTURE.md").read_text().partition("\n| floor |")[2].partition("\n\n")[0]
    assert [
        room for room in re.findall(r"tidemill\.(\w+)", floors) if f"`{room}`" not in page
    ] == []


def test_the_ledgers_nouns_stand_on_its_rooms():
    """The index of ids knows the database alone, and that knows neither ids nor nouns."""
    below = {"database": ("database",), "event_ids": ("event_ids", "database")}
    ledger = "tidemill.ledger."
    upward = [
        (module, aim)
        for module, aims in arrows_between_modules().items()
        for room, allowed in below.items()
        if (module + ".").startswith(f"{ledger}{room}.")
        for aim in aims
        if aim.startswith("tidemill.ledger") and aim.split(".")[2:3] not in [[x] for x in allowed]
    ]
    assert upward == []


def test_engines_are_opened_in_one_place():
    """Only the room of engines names one: all others ask `open_engine`, which knows the table."""
    rooms = [PACKAGE, MONITOR, ROOT / "flows"]
    files = [path for room in rooms for path in room.rglob("*.py")]
    strangers = [
        path.relative_to(ROOT)
        for path in files
        if (PACKAGE / "engines") not in path.parents and "LocalEngine" in path.read_text()
    ]
    assert strangers == []


DATA_ROOMS = (
    *("features", "ingestion", "learning", "sharding", "stages", "tuning", "retraining"),
    *("drift", "metrics", "profiling", "reporting", "decisions"),
    *("learners", "steps", "searchers", "bucket_rules"),
)
"""Rooms that hold data: workers on other machines run their code."""

TOUCH = {
    "os": {"fsync", "link", "listdir", "makedirs", "open", "remove", "rename", "replace"}
    | {"scandir", "stat", "symlink", "unlink", "walk"},
    "np": {"fromfile", "load", "memmap", "save", "savez"},
    "pq": {"ParquetFile", "ParquetWriter", "read_table", "write_table"},
    "pa": {"OSFile", "memory_map"},
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move", "rmtree"},
    "glob": {"glob", "iglob"},
    "": {"open"}
    | {"exists", "glob", "hardlink_to", "is_dir", "is_file", "iterdir", "mkdir", "read_bytes"}
    | {"read_text", "rename", "rglob", "rmdir", "stat", "symlink_to", "tofile", "touch", "unlink"}
    | {"write_text"},
}
"""Calls that touch a path, by module; of anything else under the empty name."""

TOUCHING = {
    # Parses the file whose path it is told, in a process apart that knows no room of tidemill.
    "parquet_child",
    # The pages of a validation tell when it was written, which only the report's file knows; Great
    # Expectations insists on a folder to write them to.
    "data_docs",
}
"""Modules of those rooms that touch paths. None comes to them; who converts one takes it out."""


def touches_a_path(path: Path) -> bool:
    """Whether a module opens, lists, moves or asks about files itself."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            by, name = "", getattr(node.func, "id", "")
            if isinstance(node.func, ast.Attribute):
                by, name = getattr(node.func.value, "id", ""), node.func.attr
            if name in TOUCH.get(by, TOUCH[""]):
                return True
    return False


def test_nothing_outside_storage_touches_a_path_of_data():
    """Data are reached through stores: the list of who does not yet may only become shorter."""
    rooms = {path: path.relative_to(PACKAGE).with_suffix("").parts[0] for path in modules()}
    assert set(DATA_ROOMS) <= set(rooms.values()), "a name that is no room holds nothing"
    files = [path for path, room in rooms.items() if room in DATA_ROOMS]
    assert {path.stem for path in files if touches_a_path(path)} == TOUCHING


def test_sharding_knows_no_folder_of_data():
    """It is given addresses, and hands on the folder that shards are published to, and no other."""
    given = [
        (path.stem, getattr(node, "arg", "a field"))
        for path in sorted((PACKAGE / "sharding").glob("*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.arg | ast.AnnAssign)
        and node.annotation is not None
        and "Path" in ast.unparse(node.annotation)
    ]
    assert given == [("append", "out"), ("build", "out")]


def test_public_class_names_are_unique():
    """One word, one thing: who reads a class's name knows which one is meant."""
    homes: dict[str, list[str]] = {}
    for path in (*modules(), *sorted(MONITOR.rglob("*.py"))):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_classes_keep_their_names_where_they_are_imported():
    """No import gives a class another name: if two would meet, one of them has the wrong name."""
    renamed = [
        (str(path.relative_to(ROOT)), alias.name, alias.asname)
        for path in (*modules(), *sorted(MONITOR.rglob("*.py")))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tidemill")
        for alias in node.names
        if alias.name[:1].isupper() and alias.asname not in (None, alias.name)
    ]
    assert renamed == []


# Modules here are named for what they serve, as the room below is: a port's contract suite, a
# command, a route, a stage of the job.
NAMED_AFTER_A_ROOM = {"testing", "cli", "routes", "stages", "contracts"}
# What each room has of its own: the same word for the same kind of thing.
IN_EACH_ROOM = {
    "fitting": "how the room's thing is fitted: the reducer, an estimator",
    "numeric": "the room's part for numbers, beside those for other types",
    "categories": "the room's part for categories",
    "steps": "what a room's work consists of: the reducer's, a retraining's",
}


def test_stems_tell_rooms_apart():
    """Who reads only the file names guesses what is in each."""
    homes: dict[str, list[str]] = {}
    for root in (PACKAGE, MONITOR):
        for path in sorted(root.rglob("*.py")):
            room = path.relative_to(root).parts[0]
            if path.stem.startswith("_") or room in NAMED_AFTER_A_ROOM:
                continue
            homes.setdefault(path.stem, []).append(str(path.relative_to(ROOT)))
    twice = {stem: where for stem, where in homes.items() if len(where) > 1}
    assert {stem: where for stem, where in twice.items() if stem not in IN_EACH_ROOM} == {}
    assert set(IN_EACH_ROOM) <= set(twice), "these stand once: take them from the list"


def test_rooms_stay_small():
    """Past 400 lines a module has a second idea, and past 40 a function (migrations are lists)."""
    large, long = [], []
    for path in (*modules(), *sorted(MONITOR.rglob("*.py"))):
        text = path.read_text()
        if len(text.splitlines()) > 400:
            large.append(str(path.relative_to(ROOT)))
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
                "migrations" not in path.parts and _body_lines(node, text.splitlines()) > 40
            ):
                long.append((str(path.relative_to(ROOT)), node.name))
    assert (large, long) == ([], [])


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of code below the docstring, without blank ones and comments."""
    told = len(node.body) > 1 and ast.get_docstring(node) is not None
    body = lines[node.body[told].lineno - 1 : node.end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in body)


def _words(text: str) -> set[str]:
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()
    return {word.rstrip("s") for word in re.findall(r"[a-z]+", apart)}


def test_docstrings_say_more_than_names():
    """A docstring, of a class its first line, has a word that the name has not."""
    empty = "a an the of to in its it is are one this that as by for and or with from"
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    silent = []
    for path in (*modules(), *sorted(MONITOR.rglob("*.py"))):
        for node in ast.walk(parsed(path)):
            said = ast.get_docstring(node) if isinstance(node, kinds) else None
            if said and isinstance(node, ast.ClassDef):
                said = said.split("\n\n")[0]
            if said and _words(said) - _words(empty) <= _words(node.name):
                silent.append((str(path.relative_to(ROOT)), node.name, said))
    assert silent == []


def test_the_glossary_is_what_the_code_says():
    """docs/glossary.md, made by `python docs/make_glossary.py`, has every room in it."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_glossary as made
    finally:
        sys.path.pop(0)
    assert made.rooms() - {room for rooms in made.CONCEPTS.values() for room in rooms} == set()
    assert made.PAGE.read_text() == made.glossary(), "run: python docs/make_glossary.py"


def test_nobody_imports_flows():
    """Flow files are entry points; their stems are no importable names."""
    stems = {path.stem for path in (ROOT / "flows").glob("*.py")}
    assert stems
    for path in modules():
        assert not imported(path) & (stems | {"flows"}), path


def test_rooms_export_sorted_names():
    """Each room's __init__ has a docstring and an __all__ (ruff sorts it) whose names exist."""
    import importlib

    for path in PACKAGE.glob("*/__init__.py"):
        module = importlib.import_module(f"tidemill.{path.parent.name}")
        assert module.__doc__, path
        for name in module.__all__:
            assert hasattr(module, name), (path, name)


def test_no_vague_module_names():
    """No module is named for what it is not."""
    vague = {"utils", "helpers", "common", "manager", "misc", "base"}
    assert [p for p in modules() if p.stem in vague] == []


def test_help_does_not_pay_for_heavy_imports():
    """`tidemill --help` imports none of the heavy libraries."""
    import subprocess

    code = (
        "import sys; import tidemill.cli.app as a; "
        "heavy = {'prefect','mlflow','great_expectations','dvc','sklearn','lightgbm','optuna',"
        "'pandas','matplotlib','duckdb'} & set(sys.modules); print(sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "platform"), "PATH": ""},
        check=True,
    )
    assert done.stdout.strip() == "[]"
