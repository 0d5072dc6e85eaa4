"""The C++ core as a :class:`~annx._backends.base.Core`."""

from __future__ import annotations

from typing import Any

import numpy as np

from annx import _native
from annx._backends.base import Config, Level, Mapped, State


class NativeCore(_native.Core):
    """What differs between the extension's class and the Protocol.

    ``search`` and the rest are the extension's own methods: a Python function between
    would cost a single query 0.1 us.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            config.dim,
            config.metric,
            config.codec,
            config.M,
            config.ef_construction,
            config.seed,
            config.keep,
            config.wide,
            config.edge_bits,
        )
        self._config = config

    @property
    def config(self) -> Config:
        """What the index is."""
        return self._config

    def export_state(self) -> State:  # type: ignore[override]
        """Copy everything."""
        state: dict[str, Any] = super().export_state()
        state["levels"] = [Level(down, links) for down, links in state["levels"]]
        if self._config.keep and state["originals"] is None:  # there are no rows
            state["originals"] = np.empty((0, self._config.kept_stride), np.uint8)
        return State(**state)

    def import_state(self, state: State) -> None:  # type: ignore[override]
        """Fill an empty core with validated arrays."""
        super().import_state(_as_dict(state))

    def map_state(self, state: State, mapped: Mapped) -> None:  # type: ignore[override]
        """Read arrays where they are."""
        arrays = _as_dict(state) | {"removed": mapped.removed, "upper": mapped.upper}
        super().map_state(arrays, mapped.sums)


def check_state(config: Config, state: State, spanning: bool, num_threads: int) -> None:
    """Refuse a state that is not whole, as `annx._check.check_arrays` does."""
    c = config
    shape = (c.dim, c.metric, c.codec, c.keep, c.M)
    _native.check_state(*shape, _as_dict(state), spanning, num_threads)


def _as_dict(state: State) -> dict[str, Any]:
    return {
        "rows": state.rows,
        "links": state.links,
        "labels": state.labels,
        "norms": state.norms,
        "twins": state.twins,
        "levels": [(level.down, level.links) for level in state.levels],
        "entry": state.entry,
        "originals": state.originals,
        "seeds": state.seeds,
        "growth": state.growth,
    }
