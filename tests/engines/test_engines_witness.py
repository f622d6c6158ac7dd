"""Workers that may be elsewhere look first whether they see the store."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import pytest

from tidemill.engines import LocalEngine, open_engine
from tidemill.engines.witness import SeeingEngine
from tidemill.errors import StoreUnseen
from tidemill.settings import Settings
from tidemill.testing.engines import EngineContract, square


class TestSeeingEngine(EngineContract):
    """It keeps the contract over an engine that does."""

    @pytest.fixture
    def engine(self, tmp_path):
        with closing(SeeingEngine(LocalEngine(1), str(tmp_path))) as engine:
            yield engine


class Blind:
    """An engine whose workers lose sight of a folder once the function is on its way."""

    def __init__(self, inner, folder):
        self.inner, self.folder = inner, folder

    def map(self, function, items, **more):
        hidden = self.folder.rename(self.folder.with_name("elsewhere"))
        try:
            return self.inner.map(function, items, **more)
        finally:
            hidden.rename(self.folder)

    def close(self):
        self.inner.close()


def test_a_worker_that_does_not_see_the_store_does_nothing(tmp_path):
    """It refuses its first item, says which store it misses, and works when it sees it."""
    folder, done = tmp_path / "ws", []
    folder.mkdir()
    inner = LocalEngine(1)
    blind = SeeingEngine(Blind(inner, folder), str(folder))
    with closing(blind):
        with pytest.raises(StoreUnseen, match=r"does not see the store .*ws") as caught:
            blind.map(done.append, [1, 2], label="marks")
        assert "mount" in caught.value.remedy
        assert not caught.value.retryable
        assert done == []
    with closing(SeeingEngine(inner, str(folder))) as seeing:
        seeing.map(done.append, [1, 2], label="marks")
    assert done == [1, 2]


def test_what_was_written_is_taken_away(tmp_path):
    """Nothing is written before the first item, and nothing left after the last; it looks once."""
    engine = SeeingEngine(LocalEngine(1), str(tmp_path))
    assert not list(tmp_path.iterdir())
    ((witness,),) = engine.map(partial(files_below, tmp_path), [0], label="files")
    witness.unlink()
    assert engine.map(square, [2], label="squares") == [4]
    engine.close()
    engine.map(square, [2], label="squares")
    engine.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def files_below(folder, _):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_engine_of_this_machine_pays_nothing(tmp_path):
    """Without an address the engine is the engine itself."""
    with open_engine(Settings(workers=1), store=str(tmp_path)) as engine:
        assert type(engine) is LocalEngine
