"""System calls themselves, by strace: what annx really asks of the kernel, failed or last.

The other tests stand in for Python's functions; this shows that nothing goes past them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

#: All calls that take a path or a descriptor.
_TRACED = "trace=%file,%desc"
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")
_SECONDS = 60.0


class NoTrace(Exception):
    """Nobody may trace here, or there is no strace."""


def run(action: Callable[[], object], log: Path, inject: str = "") -> tuple[int, list[str]]:
    """Run an action in a child under strace.

    Parameters
    ----------
    action : callable
    log : Path
        A file for what strace writes.
    inject : str
        As of ``strace -e inject=``.

    Returns
    -------
    status : int
        As of `os.waitpid`.
    calls : list of str
        Names of the calls, in order.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise NoTrace("there is no strace (Debian: strace)")
    child = os.fork()
    if child == 0:
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    os.waitpid(child, os.WUNTRACED)
    options = ["-e", f"inject={inject}"] if inject else []
    command = [strace, "-f", "-o", str(log), "-e", _TRACED, *options, "-p", str(child)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        tracer.communicate()
        raise NoTrace(said.strip())
    os.kill(child, signal.SIGCONT)
    end = time.monotonic() + _SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    tracer.communicate()
    lines = log.read_text().splitlines()
    return status, [match[1] for match in map(_CALL.match, lines) if match]


def each(calls: list[str]) -> list[tuple[str, int]]:
    """Name calls as strace counts them: the n-th of their name, from 1."""
    seen: Counter[str] = Counter()
    places = []
    for name in calls:
        seen[name] += 1
        places.append((name, seen[name]))
    return places
