"""The log at the end of an index file: what changed after the index was written.

The layout is specified in docs/file-format.md. A save adds one record; one of two slots in the
head of the file then says how far the log goes at least, so that a damaged or missing end is told
from an append that was cut off. The record is on disk before its slot is written, and the other
slot is whole meanwhile: whatever a crash leaves, there is a slot that tells the truth.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from annx import _atomic
from annx._backends.base import STORAGE_DTYPES, Config
from annx._journal import ADD, COMPACT, REMOVE, SETTINGS, UPSERT, Change
from annx._layout import LOG, Head, aligned, crc_of
from annx._source import File, Source
from annx.errors import ConflictError, FormatError

# Where the slots begin in section "log".
_SLOTS = (0, 64)

# crc32 of what follows, sequence, end of the log, checksum of its last record
_SLOT = struct.Struct("<IQQI40x")
# magic, crc32 of what follows and of the records before, sequence, bytes that follow
_RECORD = struct.Struct("<8sI4xQQ32x")
_MAGIC = b"\x89ANNXLG\n"
_SUMMED, _RESERVED = 12, 32
# What slots say while there is no record.
_NONE = (0, 0, 0)
# kind, rows, bytes that follow
_CHANGE = struct.Struct("<B7sQQ8x")
_ZEROS = bytes(7)
_EF = struct.Struct("<I4x")
_POINT = 6  # float32 values of a point of `tune`


class Settings(NamedTuple):
    """What a file holds besides rows that may change."""

    ef_search: int
    tuning: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """How a file goes on after its sections.

    Attributes
    ----------
    head : bytes
        Header and section table, which hold a checksum of everything but the log.
    place : int
        Offset of the section that holds the slots; 0 if there is none.
    base : int
        Where the sections end.
    sequence : int
        Number of the last record; 0 while there is none.
    end : int
        Where the next record goes.
    chain : int
        Checksum of the last record, or of the header while there is none.
    changes : sequence of Change
        What the records hold, in order.
    """

    head: bytes
    place: int
    base: int
    sequence: int
    end: int
    chain: int
    changes: Sequence[Change] = field(default=(), compare=False)


def empty_section() -> bytes:
    """Return the slots of a file without records."""
    return _slot(*_NONE) * len(_SLOTS)


def _slot(sequence: int, end: int, chain: int) -> bytes:
    body = _SLOT.pack(0, sequence, end, chain)[4:]
    return struct.pack("<I", zlib.crc32(body)) + body


def without_records(packed: bytes, head: Head) -> Tail:
    """Describe a file as it is when it is written.

    Raises
    ------
    FormatError
        The slots do not have the length that they must have.
    """
    place = 0
    for section in head.sections:
        if section.name == LOG:
            place = section.offset
            if section.length != len(empty_section()):
                raise FormatError(f"section {LOG!r}: unknown length {section.length}")
    return Tail(packed, place, head.end, 0, aligned(head.end), crc_of(packed))


def _record_size(payload: int) -> int:
    return aligned(_RECORD.size + payload)


# Reading


def read(source: Source, tail: Tail, config: Config) -> Tail:
    """Read the log of a file.

    Parameters
    ----------
    source : Source
        Of which the sections are known to be there.
    tail : Tail
        What the file is without records.
    config : Config

    Returns
    -------
    Tail

    Raises
    ------
    FormatError
        A record that counts is not as it was written, or what follows is none.
    """
    size = source.size
    if not tail.place:
        if size != tail.base:
            raise FormatError(f"expected a file of {tail.base} bytes, got {size}")
        return tail
    slots = _whole_slots(source, tail.place)
    sequence, stop, _ = least = max(slots)
    if least != _NONE and not tail.end < stop <= size:
        raise FormatError(f"truncated: the log ends at {stop}, the file at {size}")
    if source.read(tail.base, tail.end - tail.base).strip(b"\0"):
        raise FormatError(f"expected a file of {tail.base} bytes, got {size}")
    changes: list[Change] = []
    while tail.sequence < sequence:
        tail, content = _read_record(source, tail)
        changes += _decode(content, config, tail.sequence)
    if _written(tail) != least:
        raise FormatError(f"the log's records and section {LOG!r} disagree")
    while (following := _next_record(source, tail)) is not None:
        tail, content = following
        changes += _decode(content, config, tail.sequence)
    # What is left is what an append did not finish, if anything. None leaves a record in part
    # and a slot too: the one is on disk before the other is touched.
    rest = source.read(tail.end, len(_MAGIC))
    torn = not rest.strip(b"\0") or rest == _MAGIC[: len(rest)]
    if rest and not (torn and len(slots) == len(_SLOTS)):
        raise FormatError(f"expected a file of {tail.end} bytes, got {size}")
    return replace(tail, changes=tuple(changes))


def _whole_slots(source: Source, place: int) -> list[tuple[int, int, int]]:
    """Read the slots that are whole: what the log holds at least.

    Raises
    ------
    FormatError
        Neither is.
    """
    slots = [_read_slot(source.read(place + at, _SLOT.size)) for at in _SLOTS]
    whole = [slot for slot in slots if slot is not None]
    if not whole:
        raise FormatError(f"section {LOG!r}: checksums do not match")
    return whole


def _next_record(source: Source, tail: Tail) -> tuple[Tail, memoryview] | None:
    """Read a record that no slot tells of, if there is one and it is whole.

    It may be that of an append that was about to say so; it is as good as one that did, and
    may be the last of those where the slots are damaged.
    """
    if source.read(tail.end, len(_MAGIC)) != _MAGIC:
        return None
    try:
        return _read_record(source, tail)
    except FormatError:
        return None


def _read_slot(raw: bytes) -> tuple[int, int, int] | None:
    crc, sequence, end, chain = _SLOT.unpack(raw)
    return (sequence, end, chain) if _slot(sequence, end, chain) == raw else None


def _read_record(source: Source, tail: Tail) -> tuple[Tail, memoryview]:
    """Read the record at `tail.end`, and its content."""
    number = tail.sequence + 1
    raw = source.read(tail.end, _RECORD.size)
    if len(raw) < _RECORD.size:
        raise FormatError(f"log record {number}: truncated")
    magic, crc, sequence, length = _RECORD.unpack(raw)
    end = tail.end + _record_size(length)
    if magic != _MAGIC or sequence != number or end > source.size:
        raise FormatError(f"log record {number} (offset {tail.end}): not a record")
    body = source.read(tail.end + _RECORD.size, end - tail.end - _RECORD.size)
    if crc != zlib.crc32(body, zlib.crc32(raw[_SUMMED:], tail.chain)):
        raise FormatError(f"log record {number} (offset {tail.end}): checksum does not match")
    if any(raw[_SUMMED : _SUMMED + 4]) or any(raw[_RESERVED:]) or any(body[length:]):
        raise FormatError(f"log record {number}: padding is not zero")
    return replace(tail, sequence=number, end=end, chain=crc), memoryview(body)[:length]


def _decode(body: memoryview, config: Config, number: int) -> list[Change]:
    length = len(body)
    found = []
    at = 0
    while at < length:
        if length - at < _CHANGE.size:
            raise FormatError(f"log record {number}: a change is cut off")
        kind, reserved, count, size = _CHANGE.unpack_from(body, at)
        at += _CHANGE.size
        if any(reserved) or size > length - at or size % 8:
            raise FormatError(f"log record {number}: a change ends beyond it")
        found.append(_decode_change(body[at : at + size], kind, count, config, number))
        at += size
    return found


def _decode_change(part: memoryview, kind: int, count: int, config: Config, number: int) -> Change:
    dtype = STORAGE_DTYPES[config.input_codec]
    width = config.columns * dtype.itemsize
    wanted = {
        ADD: 8 * count + (count * width + 7) // 8 * 8,
        UPSERT: 8 * count + (count * width + 7) // 8 * 8,
        REMOVE: 8 * count,
        SETTINGS: _EF.size + 4 * _POINT * count,
        COMPACT: 0 if count == 0 else -1,
    }.get(kind)
    if wanted is None:
        raise FormatError(f"log record {number}: unknown change {kind}: needs a newer annx")
    if wanted != len(part):
        raise FormatError(f"log record {number}: expected a change of {wanted} bytes")
    if kind == SETTINGS:
        return Change(kind, None, np.frombuffer(part, np.uint8))
    if kind == COMPACT:
        return Change(kind)
    labels = np.frombuffer(part, np.int64, count)
    if kind == REMOVE:
        return Change(kind, labels)
    rows = np.frombuffer(part, dtype, count * config.columns, 8 * count)
    if any(part[8 * count + rows.nbytes :]):
        raise FormatError(f"log record {number}: padding is not zero")
    return Change(kind, labels, rows.reshape(count, config.columns))


def settings_of(change: Change) -> tuple[int, NDArray[np.float32]]:
    """Read `ef_search` and the points of `tune`, of shape (points, 6), from a change."""
    assert change.rows is not None
    raw = change.rows.tobytes()
    points = np.frombuffer(raw, np.float32, offset=_EF.size)
    return _EF.unpack_from(raw)[0], points.reshape(-1, _POINT)


# Writing


def encode(changes: Sequence[Change], settings: Settings | None) -> bytes:
    """Make changes, and then settings, the content of a record."""
    parts = []
    for kind, labels, rows in changes:
        head = b"" if labels is None else labels.tobytes()
        tail = b"" if rows is None else rows.tobytes()
        padding = bytes(-(len(head) + len(tail)) % 8)
        size = len(head) + len(tail) + len(padding)
        count = 0 if labels is None else len(labels)
        parts += [_CHANGE.pack(kind, _ZEROS, count, size), head, tail, padding]
    if settings is not None:
        count = len(settings.tuning) // (4 * _POINT)
        size = _EF.size + len(settings.tuning)
        parts.append(_CHANGE.pack(SETTINGS, _ZEROS, count, size))
        parts += [_EF.pack(settings.ef_search), settings.tuning]
    return b"".join(parts)


class OnDisk:
    """What is known of the file that an index was last read from or written to.

    Attributes
    ----------
    settings : Settings
        As in the file.
    states : list of Tail
        What the file is; more than one if a call failed so that it may be either.
    sound : bool
        Whether a record may follow. Not so once a call to sync has failed: what the file
        then holds in memory may never come to disk, and only a new file is safe.
    """

    def __init__(self, settings: Settings, *states: Tail) -> None:
        self.settings = settings
        self.states = list(states)
        self.sound = True


@contextlib.contextmanager
def hold(path: str | os.PathLike[str], known: OnDisk | None) -> Iterator[tuple[int, Tail]]:
    """Keep other writers from a file that is as it was last read or written.

    Yields its descriptor, and which of the known states it is in.

    Raises
    ------
    ConflictError
        It is in another state, or somebody is writing to it.
    OSError
    """
    with _atomic.named(path):
        descriptor = os.open(os.path.realpath(path), os.O_RDWR | _atomic.BINARY)
        try:
            if not _atomic.lock(descriptor):
                raise ConflictError(f"{os.fspath(path)}: another process is writing to it")
            state = _find(descriptor, [] if known is None else known.states)
            if state is None:
                raise ConflictError(
                    f"{os.fspath(path)}: is not, or no longer, what this index was loaded from or "
                    "last saved as; load it again, or replace it by a save that is not incremental"
                )
            yield descriptor, state
        finally:
            os.close(descriptor)


def append(descriptor: int, before: Tail, payload: bytes, known: OnDisk) -> None:
    """Add a record to a file that is held; on disk when this returns, and `known`.

    Raises
    ------
    OSError
        Then `known` says what the file may be.
    """
    own = before.place + _SLOTS[before.sequence % len(_SLOTS)]
    if _read_at(descriptor, _SLOT.size, own) != _slot(*_written(before)):
        # The other one is about to be written, and one of them must be whole at all times.
        _write_slot(descriptor, before, known)
    number = before.sequence + 1
    end = before.end + _record_size(len(payload))
    body = payload + bytes(end - before.end - _RECORD.size - len(payload))
    head = _RECORD.pack(_MAGIC, 0, number, len(payload))
    crc = zlib.crc32(body, zlib.crc32(head[_SUMMED:], before.chain))
    after = replace(before, sequence=number, end=end, chain=crc, changes=())
    start = before.end if before.sequence else before.base
    if os.fstat(descriptor).st_size > start:
        # What an append left that was cut off. On disk it must not follow the new record.
        known.sound = False
        os.ftruncate(descriptor, start)
        _atomic.sync(descriptor)
        known.sound = True
    known.states = [before, after]
    try:
        gap = bytes(before.end - start)
        record = _RECORD.pack(_MAGIC, crc, number, len(payload)) + body
        _atomic.write_at(descriptor, gap + record, start)
        known.sound = False
        _atomic.sync(descriptor)
        known.sound = True
    except BaseException:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, start)
            known.states = [before]
        raise
    _write_slot(descriptor, after, known)
    known.states = [after]


def _read_at(descriptor: int, size: int, offset: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, size)


def _find(descriptor: int, expected: Sequence[Tail]) -> Tail | None:
    """Which of these states a file is in."""
    source = File(descriptor, 1)
    for tail in expected:
        if source.read(0, len(tail.head)) != tail.head:
            continue
        if not tail.place:
            return tail
        start = Tail(tail.head, tail.place, tail.base, 0, aligned(tail.base), crc_of(tail.head))
        try:
            sequence, end, chain = least = max(_whole_slots(source, tail.place))
        except FormatError:
            continue
        if least != _NONE:
            start = replace(start, sequence=sequence, end=end, chain=chain)
        while (following := _next_record(source, start)) is not None:
            start = following[0]
        if start == tail:
            return tail
    return None


def _written(tail: Tail) -> tuple[int, int, int]:
    """What a slot says about a state."""
    return (tail.sequence, tail.end, tail.chain) if tail.sequence else _NONE


def _write_slot(descriptor: int, tail: Tail, known: OnDisk) -> None:
    place = tail.place + _SLOTS[tail.sequence % len(_SLOTS)]
    known.sound = False
    _atomic.write_at(descriptor, _slot(*_written(tail)), place)
    _atomic.sync(descriptor)
    known.sound = True


def still_there(path: str | os.PathLike[str], descriptor: int) -> None:
    """Refuse to have written to a file that another has replaced meanwhile."""
    try:
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            return
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    raise ConflictError(f"{os.fspath(path)}: was replaced while a change was added to it")
