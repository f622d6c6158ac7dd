"""Functions on their way to workers: there while anyone uses them, and read once."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from operator import add

import pytest

from tidemill.engines import shipping


@pytest.fixture
def depot(monkeypatch):
    """One of its own, in a process that has kept no function."""
    monkeypatch.setattr(shipping, "_kept", OrderedDict())
    depot = shipping.Depot()
    yield depot
    depot.close()


def test_a_function_stays_while_another_map_uses_it(depot):
    """Whichever map ends first; after the last it is gone."""
    first, second = depot.holding(partial(add, 1)), depot.holding(partial(add, 1))
    shipment = first.__enter__()
    with second as same:
        assert same == shipment
        first.__exit__(None, None, None)
        assert same(2) == 3
    assert not list(depot.folder.iterdir())


def test_two_functions_that_alternate_are_read_once(depot):
    """A worker keeps two: the files are gone, and both work; a third takes the elder's place."""
    one, two, three = (depot.holding(partial(add, number)) for number in (1, 2, 3))
    with one as first, two as second, three as third:
        assert (first(0), second(0)) == (1, 2)
        for shipment in (first, second):
            shipment.path.unlink()
        assert [(first(at), second(at)) for at in range(3)] == [(1, 2), (2, 3), (3, 4)]
        assert (first(0), third(0), first(0)) == (1, 3, 1)
        with pytest.raises(FileNotFoundError):
            second(0)
