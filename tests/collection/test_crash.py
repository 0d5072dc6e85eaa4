"""What was acknowledged is there after ``kill -9``, and nothing by halves.

``ANNX_KILLS=300 pytest tests/collection/test_crash.py`` kills as often as that.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from collection_model import plain
from crash_writer import DIM, document

import annx

KILLS = int(os.environ.get("ANNX_KILLS", "12"))
WRITER = Path(__file__).parents[1] / "crash_writer.py"

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9"),
    # Killed between a commit of tantivy's and the note of what it reflects.
    pytest.mark.filterwarnings("ignore:the keyword index is made again"),
]


def write_and_kill(folder, seed, seconds):
    """Let a process write for a while; return the lines that it wrote."""
    process = subprocess.Popen(
        [sys.executable, WRITER, folder, str(seed)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == '{"open": true}\n', "the writer did not start"
    time.sleep(seconds)
    process.kill()
    lines = process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    return [json.loads(line) for line in lines if line.endswith("}")]


def do(state, operation):
    put, gone = operation
    after = {id: version for id, version in state.items() if id not in set(gone)}
    after.update((id, version) for id, version in put)
    return after


def held(collection):
    """Ids and versions of a collection, each document compared with what it has to be."""
    found = {}
    for each in collection.iterate(vectors=True):
        want = document(each["id"], each["version"])
        assert plain(each) == want, "half a document"
        found[each["id"]] = each["version"]
    return found


def search_all(collection, query):
    hits = collection.search(vector=query, k=len(collection) + 1, ef_search=4000)
    return {hit["id"]: (hit["version"], hit["score"]) for hit in hits}


def test_acknowledged_writes_survive(tmp_path):
    rng = random.Random(7)
    folder = tmp_path / "killed"
    state = {}
    query = np.zeros(DIM, np.float32)
    for kill in range(KILLS):
        lines = write_and_kill(folder, kill, rng.uniform(0.0, 0.25))
        begun = [line["begin"] for line in lines if "begin" in line]
        ended = sum("end" in line for line in lines)
        for operation in begun[:ended]:
            state = do(state, operation)
        # The last one may have been committed and not yet acknowledged.
        possible = [state, *(do(state, each) for each in begun[ended:])]
        with annx.Collection.open(folder) as collection:
            found = held(collection)
            assert found in possible, f"kill {kill}: an acknowledged write is lost, or half there"
            state = found
            recovered = search_all(collection, query)
            if kill % 5 == 0:
                assert collection.check() == []
        want = {
            id: (version, -sum(x * x for x in document(id, version)["vector"]))
            for id, version in state.items()
            if "vector" in document(id, version)
        }
        assert equal(recovered, want)
    # A rebuild from the records alone answers the same.
    for path in folder.glob("*.annx"):
        path.unlink()
    with (
        pytest.warns(annx.RebuildWarning, match="missing"),
        annx.Collection.open(folder) as collection,
    ):
        assert equal(search_all(collection, query), recovered)


def equal(a, b):
    return a.keys() == b.keys() and all(
        a[id][0] == b[id][0] and a[id][1] == pytest.approx(b[id][1], rel=1e-5) for id in a
    )
