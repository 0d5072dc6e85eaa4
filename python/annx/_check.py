"""Is this state one that an engine may trust? Checked before native code sees it.

A checksum finds accidents; these checks find what a hostile or faulty writer could
have put in: numbers out of range and structures that contradict each other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends import select
from annx._backends.base import (
    GROWTH_RANKS,
    MAX_SEEDS,
    NO_LINK,
    SCALED,
    SLOT_MASK,
    STORAGE_DTYPES,
    TREE_FLAG,
    Config,
    Level,
    State,
)
from annx.errors import FormatError

#: Elements looked at together, so that temporaries stay within a few megabytes.
_BLOCK = 1 << 18
#: How far a stored norm may be from the row's own: 65536 float32 terms in 8 lanes err by 5e-4.
_NORM_TOLERANCE = 1e-3
#: Squares beneath this lose digits in float32 and say nothing about the norm.
_TINY_SQUARE = 1e-30
#: What stands for 0 in the two planes of sq4 together; no code is 0 to 16 there.
_SQ4_ZERO = 136
#: Beneath a quarter of float32's range for |row|^2 no distance overflows. The sum may err a little.
_LARGEST_SQUARE = float(np.finfo(np.float32).max) / 4 * (1 + _NORM_TOLERANCE)


def check_state(
    config: Config, state: State, *, spanning: bool = False, num_threads: int | None = None
) -> None:
    """Refuse a state that is not whole.

    Parameters
    ----------
    config : Config
    state : State
        Arrays of the right types and shapes.
    spanning : bool
        Whether the tree of level 0 must lead to every row. No engine relies on that, and
        `Index.repair` mends it.
    num_threads : int, optional
        All cores by default.

    Raises
    ------
    FormatError
        Says which part is wrong, and where.
    """
    if select.backend().name == "native":
        from annx._backends import native

        native.check_state(config, state, spanning, num_threads or os.cpu_count() or 1)
    else:
        check_arrays(config, state, spanning)


def check_arrays(config: Config, state: State, spanning: bool) -> None:
    """Do the same in NumPy."""
    n = len(state.rows)
    removed = check_labels(state.labels)
    free = removed & (state.links[:, 0] == NO_LINK)
    _check_rows(config, state, free)
    is_twin = _check_twins(config, state)
    _refuse(is_twin & removed, 0, "row", "a removed row is a twin")
    if len(state.twins):
        _refuse(removed[state.twins[:, 1]], 0, "twin", "its representative was removed")
    outside = is_twin | free
    _check_level0(state.links, outside)
    _check_two_way(state.links)
    size = n
    for number, level in enumerate(state.levels, 1):
        _check_upper(number, level, size, outside if number == 1 else None)
        size = len(level.down)
    if state.entry >= max(size, 1):
        raise FormatError(f"entry: expected less than {size}, got {state.entry}")
    if n and not state.levels and outside[state.entry]:
        raise FormatError(f"entry: row {state.entry} is not in the graph")
    _check_growth(state.growth)
    _check_seeds(state.seeds, n)
    _refuse(outside[state.seeds], 0, "seed", "not in the graph")
    _check_tree(state.links, ~(is_twin | removed) if spanning else None)


def check_places(state: State, removed: NDArray[np.uint32]) -> None:
    """Refuse levels, twins and removed rows that lead out of the arrays of a state.

    Parameters
    ----------
    state : State
    removed : ndarray of uint32
        Slots of removed rows; bit 31 is a flag.

    Raises
    ------
    FormatError
    """
    n = size = len(state.labels)
    gone = removed & np.uint32(0x7FFFFFFF)
    _refuse(gone >= n, 0, "removed", "row out of range")
    _refuse(gone[1:] <= gone[:-1], 1, "removed", "not in order")
    if n and len(gone) == n:
        raise FormatError("labels: expected a row that was not removed, or none at all")
    _refuse(state.twins >= n, 0, "twin", "out of range")
    slots, originals = state.twins.T
    _refuse(slots[1:] <= slots[:-1], 1, "twin", "not in order")
    _refuse(np.isin(originals, slots), 0, "twin", "its representative is a twin")
    _refuse(np.isin(state.twins, gone), 0, "twin", "it or its representative was removed")
    for number, level in enumerate(state.levels, 1):
        _check_down(number, level, size, None)
        size = len(level.down)
    if state.entry >= max(size, 1):
        raise FormatError(f"entry: expected less than {size}, got {state.entry}")
    _check_growth(state.growth)
    _check_seeds(state.seeds, n)
    free = gone[removed != gone]
    _refuse(np.isin(state.seeds, free), 0, "seed", "not in the graph")
    _refuse(np.isin(state.seeds, slots), 0, "seed", "not in the graph")


def _check_growth(growth: NDArray[np.float32]) -> None:
    if not len(growth):
        return
    if len(growth) != GROWTH_RANKS + 1:
        raise FormatError(f"growth: expected {GROWTH_RANKS + 1} values, got {len(growth)}")
    distances = growth[1:]
    # A comparison with NaN is false.
    rises = distances[0] > 0 and (distances[1:] >= distances[:-1]).all()
    if not (
        0 <= growth[0] <= 1 << 24
        and (not distances.any() or (rises and np.isfinite(distances[-1])))
    ):
        raise FormatError("growth: a value is out of range")


def _check_seeds(seeds: NDArray[np.uint32], n: int) -> None:
    if len(seeds) > MAX_SEEDS:
        raise FormatError(f"seeds: expected at most {MAX_SEEDS}, got {len(seeds)}")
    _refuse(seeds >= n, 0, "seed", "out of range")
    first = np.unique(seeds, return_index=True)[1]
    _refuse(~np.isin(np.arange(len(seeds)), first), 0, "seed", "appears twice")


def check_ends(state: State) -> None:
    """Refuse links that lead out of the arrays of a state.

    Raises
    ------
    FormatError
    """
    for first, block in _blocks(state.links):
        far = (block != NO_LINK) & ((block & SLOT_MASK) >= len(state.labels))
        _refuse(far, first, "links of row", "a link is out of range")
    for number, level in enumerate(state.levels, 1):
        far = (level.links != NO_LINK) & (level.links >= len(level.down))
        _refuse(far, 0, f"level {number}, node", "a link is out of range")


def _blocks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _BLOCK // max(1, array.shape[1]))
    for first in range(0, len(array), step):
        yield first, array[first : first + step]


def _refuse(bad: NDArray[np.bool_], first: int, part: str, what: str) -> None:
    """Raise for the first row of `bad` that holds a True, if any; row 0 is `first`."""
    if bad.any():
        row = int(np.argmax(bad)) // math.prod(bad.shape[1:])
        raise FormatError(f"{part} {first + row}: {what}")


def check_labels(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows were removed.

    Raises
    ------
    FormatError
        All were, or a label comes twice.
    """
    removed: NDArray[np.bool_] = labels == -1
    if len(labels) and removed.all():
        raise FormatError("labels: expected a row that was not removed, or none at all")
    ordered = np.sort(labels[~removed])
    twice = ordered[1:] == ordered[:-1]
    if twice.any():
        raise FormatError(f"label {ordered[np.argmax(twice)]} appears twice")
    return removed


