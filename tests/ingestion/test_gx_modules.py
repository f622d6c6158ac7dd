"""Great Expectations is imported without what it would only look at."""

from __future__ import annotations

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tidemill.ingestion.checks.gx_modules import hidden


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a part of its own; neither is imported."""
    (tmp_path / "lake_of_sparks").mkdir()
    for name in ("__init__", "part"):
        (tmp_path / "lake_of_sparks" / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield "lake_of_sparks"
    for name in ("lake_of_sparks", "lake_of_sparks.part"):
        sys.modules.pop(name, None)


def test_a_hidden_package_is_not_there(package):
    """Its import fails as if it were not installed, also that of its parts; then it is back."""
    with hidden(package), pytest.raises(ModuleNotFoundError):
        importlib.import_module(package)
    importlib.import_module(package)
    with hidden(package):
        importlib.import_module(package)
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"{package}.part")
    importlib.import_module(f"{package}.part")


def test_other_threads_see_it(package):
    """It is hidden from one thread, whatever others import meanwhile."""
    with ThreadPoolExecutor(1) as other, hidden(package):
        assert other.submit(importlib.import_module, f"{package}.part").result()


#: In a process of its own: of Great Expectations and Spark nothing is there before.
ALONE = """
import sys
from tidemill.ingestion.checks.gx_modules import gx_modules
gx_modules()
print(sorted(name for name in sys.modules if name.partition(".")[0] == "pyspark"))
"""


@pytest.mark.slow
def test_great_expectations_does_not_look_at_spark():
    """Spark is installed, and nothing of it is imported, nor any warning of it printed."""
    importlib.import_module("pyspark")
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
