"""A process that changes an index and saves it all the time, killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from pathlib import Path

import numpy as np

import annx

DIM = 16


def _row(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((1, DIM), dtype=np.float32)


def fresh(path: Path, rows: int) -> None:
    """Write the index that all begins with: labels from 0, row by row."""
    index = annx.Index(DIM, M=4, ef_construction=20)
    index.add(np.concatenate([_row(number) for number in range(rows)]), np.arange(rows))
    index.save(path)


def _work(path: Path, acknowledge: int, seed: int) -> None:
    rng = random.Random(seed)
    index = annx.load(path)
    number = int(index.labels.max()) + 1
    while True:
        for _ in range(rng.choice([1, 1, 3])):
            index.add(_row(number), [number])
            number += 1
        # Mostly appends, now and then everything.
        index.save(path, incremental=rng.random() < 0.8)
        os.write(acknowledge, struct.pack("<Q", number))


def kill_once(path: Path, seed: int) -> tuple[int, int]:
    """Kill a process that saves; returns what it had acknowledged and what is there."""
    least = len(annx.load(path))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _work(path, writer, seed)
        finally:
            os._exit(1)
    os.close(writer)
    rng = random.Random(seed)
    # After the first save, mostly: a busy machine may take any time until then.
    told = os.read(reader, 8) if rng.random() < 0.9 else b""
    time.sleep(rng.uniform(0, 0.04))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    with os.fdopen(reader, "rb") as pipe:
        told += pipe.read()
    acknowledged = max([least, *(value for (value,) in struct.iter_unpack("<Q", told))])
    index = annx.load(path)
    there = len(index)
    # Nothing lost, nothing but what the last call was about, nothing in part.
    assert acknowledged <= there <= acknowledged + 3
    assert np.array_equal(np.sort(index.labels), np.arange(there))
    assert index.check().ok
    found = index.search(_row(there - 1), k=1, ef_search=64)
    assert found.labels[0, 0] == there - 1
    return acknowledged - least, there


def torture(folder: Path, turns: int, first: int = 0) -> dict[str, int]:
    """Kill so many times."""
    path = folder / "i.annx"
    saved = idle = 0
    fresh(path, 50)
    for turn in range(turns):
        done, there = kill_once(path, first + turn)
        saved += done > 0
        idle += done == 0
        if there > 1500:
            fresh(path, 50)
    return {"kills": turns, "after a save": saved, "before the first": idle}
