"""Files by their URLs: what a name means, what names a content, and what a server refuses."""

from __future__ import annotations

import hashlib
import sys

import pytest

from tidemill.errors import DependencyMissing, StorageFailed, UsageError
from tidemill.storage import SourceFiles
from tidemill.storage.remote_clients import file_system
from tidemill.testing.file_servers import http_files

NAMES = ("year=1/a.csv", "year=1/b.txt", "year=2/a.csv", "_x/c.csv", ".h/c.csv", "sub/.d.csv")


@pytest.fixture
def files(tmp_path):
    """The files of a workspace without any."""
    return SourceFiles(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", ["year=1/a.csv", "year=2/a.csv"]),
        ("/", ["year=1/a.csv", "year=2/a.csv"]),
        ("/year=*/*", ["year=1/a.csv", "year=1/b.txt", "year=2/a.csv"]),
        ("/y*/a.csv", ["year=1/a.csv", "year=2/a.csv"]),
        ("/**/c.csv", ["_x/c.csv"]),
        ("/**", ["_x/c.csv", "year=1/a.csv", "year=1/b.txt", "year=2/a.csv"]),
        ("/year=1/?.csv", ["year=1/a.csv"]),
        ("/year=1", ["year=1/a.csv"]),
        ("/year=1/b.txt", ["year=1/b.txt"]),
        ("/nothing", []),
        ("/no*", []),
    ],
)
def test_a_name_means_files_as_on_a_disk(files, s3_files, tmp_path, name, found):
    """Folders in depth, globs by part; in order, with their bytes, and the same as of a folder."""
    for each in NAMES:
        s3_files.put(f"look/{each}", b"123")
        (tmp_path / "look" / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "look" / each).write_bytes(b"123")
    base = f"{s3_files.url}/look"
    here = files.find(f"look{name}", {".csv"})
    assert files.find(f"{base}{name}", {".csv"}) == {f"{base}/{n}": 3 for n in found}
    assert here == {f"look/{n}": 3 for n in found}


