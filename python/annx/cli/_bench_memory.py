"""Resident memory of an index, as the operating system sees it.

Each index is built in a process of its own: freed memory of an earlier one, which the
allocator keeps, would otherwise hide the growth.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.cli._bench_engines import Spec, as_input, dimension, make


def resident() -> int | None:
    """Bytes of this process in memory; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _settle() -> None:
    gc.collect()
    try:
        # glibc keeps freed blocks; hand them back, or they count as the index's.
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass


def _child(spec: Spec, path: str, threads: int, answer: Connection) -> None:
    base = np.load(path)
    warm = make(spec, dimension(spec, base))
    warm.build(base[:64], threads)
    warm.search(base[:8], 1)
    del warm
    _settle()
    before = resident()
    engine = make(spec, dimension(spec, base))
    engine.build(base, threads)
    engine.search(base[:64], 10)
    _settle()
    after = resident()
    answer.send(None if before is None or after is None else after - before)
    answer.close()


def index_bytes(spec: Spec, base: NDArray[Any], threads: int) -> int | None:
    """Growth of a fresh process by building and searching one index.

    Parameters
    ----------
    spec : Spec
    base : ndarray of shape (n, d)
    threads : int
        For the build.

    Returns
    -------
    int or None
        Bytes, without the input rows; None where they cannot be measured.
    """
    if resident() is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "base.npy")
        np.save(path, as_input(spec, base))
        # Not fork: the child would inherit the indexes that this process holds.
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(spec, path, threads, theirs))
        child.start()
        theirs.close()
        try:
            result: int | None = mine.recv()
        except EOFError:
            result = None
        finally:
            mine.close()
            child.join()
    return result
