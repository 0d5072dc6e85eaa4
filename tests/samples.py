"""A small index state with every feature of the format, made by hand."""

from __future__ import annotations

import numpy as np

from annx import _format
from annx._backends.base import NO_LINK, SCALED, TREE_FLAG, Config, Level, State


def sample(metric="cosine", codec="f32", keep="", wide=False, edge_bits=0):
    """Six rows of which the last is a twin, on two levels."""
    config = Config(4, metric, codec, 2, 10, 99, keep, wide, edge_bits)
    elements = np.eye(6, 4, dtype=np.float32)
    elements[4:] = [0.6, 0.8, 0, 0]
    links = np.full((6, 4), NO_LINK, np.uint32)
    for row in range(5):
        ends = [node for node in (row - 1, row + 1) if 0 <= node < 5]
        links[row, : len(ends)] = np.array(ends, np.uint32) | TREE_FLAG
    originals = None
    if codec in SCALED:
        # What the rotation made of them plays no part in the checks.
        top = 119 if codec == "sq4" else 127
        codes = np.rint(elements * top).astype(np.int8)
        step = np.sqrt(2) / top if metric == "l2" else 1 / top
        factors = np.tile(np.array([1, step], np.float32).view(np.uint8), (6, 1))
        low = np.tile(np.array([0b10101010, 0, 0, 0], np.uint8), (6, 1))  # of nothing left over
        if codec == "sq4":
            u = np.full((6, 8), 136)
            u[:, :4] += codes
            planes = [half[:, ::2] | half[:, 1::2] << 4 for half in (u >> 4, u & 15)]
            high, next_bits = (plane.astype(np.uint8) for plane in planes)
            rows = np.hstack([high, factors, next_bits, low[:, : 0 if keep else 4]])
        else:
            rows = np.hstack([codes.view(np.uint8), low[:, : 4 * (codec == "sq10")], factors])
        norms = np.full(6, 2, np.float32) if config.has_norms else None
        if keep:
            dtype = np.float16 if keep == "f16" else np.float32
            originals = elements.astype(dtype).view(np.uint8)
            if keep == "f16" and metric == "cosine":
                scale = np.ones((6, 1), np.float32).view(np.uint8)
                originals = np.hstack([originals, scale])
    elif metric == "cosine" and codec == "f32":
        rows, norms = elements.view(np.uint8), np.full(6, 2, np.float32)
    elif codec == "i8":
        scaled = (elements * 5).astype(np.int8)
        scale = (1 / np.linalg.norm(scaled, axis=1)).astype(np.float32)
        rows, norms = np.hstack([scaled.view(np.uint8), scale[:, None].view(np.uint8)]), None
    else:
        rows, norms = elements.view(np.uint8), None
    levels = [
        Level(np.array([1, 3, 4], np.uint32), np.array([[1, 2], [0, 2], [1, 0]], np.uint32)),
        Level(np.array([2], np.uint32), np.array([[NO_LINK] * 2], np.uint32)),
    ]
    state = State(
        rows=rows.copy(),
        links=links,
        labels=np.array([5, 6, 7, 8, 9, -3]),
        norms=norms,
        twins=np.array([[5, 4]], np.uint32),
        levels=levels,
        originals=originals,
    )
    return config, state


def dump(config, state, ef_search=64):
    return _format.dumps(_format.Stored(config, ef_search, state))
