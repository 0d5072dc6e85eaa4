"""Work on seeds in children that may crash, hang or take too much memory."""

from __future__ import annotations

import mmap
import os
import pickle
import resource
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_BATCH = 500
#: Seconds of one seed, in all, after which its child is ended.
_LIMIT = 60.0


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def run(judge: Callable[[int, Path], Any], seeds: range, room: int) -> Iterator[tuple[int, Any]]:
    """Judge seeds, in batches, each in a forked child with `room` bytes for what it allocates.

    A child that dies is told of as a string in place of what `judge` returns.
    """
    at = seeds.start
    with tempfile.TemporaryDirectory() as folder:
        while at < seeds.stop:
            stop = min(at + _BATCH, seeds.stop)
            results, died, where = _batch(judge, range(at, stop), room, Path(folder))
            yield from results
            at = stop
            if died:
                yield where, f"BAD: {died}"
                at = where + 1


def _batch(
    judge: Callable[[int, Path], Any], seeds: range, room: int, folder: Path
) -> tuple[list[tuple[int, Any]], str, int]:
    place = mmap.mmap(-1, 16)  # the seed at work, shared with the child
    results = folder / "results"
    results.write_bytes(b"")
    child = os.fork()
    if child == 0:
        try:
            limit = _address_space() + room
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            with open(results, "ab", buffering=0) as file:
                for seed in seeds:
                    place[:8] = struct.pack("<Q", seed)
                    file.write(pickle.dumps((seed, judge(seed, folder))))
            os._exit(0)
        finally:
            os._exit(1)
    died = _wait(child, place)
    found = []
    with open(results, "rb") as file:
        while True:
            try:
                found.append(pickle.load(file))
            except (EOFError, pickle.UnpicklingError):
                break
    return found, died, struct.unpack("<Q", place[:8])[0]


def _wait(child: int, place: mmap.mmap) -> str:
    """Wait for a child; say what ended it, if not itself."""
    last, since = bytes(place[:8]), time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status):
                return f"signal {os.WTERMSIG(status)}"
            return "" if os.WEXITSTATUS(status) == 0 else "an error of the test itself"
        if bytes(place[:8]) != last:
            last, since = bytes(place[:8]), time.monotonic()
        elif time.monotonic() - since > _LIMIT:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return f"no answer for {_LIMIT:.0f} s"
        time.sleep(0.005)


def summary(results: list[tuple[int, Any]]) -> Counter[str]:
    """Count verdicts."""
    return Counter(r if isinstance(r, str) else r.verdict for _, r in results)
