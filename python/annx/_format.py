"""Index files: the one writer and the one reader, for every backend.

The layout is specified in docs/file-format.md.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from annx import _log, _sums
from annx._backends.base import GROWTH_RANKS, NO_LINK, Config, Level, State
from annx._check import check_state
from annx._layout import (
    HEADER,
    LOG,
    Head,
    Section,
    aligned,
    length_of,
    pack,
    table_size,
    unpack,
)
from annx._source import Bytes, File, Source
from annx.errors import BackendError, FormatError

_T = TypeVar("_T")

#: What to make sure of when a file is read.
VERIFY = ("full", "structure")
_MAX_LEVELS = 64
#: A slot of section "removed" that holds nothing, so that nothing leads there.
FREE = np.uint32(1 << 31)
#: Checksums of the blocks of all other sections.
_SUMS = "sums"
#: What `tune` measured. A reader may skip it.
_TUNING = "tuning"
#: Where searches may begin. A reader may skip it, which costs recall in clusters far apart.
_SEEDS = "seeds"
#: How distances grow, by which searches end. A reader may skip it, which costs time.
_GROWTH = "growth"
#: What the next row is called, unless its label is given, where labels alone do not tell.
_NEXT = "next"
_MAX_LABEL = np.iinfo(np.int64).max
_OPTIONAL = (_TUNING, _SEEDS, _GROWTH, _NEXT)
#: An engine may make codes of edges. A file that asks for more than so many bytes of them for
#: each of its own goes without: M = 64 or less never does.
_MOST_CODES = 32


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file holds.

    Attributes
    ----------
    config : Config
    ef_search : int
        Default width of a search.
    state : State
    preset : str or None
        The preset that the first rows of an empty index will decide about.
    keep : str
        The user's `keep_vectors`.
    tuning : ndarray of float32, or None
        What `tune` measured; its meaning is the caller's.
    tail : Tail or None
        As read from a file: what changed after the rest was written.
    next_label : int
        Above that of every row so far, also of those that were removed.
    """

    config: Config
    ef_search: int
    state: State
    preset: str | None = None
    keep: str = "auto"
    tuning: NDArray[np.float32] | None = None
    tail: _log.Tail | None = None
    next_label: int = 0


def load(
    path: str | os.PathLike[str], *, verify: str = "full", num_threads: int | None = None
) -> Stored:
    """Read and check a file.

    Parameters
    ----------
    path : str or path-like
    verify : {"full", "structure"}
        Whether also checksums, and that the tree of level 0 leads to every row.
    num_threads : int, optional
        All cores by default.

    Raises
    ------
    FormatError
        Names the file, and what is wrong where.
    OSError
    """
    return from_file(path, lambda fd: read(File(fd, num_threads), verify, num_threads))


def from_file(path: str | os.PathLike[str], get: Callable[[int], _T]) -> _T:
    """Return what `get` makes of an open file; `FormatError` names it."""
    name = os.fspath(path)
    mode = os.stat(name).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FormatError(f"{name}: not a regular file")
    with open(name, "rb", buffering=0) as file:
        while True:
            before = os.fstat(file.fileno())
            try:
                return get(file.fileno())
            except FormatError as error:
                after = os.fstat(file.fileno())
                # Somebody may have added to it between two reads.
                if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
                    raise FormatError(f"{name}: {error}") from None


def dumps(stored: Stored) -> bytes:
    """Return the bytes that `write` writes."""
    buffer = io.BytesIO()
    write(buffer, stored)
    return buffer.getvalue()


def loads(
    data: bytes | memoryview, *, verify: str = "full", num_threads: int | None = None
) -> Stored:
    """Read and check what `dumps` returned.

    The state's arrays may be views of it.

    Raises
    ------
    FormatError
    """
    return read(Bytes(data, num_threads), verify, num_threads)


