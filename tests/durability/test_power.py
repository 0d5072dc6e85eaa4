"""Whatever a loss of power leaves, the file opens as it was or as it should be."""

from __future__ import annotations

import os
import random

import pytest
from calls import Recorder, watched
from disk import Disk, File
from scenarios import SCENARIOS, Case, named

import annx

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX calls")


class Verdicts:
    """Opens each content once."""

    def __init__(self, case: Case) -> None:
        self._known: dict[bytes, str] = {}
        self._case = case

    def __call__(self, data: bytes | None) -> str:
        if data is None:
            return "none"
        if data not in self._known:
            content = annx.Index.from_bytes(data).to_bytes()
            assert content in (self._case.old, self._case.new)
            self._known[data] = "new" if content == self._case.new else "old"
        return self._known[data]

    def __len__(self) -> int:
        return len(self._known)


def examine(case: Case, seed: int) -> tuple[int, int]:
    """Check every state at every call; returns how many calls and distinct contents."""
    recorder = Recorder()
    with watched(recorder):
        case.act()
    rng = random.Random(seed)
    disk = Disk(str(case.path), case.file)
    verdict = Verdicts(case)
    for name, args, result in recorder.calls:
        for state in disk.states(rng):
            found = verdict(state)
            assert found != "none" or case.file is None
        if result is not None or name not in ("open", "stat"):
            disk.call(name, args, result)
    assert {verdict(state) for state in disk.states(rng)} == {"new"}
    return len(recorder.calls), len(verdict)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_state_of_the_disk_opens(tmp_path, scenario):
    calls, contents = examine(Case(scenario, tmp_path), 1)
    assert calls > 10
    assert contents > (20 if scenario.incremental and "append" in scenario.name else 0)


def test_the_model_tells_a_save_without_sync(tmp_path, monkeypatch):
    """The test could fail: without its syncs neither way of saving would pass it."""
    from annx import _atomic

    monkeypatch.setattr(_atomic, "sync", lambda descriptor: None)
    for name in ("save", "append"):
        scenario = named(name)
        folder = tmp_path / name
        folder.mkdir()
        with pytest.raises((AssertionError, annx.FormatError)):
            examine(Case(scenario, folder), 1)


def test_a_file_of_the_model():
    file = File(b"a" * 600)
    file.write(500, b"b" * 200)
    states = set(file.states(random.Random(0)))
    assert file.content() == b"a" * 500 + b"b" * 200
    assert b"a" * 600 in states  # none of it
    assert b"a" * 500 + b"b" * 12 + b"a" * 88 in states  # the first sector
    assert b"a" * 512 + b"b" * 188 in states  # the second
    assert b"a" * 600 + bytes(100) in states  # the length alone
    file.sync()
    assert set(file.states(random.Random(0))) == {file.content()}
