"""Killed, or refused, at every system call."""

from __future__ import annotations

import os
import signal

import pytest
from scenarios import LONG, SCENARIOS, Case
from traced import NoTrace, each, run

CHOSEN = [s for s in SCENARIOS if LONG or s.name in ("save", "append")]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def traced(case, log, inject="", action=None):
    try:
        return run(action or case.act, log, inject)
    except NoTrace as error:
        pytest.skip(str(error))


def saved(case):
    """Save, and say by the exit status how it went."""

    def action():
        try:
            case.act()
        except OSError as error:
            os._exit(3 if error.filename == str(case.path) else 4)

    return action


@pytest.mark.parametrize("scenario", CHOSEN, ids=lambda scenario: scenario.name)
def test_killed_at_every_system_call(tmp_path, scenario):
    folder = tmp_path / "folder"
    folder.mkdir()
    case = Case(scenario, folder)
    status, calls = traced(case, tmp_path / "log")
    assert status == 0 and case.found() == "new"
    assert "fsync" in calls and "write" in calls
    seen = set()
    for name, n in each(calls):
        case.reset()
        status, _ = traced(case, tmp_path / "log", f"{name}:signal=KILL:when={n}")
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (name, n)
        seen.add(case.found())
    assert seen == {"old", "new"}


@pytest.mark.parametrize("scenario", CHOSEN, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINTR"] if LONG else ["EIO", "EINTR"])
def test_refused_at_every_system_call(tmp_path, scenario, error):
    folder = tmp_path / "folder"
    folder.mkdir()
    case = Case(scenario, folder)
    _, calls = traced(case, tmp_path / "log")
    outcomes = set()
    for name, n in each(calls):
        case.reset()
        inject = f"{name}:error={error}:when={n}"
        status, _ = traced(case, tmp_path / "log", inject, saved(case))
        assert os.WIFEXITED(status), (name, n)
        outcome = os.WEXITSTATUS(status)
        assert outcome in (0, 3), (name, n, outcome)
        found = case.found()
        assert outcome == 3 or found == "new", (name, n)
        assert case.litter() == [] or name.startswith("unlink"), (name, n)
        outcomes.add(outcome)
    # Python tries interrupted calls again.
    assert outcomes == {0, 3} or error == "EINTR"