def _refuse_big_endian() -> None:
    if sys.byteorder != "little":
        raise BackendError("index files are little-endian, and this machine is not")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _joined(arrays: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    return np.concatenate([np.empty(0, np.uint32), *(array.reshape(-1) for array in arrays)])


def _removed(state: State) -> NDArray[np.uint32]:
    """Slots of removed rows, and whether they are free."""
    slots = np.flatnonzero(state.labels == -1)
    free = state.links[slots, 0] == NO_LINK
    return slots.astype(np.uint32) | np.where(free, FREE, np.uint32(0))


def _arrays(state: State) -> dict[str, NDArray[Any]]:
    """Sections in the order of the file, the small ones first."""
    arrays: dict[str, NDArray[Any]] = {
        "levels": np.array([len(level.down) for level in state.levels], np.uint32),
        "down": _joined([level.down for level in state.levels]),
        "upper": _joined([level.links for level in state.levels]),
        "twins": state.twins,
        "removed": _removed(state),
        "labels": state.labels,
        "links": state.links,
        "rows": state.rows,
    }
    if len(state.seeds):
        arrays = {_SEEDS: state.seeds} | arrays
    if len(state.growth):
        arrays = {_GROWTH: state.growth} | arrays
    if state.originals is not None:
        arrays["original"] = state.originals
    return arrays if state.norms is None else {"norms": state.norms} | arrays


def _was_removed_from(state: State) -> bool:
    slots, representatives = state.twins.T
    return bool((state.labels == -1).any() or (representatives > slots).any())


def write(file: BinaryIO, stored: Stored) -> _log.Tail:
    """Write to an open file, and tell how it may go on."""
    _refuse_big_endian()
    state = stored.state
    arrays = _arrays(state)
    if stored.tuning is not None and stored.tuning.size:
        arrays = {_TUNING: stored.tuning} | arrays
    if stored.next_label > int(state.labels.max(initial=-1)) + 1:
        arrays = {_NEXT: np.array([min(stored.next_label, _MAX_LABEL)])} | arrays
    sums = [_sums.of_blocks(np.ascontiguousarray(array)) for array in arrays.values()]
    first: dict[str, NDArray[Any]] = {
        _SUMS: np.concatenate(sums),
        LOG: np.frombuffer(_log.empty_section(), np.uint8),
    }
    sums = [_sums.of_blocks(array) for array in first.values()] + sums
    arrays = first | arrays
    head = Head(
        stored.config,
        stored.ef_search,
        len(state.rows),
        state.entry,
        stored.preset,
        stored.keep,
        _was_removed_from(state),
        (),
    )
    sections: list[Section] = []
    end = table_size(len(arrays))
    for (name, array), blocks in zip(arrays.items(), sums, strict=True):
        crc, required = _sums.of_section(blocks), name not in (LOG, *_OPTIONAL)
        section = Section(name, array.dtype, required, crc, aligned(end), array.nbytes)
        sections.append(section)
        end = section.end
    head = replace(head, sections=tuple(sections))
    packed = pack(head)
    position = file.write(packed)
    for section, array in zip(sections, arrays.values(), strict=True):
        file.write(bytes(section.offset - position))
        position = section.offset + file.write(_bytes_of(array))
    return _log.without_records(packed, head)


def read_head(source: Source) -> Head:
    """Read header and table.

    Raises
    ------
    FormatError
    """
    _refuse_big_endian()
    length = length_of(source.read(0, HEADER.size), source.size)
    return unpack(source.read(0, length), source.size)


def read(source: Source, verify: str, num_threads: int | None) -> Stored:
    """Read and check a file.

    Raises
    ------
    FormatError
    """
    full = verify == "full"
    head = read_head(source)
    refuse_holes(source, head)
    # Section "log" has checksums of its own, and changes.
    sections = [section for section in head.sections if section.name != LOG]
    found = {section.name: source.array(section, full) for section in sections}
    stored_sums = sums_of(head, {name: array for name, (array, _) in found.items()})
    if full:
        for section in sections:
            sums = found[section.name][1]
            assert sums is not None
            refuse_damage(section, sums, stored_sums[section.name])
    stored = assemble(head, {name: array for name, (array, _) in found.items()})
    check_state(head.config, stored.state, spanning=full, num_threads=num_threads)
    state = stored.state
    refuse_unlisted(state, found["removed"][0])
    if _was_removed_from(state) != head.removed:
        raise FormatError("feature flag 1 and the rows disagree about whether some were removed")
    tail = _log.without_records(source.read(0, head.length), head)
    return replace(stored, tail=_log.read(source, tail, head.config))


def refuse_unlisted(state: State, removed: NDArray[np.uint32]) -> None:
    """Refuse another list of removed rows than labels and links make.

    Raises
    ------
    FormatError
    """
    if not np.array_equal(_removed(state), removed):
        raise FormatError("section 'removed': labels and links say otherwise")


def refuse_holes(source: Source, head: Head) -> None:
    """Refuse bytes between sections that are not zero.

    Raises
    ------
    FormatError
    """
    position = head.length
    for section in head.sections:
        if any(source.read(position, section.offset - position)):
            raise FormatError(f"offset {position}: padding is not zero")
        position = section.end


def sums_of(head: Head, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.uint32]]:
    """Split section "sums" among the others.

    Raises
    ------
    FormatError
    """
    sums = _take(arrays, _SUMS, np.uint32, None)
    others = [section for section in head.sections if section.name not in (_SUMS, LOG)]
    counts = [_sums.count_of_blocks(section.length) for section in others]
    if sum(counts) != len(sums):
        raise FormatError(f"section 'sums': expected {sum(counts)} elements, got {len(sums)}")
    parts = np.split(sums, np.cumsum(counts)[:-1])
    of = {section.name: part for section, part in zip(others, parts, strict=True)}
    return of | {_SUMS: _sums.of_blocks(sums)}


