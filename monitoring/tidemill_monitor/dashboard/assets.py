"""Files of the dashboard: the content's digest is in the address, so caches may keep them."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

__all__ = ["Asset", "Assets"]

_OPEN = "login/"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file.

    Parameters
    ----------
    name : str
        Its path below the folder, for example ``js/dom.js``.
    address : str
        Where it is served.
    body : bytes
    """

    name: str
    address: str
    body: bytes

    @property
    def integrity(self) -> str:
        """The value of an ``integrity`` attribute (Subresource Integrity, SHA-384)."""
        return f"sha384-{base64.b64encode(hashlib.sha384(self.body).digest()).decode()}"

    @property
    def media_type(self) -> str:
        """The content type; text is UTF-8.

        >>> Asset("js/dom.js", "/static/0/js/dom.js", b"").media_type
        'text/javascript'
        """
        suffix = PurePosixPath(self.name).suffix
        guessed = mimetypes.guess_type(self.name)[0]
        return _TYPES.get(suffix) or guessed or "application/octet-stream"


class Assets:
    """All files below a folder, read once.

    Their addresses are ``/static/DIGEST/NAME``, so that relative imports between modules stay
    within one state of the files; what the sign-in page needs lies below ``/static/login/DIGEST/``
    and is served to everybody. No request's path ever reaches the file system.

    Parameters
    ----------
    folder : Path

    Notes
    -----
    Memory is the size of the folder (about 150 KB).
    """

    def __init__(self, folder: Path) -> None:
        bodies = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.digest = _digest(bodies)
        self._by_name = {
            name: Asset(name, _address(name, self.digest), body) for name, body in bodies.items()
        }
        self._by_address = {asset.address: asset for asset in self._by_name.values()}

    def __getitem__(self, name: str) -> Asset:
        return self._by_name[name]

    def at(self, address: str) -> Asset | None:
        """The file that is served at ``address``, or None."""
        return self._by_address.get(address)

    @cached_property
    def sheets(self) -> tuple[Asset, ...]:
        """The style sheets of every page but the sign-in page, in order."""
        return self.named("login/tokens.css", *self._names("css/", ".css"))

    @cached_property
    def modules(self) -> tuple[Asset, ...]:
        """The JavaScript modules that pages share: preloaded with their integrity."""
        return self.named(*(n for n in self._names("js/", ".js") if not n.startswith("js/pages/")))

    def named(self, *names: str) -> tuple[Asset, ...]:
        """The files of these names, in this order; ``KeyError`` for one that is not there."""
        return tuple(self._by_name[name] for name in names)

    def _names(self, folder: str, suffix: str) -> Iterable[str]:
        return (n for n in self._by_name if n.startswith(folder) and n.endswith(suffix))


def _address(name: str, digest: str) -> str:
    if name.startswith(_OPEN):
        return f"/static/login/{digest}/{name.removeprefix(_OPEN)}"
    return f"/static/{digest}/{name}"


def _digest(bodies: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, body in bodies.items():
        whole.update(f"{name}\0{len(body)}\0".encode())
        whole.update(body)
    return whole.hexdigest()[:16]
