"""Public data sets: downloaded once, and ever after what they were."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import shutil
import socket
import subprocess
import threading

import numpy as np
import pytest

from annx import datasets
from annx.errors import FormatError, ParameterError


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server of files on this machine, what it was asked for, and sets that name it."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = (folder / self.path[1:]).read_bytes()
            wanted = self.headers.get("Range")
            asked.append((self.path, wanted))
            start, status = 0, 200
            if wanted:
                start, _, end = wanted.removeprefix("bytes=").partition("-")
                body = body[int(start) : int(end) + 1 if end else None]
                status = 206
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        files = {name: url + name for name in ("base.fbin", "query.fbin", "gt.ibin")}
        known = datasets.PublicSet("toy", 5, 2, "float32", "ip", files, {})
        monkeypatch.setitem(datasets.PUBLIC, "toy", known)
        monkeypatch.setenv("ANNX_DATA", str(tmp_path / "cache"))
        yield folder, asked, known
        server.shutdown()
        thread.join()


@pytest.fixture
def toy(served):
    folder, _, _ = served
    base = np.arange(14, dtype=np.float32).reshape(7, 2)
    datasets.write(folder / "base.fbin", base)
    datasets.write(folder / "query.fbin", base[:3])
    datasets.write(folder / "gt.ibin", np.zeros((3, 2), np.int32))
    return base


def test_fetch_downloads_once_and_only_what_it_needs(served, toy, tmp_path):
    _, asked, _ = served
    told = []
    data = datasets.fetch("toy", progress=lambda *words: told.append(words))
    np.testing.assert_array_equal(data.base, toy[:5])
    assert data.metric == "ip" and data.name == "toy" and data.neighbors.shape == (3, 2)
    assert ("/base.fbin", "bytes=0-47") in asked and len(asked) == 3
    assert ("downloading base.fbin", 48, 48) in told
    datasets.fetch("toy")
    assert len(asked) == 3
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_fetch_goes_on(served, toy, tmp_path):
    folder, asked, _ = served
    place = tmp_path / "cache" / "toy"
    place.mkdir(parents=True)
    (place / "base.fbin.part").write_bytes((folder / "base.fbin").read_bytes()[:20])
    np.testing.assert_array_equal(datasets.fetch("toy").base, toy[:5])
    assert ("/base.fbin", "bytes=20-47") in asked


def test_fetch_refuses_a_wrong_checksum(served, toy, tmp_path, monkeypatch):
    _, _, known = served
    wrong = dataclasses.replace(known, sha256={"query.fbin": "0" * 64})
    monkeypatch.setitem(datasets.PUBLIC, "toy", wrong)
    with pytest.raises(FormatError, match="expected SHA-256 0000"):
        datasets.fetch("toy")
    assert not list((tmp_path / "cache").rglob("query*"))


@pytest.fixture
def place(tmp_path):
    return tmp_path / "cache" / "toy"


def fetched(place):
    datasets.fetch("toy")
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_fetch_records_what_it_downloaded(served, toy, place):
    files = fetched(place)
    sums = files.pop("SHA256SUMS").decode().splitlines()
    for name, content in files.items():
        assert f"{hashlib.sha256(content).hexdigest()}  {name}" in sums
        assert f"# {len(content)} bytes: {name}" in sums
    assert len(files) == 3 and len(sums) == 6
    datasets.fetch("toy")
    assert (place / "SHA256SUMS").read_text().splitlines() == sums


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_sha256sum_reads_the_record(served, toy, place):
    fetched(place)
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(command, cwd=place, check=False).returncode == 0
    (place / "query.fbin").write_bytes(b"other")
    assert subprocess.run(command, cwd=place, check=False).returncode == 1


@pytest.mark.parametrize("name", ["base.fbin", "query.fbin", "gt.ibin"])
def test_fetch_refuses_a_file_that_has_changed(served, toy, place, name):
    _, asked, _ = served
    content = fetched(place)[name]
    was = hashlib.sha256(content).hexdigest()
    # The last byte is one of a number: read as vectors, nobody could tell.
    other = content[:-1] + bytes([content[-1] ^ 1])
    (place / name).write_bytes(other)
    now = hashlib.sha256(other).hexdigest()
    with pytest.raises(FormatError) as caught:
        datasets.fetch("toy")
    said = f"{place / name}: expected SHA-256 {was}, got {now}: remove it, and it is downloaded"
    assert str(caught.value).startswith(said)
    assert (place / name).read_bytes() == other, "it is the user's to remove"
    (place / name).unlink()
    datasets.fetch("toy")
    assert (place / name).read_bytes() == content
    assert len(asked) == 4


def test_fetch_refuses_a_file_of_another_length(served, toy, place):
    content = fetched(place)["gt.ibin"]
    (place / "gt.ibin").write_bytes(content + b"more")
    said = rf"gt.ibin: expected {len(content)} bytes, got {len(content) + 4}: remove it"
    with pytest.raises(FormatError, match=said):
        datasets.fetch("toy")


def test_fetch_refuses_what_the_publisher_has_changed(served, toy, place):
    folder, _, _ = served
    fetched(place)
    (place / "query.fbin").unlink()
    datasets.write(folder / "query.fbin", toy[1:4])
    with pytest.raises(FormatError, match=r"not what it was .* remove the line of query.fbin"):
        datasets.fetch("toy")
    assert not list(place.glob("query*"))
    sums = (place / "SHA256SUMS").read_text().splitlines(keepends=True)
    (place / "SHA256SUMS").write_text("".join(line for line in sums if "query" not in line))
    np.testing.assert_array_equal(datasets.fetch("toy").queries, toy[1:4])


def test_a_published_checksum_goes_before_the_record(served, toy, place, monkeypatch):
    _, _, known = served
    fetched(place)
    other = b"\0" * len((place / "query.fbin").read_bytes())
    published = hashlib.sha256(other).hexdigest()
    told = dataclasses.replace(known, sha256={"query.fbin": published})
    monkeypatch.setitem(datasets.PUBLIC, "toy", told)
    with pytest.raises(FormatError, match=f"query.fbin: expected SHA-256 {published}") as caught:
        datasets.fetch("toy")
    assert "SHA256SUMS" not in str(caught.value), "no way round what is published"


def test_files_that_somebody_put_there_are_trusted_once_read(served, toy, place):
    folder, asked, _ = served
    shutil.copytree(folder, place)
    (place / "gt.ibin").write_bytes(b"no such file")
    with pytest.raises(FormatError):
        datasets.fetch("toy")
    assert not (place / "SHA256SUMS").exists()
    shutil.copy(folder / "gt.ibin", place)
    np.testing.assert_array_equal(datasets.fetch("toy").base, toy)
    assert not asked
    (place / "base.fbin").write_bytes((place / "base.fbin").read_bytes()[:-1] + b"x")
    with pytest.raises(FormatError, match="base.fbin: expected SHA-256"):
        datasets.fetch("toy")


def test_a_record_that_is_none(served, toy, place):
    fetched(place)
    (place / "SHA256SUMS").write_text("# a comment\n\nbase.fbin is fine\n")
    with pytest.raises(FormatError, match="SHA256SUMS: line 3: expected .* 'base.fbin is fine'"):
        datasets.fetch("toy")


def test_fetch_says_what_to_do_offline(served, toy, tmp_path, monkeypatch):
    _, _, known = served
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/base.fbin"
    gone = dataclasses.replace(known, files={"base.fbin": url})
    monkeypatch.setitem(datasets.PUBLIC, "toy", gone)
    with pytest.raises(ConnectionError) as caught:
        datasets.fetch("toy")
    place = tmp_path / "cache" / "toy" / "base.fbin"
    assert f"download {url} and put it at {place}" in str(caught.value)
    with pytest.raises(ParameterError, match="sift-128-euclidean"):
        datasets.fetch("nothing")


def test_public_sets_are_consistent():
    for name, known in datasets.PUBLIC.items():
        assert known.name == name and known.metric in ("l2", "ip", "cosine", "hamming")
        assert known.files and all(url.startswith("http") for url in known.files.values())
        assert known.sha256.keys() <= known.files.keys()
        for file in known.files:
            assert f".{file.rpartition('.')[2]}" in datasets.SUFFIXES
