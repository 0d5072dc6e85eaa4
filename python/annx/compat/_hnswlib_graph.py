"""Between an index and what a file of hnswlib holds, links and levels included.

annx's graph differs in three ways. Its level 0 has a spanning tree of edges in both directions,
flagged; a row equal to another is no node but a twin of it; removed rows may still be nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx import _choose, _format, _validate, errors
from annx._backends import select
from annx._backends.base import (
    NO_LINK,
    OCCLUDED_FLAG,
    SLOT_MASK,
    TREE_FLAG,
    Config,
    Level,
    State,
)
from annx._check import check_state
from annx._progress import ignore
from annx.compat._hnswlib_errors import FormatError
from annx.compat._hnswlib_file import Content
from annx.compat._hnswlib_shared import MAX_EF
from annx.index import Index

_EF_SEARCH = 64
#: Share of elements that no walk comes to, beyond which a new graph is better than a mended one.
_LOST = 0.02


def unit_rows(vectors: NDArray[Any], space: str) -> NDArray[np.float32]:
    """Vectors as hnswlib stores them: of length 1 under cosine."""
    rows: NDArray[np.float32] = vectors.astype(np.float32, copy=False)
    if space != "cosine":
        return rows
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    return np.asarray(rows / norms[:, None], np.float32)


# --- From annx -----------------------------------------------------------------------------------


def _settled(index: Index) -> State:
    """An index's state, once what was removed has left its memory."""
    state = index._core.export_state()
    if (state.labels == -1).any():
        index.compact()
        state = index._core.export_state()
    return state


def levels_of(index: Index) -> list[int]:
    """Count the elements on each level of the file, from 0 up."""
    state = _settled(index)
    return [len(state.labels), *(len(level.down) for level in state.levels)]


def of_index(index: Index, deleted: list[int], max_elements: int) -> Content:
    """Make the content of a file."""
    state = _settled(index)
    n, M = len(state.labels), index.M
    links = _joined_twins(state, M)
    levels = np.zeros(n, np.int64)
    slots = np.arange(n)
    upper = []
    for number, level in enumerate(state.levels, 1):
        slots = slots[level.down]
        levels[slots] = number
        used = level.links != NO_LINK
        ends = slots[np.where(used, level.links, 0)].astype(np.uint32)
        upper.append((slots, used.sum(axis=1, dtype=np.uint32), ends))
    return Content(
        M=M,
        ef_construction=index.ef_construction,
        max_elements=max_elements,
        vectors=unit_rows(index.get(state.labels), index.metric),
        labels=state.labels,
        deleted=np.isin(state.labels, np.array(deleted, np.int64)),
        degrees=(links != NO_LINK).sum(axis=1, dtype=np.uint32),
        links=links,
        levels=levels,
        upper=upper,
        entry=int(slots[state.entry]) if n else 0,
    )


