"""Saving is whole or not at all."""

from __future__ import annotations

import os

import pytest
from samples import dump, sample

import annx
from annx import FormatError, _atomic, _format


@pytest.fixture(scope="module")
def data():
    return dump(*sample())


@pytest.fixture
def stored():
    config, state = sample()
    return _format.Stored(config, 64, state)


def save(path, stored):
    _atomic.write(path, lambda file: _format.write(file, stored))


def test_saving_replaces(tmp_path, stored, data):
    path = tmp_path / "i.annx"
    path.write_bytes(b"old")
    path.chmod(0o640)
    save(path, stored)
    assert path.read_bytes() == data
    assert [entry.name for entry in tmp_path.iterdir()] == ["i.annx"]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_new_file_obeys_the_umask(tmp_path, stored):
    previous = os.umask(0o027)
    try:
        save(tmp_path / "i.annx", stored)
    finally:
        os.umask(previous)
    assert (tmp_path / "i.annx").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_save_leaves_the_old_file_alone(tmp_path, stored, monkeypatch, step):
    path = tmp_path / "i.annx"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    if step == "write":
        monkeypatch.setattr(_format, "write", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        save(path, stored)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["i.annx"]


def test_the_file_and_its_folder_are_synced_around_the_rename(tmp_path, stored, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: (calls.append(n), r(*a))[1])
    save(tmp_path / "i.annx", stored)
    assert calls == (["fsync", "replace", "fsync"] if os.name == "posix" else ["fsync", "replace"])


@pytest.mark.skipif(os.name != "posix", reason="POSIX file types")
def test_links_are_followed_and_devices_refused(tmp_path, stored, data):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.annx"
    link.symlink_to(tmp_path / "real" / "i.annx")
    save(link, stored)
    assert link.is_symlink() and (tmp_path / "real" / "i.annx").read_bytes() == data
    with pytest.raises(OSError, match="not a regular file"):
        save("/dev/null", stored)
    with pytest.raises(OSError, match="not a regular file"):
        save(tmp_path, stored)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FormatError, match="pipe: not a regular file"):
        _format.load(pipe)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "bad.annx"
    path.write_bytes(b"something else")
    with pytest.raises(FormatError, match=r"bad\.annx: not an annx index"):
        annx.load(path)
