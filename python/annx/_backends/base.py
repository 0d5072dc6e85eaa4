"""The seam between annx's public classes and the engines that do the work.

A backend is one class that satisfies :class:`Core`. Everything above the seam
(validation, documentation, files) is shared, so every backend receives the same
clean arrays and reads and writes the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Element type of a stored row, by codec. ``bf16`` travels as its 16 raw bits and
#: ``b1`` as bytes of eight packed bits, because NumPy has neither type.
STORAGE_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "i8": np.dtype(np.int8),
    "u8": np.dtype(np.uint8),
    "b1": np.dtype(np.uint8),
    "sq8": np.dtype(np.int8),
    "sq10": np.dtype(np.int8),
    "sq4": np.dtype(np.uint8),
}
#: Codecs that rotate and round, with a scale for each row.
SCALED = ("sq8", "sq10", "sq4")
#: Codecs whose rows may have codes of their neighbours beside them.
EDGE_CODECS = ("sq8", "sq10", "i8", "u8")

#: A link that points nowhere: pads the rows of ``links``.
NO_LINK = np.uint32(0xFFFFFFFF)
#: This edge belongs to the spanning tree that keeps level 0 connected; never pruned.
TREE_FLAG = np.uint32(1 << 31)
#: A kept neighbour lies between the two ends: first to go when a row is full.
OCCLUDED_FLAG = np.uint32(1 << 30)
#: The slot number within a link of level 0.
SLOT_MASK = np.uint32((1 << 30) - 1)
#: Most rows that one index holds.
MAX_ROWS = (1 << 30) - 2
#: Most nodes where a search may begin beside the one that the upper levels lead to.
MAX_SEEDS = 64
#: Ranks whose distances tell where a search may end: 1, 2, 4 and so on.
GROWTH_RANKS = 9

#: How a query was answered, by its number in a report: every row that passes was compared;
#: a beam through the graph; a beam over the rows that pass, reached over the others; a beam
#: stalled, and every row that passes was compared.
PLANS = ("scan", "graph", "two-hop", "fallback")
#: Why there are fewer than k hits: there are not; the index has fewer rows; fewer rows pass.
SHORT = ("", "rows", "filter")

#: Called between batches of a long operation, on the calling thread and with the
#: GIL held, with the number of rows finished. What it raises ends the operation.
Poll = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Config:
    """What an index is, as opposed to what it holds.

    Attributes
    ----------
    dim : int
        Elements in a vector; for ``b1`` the number of bits, a multiple of 8.
    metric : str
        ``"l2"``, ``"ip"``, ``"cosine"``, or ``"hamming"`` (with ``b1`` alone).
    codec : str
        A key of :data:`STORAGE_DTYPES`: how the rows that the graph is walked on are
        stored. ``sq8``: rotated and rounded to 8 bits, with a scale for each row;
        ``sq10``: to 10, of which the walk reads 8 and the final comparison all;
        ``sq4``: to 8, or 10 where no vectors are kept, with the upper 4 of all codes
        first, so that a walk may read those alone.
    M : int
        Links of a node on the upper levels; level 0 has ``2 * M``.
    ef_construction : int
        Width of the beam that looks for a new node's neighbours.
    seed : int
        Decides the level of each node, and rotations.
    keep : {"", "f16", "f32"}
        With a scaled codec: the element type in which the vectors are kept too, so that the
        nearest hits are compared exactly. ``""``: they are not.
    wide : bool
        With ``i8`` and ``u8``: rows and queries are float32 all the same; rows are whole
        numbers in range, queries any.
    edge_bits : {0, 1, 2}
        Bits a dimension of the codes of neighbours beside each row's links, which an
        engine may make for itself; 0: none.
    """

    dim: int
    metric: str
    codec: str
    M: int
    ef_construction: int
    seed: int
    keep: str = ""
    wide: bool = False
    edge_bits: int = 0

    @property
    def input_codec(self) -> str:
        """Codec whose element type rows and queries come in."""
        return "f32" if self.wide or self.codec in SCALED else self.codec

    @property
    def kept_codec(self) -> str:
        """Codec of the rows that `get` and `exact_search` read."""
        return self.keep or self.codec

    @property
    def columns(self) -> int:
        """Elements in a row of the storage array."""
        return self.dim // 8 if self.codec == "b1" else self.dim

    @property
    def has_scale(self) -> bool:
        """Whether a float32 ``1 / |row|`` follows the elements of a stored row."""
        return self.metric == "cosine" and self.codec not in ("f32", *SCALED)

    @property
    def has_norms(self) -> bool:
        """Whether kept rows are unit vectors and their norms are stored beside them."""
        return self.metric == "cosine" and self.kept_codec == "f32"

    @property
    def plane(self) -> int:
        """Bytes of the upper 4 bits of a row of ``sq4``, and of the next 4."""
        return (self.dim + 7) // 8 * 4

    @property
    def row_stride(self) -> int:
        """Bytes of one stored row: elements, zeros up to a multiple of 4, factors.

        The factors are a scale where `has_scale`; for scaled codecs two float32, length and
        step: ``|x|^2`` and ``sqrt(2) * s`` under l2, ``|x|`` and ``s`` otherwise, where
        ``s`` is the step of a code. ``sq10`` has 4 bytes for each 16 dimensions before
        them, the 2 lower bits of its codes. ``sq4`` has the factors behind the first of
        two planes of 4 bits a dimension, and such lower bits last, unless vectors are kept.
        """
        if self.codec == "sq4":
            return 2 * self.plane + 8 + (0 if self.keep else (self.dim + 15) // 16 * 4)
        size = self.columns * STORAGE_DTYPES[self.codec].itemsize
        low = (self.dim + 15) // 16 * 4 if self.codec == "sq10" else 0
        factors = 8 if self.codec in SCALED else 4 if self.has_scale else 0
        return (size + 3) // 4 * 4 + low + factors

    @property
    def kept_stride(self) -> int:
        """Bytes of one row of `State.originals`, laid out as a row of codec `keep`."""
        size = self.dim * STORAGE_DTYPES[self.keep].itemsize
        scale = 4 if self.metric == "cosine" and self.keep == "f16" else 0
        return (size + 3) // 4 * 4 + scale


@dataclass(slots=True)
class Level:
    """One level above 0. Its nodes have numbers of their own, from 0.

    Attributes
    ----------
    down : ndarray of shape (n_level,), uint32
        The same node's number one level below (at level 1: its slot).
    links : ndarray of shape (n_level, M), uint32
        Neighbours by their number on this level, padded with ``NO_LINK``.
    """

    down: NDArray[np.uint32]
    links: NDArray[np.uint32]


@dataclass(slots=True)
class State:
    """All that an index holds, as plain arrays. What files store.

    Attributes
    ----------
    rows : ndarray of shape (n, row_stride), uint8
        Stored rows by slot (see ``Config.row_stride``). Under cosine with ``f32``
        they are unit vectors; with other codecs they are the input's own values,
        followed by ``1 / |row|``.
    links : ndarray of shape (n, 2 * M), uint32
        Level 0: ``slot | flags``, used entries first, padded with ``NO_LINK``.
    labels : ndarray of shape (n,), int64
        -1 where the row was removed. If such a row still has links, searches pass
        through it; otherwise its slot is free and nothing leads there.
    norms : ndarray of shape (n,), float32, or None
        |row| before it was made a unit vector (where ``Config.has_norms``).
    twins : ndarray of shape (t, 2), uint32
        (slot, representative): rows equal byte for byte to another row. They
        take no part in the graph (their links are empty) and are found through
        their representative. Sorted by slot.
    levels : list of Level
        Levels 1 to the top.
    entry : int
        The entry point, by its number on the top level (a slot if there is only
        level 0); 0 in an empty index.
    originals : ndarray of shape (n, kept_stride), uint8, or None
        The vectors themselves, where ``Config.keep``.
    seeds : ndarray of shape (s,), uint32
        Slots of nodes far from each other, where a search may begin too; at most
        ``MAX_SEEDS``.
    growth : ndarray of shape (0,) or (GROWTH_RANKS + 1,), float32
        How many rows are to be added until it is learned anew, and how far the row of
        rank 1, 2, 4, ... 256 is, in the median row's neighbourhood and in any unit; zeros
        where that is not known. Left out if it is not and the count is what remains of
        the first 1,024 rows.
    """

    rows: NDArray[np.uint8]
    links: NDArray[np.uint32]
    labels: NDArray[np.int64]
    norms: NDArray[np.float32] | None
    twins: NDArray[np.uint32]
    levels: list[Level] = field(default_factory=list)
    entry: int = 0
    originals: NDArray[np.uint8] | None = None
    seeds: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    growth: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a core needs to leave a state in its file.

    Attributes
    ----------
    removed : ndarray of shape (r,), uint32
        Slots of removed rows, rising; bit 31 if nothing leads there.
    upper : ndarray of shape (nodes above level 0, M), uint32
        The links of all levels above 0; those of each level are views of it.
    sums : dict
        By section its offset in the file and the CRC-32 of each block of it.
    verify : callable
        Makes sure of everything that is not yet verified, for a core that cannot do so
        piece by piece. Raises ``FormatError``.
    """

    removed: NDArray[np.uint32]
    upper: NDArray[np.uint32]
    sums: dict[str, tuple[int, NDArray[np.uint32]]]
    verify: Callable[[], None]