def test_a_listing_is_read_by_pages(files, s3_files, monkeypatch):
    """Three of ten keys; nothing is asked of the files themselves."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    for number in range(23):
        s3_files.put(f"many/{number:02d}.csv", b"x")
    s3_files.asked.clear()
    found = files.find(f"{s3_files.url}/many/*7.csv")
    assert [*found] == [f"{s3_files.url}/many/{number}.csv" for number in ("07", "17")]
    assert [(one.method, one.path) for one in s3_files.asked] == [("GET", "/files")] * 3


def test_what_lies_there_is_told(files, s3_files):
    """A key, a prefix of keys, or nothing."""
    url = s3_files.put("kinds/a.csv", b"1")
    s3_files.put("kinds/hidden/_b.csv", b"1")
    base = f"{s3_files.url}/kinds"
    kinds = {url: "file", base: "folder", f"{base}/hidden": "folder", f"{base}/z": "nothing"}
    assert {name: files.kind(name) for name in kinds} == kinds
    with pytest.raises(UsageError, match="names no bucket"):
        files.find("s3://*/a.csv")


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("s3://b/t", "year=1/z=2"),
        ("s3://b/t/year=*/z=*/*.csv", "year=1/z=2"),
        ("s3://b/t/year=1/z=2/a.csv", "year=1/z=2"),
        ("s3://b/t/year=1", "year=1/z=2"),
    ],
)
def test_folders_of_a_file_are_those_behind_the_name(files, name, folders):
    """And those NAME=VALUE right above it."""
    assert files.folders(name, "s3://b/t/year=1/z=2/a.csv") == folders


def test_ranges_of_a_file_are_exact_and_of_one_content(files, s3_files):
    """Each is one request for those bytes alone; a file that is another by then is refused."""
    content = bytes(range(256)) * 4096
    url = s3_files.put("ranges/a.bin", content)
    with files.ranged(url) as file:
        s3_files.asked.clear()
        assert file.size == len(content)
        assert file.read(1000, 500) == content[1000:1500]
        assert file.read(len(content) - 5, 500) == content[-5:]
        assert [(one.method, one.size) for one in s3_files.asked] == [("GET", 500), ("GET", 5)]
        s3_files.put("ranges/a.bin", content[::-1])
        with pytest.raises(StorageFailed, match=r"ranges/a\.bin cannot be read"):
            file.read(0, 10)


def test_a_look_at_the_beginning_fetches_little(files, s3_files):
    """64 KB; who reads on fetches ever more at once, and each byte once."""
    content = bytes(12_000_000)
    url = s3_files.put("begin/a.bin", content)
    s3_files.asked.clear()
    with files.opened(url) as file:
        assert len(file.read(10)) == 10
    assert sum(one.size for one in s3_files.asked) == 1 << 16
    s3_files.asked.clear()
    with files.opened(url, first=1000) as file:
        assert (
            hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(content[1000:]).digest()
        )
    sizes = [one.size for one in s3_files.asked if one.method == "GET"]
    assert sum(sizes) == len(content) - 1000
    assert len(sizes) < 12


def test_the_etag_is_what_the_server_says(files, s3_files, tmp_path):
    """Its tag, else its time, each with the size; else the hash of the bytes, which are read."""
    first, other = (s3_files.put(f"tags/{n}", b"one") for n in "ab")
    assert files.etag(first) == files.etag(other)
    before = files.etag(first)
    s3_files.put("tags/a", b"two")
    assert files.etag(first) != before
    (tmp_path / "a.csv").write_bytes(b"one")
    with http_files(tmp_path) as served:
        url = f"{served.url}/a.csv"
        found = [files.etag(url)]
        served.tags = False
        found.append(files.etag(url))
        served.dates = False
        found += [files.etag(url), files.etag(url, "of the reader")]
        assert [files.etag(url) for _ in range(2)] == found[2:3] * 2
    assert len({*found}) == 4
    assert all(len(tag) == 64 for tag in found[:3])
    assert found[2:] == [hashlib.sha256(b"one").hexdigest(), "of the reader"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_stream_of_http_is_one_request(files, tmp_path, ranges):
    """Of any server; who begins further on reads over what is before."""
    content = bytes(range(256)) * 1000
    (tmp_path / "a.csv").write_bytes(content)
    with http_files(tmp_path, ranges=ranges) as served:
        with files.opened(f"{served.url}/a.csv?version=2", first=300) as file:
            assert file.read() == content[300:]
        assert [one.method for one in served.asked] == ["GET"]
        assert files.named(f"{served.url}/a.csv?version=2") == "a.csv"


def test_no_ranges_and_no_size_are_refused(files, tmp_path):
    """What needs them says what helps."""
    (tmp_path / "a.bin").write_bytes(bytes(100_000))
    with http_files(tmp_path, ranges=False) as served:
        url = f"{served.url}/a.bin"
        with files.ranged(url) as file, pytest.raises(StorageFailed) as caught:
            file.read(50_000, 10)
        assert "fetch the file" in caught.value.remedy
        served.sizes = False
        with pytest.raises(StorageFailed, match="does not say how long it is"):
            files.size(url)
        with pytest.raises(UsageError, match="servers of HTTP list no files"):
            files.find(f"{served.url}/*.bin")


def test_a_refusal_says_what_lets_in_and_repeats_no_signature(files, tmp_path, monkeypatch):
    """A password of ~/.netrc lets in; an address that the server sends us to is not told."""
    (tmp_path / "a.csv").write_bytes(b"one")
    with http_files(tmp_path, user="tide:canary") as served:
        url = f"{served.url}/a.csv"
        monkeypatch.setenv("NETRC", str(tmp_path / "none"))
        with pytest.raises(StorageFailed, match="the server says 401") as caught:
            files.size(url)
        assert "netrc" in caught.value.remedy
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login tide password canary\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert files.size(url) == 3
        served.user, served.sent_to = "", f"{served.url}/gone?X-Amz-Signature=canary"
        for ask in (files.size, files.etag, lambda u: files.find(u) or files.size(u)):
            with pytest.raises(StorageFailed) as caught:
                ask(url)
            shown = f"{caught.value} {caught.value.remedy} {caught.value.__cause__}"
            assert "canary" not in shown
            assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("ftp://tide:canary@127.0.0.1/a.csv?X-Amz-Signature=canary", "none of http"),
        ("http://[canary/a.csv", "no address of http"),
        ("http://tide:canary@127.0.0.1:9/a.csv?sig=canary", "127.0.0.1"),
        ("/a.csv", "too many redirects"),
    ],
)
def test_where_a_server_sends_us_to_is_not_repeated(files, tmp_path, where, said):
    """Not its password nor its signature, whatever address it is; and a loop is told as one."""
    with http_files(tmp_path, sent_to=where) as served:
        for ask in (files.size, files.etag, lambda u: files.find(u, {".csv"}) or files.size(u)):
            with pytest.raises(StorageFailed, match=said) as caught:
                ask(f"{served.url}/a.csv")
            assert "canary" not in f"{caught.value} {caught.value.remedy}"
            assert caught.value.__suppress_context__


def asked(files, ask, url):
    """Ask so for a file, or for its first byte."""
    found = getattr(files, ask)(url)
    if ask in ("opened", "ranged"):
        with found as file:
            file.read(0, 1) if ask == "ranged" else file.read()


@pytest.mark.parametrize("ask", ["size", "etag", "opened", "ranged"])
def test_what_is_not_there_is_told(files, s3_files, ask):
    """By its URL, with a remedy; of HTTP, and where nobody answers, too."""
    for url in (f"{s3_files.url}/none.csv", "http://127.0.0.1:9/a.csv", "s3://no-such-bucket/a"):
        with pytest.raises(StorageFailed, match="cannot be read") as caught:
            asked(files, ask, url)
        assert caught.value.remedy
        assert caught.value.fields["path"] == url


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("gs://b/a.csv", "gcsfs", "gs"), ("abfs://c@a.dfs.core.windows.net/a.csv", "adlfs", "azure")],
)
def test_a_package_that_is_missing_is_named(monkeypatch, url, package, extra):
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyMissing, match=f"needs the package {package}") as caught:
        file_system(url)
    assert caught.value.remedy == f"pip install 'tidemill[{extra}]'"
