"""What holds for all tests."""

import gc

import pytest
from hypothesis import settings

# How long an example takes is the machine's matter: nothing is asserted of it.
settings.register_profile("all", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    """`make test` tries a quarter of the examples where a law names no number of its own."""
    settings.load_profile("fast" if config.option.markexpr == "not slow" else "all")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Thousands of tests and modules are made to stay: none is looked through for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
