"""Long work in short steps: threads, progress, and a prompt end when interrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from annx._backends.base import Poll

#: Seconds that one step should take: polls come at least twice as often as every 0.1 s.
_STEP = 0.05
_WAIT = 0.05

Work = Callable[[int, int], None]


class _Pace:
    """How many rows make a step of about `_STEP` seconds, learnt on the way."""

    def __init__(self, most: int) -> None:
        self.size = 1
        self._most = max(1, most)

    def learn(self, seconds: float) -> None:
        # A factor of 8 at most: the first step may have waited for the compiler.
        factor = min(8.0, max(0.125, _STEP / max(seconds, 1e-9)))
        self.size = min(self._most, max(1, int(self.size * factor)))


def aside(task: Callable[[], None]) -> None:
    """Run a task on another thread and wait, so that Ctrl-C ends the wait alone.

    For compiling: an exception inside LLVM's bindings has freed memory twice.
    """
    failed: list[BaseException] = []

    def attempt() -> None:
        try:
            task()
        except BaseException as error:
            failed.append(error)

    # No daemon: LLVM must be done before the interpreter leaves.
    thread = threading.Thread(target=attempt, name="annx-compile")
    thread.start()
    while thread.is_alive():
        thread.join(_WAIT)
    if failed:
        raise failed[0]


def run(work: Work, total: int, num_threads: int, poll: Poll | None) -> None:
    """Call ``work(start, stop)`` until 0 to `total` are done, and `poll` in between.

    Steps may run on other threads and in any order; `poll` runs on this one. What
    either raises ends the work, after the steps that have begun.
    """
    if total == 0:
        return
    if num_threads > 1 and total > 1:
        _run_threads(work, total, min(num_threads, total), poll)
        return
    pace = _Pace(total)
    done = 0
    while done < total:
        stop = min(total, done + pace.size)
        begun = time.perf_counter()
        work(done, stop)
        pace.learn(time.perf_counter() - begun)
        done = stop
        if poll is not None:
            poll(done)


def _run_threads(work: Work, total: int, num_threads: int, poll: Poll | None) -> None:
    lock = threading.Lock()
    ended = threading.Event()
    begun = finished = 0

    def worker() -> None:
        nonlocal begun, finished
        # Steps of a quarter of an even share keep the threads' ends close together.
        pace = _Pace(total // (4 * num_threads))
        while not ended.is_set():
            with lock:
                start = begun
                begun = stop = min(total, start + pace.size)
            if start == stop:
                return
            clock = time.perf_counter()
            work(start, stop)
            pace.learn(time.perf_counter() - clock)
            with lock:
                finished += stop - start

    with ThreadPoolExecutor(num_threads, thread_name_prefix="annx") as pool:
        try:
            running = [pool.submit(worker) for _ in range(num_threads)]
            pending = set(running)
            while pending:
                done, pending = wait(pending, _WAIT, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if poll is not None:
                    poll(finished)
        finally:
            ended.set()
