"""Changes added to a file, and made again when it is loaded."""

from __future__ import annotations

import multiprocessing
import os
import threading

import numpy as np
import pytest
from data import PAIRS, vectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import annx
from annx import ConflictError, FormatError, _log, _persist

DIM = 24
CODECS = [*PAIRS, ("auto", "l2"), ("auto", "cosine"), ("compact", "l2"), ("turbo", "ip")]


def empty(codec="f32", metric="l2"):
    return annx.Index(DIM, metric, codec=codec, M=4, ef_construction=30)


def some(rng, n, codec="f32", few=False):
    x = vectors(rng, n, DIM, codec)
    if few:  # of them are equal
        x[:] = x[rng.integers(0, min(2, n), n)]
    return x


@pytest.fixture
def path(tmp_path):
    return tmp_path / "i.annx"


def same_rows(a, b):
    assert a.ef_search == b.ef_search and a.codec == b.codec
    labels = np.sort(a.labels)
    assert np.array_equal(labels, np.sort(b.labels))
    assert np.array_equal(a.get(labels), b.get(labels))
    assert a.check().ok


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "upsert", "update", "remove", "compact", "ef", "save", "load"]),
        st.integers(1, 30),
        st.integers(0, 2**32 - 1),
    ),
    max_size=25,
)


@pytest.mark.parametrize(("codec", "metric"), CODECS)
@pytest.mark.parametrize("name", ["native", "numba"])
def test_what_is_loaded_is_what_was_saved(use_backend, name, codec, metric, tmp_path):
    use_backend(name)
    path = tmp_path / "i.annx"

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    )
    @given(STEPS)
    def run(steps):
        index = empty(codec, metric)
        index.add(some(np.random.default_rng(0), 40, codec))
        index.save(path)
        twins = False
        for step, n, seed in [*steps, ("save", 0, 0)]:
            rng = np.random.default_rng(seed)
            few = bool(seed % 3 == 0)
            twins |= few
            if step == "add":
                index.add(some(rng, n, codec, few))
            elif step == "upsert":
                chosen = rng.choice(80, n, replace=False)
                index.add(some(rng, n, codec, few), chosen, upsert=True)
            elif step == "update" and len(index):
                chosen = rng.choice(index.labels, min(n, len(index)), replace=False)
                index.update(chosen, some(rng, len(chosen), codec, few))
            elif step == "remove" and len(index) > 1:
                chosen = rng.choice(index.labels, min(n, len(index) - 1), replace=False)
                index.remove(chosen)
            elif step == "compact":
                index.compact()
            elif step == "ef":
                index.ef_search = n
            elif step in ("save", "load"):
                index.save(path, incremental=True)
                loaded = annx.load(path)
                same_rows(loaded, index)
                # Rows that are equal may change places when an index is read again.
                assert twins or loaded.to_bytes() == index.to_bytes()
                if step == "load":
                    index = loaded

    run()


def test_it_costs_what_the_change_does(engine, path, rng):
    index = empty()
    index.add(some(rng, 5000))
    index.save(path)
    whole = path.stat().st_size
    inode = path.stat().st_ino
    index.add(some(rng, 10))
    index.remove([3])
    index.save(path, incremental=True)
    added = path.stat().st_size - whole
    assert 10 * DIM * 4 < added < 10 * DIM * 4 + 10 * 8 + 400
    assert path.stat().st_ino == inode
    assert annx.load(path).to_bytes() == index.to_bytes()
    # Nothing has changed since.
    index.save(path, incremental=True)
    assert path.stat().st_size == whole + added


def test_settings_are_changes(engine, path, rng):
    index = empty()
    index.add(some(rng, 2000))
    index.save(path)
    size = path.stat().st_size
    index.ef_search = 77
    index.tune(k=5, recall=(0.9,))
    index.save(path, incremental=True)
    assert 0 < path.stat().st_size - size < 5000
    loaded = annx.load(path)
    assert loaded.ef_search == 77 and loaded.to_bytes() == index.to_bytes()


