"""Workers that may be elsewhere look at their versions and the store, and tell what they cost."""

from __future__ import annotations

import pickle
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tidemill.cli.running import show_summary
from tidemill.contracts import Metered
from tidemill.engines import LocalEngine, open_engine
from tidemill.engines.elsewhere import ElsewhereEngine
from tidemill.engines.same_versions import versions_here
from tidemill.errors import StoreUnseen, UsageError
from tidemill.pipeline import Quiet, RunSummary
from tidemill.pipeline.advancing import measured
from tidemill.pipeline.stage import Stage
from tidemill.screen import Screen
from tidemill.settings import Settings
from tidemill.stages import StageContext, StageResult
from tidemill.storage import Workspace
from tidemill.testing.engine_items import square
from tidemill.testing.engines import EngineContract


class TestElsewhereEngine(EngineContract):
    """It keeps the contract over an engine that does."""

    @pytest.fixture
    def engine(self, tmp_path):
        with closing(ElsewhereEngine(LocalEngine(1), str(tmp_path))) as engine:
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
    blind = ElsewhereEngine(Blind(inner, folder), str(folder))
    with closing(blind):
        with pytest.raises(StoreUnseen, match=r"does not see the store .*ws") as caught:
            blind.map(done.append, [1, 2], label="marks")
        assert "mount" in caught.value.remedy
        assert not caught.value.retryable
        assert done == []
    with closing(ElsewhereEngine(inner, str(folder))) as seeing:
        seeing.map(done.append, [1, 2], label="marks")
    assert done == [1, 2]


def test_what_was_written_is_taken_away(tmp_path):
    """Nothing is written before the first item, and nothing left after the last; it looks once."""
    engine = ElsewhereEngine(LocalEngine(1), str(tmp_path))
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


class Packing:
    """An engine that sends its functions as bytes."""

    def map(self, function, items, **more):
        arrived = pickle.loads(pickle.dumps(function))
        return [arrived(item) for item in items]


class Unpackable:
    """A function that a worker of these versions would fail to unpack."""

    def __reduce__(self):
        return divmod, (1, 0)


@pytest.mark.parametrize(
    ("name", "needed", "remedy"),
    [
        ("tidemill", "0.0.9", "install there tidemill 0.0.9"),
        ("python", "3.10", "start workers with the Python and packages of the caller"),
        ("numpy", "1.26.4", "numpy 1.26.4"),
        ("lightgbm", "none", "lightgbm none"),
    ],
)
def test_a_worker_of_other_versions_unpacks_nothing(name, needed, remedy):
    """It says what it has and what it should have, before a function could fail to arrive."""
    here = versions_here()
    engine = ElsewhereEngine(Packing(), None, versions={**here, name: needed})
    told = rf"a worker \(.+\) has {name} {here[name]}, and its caller has {name} {needed}$"
    with pytest.raises(UsageError, match=told) as caught:
        engine.map(Unpackable(), [1], label="nothing")
    assert remedy in caught.value.remedy
    assert caught.value.fields["needed"] == {name: needed}
    with pytest.raises(ZeroDivisionError):
        ElsewhereEngine(Packing(), None).map(Unpackable(), [1], label="nothing")
    assert ElsewhereEngine(Packing(), None).map(square, [3], label="squares") == [9]


def missing(name: str) -> int:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def busy(megabytes: int) -> int:
    """Hold so many, and compute for a while."""
    held = b"x" * (megabytes << 20)
    ends = time.process_time() + 0.02
    while time.process_time() < ends:
        pass
    return len(held) >> 20


def mapped(engine, items):
    return engine.map(busy, items, label="busy")


def folded(engine, items):
    return engine.fold(partial(listed, busy), items, lambda a, b: a + b, label="busy")


def streamed(engine, items):
    return [result for _, result in engine.stream(busy, items, label="busy")]


def listed(function, item):
    return [function(item)]


def refused(item: int) -> int:
    if item:
        raise UsageError(f"no {item}", remedy="give 0", item=item)
    return busy(item)


@pytest.mark.parametrize(
    "work",
    [
        lambda engine, item: engine.map(missing, [item], label="missing"),
        lambda engine, item: engine.fold(missing, [item], max, label="missing"),
        lambda engine, item: list(engine.stream(missing, [item], label="missing")),
    ],
    ids=["map", "fold", "stream"],
)
def test_a_module_that_only_the_caller_has_is_told_as_the_workers(metered, work):
    """The worker has older packages, or fewer; what is missing here too is no matter of it."""
    with pytest.raises(UsageError, match=r"a worker has no module tidemill\.engines") as caught:
        work(metered, "tidemill.engines")
    assert "start workers with the Python and packages of the caller" in caught.value.remedy
    for name in ("tidemill_of_nobody", "nobody.has.it", None):
        with pytest.raises(ModuleNotFoundError, match="No module named"):
            work(metered, name)


@pytest.fixture
def metered():
    with closing(ElsewhereEngine(LocalEngine(1), None)) as engine:
        yield engine


@pytest.mark.parametrize("work", [mapped, folded, streamed])
@pytest.mark.parametrize("items", [[200], [1, 200, 2]])
def test_workers_tell_what_their_results_cost(metered, work, items):
    """CPU seconds are added, the largest peak is kept; asked again, it begins anew."""
    assert metered.take_costs() is None
    assert work(metered, items) == items
    costs = metered.take_costs()
    assert costs.cpu_seconds >= 0.02 * len(items)
    assert costs.peak_memory_bytes > 200 << 20
    assert metered.take_costs() is None
    work(metered, [1])
    # A worker outlives its stages; the peak of one is not that of those before it.
    assert metered.take_costs().peak_memory_bytes < costs.peak_memory_bytes - (100 << 20)


def test_an_error_is_raised_as_it_is_and_costs_nothing(metered):
    """What failed is told with its fields; what was done before it counts."""
    with pytest.raises(UsageError, match="no 1") as caught:
        list(metered.stream(refused, [0, 1], label="refused"))
    assert (caught.value.remedy, caught.value.fields["item"]) == ("give 0", 1)
    assert metered.take_costs().cpu_seconds >= 0.02


@pytest.mark.parametrize("address", ["", "://here"])
def test_the_summary_tells_workers_at_an_address_apart(monkeypatch, tmp_path, capsys, address):
    """Their figures stand beside those of this machine; without an address there are none."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "outside"))
    settings = Settings(engine=f"threads{address}", workers=2)
    with open_engine(settings, store=str(tmp_path)) as engine:
        context = StageContext(Workspace.at(tmp_path), settings, engine, None)
        ran = [measured(WORK, context, items, Quiet()) for items in ([1, 2, 3], [], [4])]
        assert isinstance(engine, Metered) == bool(address)
    summary = RunSummary(tuple(ran), 1.0)
    figures = {"worker_cpu_seconds", "worker_peak_memory_mb"}
    told = [figures & set(stage) for stage in summary.to_json()["stages"]]
    assert told == ([figures, set(), figures] if address else [set()] * 3)
    show_summary(Screen(), summary)
    assert ("worker" in capsys.readouterr().out) == bool(address)


def _worked(context, items):
    context.engine.map(busy, items, label="busy")
    return StageResult("work")


WORK = Stage("work", _worked, deps=(), outs=())
