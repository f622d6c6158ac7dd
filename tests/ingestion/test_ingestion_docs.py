"""Data Docs in a real browser: values are texts and nothing else, and nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.csv
import pytest
from playwright.sync_api import Page, sync_playwright

from tidemill.drafting import init_workspace
from tidemill.engines import LocalEngine
from tidemill.ingestion import write_data_docs
from tidemill.storage import Workspace
from tidemill.testing.workspaces import run_here

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror='window.hacked=2'>",
    '"><svg onload=window.hacked=3>',
    "$column</span><script>window.hacked=4</script>",
)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs chromium")
def test_no_name_and_no_value_runs_in_data_docs(tmp_path: Path) -> None:
    """Hostile headers and values stand on every page as they are, and no script of theirs runs."""
    root = tmp_path / "ws"
    _ingested(root)
    pages = sorted((root / ".tidemill" / "data_docs").rglob("*.html"))
    assert len(pages) == 3
    asked: list[str] = []
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        for path in pages:
            page = browser.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda line: said.append(line.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(path.as_uri(), wait_until="load")
            _require_no_dead_control(page, path)
            assert page.evaluate("window.hacked") is None, path.name
            tags = "script:not([src]), svg[onload], img[onerror]"
            texts = page.eval_on_selector_all(tags, "all => all.map(each => each.outerHTML)")
            assert not [text for text in texts if "hacked" in text]
            tick = (
                "getComputedStyle(document.querySelector('.fa-check-circle'), '::before').content"
            )
            if "validations" in path.parts:
                assert "\u2713" in page.evaluate(tick)
            if path.name != "index.html":
                assert "window.hacked=1" in page.inner_text("body")
            else:
                links = page.eval_on_selector_all("li a", "all => all.map(each => each.href)")
                others = {other.as_uri() for other in pages if other != path}
                assert others <= set(links), "found without the scripts that draw its tables"
            page.close()
        browser.close()
    assert not [url for url in asked if not url.startswith("file:")]
    assert not said


CONTROLS = "button, input, select, label, summary, [role], [onclick], [data-toggle], a"


def _require_no_dead_control(page: Page, path: Path) -> None:
    """What can be seen and clicked are links, each to a place that is there, without network."""
    seen = page.eval_on_selector_all(
        CONTROLS,
        """all => all.filter(each => each.getClientRects().length && each.tagName !== "TABLE")
            .map(each => [each.tagName, each.href || "", each.innerText.trim()])""",
    )
    assert seen
    for tag, href, text in seen:
        assert tag == "A", (path.name, tag, text)
        place, _, anchor = href.partition("#")
        assert text, (path.name, href)
        assert place.startswith("file:")
        assert Path(unquote(urlsplit(place).path)).is_file(), href
        if anchor:
            assert page.locator(f"[id='{anchor}']").count() == 1, href


def _ingested(root: Path) -> None:
    (root / "data" / "raw").mkdir(parents=True)
    rows = 300
    columns = {name: [(i * 7) % 13 + 0.5 for i in range(rows)] for name in HOSTILE}
    columns["words"] = [HOSTILE[i % 4] for i in range(rows)]
    columns["bought"] = [("no", "yes")[i % 3 == 0] for i in range(rows)]
    pa.csv.write_csv(pa.table(columns), root / "data" / "raw" / "all.csv")
    with LocalEngine(1) as engine:
        init_workspace(
            Workspace.at(root),
            source=str(root / "data" / "raw"),
            target="bought",
            time=None,
            key=None,
            assignments=["dataset.name=docs"],
            engine=engine,
        )
    run_here(root, until="ingest")
    write_data_docs(root / "reports" / "validation.json", root / ".tidemill" / "data_docs")
