"""Servers of files for tests, which count what is asked of them: HTTP, and S3 by moto."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

__all__ = ["FileRequest", "HttpFiles", "S3Files", "http_files", "s3_files"]

BUCKET = "files"


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What was asked once, and how much was answered.

    Parameters
    ----------
    method : str
    path : str
        Without a query.
    size : int
        Bytes of the answer's body.
    """

    method: str
    path: str
    size: int


@dataclass
class HttpFiles:
    """A folder whose files HTTP serves; what it is like may be changed while it runs.

    Parameters
    ----------
    folder : Path
    url : str
        Of the folder, without a slash at its end.
    ranges, tags, dates, sizes : bool
        Whether it gives ranges of bytes, ETags, Last-Modified and Content-Length.
    user : str
        ``NAME:PASSWORD`` that it demands; empty: nothing.
    sent_to : str
        Where each request is redirected to; empty: nowhere.
    asked : list of FileRequest
    """

    folder: Path
    url: str = ""
    ranges: bool = True
    tags: bool = True
    dates: bool = True
    sizes: bool = True
    user: str = ""
    sent_to: str = ""
    asked: list[FileRequest] = field(default_factory=list)


class _Handler(SimpleHTTPRequestHandler):
    server_files: HttpFiles
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's word
        """No word on the screen."""

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, *, body: bool) -> None:
        import base64

        files = self.server_files
        path = Path(self.translate_path(self.path))
        code, headers, content = 200, dict[str, str](), b""
        pair = base64.b64encode(files.user.encode()).decode()
        if files.user and self.headers.get("Authorization") != f"Basic {pair}":
            code = 401
        elif files.sent_to:
            code, headers["Location"] = 302, files.sent_to
        elif not path.is_file():
            code = 404
        else:
            content = path.read_bytes()
            if files.tags:
                headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            if files.dates:
                headers["Last-Modified"] = self.date_time_string(int(path.stat().st_mtime))
            if files.ranges:
                code, headers, content = _ranged(self.headers.get("Range"), headers, content)
        self._send(code, headers, content if body else b"", len(content))

    def _send(self, code: int, headers: Mapping[str, str], content: bytes, size: int) -> None:
        files = self.server_files
        files.asked.append(FileRequest(self.command, self.path.partition("?")[0], len(content)))
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if files.sizes or code != 200:
            self.send_header("Content-Length", str(size))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:  # who asked has seen enough
            self.close_connection = True


def _ranged(
    asked: str | None, headers: dict[str, str], content: bytes
) -> tuple[int, dict[str, str], bytes]:
    headers = headers | {"Accept-Ranges": "bytes"}
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "")
    if found is None:
        return 200, headers, content
    first, last = int(found[1]), min(int(found[2]), len(content) - 1)
    if first >= len(content):
        return 416, headers, b""
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return 206, headers, content[first : last + 1]


@contextmanager
def http_files(folder: Path, **settings: Any) -> Iterator[HttpFiles]:
    """Serve a folder as long as the block lasts."""
    files = HttpFiles(folder, **settings)

    class Handler(_Handler):
        server_files = files

        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    files.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()


class S3Files:
    """A server of S3 with one bucket.

    Parameters
    ----------
    endpoint : str
    asked : list of FileRequest
        What was asked for; forgotten by ``asked.clear()``.
    """

    def __init__(self, endpoint: str, asked: list[FileRequest]) -> None:
        self.endpoint, self.asked = endpoint, asked
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "tide",
            "AWS_SECRET_ACCESS_KEY": "canary-4c1f77",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.url = f"s3://{BUCKET}"

    def client(self) -> Any:
        """A client of boto3's."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="tide",
            aws_secret_access_key="canary-4c1f77",  # noqa: S106 - of this server alone
            region_name="us-east-1",
        )

    def put(self, key: str, content: bytes) -> str:
        """Store an object; returns its URL."""
        self.client().put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"{self.url}/{key}"

    def put_folder(self, prefix: str, folder: Path) -> str:
        """Store all files below a folder, and nothing else, below a prefix; returns its URL."""
        client = self.client()
        known = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", ())
        for one in known:
            client.delete_object(Bucket=BUCKET, Key=one["Key"])
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        return f"{self.url}/{prefix}"


@cache
def _s3_server() -> S3Files:
    """The one of this process, as clients are kept by their settings, and the endpoint is none."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    app, asked = DomainDispatcherApplication(create_backend_app), list[FileRequest]()

    class Silent(WSGIRequestHandler):
        def log(self, *args: Any) -> None:
            """No word on the screen."""

    def counted(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        content = b"".join(app(environ, start))
        asked.append(FileRequest(environ["REQUEST_METHOD"], environ["PATH_INFO"], len(content)))
        return [content]

    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    files = S3Files(f"http://127.0.0.1:{server.server_port}", asked)
    files.client().create_bucket(Bucket=BUCKET)
    return files


@pytest.fixture
def s3_files(monkeypatch: pytest.MonkeyPatch) -> S3Files:
    """A server of S3, which the environment names; what other tests stored is still there."""
    files = _s3_server()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in files.environment.items():
        monkeypatch.setenv(name, value)
    files.asked.clear()
    return files