def refuse_damage(section: Section, got: NDArray[np.uint32], stored: NDArray[np.uint32]) -> None:
    """Refuse a section whose blocks are not those that were written.

    Raises
    ------
    FormatError
        Names the first bytes that are not.
    """
    wrong = np.flatnonzero(got != stored)
    if len(wrong):
        start = int(wrong[0]) * _sums.BLOCK
        stop = min(start + _sums.BLOCK, section.length)
        raise FormatError(
            f"section {section.name!r}: checksum of bytes {section.offset + start} to "
            f"{section.offset + stop} does not match"
        )
    if _sums.of_section(stored) != section.crc:
        raise FormatError(f"section {section.name!r}: checksum does not match")


def assemble(head: Head, arrays: dict[str, NDArray[Any]]) -> Stored:
    """Give each section its shape; every length follows from the header and `levels`.

    Raises
    ------
    FormatError
    """
    config, n = head.config, head.n
    required = {s.name for s in head.sections if s.required or s.name in _OPTIONAL}
    arrays = {name: arrays[name] for name in arrays if name in required}
    tuning = _take(arrays, _TUNING, np.float32, None) if _TUNING in arrays else None
    seeds = _take(arrays, _SEEDS, np.uint32, None) if _SEEDS in arrays else np.empty(0, np.uint32)
    growth = np.empty(0, np.float32)
    if _GROWTH in arrays:
        growth = _take(arrays, _GROWTH, np.float32, (GROWTH_RANKS + 1,))
    _take(arrays, _SUMS, np.uint32, None)
    next_label = 0
    if _NEXT in arrays:
        next_label = int(_take(arrays, _NEXT, np.int64, (1,))[0])
        if next_label < 0:
            raise FormatError(f"section 'next': expected a label, got {next_label}")
    sizes = _take(arrays, "levels", np.uint32, None).tolist()
    if len(sizes) > _MAX_LEVELS:
        raise FormatError(f"section 'levels': expected at most {_MAX_LEVELS}, got {len(sizes)}")
    total = sum(sizes)
    down = _take(arrays, "down", np.uint32, (total,))
    upper = _take(arrays, "upper", np.uint32, (total, config.M))
    ends = np.cumsum(sizes, dtype=np.int64)[:-1]
    kept = (n, config.kept_stride) if config.keep else None
    _take(arrays, "removed", np.uint32, None)
    state = State(
        rows=_take(arrays, "rows", np.uint8, (n, config.row_stride)),
        links=_take(arrays, "links", np.uint32, (n, 2 * config.M)),
        labels=_take(arrays, "labels", np.int64, (n,)),
        norms=_take(arrays, "norms", np.float32, (n,)) if config.has_norms else None,
        twins=_take(arrays, "twins", np.uint32, None).reshape(-1, 2),
        levels=[
            Level(*parts)
            for parts in zip(np.split(down, ends), np.split(upper, ends), strict=True)
            if sizes
        ],
        entry=head.entry,
        originals=None if kept is None else _take(arrays, "original", np.uint8, kept),
        seeds=seeds,
        growth=growth,
    )
    if arrays:
        raise FormatError(f"unknown section {next(iter(arrays))!r}: needs a newer annx")
    if config.edge_bits * config.dim * config.M // 4 > _MOST_CODES * (
        config.row_stride + 8 * config.M
    ):
        config = replace(config, edge_bits=0)
    return Stored(
        config, head.ef_search, state, head.preset, head.keep, tuning, next_label=next_label
    )


def _take(
    arrays: dict[str, NDArray[Any]],
    name: str,
    dtype: type[np.generic],
    shape: tuple[int, ...] | None,
) -> NDArray[Any]:
    array = arrays.pop(name, None)
    if array is None:
        raise FormatError(f"section {name!r} is missing")
    if array.dtype != dtype:
        raise FormatError(f"section {name!r}: expected {np.dtype(dtype)}, got {array.dtype}")
    if shape is None:
        if name == "twins" and array.size % 2:
            raise FormatError("section 'twins': expected pairs")
        return array
    if array.size != int(np.prod(shape, dtype=object)):
        raise FormatError(f"section {name!r}: expected shape {shape}, got {array.size} elements")
    return array.reshape(shape)
