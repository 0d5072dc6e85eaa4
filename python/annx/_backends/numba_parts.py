"""What the parts of the engine share: the arrays of an index, locks, scratch, labels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import Config
from annx._backends.numba_build import level_seed
from annx._backends.numba_codec import Codec
from annx._backends.numba_fork import watch
from annx._backends.numba_hash import EMPTY_PLACES, NO_CONTENTS, find_labels, label_table
from annx._backends.numba_layout import (
    LIVE,
    NO_LABEL,
    ROWS,
    TWINS,
    Scratch,
    Store,
    kept_config,
    new_graph,
    new_scratch,
    new_store,
)
from annx._backends.numba_lock import TurnLock
from annx._backends.numba_work import aside
from annx.errors import ReadOnlyError

#: Compiled functions that are ready, by the codecs of rows, kept rows and queries.
_ready: set[tuple[str, str, str, Callable[..., Any]]] = set()

Slots = NDArray[np.int64]


class Parts:
    """An index, and what its methods are made of.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._codec = Codec(config)
        self._store = new_store(config)
        self._originals = new_store(kept_config(config)) if config.keep else None
        self._graph = new_graph(config)
        self._seed = level_seed(config.seed)
        #: Slots that hold nothing, sorted.
        self._free = np.empty(0, np.int64)
        #: While each label is its own slot, no table is needed.
        self._numbered = True
        self._places = EMPTY_PLACES
        self._contents = NO_CONTENTS
        #: Entries of the two tables since they were made, those of removed rows among them.
        self._entered = 0
        #: Changes with what labels the slots have.
        self._epoch = 0
        self._idle: list[Scratch] = []
        #: Verifies what a mapped index reads, until it has.
        self._unverified: Callable[[], None] | None = None
        self._read_only = False
        self.renew_locks()
        watch(self)

    def renew_locks(self) -> None:
        """Make the locks, which nobody holds."""
        self._lock = TurnLock()
        self._adding = threading.Lock()
        self._tabling = threading.Lock()

    def _settle(self) -> None:
        """Verify what is mapped before it is first read."""
        if self._unverified is None:
            return
        with self._tabling:
            if self._unverified is not None:
                self._unverified()
                self._unverified = None

    def _refuse_if_mapped(self) -> None:
        if self._read_only:
            raise ReadOnlyError("this index is mapped from a file and cannot be changed")

    @property
    def _kept(self) -> Store:
        """The rows that `get` and `exact_search` read."""
        return self._originals or self._store

    def _slot_count(self) -> int:
        return int(self._graph.head[ROWS])

    def _live(self) -> int:
        """Rows that have a label."""
        return int(self._graph.head[LIVE])

    def _live_nodes(self) -> int:
        return self._live() - int(self._graph.head[TWINS])

    def _labelled(self) -> NDArray[np.bool_]:
        """Which slots have a label."""
        return np.asarray(self._store.labels[: self._slot_count()] != NO_LABEL)

    def _live_slots(self) -> Slots:
        if self._live() == self._slot_count():
            return np.arange(self._slot_count())
        return np.flatnonzero(self._labelled())

    def _slots(self, labels: NDArray[np.int64]) -> Slots:
        """Slots of labels, -1 where missing."""
        places = self._places
        if not self._numbered and not places.size:
            with self._tabling:
                if not self._places.size:
                    n = self._slot_count()
                    self._places = label_table(self._store.labels, n, n)
                places = self._places
        slots = np.empty(len(labels), np.int64)
        find_labels(places, self._store.labels, self._slot_count(), labels, slots)
        return slots

    def _compile(
        self,
        function: Callable[..., Any],
        element: str,
        nothing: Callable[[Scratch], tuple[Any, ...]],
    ) -> None:
        """Let the first, long compilation neither hold the lock nor break on Ctrl-C.

        `nothing` gives arguments that leave the function without work.
        """
        key = self._config.codec, self._config.keep, element, function
        if key not in _ready:
            aside(lambda: function(*nothing(new_scratch(self._config, 0, 1))))
            _ready.add(key)

    def _take_scratch(self, ef: int) -> Scratch:
        """Scratch for all slots and pools of `ef`, to be given back to `_idle`."""
        capacity = len(self._store.labels)
        try:
            scratch = self._idle.pop()
        except IndexError:
            return new_scratch(self._config, capacity, ef)
        if len(scratch.marks) < capacity or len(scratch.pool_dist) < ef:
            return new_scratch(self._config, capacity, ef)
        return scratch