def test_the_first_rows_decide_when_loaded_too(engine, path, rng):
    index = annx.Index(DIM, codec="compact")
    index.save(path)
    index.add(some(rng, 60))
    index.save(path, incremental=True)
    assert annx.load(path).codec == index.codec == "sq10"
    assert annx.load(path).to_bytes() == index.to_bytes()
    index = annx.Index(DIM)  # bytes, until rows come that are none
    index.add(np.ones((3, DIM)))
    index.save(path)
    index.add(some(rng, 60))
    index.save(path, incremental=True)
    loaded = annx.load(path)
    assert loaded.codec == index.codec and loaded.to_bytes() == index.to_bytes()


def test_a_file_that_is_not_ours_is_refused(engine, path, rng, tmp_path):
    index = empty()
    index.add(some(rng, 30))
    index.save(path, incremental=True)  # there is none yet
    other = annx.load(path)
    stranger = empty()
    with pytest.raises(ConflictError, match=r"i\.annx: is not"):
        stranger.save(path, incremental=True)
    for one in (index, other):
        one.add(some(rng, 3))
    index.save(path, incremental=True)
    data = path.read_bytes()
    with pytest.raises(ConflictError, match="no longer"):
        other.save(path, incremental=True)
    assert path.read_bytes() == data
    other.save(path)
    with pytest.raises(ConflictError, match="no longer"):
        index.save(path, incremental=True)
    # A copy is as good as the file itself.
    copy = tmp_path / "copy.annx"
    copy.write_bytes(path.read_bytes())
    other.remove([0])
    other.save(copy, incremental=True)
    assert annx.load(copy).to_bytes() == other.to_bytes()
    with pytest.raises(ConflictError):
        other.save(path, incremental=True)
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ConflictError):
        other.save(tmp_path / "junk", incremental=True)


def test_somebody_else_is_writing(engine, path, rng):
    index = empty()
    index.add(some(rng, 30))
    index.save(path)
    index.add(some(rng, 3))
    loaded = annx.load(path)
    with _log.hold(path, loaded._on_disk):
        with pytest.raises(ConflictError, match="another process is writing"):
            index.save(path, incremental=True)
    index.save(path, incremental=True)
    assert annx.load(path).to_bytes() == index.to_bytes()


def test_a_file_replaced_meanwhile(engine, path, rng, monkeypatch):
    index = empty()
    index.add(some(rng, 30))
    index.save(path)
    index.add(some(rng, 3))
    real = _log.append

    def replaced(*args):
        real(*args)
        empty().save(path)

    monkeypatch.setattr(_log, "append", replaced)
    with pytest.raises(ConflictError, match="was replaced"):
        index.save(path, incremental=True)
    monkeypatch.undo()
    with pytest.raises(ConflictError, match="no longer"):
        index.save(path, incremental=True)


def grow(path, number, turns, pipe):
    done = 0
    try:
        for turn in range(turns):
            index = annx.load(path)
            index.add(np.full((1, DIM), number + turn, np.float32), [1000 * number + turn])
            try:
                index.save(path, incremental=True)
                done += 1
            except ConflictError:
                pass
        pipe.send(done)
    except BaseException as error:
        pipe.send(repr(error))


