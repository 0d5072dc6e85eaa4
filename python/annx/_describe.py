"""What an index tells about itself."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx import _health, _validate
from annx._backends import select
from annx._backends.base import Config, Core, State
from annx.errors import ReadOnlyError

_LABELS = np.iinfo(np.int64)


class Described:
    """The part of `Index` that changes nothing, save for ``ef_search``."""

    _core: Core
    _config: Config
    _ef_search: int
    _why: str
    _mapped: State | None  # what stays in a file
    _switching: Lock  # held while the core and what goes with it change

    @property
    def read_only(self) -> bool:
        """Whether the index is mapped from a file, and cannot be changed."""
        return self._mapped is not None

    def _refuse_read_only(self) -> None:
        if self._mapped is not None:
            raise ReadOnlyError(
                "this index is mapped from a file and cannot be changed; annx.load without mmap, "
                "or copy.deepcopy(index), gives one that can"
            )

    @property
    def dim(self) -> int:
        """Elements in a vector."""
        return self._config.dim

    @property
    def metric(self) -> str:
        """``"l2"``, ``"ip"``, ``"cosine"`` or ``"hamming"``."""
        return self._config.metric

    @property
    def codec(self) -> str:
        """How vectors are stored, never ``"auto"``."""
        return self._config.codec

    @property
    def M(self) -> int:
        """Links of a node on the upper levels."""
        return self._config.M

    @property
    def ef_construction(self) -> int:
        """Width of the beam of `add`."""
        return self._config.ef_construction

    @property
    def seed(self) -> int:
        """Decides the level of each row."""
        return self._config.seed

    @property
    def ef_search(self) -> int:
        """Default width of the beam of `search`; may be set."""
        return self._ef_search

    @ef_search.setter
    def ef_search(self, value: int) -> None:
        self._ef_search = _validate.integer(value, "ef_search", 1, _validate.MAX_EF)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of shape (len(index),), a copy.

        In order of insertion, but that the rows that came after a removal may stand where
        removed ones were. Masks of rows follow this order.
        """
        return self._core.labels()

    def __len__(self) -> int:
        return len(self._core)

    def __contains__(self, label: object) -> bool:
        if isinstance(label, bool) or not isinstance(label, int | np.integer):
            return False
        if not _LABELS.min <= label <= _LABELS.max:
            return False
        return bool(self._core.contains(np.array([label], np.int64))[0])

    def __repr__(self) -> str:
        c = self._config
        return f"<annx.Index {len(self):,} x {c.dim} {c.metric} {c.codec}>"

    def info(self) -> dict[str, Any]:
        """Describe the index: parameters, size, memory, graph and backend.

        Returns
        -------
        dict
            Of plain Python values. ``codec_why`` tells how the codec was chosen, and
            ``keep_vectors`` what is kept beside its codes (None: nothing). ``memory``
            is in bytes, by part and ``total``;
            ``levels`` counts the nodes from level 0 up; ``graph`` describes level 0:
            ``mean_degree``, ``tree_edges``, ``occluded_share`` (of the links),
            ``twins`` (rows equal to an earlier one), and of what was removed ``dead``
            (rows that searches still pass through) and ``free`` (room for rows to come).

        Examples
        --------
        >>> import annx
        >>> info = annx.Index(2, codec="f16").info()
        >>> info["n"], info["codec"], info["codec_why"]
        (0, 'f16', 'asked for')
        """
        with self._switching:
            core, c, why = self._core, self._config, self._why
        memory = core.memory()
        state = core.export_state() if self._mapped is None else self._mapped
        backend = select.backend()
        return {
            "dim": c.dim,
            "metric": c.metric,
            "codec": c.codec,
            "codec_why": why,
            "keep_vectors": c.keep or None,
            "M": c.M,
            "ef_construction": c.ef_construction,
            "ef_search": self._ef_search,
            "seed": c.seed,
            "n": int(np.count_nonzero(state.labels != -1)),
            "memory": memory | {"total": sum(memory.values())},
            "backend": backend.name,
            "backend_why": backend.why,
            "isa": select.cpu_info()["isa"],
            "levels": _health.levels(state),
            "graph": _health.graph(state),
        }
