"""Files of any content, opened as users may: each is refused, or an index that answers."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np

import annx

#: Ways to open a file. What is mapped may be found wrong later.
WAYS = ({}, {"verify": "structure"}, {"mmap": True})


def queries_for(index: annx.Index) -> np.ndarray:
    """Two rows that the index takes."""
    if index.metric == "hamming":
        return np.ones((2, index.dim // 8), np.uint8)
    return np.ones((2, index.dim), {"i8": np.int8, "u8": np.uint8}.get(index.codec, np.float32))


def read(index: annx.Index) -> None:
    """Ask for what all can be asked for."""
    queries = queries_for(index)
    index.search(queries, k=3)
    index.exact_search(queries, k=3)
    index.search(queries, k=3, filter=annx.Filter(index, [0, 1]))
    index.get(index.labels)


def change(index: annx.Index) -> None:
    """Change it, and see to it that a save of it can be loaded."""
    with contextlib.suppress(annx.LabelError):  # none is left above the highest
        index.add(queries_for(index))
    index.remove(index.labels[:3])
    index.repair()
    try:
        annx.load(io.BytesIO(index.to_bytes()), verify="structure", num_threads=1)
    except annx.FormatError as error:
        raise AssertionError(f"saved what cannot be loaded: {error}") from error


def open_all_ways(data: bytes, path: Path) -> int:
    """Open a file that is written to `path`; return in how many ways it opened.

    Raises what no user may see.
    """
    path.write_bytes(data)
    annx.check_file(path, num_threads=1)
    opened = 0
    for options in WAYS:
        try:
            index = annx.load(path, num_threads=1, **options)
        except (annx.FormatError, annx.ReadOnlyError):
            continue
        opened += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if "mmap" in options:
                with contextlib.suppress(annx.FormatError, annx.LabelError):
                    read(index)
            else:
                read(index)
                change(index)
    return opened