class Core(Protocol):
    """An engine. Arrays come in clean: C-contiguous, of ``Config.input_codec``'s type.

    ``add`` trusts its rows, because ``Index`` has called ``find_bad_row`` before
    anything changes; searches check their queries themselves, so that one query
    costs one pass.
    """

    def __init__(self, config: Config) -> None: ...

    @property
    def config(self) -> Config: ...

    def __len__(self) -> int: ...

    def find_bad_row(self, rows: NDArray[Any]) -> tuple[int, str] | None:
        """First row that cannot be stored, and why.

        The reason is one of ``"nan"``, ``"inf"``, ``"overflow"`` (|row|^2 above a
        quarter of float32's range, so that no distance can overflow into NaN) or
        ``"zero"`` (cosine only). Integer and ``b1`` rows can only be ``"zero"``.
        """

    def reserve(self, capacity: int) -> None:
        """Make room for `capacity` rows in all; a hint."""

    def add(
        self,
        rows: NDArray[Any],
        labels: NDArray[np.int64] | None,
        *,
        num_threads: int,
        poll: Poll | None = None,
        upsert: bool = False,
    ) -> None:
        """Store rows: in free slots, the lowest first, then in new ones.

        ``labels=None`` numbers on from the highest label so far (0 in an empty
        index). Labels must be distinct and, unless `upsert`, new; otherwise
        :class:`~annx.errors.LabelError`, and nothing has changed. With `upsert`, a
        row of a label that is there takes the other's place: a search sees one of them,
        never both and never none. When `poll` raises, the rows finished so far stay, the
        others were never there.
        """

    def remove(self, labels: NDArray[np.int64], num_threads: int, poll: Poll | None = None) -> None:
        """Remove rows: no search that begins after this returns finds them.

        Their slots become free once nothing in the graph leads to them, which this and
        later changes see to in batches. Raises ``LabelError``, and changes nothing, if a
        label is missing or given twice. When `poll` raises, all labels are removed and
        the graph is valid, if not mended.
        """

    def compact(self, num_threads: int, poll: Poll | None = None) -> None:
        """Number the slots anew, without free ones and in the same order.

        Gives their memory back. What `poll` raises leaves everything as it was.
        """

    def repair(self, seconds: float, num_threads: int, poll: Poll | None = None) -> int:
        """Take dead rows out of the graph and mend its tree, for so long at most.

        Returns the number of parts that are still cut off from the rest.
        """

    def search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        num_threads: int,
        poll: Poll | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Labels and distances of shape (n_queries, k), nearest first.

        Short rows are padded with -1 and inf. `queries` has shape
        (n_queries, columns). Raises ``NonFiniteError`` or ``ZeroVectorError``
        naming the query's row.
        """

    def exact_search(
        self, queries: NDArray[Any], k: int, num_threads: int, poll: Poll | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Like `search`, by comparing with every row; ties by insertion order."""

    def make_filter(self, labels: NDArray[np.int64] | NDArray[np.bool_], allow: bool) -> object:
        """What `planned_search` takes to return these labels alone, or none of them.

        Labels come in any order; repeated and unknown ones do no harm. An array of bools
        stands for the labels i whose element i is true. The filter goes on
        to mean the same labels whatever is added and removed after.
        """

    def planned_search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        filters: list[object],
        exact: bool,
        num_threads: int,
        poll: Poll | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """Search among the rows that pass a filter, and say how.

        `filters` are none, one for all queries, or one for each. With `exact` every row
        that passes is compared, ties by slot.

        Returns
        -------
        labels, distances
            As of `search`.
        reports : ndarray of shape (n_queries, 4), int64
            Plan (:data:`PLANS`), nodes expanded, distances computed, and why there are
            fewer than k hits (:data:`SHORT`).
        """

    def range_search(
        self,
        queries: NDArray[Any],
        radius: float,
        ef_search: int,
        filters: list[object],
        exact: bool,
        num_threads: int,
        poll: Poll | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Find rows that pass and whose distance is less than `radius`.

        Returns
        -------
        lims : ndarray of shape (n_queries + 1,), int64
            The hits of query i stand at ``lims[i]:lims[i + 1]``, nearest first.
        labels, distances : ndarray of shape (lims[-1],)
        """

    def get(self, labels: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of shape (n, columns) as given to `add`, or as near as they are kept.

        ``LabelError`` if one is missing.
        """

    def contains(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]: ...

    def labels(self) -> NDArray[np.int64]:
        """Labels by slot, of those that have one; a copy."""

    def encode(
        self, rows: NDArray[Any], num_threads: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.float32] | None]:
        """``rows``, ``originals`` and ``norms`` of a `State` of these rows, at least one.

        The core itself stays as it is: for files of graphs that others have built.
        """

    def export_state(self) -> State:
        """A consistent copy of everything."""

    def import_state(self, state: State) -> None:
        """Replace the content of an empty core by validated arrays."""

    def map_state(self, state: State, mapped: Mapped) -> None:
        """Become an index over arrays that stay in their file, for reading alone.

        Levels, twins and removed rows have their checksums verified, the rest has not: what
        a search uses is verified before, or ``FormatError`` says what is wrong. Changes raise
        ``ReadOnlyError``. Codes of edges are none.
        """

    def memory(self) -> dict[str, int]:
        """Bytes by part: rows, originals, links, upper, labels, lookup, scratch."""
