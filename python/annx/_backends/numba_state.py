"""Between a core's arrays and the `State` that files store."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, STORAGE_DTYPES, Config, Level, State
from annx._backends.numba_build import chain_twins
from annx._backends.numba_layout import (
    ENTRY,
    NO_LABEL,
    ROWS,
    SEEDS,
    TOP,
    TWINS,
    UPPER,
    Graph,
    Store,
    first_learning,
    grown_graph,
    grown_store,
    grown_twins,
    grown_upper,
    is_scaled,
    kept_config,
    new_graph,
    new_store,
)
from annx._backends.numba_planes import from_planes, to_planes


def _elements(config: Config, array: NDArray[Any]) -> NDArray[np.uint8]:
    """View rows of the inside as the bytes of their elements, scaled ones as all bytes."""
    if is_scaled(config):
        return array.view(np.uint8)
    size = config.columns * STORAGE_DTYPES[config.codec].itemsize
    return array.view(np.uint8)[:, :size]


def outer_rows(config: Config, array: NDArray[Any]) -> NDArray[Any]:
    """Rows as the public side has them: halves as float16, bits as bytes."""
    if config.codec == "b1":
        return np.ascontiguousarray(_elements(config, array))
    return array.view(STORAGE_DTYPES[config.codec])


def inner_rows(config: Config, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows as kernels have them; a view where the widths agree."""
    if config.input_codec == "f16":
        return rows.view(np.int16)
    if config.codec != "b1":
        return rows
    words = np.zeros((len(rows), (config.columns + 7) // 8), np.uint64)
    _elements(config, words)[:] = rows
    return words


def _upper_levels(graph: Graph) -> tuple[list[Level], int]:
    """Upper levels with their nodes numbered by slot, and the entry point's number."""
    head = graph.head
    used, top = int(head[UPPER]), int(head[TOP])
    number = np.empty(used, np.uint32)
    levels: list[Level] = []
    for level in range(1, top + 1):
        nodes = np.flatnonzero(graph.upper_level[:used] == level)
        nodes = nodes[np.argsort(graph.upper_slot[nodes])]
        number[nodes] = np.arange(len(nodes), dtype=np.uint32)
        down = graph.upper_down[nodes]
        links = graph.upper_links[nodes]
        used_links = links != NO_LINK
        links[used_links] = number[links[used_links]]
        levels.append(Level(down if level == 1 else number[down], links))
    entry = int(head[ENTRY])
    return levels, int(number[entry]) if top > 0 else entry


def _stored_rows(config: Config, store: Store, n: int) -> NDArray[np.uint8]:
    if config.codec == "sq4":
        return to_planes(config, store.rows[:n])
    rows = np.zeros((n, config.row_stride), np.uint8)
    elements = _elements(config, store.rows[:n])
    rows[:, : elements.shape[1]] = elements
    if config.has_scale:
        rows[:, -4:] = store.scales[:n].view(np.uint8).reshape(n, 4)
    return rows


def _inner_store(
    config: Config, rows: NDArray[np.uint8], norms: NDArray[np.float32] | None
) -> Store:
    n = len(rows)
    store = grown_store(config, new_store(config), 0, n)
    if config.codec == "sq4":
        from_planes(config, rows, store.rows)
        return store
    if config.codec == "b1":
        store.rows[:] = 0
    elements = _elements(config, store.rows)
    elements[:] = rows[:, : elements.shape[1]]
    if config.has_scale:
        store.scales.view(np.uint8).reshape(n, 4)[:] = rows[:, -4:]
    elif norms is not None:
        store.scales[:] = norms
    return store


def stored_arrays(
    config: Config, store: Store, originals: Store | None, n: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.float32] | None]:
    """Copy ``rows``, ``originals`` and ``norms`` of a `State`."""
    rows = _stored_rows(config, store, n)
    norms = (originals or store).scales[:n].copy() if config.has_norms else None
    if originals is None:
        return rows, None, norms
    return rows, _stored_rows(kept_config(config), originals, n), norms


def export_state(config: Config, store: Store, originals: Store | None, graph: Graph) -> State:
    """Copy everything into the arrays of a file."""
    n = int(graph.head[ROWS])
    levels, entry = _upper_levels(graph)
    twins = graph.twins[: int(graph.head[TWINS])]
    rows, kept, norms = stored_arrays(config, store, originals, n)
    state = State(
        rows=rows,
        links=graph.links[:n].copy(),
        labels=store.labels[:n].copy(),
        norms=norms,
        twins=twins[np.argsort(twins[:, 0])],
        levels=levels,
        entry=entry,
        originals=kept,
        seeds=graph.seeds[: int(graph.head[SEEDS])].copy(),
        growth=_growth(graph, n),
    )
    free = (state.labels == NO_LABEL) & (state.links[:, 0] == NO_LINK)
    if free.any():
        # What is left there of a removed row, or being made of a new one, is nobody's.
        for part in (state.rows, state.norms, state.originals):
            if part is not None:
                part[free] = 0
    return state


def _growth(graph: Graph, n: int) -> NDArray[np.float32]:
    """What is known of it; nothing if that follows from the number of rows."""
    if graph.growth[1:].any() or graph.growth[0] != first_learning(n):
        return graph.growth.copy()
    return np.empty(0, np.float32)


def _same_store(
    config: Config,
    rows: NDArray[np.uint8],
    norms: NDArray[np.float32] | None,
    labels: NDArray[np.int64],
) -> Store:
    """Rows of a file where they are, or a copy of those that are not as inside."""
    store = new_store(config)
    inside = rows.view(store.rows.dtype) if rows.shape[1] % store.rows.dtype.itemsize == 0 else None
    other = config.has_scale or config.codec == "sq4"
    if inside is None or other or inside.shape[1] != store.rows.shape[1]:
        store = _inner_store(config, rows, norms)
    else:
        scales = inside.view(np.float32) if is_scaled(config) else norms
        store = store._replace(rows=inside, scales=store.scales if scales is None else scales)
    return store._replace(labels=labels)


def map_state(
    config: Config, state: State, removed: NDArray[np.uint32]
) -> tuple[Store, Store | None, Graph]:
    """Make the arrays of a core of those that are mapped from a file, unverified as yet."""
    n = len(state.rows)
    originals = None
    if state.originals is not None:
        kept = kept_config(config)
        originals = _same_store(kept, state.originals, state.norms, state.labels)
    norms = None if config.keep else state.norms
    store = _same_store(config, state.rows, norms, state.labels)
    graph = new_graph(config)._replace(links=state.links, next_twin=np.zeros(n, np.uint32))
    graph = _with_room(graph, state)
    chain_twins(graph, np.array(state.twins, np.uint32))
    dead = int(np.count_nonzero(removed >> np.uint32(31) == 0))
    _enter_rest(graph, state, -1, (n - len(removed), dead))
    return store, originals, graph


def import_state(config: Config, state: State) -> tuple[Store, Store | None, Graph]:
    """Make the arrays of a core from those of a file."""
    n = len(state.rows)
    originals = None
    if state.originals is not None:
        originals = _inner_store(kept_config(config), state.originals, state.norms)
    store = _inner_store(config, state.rows, None if config.keep else state.norms)
    store.labels[:] = state.labels

    graph = grown_graph(new_graph(config), n)
    graph.links[:] = state.links
    graph = _with_room(graph, state)
    chain_twins(graph, np.array(state.twins, np.uint32))
    top_label = max(-1, int(store.labels.max(initial=-1)))
    removed = state.labels == NO_LABEL
    dead = int(np.count_nonzero(removed & (state.links[:, 0] != NO_LINK)))
    _enter_rest(graph, state, top_label, (n - int(np.count_nonzero(removed)), dead))
    return store, originals, graph


def _with_room(graph: Graph, state: State) -> Graph:
    graph = grown_twins(graph, len(state.twins))
    return grown_upper(graph, sum(len(level.down) for level in state.levels))


def _enter_rest(graph: Graph, state: State, top_label: int, counts: tuple[int, int]) -> None:
    """Enter levels and numbers. `counts`: rows with a label, dead nodes."""
    n = len(state.rows)
    start = before = 0
    slots = np.arange(n, dtype=np.uint32)
    for number, level in enumerate(state.levels, 1):
        stop = start + len(level.down)
        slots = slots[level.down]
        graph.upper_slot[start:stop] = slots
        graph.upper_down[start:stop] = level.down + np.uint32(before)
        graph.upper_level[start:stop] = number
        links = graph.upper_links[start:stop]
        links[:] = level.links
        links[links != NO_LINK] += np.uint32(start)
        before, start = start, stop
    top = len(state.levels) if n else -1
    # The top level's nodes come last, so its numbers count on from `before`.
    graph.head[:SEEDS] = (n, start, state.entry + before, top, len(state.twins), top_label, *counts)
    graph.head[SEEDS] = len(state.seeds)
    graph.seeds[: len(state.seeds)] = state.seeds
    graph.growth[0] = first_learning(n)
    if len(state.growth):
        graph.growth[:] = state.growth
