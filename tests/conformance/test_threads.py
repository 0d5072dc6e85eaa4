"""Long work: progress, interrupts, the GIL, and many threads at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data import recall, truth_of, vectors

import annx
from annx._check import check_state


def slow_index(dim=64):
    """An index that takes milliseconds for a row, its code compiled."""
    index = annx.Index(dim, codec="f32", ef_construction=2000, M=64)
    index.add(np.random.default_rng(2).standard_normal((300, dim), dtype=np.float32))
    index.search(np.zeros((2, dim), np.float32))
    return index


def test_progress(backend, rng):
    calls = []
    index = annx.Index(8)
    index.add(vectors(rng, 1000, 8, "f32"), progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert all(total == 1000 for _, total in calls)
    assert done == sorted(done) and calls[-1] == (1000, 1000)


def test_progress_bar(backend, rng, capfd):
    index = annx.Index(8)
    index.add(vectors(rng, 200, 8, "f32"), progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "200/200 rows" in err and err.endswith("\n")
    index.add(vectors(rng, 200, 8, "f32"))
    assert capfd.readouterr() == ("", "")


class StopAddingError(Exception):
    pass


@pytest.mark.parametrize("threads", [1, 2])
def test_an_exception_in_progress_keeps_whole_rows(engine, threads, rng):
    index = slow_index()
    x = vectors(rng, 4000, 64, "f32")

    def stop(done, total):
        if done > 0:
            raise StopAddingError

    with pytest.raises(StopAddingError):
        index.add(x, num_threads=threads, progress=stop)
    kept = len(index)
    assert 300 < kept < 4300
    assert index.labels.tolist() == list(range(kept))
    check_state(index._config, index._core.export_state())
    assert np.array_equal(index.get(np.arange(300, kept)), x[: kept - 300])
    own = index.search(x[: kept - 300], k=1).labels[:, 0]
    assert (own == np.arange(300, kept)).mean() > 0.99
    assert index.add(x[kept - 300 :][:50]).tolist() == list(range(kept, kept + 50))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals")
@pytest.mark.parametrize("given", [False, True])
def test_ctrl_c_in_a_long_add(engine, given, rng):
    index = slow_index()
    x = vectors(rng, 20000, 64, "f32")
    sent = 0.0

    def interrupt(*_):
        nonlocal sent
        sent = time.perf_counter()
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        labels = np.arange(10**6, 10**6 + 20000) if given else None
        with pytest.raises(KeyboardInterrupt):
            index.add(x, labels)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert time.perf_counter() - sent < 1.0
    kept = len(index)
    assert 300 <= kept < 20300
    check_state(index._config, index._core.export_state())
    follow = index.add(x[:3])
    highest = kept if not given or kept == 300 else 10**6 + kept - 300
    assert follow.tolist() == [highest, highest + 1, highest + 2]
    assert index.search(x[0], k=1).distances[0, 0] == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals")
@pytest.mark.parametrize("call", ["search", "exact_search"])
def test_ctrl_c_in_a_long_search(engine, call, rng):
    index = annx.Index(64, codec="f32", ef_construction=20)
    x = vectors(rng, 4000, 64, "f32")
    index.add(x)
    getattr(index, call)(x[:2])
    queries = np.tile(x, (20, 1))

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    options = {"ef_search": 3000} if call == "search" else {}
    try:
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            getattr(index, call)(queries, k=10, **options)
        assert time.perf_counter() - start < 1.2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert index.exact_search(x[5], k=1).labels[0, 0] == 5


def test_the_gil_is_released(engine, rng):
    index = slow_index()
    x = vectors(rng, 400, 64, "f32")
    ticks = 0
    running = True

    def count():
        nonlocal ticks
        while running:
            ticks += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        for call in (
            lambda: index.add(x, num_threads=1),
            lambda: index.search(np.tile(x, (4, 1)), k=10, ef_search=700, num_threads=1),
            lambda: index.exact_search(np.tile(x, (40, 1)), num_threads=1),
        ):
            before, start = ticks, time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            # A sleeper that gets the GIL at once ticks 900 times a second here.
            assert ticks - before > 50 * elapsed
    finally:
        running = False
        counter.join()


def test_searches_while_adding(engine, rng):
    x = vectors(rng, 3000, 16, "f32")
    index = annx.Index(16, ef_construction=60)
    index.add(x[:500])
    adding = threading.Event()

    def search(seed):
        local = np.random.default_rng(seed)
        rounds = 0
        while not adding.is_set() or rounds == 0:
            known = len(index)
            picks = local.integers(known, size=8)
            hits = index.search(x[picks], k=5)
            assert hits.labels.min() >= 0 and hits.labels.max() < 3000
            true = ((x[hits.labels] - x[picks][:, None]) ** 2).sum(axis=2)
            np.testing.assert_allclose(hits.distances, true, rtol=1e-4, atol=1e-4)
            # What had been added before the search began is there.
            exact = index.exact_search(x[picks], k=1)
            assert np.array_equal(exact.labels[:, 0], picks)
            assert np.array_equal(index.get(picks), x[picks])
            rounds += 1
        return rounds

    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search, seed) for seed in range(3)]
        for first in range(500, 3000, 250):
            index.add(x[first : first + 250], num_threads=2)
        adding.set()
        assert all(each.result(60) > 0 for each in searches)
    queries = vectors(rng, 50, 16, "f32")
    found = index.search(queries, k=10, ef_search=100).labels
    assert recall(found, truth_of(queries, x, "l2", 10), x, queries, "l2") >= 0.97


def test_two_adders_lose_nothing(engine, rng):
    x = vectors(rng, 2000, 8, "f32")
    index = annx.Index(8, ef_construction=20)

    def add(part):
        return [int(index.add(x[i])[0]) for i in range(part, 2000, 4)]

    with ThreadPoolExecutor(4) as pool:
        labels = list(pool.map(add, range(4)))
    assert sorted(label for part in labels for label in part) == list(range(2000))
    stored = index.get(np.concatenate([np.array(part) for part in labels]))
    assert np.array_equal(stored, np.concatenate([x[part::4] for part in range(4)]))
    check_state(index._config, index._core.export_state())


def test_save_while_adding_is_a_prefix(engine, rng):
    x = vectors(rng, 2000, 8, "f32")
    index = annx.Index(8, ef_construction=20)
    index.add(x[:100])
    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(lambda: [index.add(x[i : i + 50]) for i in range(100, 2000, 50)])
        for _ in range(10):
            other = annx.Index.from_bytes(index.to_bytes())
            assert np.array_equal(other.get(other.labels), x[: len(other)])
        adding.result(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_can_search(engine):
    script = """
        import os, sys, warnings
        import numpy as np
        import annx
        warnings.simplefilter("ignore")
        x = np.random.default_rng(0).standard_normal((2000, 8), dtype=np.float32)
        index = annx.Index(8, ef_construction=20)
        index.add(x, num_threads=2)
        want = index.search(x, k=3, num_threads=2).labels
        child = os.fork()
        if child == 0:
            same = np.array_equal(index.search(x, k=3, num_threads=2).labels, want)
            index.add(x[:10] + 1, num_threads=2)
            os._exit(0 if same and len(index) == 2010 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"ANNX_BACKEND": engine},
        check=True,
        timeout=60,
    )
