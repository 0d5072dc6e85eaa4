"""The part of the engine that learns how distances grow; see ``cpp/graph/growth.h``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import GROWTH_RANKS
from annx._backends.numba_growth import WIDEST, median_profile, profile_block
from annx._backends.numba_layout import FIRST_LEARNING, NO_LABEL, TWINS
from annx._backends.numba_parts import Parts

#: Rows that it is learned from.
_SAMPLE = 64
#: Rows to be added until it is learned anew, at the utmost: a float32 holds it.
_LAST_LEARNING = 1 << 24
#: Only of distances that cannot be negative is one so many times as far as another.
_METRICS = ("l2", "cosine")


class Learning(Parts):
    """Done after as many additions as there are rows: they may be others by then."""

    def _compile_learning(self) -> None:
        if self._config.metric in _METRICS:
            none = np.empty(0, np.int64), np.empty((0, GROWTH_RANKS), np.float32)
            self._compile(
                profile_block, "", lambda scratch: (self._store, self._graph, scratch, *none)
            )

    def _learn(self, added: int) -> None:
        """Learn if it is time to, after so many rows were added; without the lock."""
        growth = self._graph.growth
        left = max(0, int(growth[0]) - added)
        growth[0] = left
        if left > 0 or self._config.metric not in _METRICS or not self._live():
            return
        slots = self._sample()
        profiles = np.zeros((len(slots), GROWTH_RANKS), np.float32)
        scratch = self._take_scratch(max(WIDEST + 1, self._config.ef_construction))
        profile_block(self._store, self._graph, scratch, slots, profiles)
        self._idle.append(scratch)
        with self._lock.writing():
            growth[1:] = median_profile(profiles)
            growth[0] = min(max(FIRST_LEARNING, self._live_nodes()), _LAST_LEARNING)

    def _sample(self) -> NDArray[np.int64]:
        """Live nodes, evenly over the slots."""
        n = self._slot_count()
        alive = self._store.labels[:n] != NO_LABEL
        alive[self._graph.twins[: int(self._graph.head[TWINS]), 0]] = False
        nodes = np.flatnonzero(alive)
        wanted = (2 * np.arange(_SAMPLE) + 1) * n // (2 * _SAMPLE)
        return np.asarray(nodes[np.searchsorted(nodes, wanted) % len(nodes)], np.int64)
