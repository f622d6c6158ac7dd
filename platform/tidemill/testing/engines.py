# ruff: noqa: S101 - these are tests
"""What every engine must do: inherit :class:`EngineContract` and supply the fixture ``engine``."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

from tidemill.contracts import Engine
from tidemill.errors import TidemillError, TooFewRows

__all__ = ["EngineContract"]


def square(number: int) -> int:
    """Square; larger numbers come back sooner."""
    time.sleep(0.02 / (1 + number))
    return number * number


def refuse(bad: frozenset[int], number: int) -> int:
    """Raise an error of ours, with fields, for the numbers in ``bad``."""
    if number in bad:
        raise TooFewRows(f"refused {number}", remedy="send another", number=number)
    return number


def fail(number: int) -> int:
    """Raise an error that is not ours."""
    raise ZeroDivisionError(f"number {number}")


class EngineContract:
    """The contract of ``tidemill.contracts.Engine``.

    A subclass named ``Test...`` supplies a fixture ``engine``::

        class TestMyEngine(EngineContract):
            @pytest.fixture
            def engine(self):
                with MyEngine() as engine:
                    yield engine
    """

    def test_it_is_an_engine(self, engine: Engine) -> None:
        """It has the methods of the protocol."""
        assert isinstance(engine, Engine)

    def test_results_keep_the_order_of_items(self, engine: Engine) -> None:
        """Results come in the order of items, whichever is finished first."""
        assert engine.map(square, list(range(12)), label="squares") == [n * n for n in range(12)]

    def test_no_items_no_results(self, engine: Engine) -> None:
        """An empty map is an empty list."""
        assert engine.map(square, [], label="nothing") == []

    def test_any_sequence_will_do(self, engine: Engine) -> None:
        """Items may be a tuple, as in manifests; the function may be a partial."""
        found = engine.map(partial(refuse, frozenset()), (3, 1, 2), label="tuple")
        assert found == [3, 1, 2]

    @pytest.mark.parametrize("count", [1, 5])
    def test_progress_counts_every_item_once(self, engine: Engine, count: int) -> None:
        """Progress is called once an item, rising by one to the total."""
        steps: list[tuple[int, int]] = []

        def progress(finished: int, total: int, /) -> None:
            steps.append((finished, total))

        engine.map(square, list(range(count)), label="squares", progress=progress)
        assert steps == [(number, count) for number in range(1, count + 1)]

    @pytest.mark.parametrize("items", [[4], [0, 1, 2, 4, 5]])
    def test_an_error_keeps_type_remedy_and_fields(self, engine: Engine, items: list[int]) -> None:
        """An error of ours arrives whole, from whatever process it comes."""
        with pytest.raises(TooFewRows) as caught:
            engine.map(partial(refuse, frozenset({4})), items, label="refusals")
        assert caught.value.message == "refused 4"
        assert caught.value.remedy == "send another"
        assert caught.value.fields == {"number": 4}

    def test_a_foreign_error_keeps_its_type(self, engine: Engine) -> None:
        """An error that is not ours arrives as what it is."""
        with pytest.raises(ZeroDivisionError, match="number"):
            engine.map(fail, [1, 2], label="failures")

    def test_an_error_stops_the_map(self, engine: Engine) -> None:
        """After an error no new items are begun, beyond the few already handed out."""
        begun = self._begun(engine, 200)
        assert begun < 100

    def test_a_map_after_an_error_works(self, engine: Engine) -> None:
        """A failed map leaves the engine usable."""
        with pytest.raises(TidemillError):
            engine.map(partial(refuse, frozenset({0})), [0, 1], label="refusals")
        assert engine.map(square, [2, 3], label="squares") == [4, 9]

    def _begun(self, engine: Engine, count: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            with pytest.raises(TooFewRows):
                engine.map(partial(_leave_a_mark, Path(folder)), list(range(count)), label="marks")
            # Whatever is still queued would come before these.
            engine.map(square, [1, 2, 3], label="squares")
            return len(list(Path(folder).iterdir()))


def _leave_a_mark(folder: Path, number: int) -> int:
    (folder / str(number)).touch()
    time.sleep(0.01)
    return refuse(frozenset({3}), number)
