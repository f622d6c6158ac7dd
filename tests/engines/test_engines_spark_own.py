"""Spark on this machine, without a cluster, keeps the engines' contract."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tidemill.engines import open_engine
from tidemill.settings import Settings
from tidemill.testing.engines import EngineContract

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(light_spark):
    """The engine with a session of its own."""
    with open_engine(Settings(engine="spark", workers=2)) as engine:
        yield engine


class TestOwnSpark(EngineContract):
    """Without an address its workers are processes of this machine."""

    @pytest.fixture
    def engine(self, own):
        return own


#: A file, for the main module of a shell is told otherwise by Spark.
def test_a_process_does_many_items(own):
    """A worker's process is used again: it has imported what items need."""
    assert len(set(own.map(eval, ["__import__('os').getpid()"] * 20, label="processes"))) <= 2


WHOLE = """
from tidemill.engines import open_engine
from tidemill.settings import Settings
from tidemill.testing.engine_items import square

with open_engine(Settings(engine="spark", workers=2)) as engine:
    print(engine.map(square, [2, 3], label="squares"))
"""


def test_nothing_of_it_is_printed(light_spark, tmp_path):
    """What Spark's JVM writes, and what its Python warns of, stays off stdout and stderr."""
    (tmp_path / "whole.py").write_text(WHOLE)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "whole.py")], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[4, 9]\n", "")
