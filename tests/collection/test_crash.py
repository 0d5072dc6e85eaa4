"""What was acknowledged is there after ``kill -9``, and nothing by halves.

``ANNX_KILLS=300 pytest tests/collection/test_crash.py`` kills as often as that.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from collection_model import plain
from crash_writer import DIM, TEXT, document

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
    # The last line may be cut off.
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
    """What each retriever finds: ids, with versions and scores."""
    k = len(collection) + 1
    found = {
        "vector": collection.search(vector=query, k=k, ef_search=4000),
        "sparse": collection.search(sparse={100: 1.0}, k=k),
        "filter": collection.search(
            vector=query, k=k, ef_search=4000, filter={"version": {"$gte": 3}}
        ),
    }
    if TEXT:
        found["text"] = collection.search(text="title", vector=False, k=k)
    return {
        name: {hit["id"]: (hit["version"], 0 if name == "text" else hit.score) for hit in hits}
        for name, hits in found.items()
    }


def searched(state):
    """What `search_all` has to find."""
    documents = [document(id, version) for id, version in state.items()]
    vectors = {
        each["id"]: (each["version"], -sum(x * x for x in each["vector"]))
        for each in documents
        if "vector" in each
    }
    found = {
        "vector": vectors,
        "sparse": {d["id"]: (d["version"], d["version"]) for d in documents if "weights" in d},
        "filter": {id: pair for id, pair in vectors.items() if pair[0] >= 3},
    }
    if TEXT:
        found["text"] = {each["id"]: (each["version"], 0) for each in documents}
    return found


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
        assert equal(recovered, searched(state))
    # A rebuild from the records alone answers the same.
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix in (".annx", ".bin", ".sparse"):
            path.unlink()
    with (
        pytest.warns(annx.RebuildWarning, match="missing"),
        annx.Collection.open(folder) as collection,
    ):
        assert equal(search_all(collection, query), recovered)


def equal(a, b):
    return a.keys() == b.keys() and all(
        a[name].keys() == b[name].keys()
        and all(
            a[name][id][0] == b[name][id][0]
            and a[name][id][1] == pytest.approx(b[name][id][1], rel=1e-5)
            for id in a[name]
        )
        for name in a
    )
