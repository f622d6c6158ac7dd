"""Fits of a search share the binned rows: made once, and nothing else is different."""

from __future__ import annotations

import pickle
import re
import weakref

import pytest

from tidemill.config import TrainingConfig
from tidemill.contracts import Shelf
from tidemill.learning import fit
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}
TRIED = (
    {},
    {"min_data_in_leaf": 120, "num_leaves": 9, "feature_fraction": 0.6},
    {"min_data_in_leaf": 5, "learning_rate": 0.3, "lambda_l2": 4.0},
    {},
)
"""Leaves with more rows first: LightGBM refuses fewer where bins were left out for those."""


class Thing:
    """Something that can be watched."""


def data(task):
    """Rows to learn and to stop by."""
    return [ArrayBlocks(*learning_data(task, rows, seed=4), block_rows=200) for rows in (900, 400)]


def fitted(train, validation, task, params, **given):
    config = TrainingConfig(params={"num_iterations": 30, "num_threads": 1})
    return fit(config, params, train, validation, task=task, classes=CLASSES[task], seed=5, **given)


def trees(found):
    """The model's text without the setting that says that no column was left out."""
    return re.sub(r"\[feature_pre_filter: [01]\]", "", found.estimator.model)


@pytest.mark.parametrize("task", list(Task), ids=str)
def test_fits_that_share_are_those_that_do_not(task):
    """The same curves and trees; each block is read once for all."""
    shelf, shared = Shelf(), data(task)
    for params in TRIED:
        one = fitted(*shared, task, params, shelf=shelf)
        own = fitted(*data(task), task, params)
        assert one.curve == own.curve
        assert trees(one) == trees(own)
    passes = [len(blocks.reads) / len(blocks.rows) for blocks in shared]
    alone = data(task)
    fitted(*alone, task, {})
    assert passes == [len(blocks.reads) / len(blocks.rows) for blocks in alone]


def test_weights_are_kept_apart():
    """Balanced rows are others, although they have the same bins."""
    shelf, shared = Shelf(), data(Task.BINARY)
    for weight in ("none", "balanced", "none"):
        config = TrainingConfig(params={"num_iterations": 10}, class_weight=weight)
        given = {"task": Task.BINARY, "classes": ("no", "yes"), "seed": 5}
        one = fit(config, {}, *shared, **given, shelf=shelf)
        assert one.curve == fit(config, {}, *data(Task.BINARY), **given).curve


def test_other_bins_and_other_rows_are_made_anew():
    """max_bin is a parameter that may be tried; rows are those of a rung."""
    shelf, shared = Shelf(), data(Task.BINARY)
    for params in ({"max_bin": 16}, {"max_bin": 63}, {"max_bin": 16}):
        one = fitted(*shared, Task.BINARY, params, shelf=shelf)
        assert trees(one) == trees(fitted(*data(Task.BINARY), Task.BINARY, params))
    fewer = ArrayBlocks(*learning_data(Task.BINARY, 300, seed=4))
    one = fitted(fewer, shared[1], Task.BINARY, {"max_bin": 16}, shelf=shelf)
    assert trees(one) == trees(fitted(fewer, shared[1], Task.BINARY, {"max_bin": 16}))


def test_a_fit_that_is_given_up_leaves_them_whole():
    """What ends a trial early says nothing about the rows."""

    def enough(step, value):
        raise KeyboardInterrupt

    shelf, shared = Shelf(), data(Task.BINARY)
    with pytest.raises(KeyboardInterrupt):
        fitted(*shared, Task.BINARY, {}, shelf=shelf, report=enough)
    reads = len(shared[0].reads)
    one = fitted(*shared, Task.BINARY, {"num_leaves": 6}, shelf=shelf)
    assert len(shared[0].reads) == reads
    assert trees(one) == trees(fitted(*data(Task.BINARY), Task.BINARY, {"num_leaves": 6}))


def test_one_borrows_at_a_time():
    """Who comes meanwhile makes his own; one of them stays."""
    shelf, made = Shelf(), []

    def make():
        made.append(Thing())
        return made[-1]

    with shelf.borrowed("rows", make) as one, shelf.borrowed("rows", make) as other:
        assert one is not other
    with shelf.borrowed("rows", make) as again:
        assert again in made
    assert len(made) == 2


def test_what_was_made_for_others_is_let_go_before():
    """There is never room taken for two rungs' rows."""
    shelf, gone = Shelf(), []

    def first():
        thing = Thing()
        weakref.finalize(thing, gone.append, True)
        return thing

    with shelf.borrowed("few", first):
        pass
    assert not gone
    with shelf.borrowed("many", lambda: list(gone)) as seen:
        assert seen == [True]


def test_it_travels_empty():
    """A worker makes what it needs."""
    shelf = Shelf()
    with shelf.borrowed("rows", lambda: lambda: None):
        pass
    with pickle.loads(pickle.dumps(shelf)).borrowed("rows", lambda: "mine") as own:
        assert own == "mine"
