"""What holds for all tests and for the examples in docstrings."""

import gc
import importlib
from pathlib import Path

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

# How long an example takes is the machine's matter: nothing is asserted of it.
settings.register_profile("all", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=25)

#: Folders whose files share a server: a start of Prefect's is ten seconds of one core.
SERVED = ("tests/orchestration/",)


#: Looking through all that MLflow, DVC and Prefect have imported is half a second of one core.
GARBAGE = (10_000, 10, 100)


class ByServer(LoadFileScheduling):
    """A file of tests stays in one process, and so do all files that share a server."""

    def _split_scope(self, nodeid: str) -> str:
        return next(filter(nodeid.startswith, SERVED), super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Scheduling for ``--dist loadfile``; any other is xdist's own."""
    return ByServer(config, log) if config.option.dist == "loadfile" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-all` leaves nothing out that its promises name."""
    parser.addoption(
        "--demand",
        action="append",
        default=[],
        metavar="TEXT",
        help="a test that is skipped for a reason that holds TEXT has failed",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """A skip for a reason that ``--demand`` names is a failure."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        place, line, reason = report.longrepr
        if any(text in reason for text in item.config.option.demand):
            report.outcome, report.longrepr = "failed", f"{place}:{line}: {reason}"
    return report


def pytest_configure(config: pytest.Config) -> None:
    """`make test` tries a quarter of the examples where a law names no number of its own."""
    settings.load_profile("fast" if config.option.markexpr == "not slow" else "all")
    if hasattr(config, "workerinput"):
        # It looks through every module that is there: thrice as long where all others are.
        importlib.import_module("skops.io")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Thousands of tests and modules are made to stay: none is looked through for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):
    """What a file of tests has imported stays: it is looked through once, at the file's end."""
    try:
        return (yield)
    finally:
        if nextitem is not None and nextitem.path != item.path:
            gc.collect()
            gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path):
    """A module without an example is neither imported for one nor looked through."""
    collectors = yield
    if b">>>" in file_path.read_bytes():
        return collectors
    return [found for found in collectors if not isinstance(found, DoctestModule)]