@pytest.mark.skipif(os.name != "posix", reason="POSIX files")
def test_no_process_loses_what_another_has_added(engine, path, rng):
    index = empty()
    index.add(some(rng, 500))
    index.save(path)
    context = multiprocessing.get_context("fork")
    ends, workers = {}, []
    for number in (1, 2, 3):
        ends[number], given = context.Pipe(duplex=False)
        workers.append(context.Process(target=grow, args=(path, number, 25, given)))
        workers[-1].start()
    told = {}
    for number, end in ends.items():
        assert end.poll(120)
        told[number] = end.recv()
    for worker in workers:
        worker.join()
    assert all(isinstance(done, int) for done in told.values()), told
    labels = annx.load(path).labels
    assert sum(told.values()) > 0
    for number, done in told.items():
        assert np.count_nonzero(labels // 1000 == number) == done
    assert len(labels) == 500 + sum(told.values())


def test_adds_go_on_while_saving(engine, path):
    """A file holds a prefix of the calls, one more only in part."""
    index = empty()
    stop = threading.Event()
    returned = [0]

    def work():
        for turn in range(2000):
            if stop.wait(0.001):
                return
            x = np.full((5, DIM), turn, np.float32)
            x[:, 0] += np.arange(5)
            index.add(x, np.arange(5 * turn, 5 * turn + 5))
            returned[0] = 5 * turn + 5

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for turn in range(20):
            before = returned[0]
            index.save(path, incremental=turn % 7 != 0)
            after = returned[0] + 5
            labels = np.sort(annx.load(path).labels)
            assert np.array_equal(labels, np.arange(len(labels)))
            assert before <= len(labels) <= after
    finally:
        stop.set()
        worker.join()
    index.save(path, incremental=True)
    assert annx.load(path).to_bytes() == index.to_bytes()


def test_many_changes_are_written_whole(engine, path, rng, monkeypatch):
    monkeypatch.setattr(_persist, "_ALWAYS", 1000)
    index = empty()
    index.add(some(rng, 400))
    index.save(path)
    sizes = set()
    for _ in range(30):
        index.add(some(rng, 10))
        index.save(path, incremental=True)
        data = path.read_bytes()
        sizes.add(len(data) - len(index.to_bytes()))
        assert len(data) < 1.5 * len(index.to_bytes())
        assert annx.load(path).to_bytes() == index.to_bytes()
    assert 0 in sizes and len(sizes) > 5  # written whole at times, not always
    # More than the journal keeps.
    index.add(some(rng, 400))
    assert index._journal.so_far() is None
    index.save(path, incremental=True)
    assert path.read_bytes() == index.to_bytes()


def test_an_index_that_is_on_no_disk_keeps_no_journal(engine, path, rng):
    index = empty()
    index.add(some(rng, 30))
    assert index._journal.so_far() is None
    index.save(path)
    restored = annx.Index.from_bytes(path.read_bytes())
    restored.add(some(rng, 3))
    assert restored._journal.so_far() is None
    index.add(x := some(rng, 3))
    x[:] = 0
    assert index._journal.so_far()[0].rows.any()


def test_interrupted_calls_are_written_whole(engine, path, rng):
    index = empty()
    index.add(some(rng, 500))
    index.save(path)

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add(some(rng, 5000), progress=stop)
    assert 500 < len(index) < 5500
    index.save(path, incremental=True)
    assert path.read_bytes() == index.to_bytes()
    with pytest.raises(annx.LabelError):
        index.add(some(rng, 1), [0])
    index.save(path, incremental=True)
    assert path.read_bytes() == index.to_bytes()


def test_open_files(engine, path, rng):
    index = empty()
    index.add(some(rng, 30))
    with open(path, "wb") as file:
        index.save(file)
    with open(path, "wb", buffering=0) as file:
        index.save(file)
    assert path.read_bytes() == index.to_bytes()
    with open(path, "wb") as file, pytest.raises(annx.ParameterError, match="path"):
        index.save(file, incremental=True)


def test_bytes_with_a_log(engine, path, rng):
    index = empty()
    index.add(some(rng, 30))
    index.save(path)
    index.add(some(rng, 3))
    index.save(path, incremental=True)
    assert annx.Index.from_bytes(path.read_bytes()).to_bytes() == index.to_bytes()
    with pytest.raises(FormatError, match="truncated: the log ends at"):
        annx.Index.from_bytes(path.read_bytes()[:-1])


def test_a_beam_is_no_wider_than_there_are_rows(engine, rng):
    """A few bytes of a file may ask for any width."""
    index = annx.Index(DIM, M=4, ef_construction=1 << 24, ef_search=1 << 24)
    index.add(some(rng, 300))
    index.update(np.arange(20), some(rng, 20))
    index.remove(np.arange(20, 80))
    assert index.search(some(rng, 1), k=5).labels.shape == (1, 5)
    assert index.info()["memory"]["scratch"] < 4 << 20
