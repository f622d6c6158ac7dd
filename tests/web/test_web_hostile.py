"""Pages of others in the owner's own browser: nothing that they send arrives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
hostile = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hostile)

pytestmark = pytest.mark.skipif(not hostile.CHROMIUM.exists(), reason="needs chromium")


@pytest.mark.slow
def test_a_hostile_page_in_the_owners_browser_reaches_nothing(owned, echo, passes, serve):
    """With the session's cookie in the browser: foreign, other port, rebound; forms and sockets."""
    target = f"http://127.0.0.1:{serve(owned)}"
    with hostile.elsewhere() as port, hostile.owners_browser() as context:
        page = context.new_page()
        page.goto(f"{target}/tidemill/open?token={passes.link()}")
        page.wait_for_url(f"{target}/")
        mine = page.evaluate("async () => (await fetch('/x', {method: 'POST', body: '12'})).status")
        assert mine == 200
        echo.reached.clear()

        found = hostile.attack(context, target, [("/api/deployments/", '{"a": 1}')], port)

        assert echo.reached == []
        assert echo.messages == []
        assert {name: len(tries) > 20 for name, tries in found.items()} == dict.fromkeys(
            found, True
        )
        readable = {"refused", "opaque", "true", "403", "421"}
        assert [one for tries in found.values() for one in tries if one[1] not in readable] == []
        # The owner goes on as before.
        assert page.evaluate("async () => (await fetch('/x')).status") == 200
