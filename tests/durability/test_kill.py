"""Whenever the process is killed, the file opens as it was or as it should be."""

from __future__ import annotations

import os
import signal

import pytest
from calls import Killed, count, watched
from moments import torture
from scenarios import LONG, SCENARIOS, Case

import annx

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def die(case: Case, n: int, when: str) -> bool:
    """Run a case in a process that dies at its n-th call; whether it lived on."""
    child = os.fork()
    if child == 0:
        try:
            with watched(Killed(n, when)):
                case.act()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
    return not os.WIFSIGNALED(status)


def calls_of(case: Case) -> list[str]:
    """The calls of a case, in a process of its own: it leaves the index as it is."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(count(case.act)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        names = pipe.read().split()
    os.waitpid(child, 0)
    case.reset()
    return names


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_at_every_call(tmp_path, scenario):
    case = Case(scenario, tmp_path)
    names = calls_of(case)
    assert "fsync" in names and "write" in names
    seen = set()
    for n, name in enumerate(names):
        for when in ("before", "half", "after"):
            if when == "half" and name != "write":
                continue
            case.reset()
            assert not die(case, n, when)
            seen.add(case.found())
            # The next one finds nothing in its way, and clears up.
            annx.Index.from_bytes(case.new).save(case.path)
            assert case.found() == "new" and case.litter() == []
    assert seen == {"old", "new"}
    case.reset()
    assert die(case, len(names), "before")
    assert case.found() == "new"


def test_killed_at_random_moments(tmp_path):
    told = torture(tmp_path, 2000 if LONG else 60)
    print(told)
    assert told["after a save"] > told["kills"] / 4