# Damaged rows may hold anything, even signalling NaN.
@np.errstate(invalid="ignore", over="ignore")
def _check_rows(config: Config, state: State, free: NDArray[np.bool_]) -> None:
    if config.codec in SCALED:
        _check_codes(config, state.rows, free)
    else:
        _check_elements(config, config.codec, state.rows, config.has_norms, "row", free)
    if state.originals is not None:
        part = "original of row"
        _check_elements(config, config.keep, state.originals, config.has_norms, part, free)
    if state.norms is not None:
        bad = ~(np.isfinite(state.norms) & (state.norms > 0))
        _refuse(bad & ~free, 0, "row", "norm is not positive")
        _refuse((state.norms != 0) & free, 0, "row", "a free slot has a norm")


def _check_elements(
    config: Config,
    codec: str,
    rows: NDArray[np.uint8],
    unit: bool,
    part: str,
    free: NDArray[np.bool_],
) -> None:
    dtype = STORAGE_DTYPES[codec]
    size = config.columns * dtype.itemsize
    has_scale = config.metric == "cosine" and codec != "f32"
    scale_at = rows.shape[1] - 4 * has_scale
    for first, block in _blocks(rows):
        used = ~free[first : first + len(block)]
        _refuse((block != 0) & ~used[:, None], first, part, "a free slot is not zero")
        _refuse(block[:, size:scale_at] != 0, first, part, "padding is not zero")
        if codec == "b1":
            continue
        values = np.ascontiguousarray(block[:, :size]).view(dtype)
        if codec == "bf16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        values = values.astype(np.float32, copy=False)
        squares = np.einsum("ij,ij->i", values, values)
        _refuse(~(squares <= _LARGEST_SQUARE), first, part, "not finite, or too long")
        if has_scale:
            scales = np.ascontiguousarray(block[:, scale_at:]).view(np.float32)[:, 0]
            bad = ~(np.isfinite(scales) & (scales > 0)) & used
            _refuse(bad, first, part, "scale is not positive")
            _check_unit(squares * scales * scales, squares, first, part)
        elif unit:
            _check_unit(squares, used.astype(np.float32), first, part)


