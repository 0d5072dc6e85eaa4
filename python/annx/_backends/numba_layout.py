"""The arrays that compiled functions work on, and how they grow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import GROWTH_RANKS, MAX_SEEDS, Config
from annx._backends.base import SCALED as SCALED_CODECS

#: What ``Store.metric`` says. Hamming needs no number: uint64 rows have no other
#: distance. Cosine over float32 is DOT, because its rows are unit vectors.
L2, DOT, SCALED = 0, 1, 2

#: Places in ``Graph.head``.
ROWS, UPPER, ENTRY, TOP, TWINS, TOP_LABEL, LIVE, DEAD, SEEDS = range(9)

#: The label of a slot whose row was removed. If it has links, the row is a dead node, which
#: searches pass through; otherwise the slot is free.
NO_LABEL = np.int64(-1)

#: Element types inside, by codec. They select the arithmetic; scaled codecs are told from i8
#: by their two-dimensional scales.
ROW_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.int16),
    "bf16": np.dtype(np.uint16),
    "i8": np.dtype(np.int8),
    "u8": np.dtype(np.uint8),
    "b1": np.dtype(np.uint64),
    "sq8": np.dtype(np.int8),
    "sq10": np.dtype(np.int8),
    "sq4": np.dtype(np.int8),
}

#: Element types that a row is decoded to before it is compared.
QUERY_DTYPES = ROW_DTYPES | {"f16": np.dtype(np.float32), "bf16": np.dtype(np.float32)}
#: Rows to be added until it is learned for the first time how distances grow.
FIRST_LEARNING = 1024


class Store(NamedTuple):
    """Rows by slot.

    Attributes
    ----------
    metric : int
    codes : int
        With scaled codecs the codes in a row, else 0.
    low : int
        With codes of 10 bits the place of the lower 2 in a row, else 0.
    rows : ndarray of shape (capacity, width), of ``ROW_DTYPES[codec]``
        With scaled codecs as in files, factors included; sq4 as sq8 or sq10.
    scales : ndarray of shape (capacity,) or (0,), float32
        ``1 / |row|`` (SCALED), or |row| before normalising (cosine with f32). With scaled
        codecs the memory of `rows`, as float32 of shape (capacity, width / 4), whose last
        two columns are the factors.
    labels : ndarray of shape (capacity,), int64
    """

    metric: int
    codes: int
    low: int
    rows: NDArray[Any]
    scales: NDArray[np.float32]
    labels: NDArray[np.int64]


class Graph(NamedTuple):
    """Links, all levels above 0 in one numbering.

    Attributes
    ----------
    head : ndarray of shape (9,), int64
        Slots, nodes above level 0, entry, top level (-1: empty), twins, highest label so
        far (-1 if none is above), rows with a label, dead nodes, seeds.
    links : ndarray of shape (capacity, 2 * M), uint32
    next_twin : ndarray of shape (capacity,), uint32
        0, or a slot plus 1: from a row to the last of its twins, from there to the
        first, and so on to the last. Zeros cost no memory until a page is written.
    twins : ndarray of shape (twin_capacity, 2), uint32
    upper_links : ndarray of shape (upper_capacity, M), uint32
    upper_down, upper_slot : ndarray of shape (upper_capacity,), uint32
    upper_level : ndarray of shape (upper_capacity,), uint8
    seeds : ndarray of shape (MAX_SEEDS,), uint32
        Slots where a search may begin.
    seeds_apart : ndarray of shape (1,), float32
        Distance of the two nearest of them; NaN if not known.
    growth : ndarray of shape (GROWTH_RANKS + 1,), float32
        See `State`.
    """

    head: NDArray[np.int64]
    links: NDArray[np.uint32]
    next_twin: NDArray[np.uint32]
    twins: NDArray[np.uint32]
    upper_links: NDArray[np.uint32]
    upper_down: NDArray[np.uint32]
    upper_slot: NDArray[np.uint32]
    upper_level: NDArray[np.uint8]
    seeds: NDArray[np.uint32]
    seeds_apart: NDArray[np.float32]
    growth: NDArray[np.float32]


class Scratch(NamedTuple):
    """What one running search or insertion writes to.

    Attributes
    ----------
    marks : ndarray of shape (capacity,), uint16
        A slot is visited if its mark equals ``epoch[0]``.
    epoch : ndarray of shape (1,), int64
    pool_dist, pool_node : ndarray of shape (ef,), float32 and uint32
        The beam, nearest first; the top bit of a node says that it was expanded.
    exact_dist, exact_node : ndarray of shape (ef,) or (0,), float32 and uint32
        The same, compared by all that is known of their rows.
    role : ndarray of shape (ef,), uint8
        What neighbour selection made of each candidate.
    batch_node, batch_slot, batch_dist, batch_other, batch_role : ndarray of shape (6 * M + 17,)
        One node's neighbours, and the same of them; or those behind its neighbours.
    path_slot, path_edge : ndarray of shape (64,), int64
        A way down the spanning tree.
    query : ndarray of shape (1, width)
    """

    marks: NDArray[np.uint16]
    epoch: NDArray[np.int64]
    pool_dist: NDArray[np.float32]
    pool_node: NDArray[np.uint32]
    exact_dist: NDArray[np.float32]
    exact_node: NDArray[np.uint32]
    role: NDArray[np.uint8]
    batch_node: NDArray[np.uint32]
    batch_slot: NDArray[np.uint32]
    batch_dist: NDArray[np.float32]
    batch_other: NDArray[np.float32]
    batch_role: NDArray[np.uint8]
    path_slot: NDArray[np.int64]
    path_edge: NDArray[np.int64]
    query: NDArray[Any]


def first_learning(slots: int) -> int:
    """Rows to be added until it is learned how distances grow, if as many were as are slots."""
    return max(0, FIRST_LEARNING - slots)


def metric_code(config: Config) -> int:
    """What ``Store.metric`` is for an index."""
    if config.metric == "l2":
        return L2
    return SCALED if config.has_scale else DOT


def kept_config(config: Config) -> Config:
    """Configuration of the rows that `get` and `exact_search` read, as rows of their own."""
    return replace(config, codec=config.keep, keep="") if config.keep else config


def is_scaled(config: Config) -> bool:
    """Whether rows are codes with a scale for each."""
    return config.codec in SCALED_CODECS


def ranks_again(config: Config) -> bool:
    """Whether hits of a walk are compared again, by more than the walk reads."""
    return bool(config.keep) or config.codec in ("sq10", "sq4")


def byte_config(config: Config) -> Config:
    """Configuration whose rows in a file are those inside: sq4 with a byte for each code."""
    if config.codec != "sq4":
        return config
    return replace(config, codec="sq8" if config.keep else "sq10")


def width(config: Config) -> int:
    """Elements of a row inside: bits are padded to whole 64-bit words."""
    if is_scaled(config):
        return byte_config(config).row_stride
    return (config.columns + 7) // 8 if config.codec == "b1" else config.columns


def new_store(config: Config) -> Store:
    """Make a store without rows."""
    rows = np.empty((0, width(config)), ROW_DTYPES[config.codec])
    scales = rows.view(np.float32) if is_scaled(config) else np.empty(0, np.float32)
    codes = config.dim if is_scaled(config) else 0
    low = (config.dim + 3) // 4 * 4 if byte_config(config).codec == "sq10" else 0
    return Store(metric_code(config), codes, low, rows, scales, np.empty(0, np.int64))


def new_graph(config: Config) -> Graph:
    """Make a graph without nodes."""
    return Graph(
        np.array([0, 0, 0, -1, 0, -1, 0, 0, 0], np.int64),
        np.empty((0, 2 * config.M), np.uint32),
        np.empty(0, np.uint32),
        np.empty((0, 2), np.uint32),
        np.empty((0, config.M), np.uint32),
        np.empty(0, np.uint32),
        np.empty(0, np.uint32),
        np.empty(0, np.uint8),
        np.zeros(MAX_SEEDS, np.uint32),
        np.full(1, np.nan, np.float32),
        np.array([first_learning(0), *[0] * GROWTH_RANKS], np.float32),
    )


def new_scratch(config: Config, capacity: int, ef: int) -> Scratch:
    """Make scratch for `capacity` slots and beams up to `ef`."""
    batch = 6 * config.M + 17
    exact = ef if ranks_again(config) else 0
    return Scratch(
        np.zeros(capacity, np.uint16),
        np.zeros(1, np.int64),
        np.empty(ef, np.float32),
        np.empty(ef, np.uint32),
        np.empty(exact, np.float32),
        np.empty(exact, np.uint32),
        np.empty(ef, np.uint8),
        np.empty(batch, np.uint32),
        np.empty(batch, np.uint32),
        np.empty(batch, np.float32),
        np.empty(batch, np.float32),
        np.empty(batch, np.uint8),
        np.empty(64, np.int64),
        np.empty(64, np.int64),
        np.empty((1, width(config)), QUERY_DTYPES[config.codec]),
    )


def _grown(array: NDArray[Any], used: int, capacity: int) -> NDArray[Any]:
    made = np.empty((capacity, *array.shape[1:]), array.dtype)
    made[:used] = array[:used]
    return made


def grown_store(config: Config, store: Store, used: int, capacity: int) -> Store:
    """Copy a store into arrays for `capacity` rows."""
    rows = _grown(store.rows, used, capacity)
    scales = store.scales
    if is_scaled(config):
        scales = rows.view(np.float32)
    elif config.metric == "cosine":
        scales = _grown(scales, used, capacity)
    labels = _grown(store.labels, used, capacity)
    return store._replace(rows=rows, scales=scales, labels=labels)


def grown_graph(graph: Graph, capacity: int) -> Graph:
    """Copy a graph into arrays for `capacity` slots."""
    used = int(graph.head[ROWS])
    next_twin = np.zeros(capacity, np.uint32)
    if graph.head[TWINS]:
        next_twin[:used] = graph.next_twin[:used]
    return graph._replace(links=_grown(graph.links, used, capacity), next_twin=next_twin)


def grown_upper(graph: Graph, capacity: int) -> Graph:
    """Copy a graph's upper levels into arrays for `capacity` nodes."""
    used = int(graph.head[UPPER])
    return graph._replace(
        upper_links=_grown(graph.upper_links, used, capacity),
        upper_down=_grown(graph.upper_down, used, capacity),
        upper_slot=_grown(graph.upper_slot, used, capacity),
        upper_level=_grown(graph.upper_level, used, capacity),
    )


def grown_twins(graph: Graph, capacity: int) -> Graph:
    """Copy a graph's twins into an array for `capacity` of them."""
    return graph._replace(twins=_grown(graph.twins, int(graph.head[TWINS]), capacity))
