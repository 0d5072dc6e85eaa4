"""Index files that stay where they are: what is small is checked at once, the rest when used."""

from __future__ import annotations

import errno
import mmap
import os
from dataclasses import replace

from annx import _log, _sums
from annx._backends import select
from annx._backends.base import Mapped
from annx._check import check_ends, check_labels, check_places
from annx._format import (
    Stored,
    assemble,
    from_file,
    read,
    read_head,
    refuse_damage,
    refuse_holes,
    refuse_unlisted,
    sums_of,
)
from annx._journal import SETTINGS
from annx._layout import LOG
from annx._source import Bytes
from annx.errors import FormatError, ReadOnlyError

#: Sections that stay in the file.
_LAZY = ("rows", "original", "links", "upper", "labels", "norms")


def load(
    path: str | os.PathLike[str], *, verify: str | None = None, num_threads: int | None = None
) -> tuple[Stored, Mapped]:
    """Map a file, and check what is small, or all of it.

    Parameters
    ----------
    path : str or path-like
    verify : {"full", "structure"}, optional
        As in `load`; by default nothing that takes time.
    num_threads : int, optional

    Returns
    -------
    Stored
        Its arrays are views of the file.
    Mapped

    Raises
    ------
    FormatError
    ReadOnlyError
        Rows were added or removed since the file was written whole.
    OSError
    """
    return from_file(path, lambda fd: _map(fd, os.fspath(path), verify, num_threads))


def _mapped(descriptor: int, size: int, access: int) -> memoryview:
    try:
        return memoryview(mmap.mmap(descriptor, size, access=access) if size else b"")
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(f"no room to map {size} bytes") from None
        raise


def _map(
    descriptor: int, name: str, verify: str | None, num_threads: int | None
) -> tuple[Stored, Mapped]:
    # Numba compiles functions anew for arrays that are read-only. Pages that nobody writes to
    # are shared all the same.
    native = select.backend().name == "native"
    access = mmap.ACCESS_READ if native else mmap.ACCESS_COPY
    size = os.fstat(descriptor).st_size
    source = Bytes(_mapped(descriptor, size, access), 1)
    if verify is not None:
        read(source, verify, num_threads)
    head = read_head(source)
    refuse_holes(source, head)
    sections = [section for section in head.sections if section.name != LOG]
    arrays = {section.name: source.array(section, False)[0] for section in sections}
    sums = sums_of(head, dict(arrays))
    lazy = [section for section in sections if section.name in _LAZY]
    for section in sections:
        if section not in lazy:
            refuse_damage(section, _sums.of_blocks(arrays[section.name], 1), sums[section.name])
        elif _sums.of_section(sums[section.name]) != section.crc:
            raise FormatError(f"section {section.name!r}: checksum does not match")
    tail = _log.read(source, _log.without_records(source.read(0, head.length), head), head.config)
    if any(change.kind != SETTINGS for change in tail.changes):
        raise ReadOnlyError(
            f"{name}: changes were added to this file by incremental saves, which a mapped index "
            "cannot make; a save that is not incremental puts them where they belong"
        )
    stored = replace(assemble(head, arrays), tail=tail)
    check_places(stored.state, arrays["removed"])

    def verify_rest() -> None:
        try:
            for section in lazy:
                got = _sums.of_blocks(arrays[section.name], num_threads)
                refuse_damage(section, got, sums[section.name])
            check_ends(stored.state)
            check_labels(stored.state.labels)
            refuse_unlisted(stored.state, arrays["removed"])
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from None

    places = {section.name: (section.offset, sums[section.name]) for section in lazy}
    upper = arrays["upper"].reshape(-1, stored.config.M)
    return stored, Mapped(arrays["removed"], upper, places, verify_rest)