def _check_unit(
    squares: NDArray[np.float32], raw_squares: NDArray[np.float32], first: int, part: str
) -> None:
    wrong = ~(np.abs(squares - 1) <= _NORM_TOLERANCE) & (raw_squares > _TINY_SQUARE)
    _refuse(wrong, first, part, "its norm and its elements disagree")


def _parts(
    config: Config, block: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Codes of 8 bits with those past the end, factors, and the bytes of the lower bits."""
    if config.codec != "sq4":
        padded = (config.dim + 3) // 4 * 4
        codes = block[:, :padded].view(np.int8).astype(np.float32)
        return codes, block[:, -8:], block[:, padded:-8]
    high, factors, low, lower = np.split(block, np.cumsum([config.plane, 8, config.plane]), axis=1)
    halves = np.array([0, 4], np.uint8)
    codes = (high[:, :, None] >> halves & 15) * np.float32(16) + (low[:, :, None] >> halves & 15)
    return codes.reshape(len(block), -1) - _SQ4_ZERO, factors, lower


def _check_codes(config: Config, rows: NDArray[np.uint8], free: NDArray[np.bool_]) -> None:
    for first, block in _blocks(rows):
        used = ~free[first : first + len(block)]
        _refuse((block != 0) & ~used[:, None], first, "row", "a free slot is not zero")
        values, bytes_of_factors, lower = _parts(config, block)
        past_end = values[:, config.dim :] != 0
        _refuse(past_end & used[:, None], first, "row", "padding is not zero")
        factors = np.ascontiguousarray(bytes_of_factors).view(np.float32).astype(np.float64)
        lengths, steps = factors.T
        fine = np.isfinite(factors).all(axis=1) & (lengths >= 0) & (steps > 0)
        _refuse(~fine & used, first, "row", "length or step is not finite and positive")
        values = values[:, : config.dim]
        if config.codec == "sq4":
            outside = (values <= -_SQ4_ZERO + 16) & used[:, None]
            _refuse(outside, first, "row", "a code is out of range")
        if lower.shape[1]:
            low = (lower[:, :, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
            low = low.reshape(len(block), -1)
            _refuse(low[:, config.dim :] != 0, first, "row", "padding is not zero")
            values += (low[:, : config.dim].astype(np.float32) - 2) / 4
        coded = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
        if config.metric == "l2":
            lengths, steps = np.sqrt(lengths), steps / math.sqrt(2)
        elif config.metric == "cosine":
            _refuse((lengths == 0) & used, first, "row", "zero under cosine")
            lengths = np.ones(len(block))
        # Each coordinate is within half a step of its code.
        bound = steps * math.sqrt(config.dim) / 2 + _NORM_TOLERANCE * lengths
        wrong = ~(np.abs(steps * coded - lengths) <= bound + math.sqrt(_TINY_SQUARE))
        _refuse(wrong & used, first, "row", "its length and its codes disagree")
        _refuse(lengths * lengths > _LARGEST_SQUARE, first, "row", "not finite, or too long")


def _check_twins(config: Config, state: State) -> NDArray[np.bool_]:
    """Return which rows are twins."""
    n = len(state.rows)
    is_twin = np.zeros(n, np.bool_)
    if not len(state.twins):
        return is_twin
    slots, originals = state.twins.T
    _refuse(slots >= n, 0, "twin", "row out of range")
    _refuse(originals >= n, 0, "twin", "its representative is out of range")
    _refuse(slots[1:] <= slots[:-1], 1, "twin", "not in order")
    is_twin[slots] = True
    _refuse(is_twin[originals], 0, "twin", "its representative is a twin")
    kept = state.rows if state.originals is None else state.originals
    # Without the scale, whose last digit depends on who computed it; that of codes says
    # how far the row is from those with equal codes.
    size = config.columns * STORAGE_DTYPES[config.kept_codec].itemsize
    elements = kept if config.kept_codec in SCALED else kept[:, :size]
    step = max(1, _BLOCK // elements.shape[1])
    for first in range(0, len(slots), step):
        part = slice(first, first + step)
        unequal = elements[slots[part]] != elements[originals[part]]
        _refuse(unequal, first, "twin", "differs from its representative")
    return is_twin


def _check_links(
    links: NDArray[np.uint32],
    used: NDArray[np.bool_],
    nodes: NDArray[np.uint32],
    first: int,
    n: int,
    part: str,
) -> None:
    """Check what holds on every level; `nodes` are the links without flags."""
    own = np.arange(first, first + len(links), dtype=np.uint32)[:, None]
    _refuse(used[:, 1:] & ~used[:, :-1], first, part, "a link follows padding")
    _refuse(used & (nodes >= n), first, part, "a link is out of range")
    _refuse(used & (nodes == own), first, part, "a link to itself")
    # Padding sorts last and, being unlike any node, equals only itself.
    ordered = np.sort(np.where(used, nodes, NO_LINK), axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_LINK)
    _refuse(twice, first, part, "the same link twice")


def _check_level0(links: NDArray[np.uint32], is_twin: NDArray[np.bool_]) -> None:
    n = len(links)
    for first, block in _blocks(links):
        used = block != NO_LINK
        nodes = block & SLOT_MASK
        _check_links(block, used, nodes, first, n, "links of row")
        linked = is_twin[np.where(used, nodes, 0)] & used
        _refuse(linked, first, "links of row", "a link to a twin or a free slot")
        lone = is_twin[first : first + len(block)]
        _refuse(used & lone[:, None], first, "links of row", "a twin has links")


def _check_two_way(links: NDArray[np.uint32]) -> None:
    """Every tree edge must be one from both of its ends."""
    parts = [np.empty(0, np.uint64)]
    for first, block in _blocks(links):
        rows, columns = np.nonzero((block != NO_LINK) & ((block & TREE_FLAG) != 0))
        ends = (block[rows, columns] & SLOT_MASK).astype(np.uint64)
        parts.append((rows.astype(np.uint64) + np.uint64(first)) << np.uint64(32) | ends)
    edges = np.sort(np.concatenate(parts))
    back = np.sort(edges << np.uint64(32) | edges >> np.uint64(32))
    if not np.array_equal(edges, back):
        wrong = edges[np.argmax(edges != back)]
        raise FormatError(f"links of row {wrong >> np.uint64(32)}: a tree edge leads one way only")


def components(n: int, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int64]:
    """Find the least of the nodes that each of `n` is connected with by edges from a to b."""
    least = np.arange(n)
    while True:
        one, other = least[a], least[b]
        if np.array_equal(one, other):
            return least
        np.minimum.at(least, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(least, least[least]):
            least = least[least]


def _check_tree(links: NDArray[np.uint32], alive: NDArray[np.bool_] | None) -> None:
    """Tree edges form no ring, so that whoever looks for room in a tree finds some.

    They lead to all of `alive`, if given.
    """
    tree = (links != NO_LINK) & ((links & TREE_FLAG) != 0)
    starts, columns = np.nonzero(tree)
    roots = components(len(links), starts, links[starts, columns] & SLOT_MASK)
    # A tree has one edge less than nodes; each edge is here from both of its ends.
    if len(starts) // 2 != len(links) - len(np.unique(roots)):
        raise FormatError("links: tree edges form a ring")
    if alive is not None and alive.any():
        lost = alive & (roots != roots[np.argmax(alive)])
        _refuse(lost, 0, "links of row", "cut off: no tree edges lead there")


def _check_down(number: int, level: Level, below: int, is_twin: NDArray[np.bool_] | None) -> None:
    part = f"level {number}, node"
    n = len(level.down)
    if not 0 < n <= below:
        raise FormatError(f"level {number}: expected 1 to {below} nodes, got {n}")
    _refuse(level.down[1:] <= level.down[:-1], 1, part, "nodes are not in order")
    _refuse(level.down >= below, 0, part, "no such node on the level below")
    if is_twin is not None:
        _refuse(is_twin[level.down], 0, part, "a twin is in the graph")


def _check_upper(number: int, level: Level, below: int, is_twin: NDArray[np.bool_] | None) -> None:
    _check_down(number, level, below, is_twin)
    n = len(level.down)
    for first, block in _blocks(level.links):
        _check_links(block, block != NO_LINK, block, first, n, f"level {number}, node")
