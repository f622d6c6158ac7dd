"""Data Docs that need no network: nothing is fetched, and a small style of our own reads well."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import quote

from tidemill.storage import files_below, read_file, write_bytes

__all__ = ["made_offline", "read_offline"]

# What Great Expectations' templates fetch: styles, pictures, scripts. Those on the page itself call
# what was fetched, and the icon is found from the index alone.
_FETCHED = re.compile(
    r"""<link\b[^>]*\bhref=["']?(?:https?:)?//[^>]*>"""
    r"""|<link\b[^>]*\brel=["']?shortcut icon[^>]*>"""
    r"""|<script\b.*?</script\s*>"""
    r"""|<img\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>""",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(r"<[a-z][^>]*>", re.IGNORECASE)
_HANDLER = re.compile(r"""\son\w+=("[^"]*"|'[^']*')""", re.IGNORECASE)
_ABROAD = re.compile(
    r"""<a\b[^>]*\bhref=["']?(?:https?:)?//[^>]*>(.*?)</a\s*>""", re.IGNORECASE | re.DOTALL
)
_BACKGROUND = re.compile(r"""url\(\s*["']?(?:https?:)?//[^)]*\)""", re.IGNORECASE)
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #fff; margin: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; max-width: 100%; }
td, th { border: 1px solid #c6ccd6; padding: .3rem .6rem; text-align: left; vertical-align: top; }
td, th, pre { overflow-wrap: anywhere; }
h1, h2, h3, h4, h5, h6, .h6 { font-size: 1.1rem; font-weight: 600; margin: .6rem 0; }
ul { padding-left: 1.2rem; }
.alert, .card-header, .ge-section { border: 1px solid #dde1e8; padding: .4rem .8rem; }
.alert, .card-header, .ge-section { margin: .4rem 0; }
.badge { border: 1px solid #c6ccd6; border-radius: .3rem; padding: 0 .3rem; }
.fa-check-circle::before { content: "\\2713"; color: #1a7f37; font-style: normal; }
.fa-times::before { content: "\\2717"; color: #b42318; font-style: normal; }
.fa-exclamation-triangle::before { content: "!"; color: #9a6700; font-style: normal; }
.modal, footer, .navbar-brand, .nav-tabs, .tab-content { display: none; }
button, input, select, .btn-group-toggle, [data-toggle="collapse"] { display: none; }
.card:has(.btn-group-toggle) { display: none; }
</style>
"""


def made_offline(page: str) -> str:
    """The page without what it would fetch or could not do then, with a style in its place.

    Tabs, filters and buttons need the scripts; nothing is shown of them.

    >>> "https" in made_offline('<head><link rel="stylesheet" href="https://a.b/c.css"></head>')
    False
    """
    kept = _BACKGROUND.sub("none", _ABROAD.sub(r"\1", _FETCHED.sub("", page)))
    kept = _TAG.sub(lambda tag: _HANDLER.sub("", tag[0]), kept)
    return kept.replace("</head>", f"{_STYLE}</head>", 1)


def read_offline(docs: Path) -> None:
    """Let every page in the folder be read without network, and found from its index."""
    for path in files_below(docs, ".html"):
        text = read_file(path).decode()
        if _STYLE not in text:
            page = made_offline(text)
            if path == docs / "index.html":
                head, body, rest = page.partition("<body>")
                page = f"{head}{body}{_links(docs)}{rest}"
            write_bytes(path, page.encode())


def _links(docs: Path) -> str:
    """All other pages, the newest validation first: the index's own tables need scripts."""
    found = [page for kind in ("validations", "expectations") for page in _pages(docs / kind)]
    names = [page.relative_to(docs).as_posix() for page in found]
    items = (f'<li><a href="{quote(name)}">{html.escape(name)}</a></li>' for name in names)
    return f"<h2>Pages</h2><ul>{''.join(items)}</ul>"


def _pages(folder: Path) -> list[Path]:
    return files_below(folder, ".html")[::-1]
