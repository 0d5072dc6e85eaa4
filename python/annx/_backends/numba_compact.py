"""A state without the slots that hold nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK, SLOT_MASK, Level, State
from annx._backends.numba_layout import NO_LABEL


def squeezed(state: State) -> State:
    """Number the slots anew, in the same order; there are no dead rows."""
    left = state.labels != NO_LABEL
    renamed = np.cumsum(left, dtype=np.uint32) - np.uint32(1)

    def shifted(array: NDArray[Any] | None) -> Any:
        return None if array is None else array[left]

    links = state.links[left]
    used = links != NO_LINK
    links[used] = renamed[links[used] & SLOT_MASK] | (links[used] & ~SLOT_MASK)
    levels = list(state.levels)
    entry = state.entry
    if levels:
        levels[0] = Level(renamed[levels[0].down], levels[0].links)
    elif len(links):
        entry = int(renamed[entry])
    return replace(
        state,
        rows=state.rows[left],
        links=links,
        labels=state.labels[left],
        norms=shifted(state.norms),
        twins=renamed[state.twins].reshape(-1, 2),
        levels=levels,
        entry=entry,
        originals=shifted(state.originals),
        seeds=renamed[state.seeds],
    )
