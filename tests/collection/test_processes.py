"""One writer and several readers, among processes; forks; disks that are full."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from collection_model import DIM, opened

import annx

POSIX = os.name == "posix"


def document(n):
    return {"id": f"d{n}", "n": n, "vector": np.full(DIM, n, np.float32)}


def run(code, *arguments):
    """Run code in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


OPEN = """
import sys, annx
try:
    annx.Collection.open(sys.argv[1]).close()
    print("open")
except annx.LockedError as error:
    print("locked")
"""


def test_a_second_writer_is_refused_at_once(tmp_path):
    with opened(tmp_path, dim=DIM):
        with pytest.raises(annx.LockedError, match="read_only"):
            annx.Collection.open(tmp_path)
        with pytest.raises(BlockingIOError):
            annx.Collection.open(tmp_path)
        assert run(OPEN, tmp_path) == "locked"
    assert run(OPEN, tmp_path) == "open"
    annx.Collection.open(tmp_path).close()


def test_a_killed_writer_leaves_no_lock(tmp_path):
    code = "import sys, os, annx; annx.Collection.open(sys.argv[1], dim=4); os._exit(0)"
    run(code, tmp_path)
    annx.Collection.open(tmp_path).close()


FOLLOW = """
import sys, annx, numpy as np
with annx.Collection.open(sys.argv[1], read_only=True) as reader:
    print(len(reader), flush=True)
    for line in sys.stdin:
        hits = reader.search(vector=np.zeros(4, np.float32), k=1000, ef_search=2000)
        print(len(reader), sorted(hit["n"] for hit in hits)[-1:], reader.get("d0")["n"], flush=True)
"""


def test_a_reader_follows_the_writer(tmp_path):
    with opened(tmp_path, dim=DIM) as writer:
        writer.upsert([document(0)])
        reader = subprocess.Popen(
            [sys.executable, "-c", FOLLOW, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def ask():
            reader.stdin.write("\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        assert reader.stdout.readline().strip() == "1"
        assert ask() == "1 [0] 0"
        writer.upsert(document(n) for n in range(1, 101))
        assert ask() == "101 [100] 0"
        writer.update({"id": "d0", "n": 7})
        writer.delete(f"d{n}" for n in range(50, 101))
        assert ask() == "50 [49] 7"
        writer.compact()
        assert ask() == "50 [49] 7"
        for n in range(5):
            writer.upsert(document(200 + n))
            writer.compact()  # forgets what the reader has not seen
        assert ask() == "55 [204] 7"
        reader.stdin.close()
        assert reader.wait(60) == 0
        reader.stdout.close()


def test_a_reader_changes_nothing(tmp_path):
    with opened(tmp_path, dim=DIM) as writer:
        writer.upsert([document(0)])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with opened(tmp_path, read_only=True) as reader:
        for call in (
            lambda: reader.upsert([document(1)]),
            lambda: reader.upsert([]),
            lambda: reader.update([{"id": "d0"}]),
            lambda: reader.delete("d0"),
            lambda: reader.compact(),
            lambda: reader.checkpoint(),
        ):
            with pytest.raises(annx.ReadOnlyError):
                call()
        assert len(reader) == 1 and reader.check() == []
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert before.items() <= after.items()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning",
    # Of JAX, which bm25s imports where it is installed.
    "ignore:os.fork:RuntimeWarning",
)
def test_after_a_fork_the_child_opens_again(tmp_path):
    with opened(tmp_path, dim=DIM) as collection:
        collection.upsert([document(0)])
        child = os.fork()
        if not child:
            status = 1
            try:
                try:
                    collection.get("d0")
                except annx.ClosedError as error:
                    with annx.Collection.open(tmp_path, read_only=True) as reader:
                        status = 0 if "fork" in str(error) and len(reader) == 1 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The child's end has let go of nothing that is the parent's.
        assert run(OPEN, tmp_path) == "locked"
        collection.upsert([document(1)])
        assert len(collection) == 2 and collection.check() == []


def count_in_child(folder):
    with annx.Collection.open(folder, read_only=True) as reader:
        return len(reader)


def test_spawned_processes_read(tmp_path):
    with opened(tmp_path, dim=DIM) as collection:
        collection.upsert([document(0)])
        with pytest.raises(TypeError, match="open it"):
            pickle.dumps(collection)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(count_in_child, [tmp_path]) == 1


FULL = """
import resource, signal, sys, annx, numpy as np
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
collection = annx.Collection.open(sys.argv[1], dim=4)
collection.upsert({"id": "kept", "vector": [1, 2, 3, 4]})
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
taken = 0
try:
    for n in range(200):
        collection.upsert([{"id": str(n), "text": "x" * 20_000, "vector": [n, 1, 1, 1]}])
        taken += 1
except annx.StorageError as error:
    assert isinstance(error, OSError)
    hits = collection.search(vector=[1, 2, 3, 4], k=1000, ef_search=1000)
    assert len(collection) == len(hits) == taken + 1, (len(collection), len(hits), taken)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    collection.upsert({"id": "after", "vector": [1, 2, 3, 4]})
    assert collection.check() == []
    collection.close()
    print("refused", taken)
"""


@pytest.mark.skipif(not POSIX, reason="no limits")
@pytest.mark.parametrize("size", [70_000, 200_000, 1_000_000])
def test_a_full_disk_is_a_typed_error_and_the_collection_goes_on(tmp_path, size):
    word, taken = run(FULL, tmp_path, size).split()
    assert word == "refused"
    with opened(tmp_path) as collection:
        assert len(collection) == int(taken) + 2 and collection.check() == []


@pytest.mark.skipif(not POSIX or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    folder = tmp_path / "shut"
    with opened(folder, dim=DIM) as collection:
        collection.upsert([document(0)])
    for path in [*folder.iterdir(), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with pytest.raises(annx.StorageError):
            annx.Collection.open(folder)
        with pytest.raises(annx.StorageError):
            annx.Collection.open(folder / "new", dim=DIM)
        with opened(folder, read_only=True) as reader:
            assert len(reader) == 1
    finally:
        for path in [folder, *folder.iterdir()]:
            path.chmod(0o755)
