"""Writes docs/glossary.md from the code's docstrings: ``python docs/make_glossary.py``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "glossary.md"
HOUSE = {
    "tidemill": ROOT / "platform" / "tidemill",
    "tidemill_monitor": ROOT / "monitoring" / "tidemill_monitor",
}
CONCEPTS = {
    "Ports: what may be replaced": ["tidemill.contracts", "tidemill.engines", "tidemill.testing"],
    "Columns and settings": ["tidemill.schema", "tidemill.config", "tidemill.settings"],
    "Files and partials": ["tidemill.storage", "tidemill.profiling", "tidemill.metrics"],
    "From a source to shards": ["tidemill.ingestion", "tidemill.sharding", "tidemill.samples"],
    "From shards to a model": ["tidemill.features", "tidemill.learning", "tidemill.tuning"],
    "Live windows": ["tidemill.drift", "tidemill.decisions", "tidemill.ledger"],
    "Runs": [
        "tidemill.stages",
        "tidemill.pipeline",
        "tidemill.retraining",
        "tidemill.orchestration",
        "tidemill.tracking",
        "tidemill.versioning",
        "tidemill.reporting",
        "tidemill.web",
        "tidemill.cli",
    ],
    "The monitor": [
        f"tidemill_monitor.{room}"
        for room in (
            *("intake", "serving", "watching", "dispatch", "security"),
            *("routes", "dashboard", "replay", "cli"),
        )
    ],
}
HEAD = """# Glossary

The public classes that each room exports, with the first line of their docstrings: made from
the code by `python docs/make_glossary.py`, so a word is changed where it is defined. Errors are
one tree, drawn in [errors.py](../platform/tidemill/errors.py); the concepts behind the words are
in [the architecture](../ARCHITECTURE.md).
"""


def glossary() -> str:
    """The page, as the code is now."""
    errors = _errors()
    parts = [HEAD]
    for concept, rooms in CONCEPTS.items():
        parts.append(f"\n## {concept}\n")
        for room in rooms:
            door = _file(room)
            named = sorted((node.name, path, node) for path, node in _exported(door))
            rows = [_row(path, node) for name, path, node in named if name not in errors]
            if rows:
                said = _first_line(_tree(door))
                parts.append(f"\n`{room}`: {said}\n\n| word | what it is |\n|---|---|\n")
                parts += rows
    return "".join(parts)


def rooms() -> set[str]:
    """Every package of the house, one level deep."""
    return {
        f"{package}.{door.parent.name}"
        for package, folder in HOUSE.items()
        for door in folder.glob("*/__init__.py")
    }


def _row(path: Path, node: ast.ClassDef) -> str:
    said = _first_line(node).replace("|", "\\|")
    return f"| [{node.name}](../{path.relative_to(ROOT)}) | {said} |\n"


def _first_line(node: ast.ClassDef | ast.Module) -> str:
    said = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    return re.sub(r":\w+:`[~.]?([^`]+)`", r"`\1`", said).replace("``", "`")


def _file(name: str) -> Path:
    package, _, rest = name.partition(".")
    path = HOUSE[package] / rest.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exported(path: Path) -> Iterator[tuple[Path, ast.ClassDef]]:
    """The classes of a module's ``__all__``, each where it is defined."""
    tree = _tree(path)
    homes = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    defined = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for name in _all(tree):
        if name in defined:
            yield path, defined[name]
        elif homes.get(name, "").partition(".")[0] in HOUSE:
            yield from (found for found in _exported(_file(homes[name])) if found[1].name == name)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _errors() -> set[str]:
    """Names of the classes that are exceptions, through however many bases."""
    bases: dict[str, set[str]] = {}
    for folder in HOUSE.values():
        for path in folder.rglob("*.py"):
            for node in _tree(path).body:
                if isinstance(node, ast.ClassDef):
                    bases[node.name] = {ast.unparse(base) for base in node.bases}
    found, more = {"Exception"}, True
    while more:
        new = {name for name, above in bases.items() if above & found} - found
        found, more = found | new, bool(new)
    return found


if __name__ == "__main__":
    PAGE.write_text(glossary())