def _joined_twins(state: State, M: int) -> NDArray[np.uint32]:
    """Links of level 0 by slot, twins among them: each group hangs together as a binary tree."""
    links = np.where(state.links == NO_LINK, NO_LINK, state.links & SLOT_MASK)
    if not len(state.twins):
        return links
    order = np.argsort(state.twins[:, 1], kind="stable")
    slots, representatives = state.twins[order].T
    firsts = np.flatnonzero(np.r_[True, representatives[1:] != representatives[:-1]])
    for first, end in zip(firsts, np.r_[firsts[1:], len(slots)], strict=True):
        head = int(representatives[first])
        group = slots[first:end]
        around = links[head][links[head] != NO_LINK]
        for i, slot in enumerate(group):
            below = group[2 * i + 1 : 2 * i + 3]
            above = head if i == 0 else group[(i - 1) // 2]
            row = np.concatenate([[above], below, around[around != above]])[: 2 * M]
            links[slot, : len(row)] = row
        place = len(around)
        if place == 2 * M:
            # An edge that the tree does not need, an occluded one if there is one. The tree has
            # at most M + 1 of a row's 2 M.
            flags = state.links[head]
            place = int(
                np.argmax(((flags & TREE_FLAG) == 0) * (1 + ((flags & OCCLUDED_FLAG) != 0)))
            )
        links[head, place] = group[0]
    return links


# --- To annx -------------------------------------------------------------------------------------


def to_index(content: Content, space: str, keep_vectors: str) -> Index:
    """Make an index of a file's content, on the graph that is in it.

    Raises
    ------
    FormatError
        A vector is not finite, or zero under cosine.
    """
    settings: dict[str, Any] = {
        "keep_vectors": keep_vectors,
        "M": content.M,
        "ef_construction": min(content.ef_construction, MAX_EF),
    }
    n, dim = content.vectors.shape
    if n == 0:
        return Index(dim, space, **settings)
    index = _on_its_graph(content, space, settings)
    if index is None:
        # As hnswlib reads it, the last element of a label counts.
        last = n - 1 - np.unique(content.labels[::-1], return_index=True)[1]
        last.sort()
        index = Index(dim, space, **settings)
        index.add(content.vectors[last], content.labels[last])
    return index


def _on_its_graph(content: Content, space: str, settings: dict[str, Any]) -> Index | None:
    """None where the graph is not worth having."""
    n, dim = content.vectors.shape
    shape = Config(dim, space, "f32", content.M, settings["ef_construction"], 0)
    keep = settings["keep_vectors"]
    bad = select.create(shape).find_bad_row(content.vectors)
    try:
        _validate.refuse(bad)
    except errors.AnnxError as error:
        raise FormatError(f"element: {error}") from None
    if len(np.unique(content.labels)) < n:
        return None
    config = _choose.by_rows(shape, "auto", keep, content.vectors).config
    if not _choose.fits(config, content.vectors):  # float16 does not hold them
        config = _choose.by_rows(shape, "auto", "f32", content.vectors).config
    core = select.create(config)
    rows, originals, norms = core.encode(
        np.ascontiguousarray(content.vectors), _validate.threads(None, None, n)
    )
    twins = _twins(rows if originals is None else originals, content.levels)
    target = np.arange(n, dtype=np.uint32)
    target[twins[:, 0]] = twins[:, 1]
    is_twin = np.zeros(n, np.bool_)
    is_twin[twins[:, 0]] = True
    links = _clean(content.degrees, content.links, target, np.arange(n))
    links[is_twin] = NO_LINK
    entry = int(target[content.entry])
    reached = _plant(links, entry, content.M)
    if np.count_nonzero(~reached & ~is_twin) > _LOST * n:
        return None
    levels, top_entry = _numbered(content, target, is_twin, entry)
    state = State(rows, links, content.labels, norms, twins, levels, top_entry, originals)
    check_state(config, state)
    stored = _format.Stored(config, _EF_SEARCH, state, None, keep)
    index = Index._restore(stored, None)
    if not (reached | is_twin).all():
        index._core.repair(float("inf"), 1, ignore)
    return index


def _twins(rows: NDArray[np.uint8], levels: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Rows equal to another, and which: the one on the highest level, the first of several."""
    n = len(rows)
    words = np.ascontiguousarray(rows).view(np.uint32)
    factors = np.random.default_rng(0).integers(1, 1 << 63, words.shape[1], np.uint64) * 2 + 1
    sums = np.zeros(n, np.uint64)
    for column, factor in zip(words.T, factors, strict=True):
        sums += (column + np.uint64(1)) * factor
    order = np.lexsort((np.arange(n), -levels, sums))
    groups: list[tuple[int, int]] = []
    same = sums[order[1:]] == sums[order[:-1]]
    head = -1
    for place in np.flatnonzero(same):
        if place == 0 or not same[place - 1]:
            head = int(order[place])
        slot = int(order[place + 1])
        if np.array_equal(words[slot], words[head]):
            groups.append((slot, head))
    return np.array(sorted(groups), np.uint32).reshape(-1, 2)


def _clean(
    degrees: NDArray[np.uint32],
    links: NDArray[np.uint32],
    target: NDArray[np.uint32],
    own: NDArray[np.int64],
) -> NDArray[np.uint32]:
    """Links with `NO_LINK` after the last, twins replaced, and none twice or to the node itself."""
    used = np.arange(links.shape[1], dtype=np.uint32) < degrees[:, None]
    out = np.where(used, target[np.where(used, links, 0)], NO_LINK)
    ordered = np.sort(out, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_LINK)).any(axis=1)
    for row in np.flatnonzero(twice | (out == own[:, None]).any(axis=1)):
        kept = list(dict.fromkeys(out[row].tolist()))
        kept = [end for end in kept if end not in (own[row], NO_LINK)]
        out[row] = NO_LINK
        out[row, : len(kept)] = kept
    return out


def _plant(links: NDArray[np.uint32], entry: int, M: int) -> NDArray[np.bool_]:
    """Flag a spanning tree, breadth first, and return which rows it reaches.

    A tree edge is one from both ends; where the child had none back, it comes in the place of the
    child's first: hnswlib lists the farthest first. At most M children, as `Graph::plant_tree`.
    """
    reached = np.zeros(len(links), np.bool_)
    reached[entry] = True
    taken = np.zeros(len(links), np.int64)
    edge = np.array([entry])
    while len(edge):
        near = links[edge]
        known = (near == NO_LINK) | (taken[edge] == M)[:, None]
        known |= reached[np.where(known, 0, near & SLOT_MASK)]
        places, columns = np.nonzero(~known)
        children = near[places, columns]
        # The first to name a child is its parent, and the first M children of a parent stay.
        first = np.sort(np.unique(children, return_index=True)[1])
        children, places, columns = children[first], places[first], columns[first]
        rank = np.arange(len(places)) - np.searchsorted(places, places)
        stay = rank + taken[edge[places]] < M
        children, places, columns = children[stay], places[stay], columns[stay]
        parents = edge[places]
        np.add.at(taken, parents, 1)
        links[parents, columns] |= TREE_FLAG
        rows = links[children]
        back = rows == parents[:, None].astype(np.uint32)
        empty = rows == NO_LINK
        # Where there is neither, argmax gives 0.
        column = np.where(back.any(axis=1), back.argmax(axis=1), empty.argmax(axis=1))
        links[children, column] = parents.astype(np.uint32) | TREE_FLAG
        reached[children] = True
        # A child that its first parent had no room for may hang from another.
        again = len(children) > 0 and not stay.all()
        edge = np.concatenate([edge, children]) if again else children
    return reached


def _numbered(
    content: Content,
    target: NDArray[np.uint32],
    is_twin: NDArray[np.bool_],
    entry: int,
) -> tuple[list[Level], int]:
    """Upper levels with their nodes numbered by slot, and the entry point's number."""
    levels = []
    below = np.arange(len(target), dtype=np.uint32)
    for nodes, degrees, links in content.upper:
        stay = ~is_twin[nodes]
        nodes, degrees, links = nodes[stay], degrees[stay], links[stay]
        number = np.full(len(target), NO_LINK)
        number[nodes] = np.arange(len(nodes), dtype=np.uint32)
        ends = _clean(degrees, links, target, nodes)
        ends = np.where(ends == NO_LINK, NO_LINK, number[np.where(ends == NO_LINK, 0, ends)])
        levels.append(Level(below[nodes], ends))
        below = number
    return levels, int(below[entry])
