"""What holds for all tests."""

import gc

import pytest
from hypothesis import settings

# How long an example takes is the machine's matter: nothing is asserted of it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Thousands of tests and modules are made to stay: none is looked through for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
