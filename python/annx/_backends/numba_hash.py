"""Two open-addressing tables: label to slot, and row content to its first slot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import NO_LINK
from annx._backends.numba_jit import entry, inner

#: An unused place of the content table, whose entries are ``hash32 << 32 | slot``.
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
#: A place of the content table whose row has left. No slot is as high.
LEFT = np.uint64(0xFFFFFFFFFFFFFFFE)
#: Stands for the label table while labels are their own slots.
EMPTY_PLACES = np.empty(0, np.uint32)
#: Stands for the content table until the first insertion.
NO_CONTENTS = np.empty(0, np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def table_size(rows: int) -> int:
    """Places for `rows` entries: a power of two, at most half full."""
    return 1 << max(4, (2 * rows - 1).bit_length())


@inner
def mix(value: np.uint64) -> np.uint64:
    """Next output of splitmix64 from state `value` (Steele, Lea & Flood 2014)."""
    z = np.uint64(value + np.uint64(0x9E3779B97F4A7C15))
    z = np.uint64((z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    z = np.uint64((z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    return np.uint64(z ^ (z >> np.uint64(31)))


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Do as `mix` with each value, without compiling."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inner
def find_label(table: NDArray[np.uint32], labels: NDArray[np.int64], n: int, label: int) -> int:
    """Slot of a label, or -1. Without a table, labels are their own slots.

    A table may lead to slots that have got other labels, or none, since.
    """
    if label == -1:
        return -1
    if table.size == 0:
        return label if 0 <= label < n and labels[label] == label else -1
    last = np.uint64(table.size - 1)
    place = mix(np.uint64(label)) & last
    while table[place] != NO_LINK:
        slot = np.int64(table[place])
        if labels[slot] == label:
            return slot
        place = np.uint64(place + np.uint64(1)) & last
    return -1


@entry
def find_labels(
    table: NDArray[np.uint32],
    labels: NDArray[np.int64],
    n: int,
    wanted: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Slots of many labels."""
    for i in range(wanted.size):
        out[i] = find_label(table, labels, n, wanted[i])


@inner
def insert_label(table: NDArray[np.uint32], labels: NDArray[np.int64], slot: int) -> None:
    """Enter the label of a slot, which must be new."""
    if table.size == 0:
        return
    last = np.uint64(table.size - 1)
    place = mix(np.uint64(labels[slot])) & last
    while table[place] != NO_LINK:
        place = np.uint64(place + np.uint64(1)) & last
    table[place] = np.uint32(slot)


@entry
def fill_labels(table: NDArray[np.uint32], labels: NDArray[np.int64], n: int) -> None:
    """Enter the labels of the first `n` slots that have one."""
    for slot in range(n):
        if labels[slot] != -1:
            insert_label(table, labels, slot)


@entry
def enter_label(table: NDArray[np.uint32], labels: NDArray[np.int64], slot: int) -> None:
    """Enter the label of one slot."""
    insert_label(table, labels, slot)


@inner
def _content_hash(row: NDArray[np.uint8], r: int, size: int) -> np.uint64:
    total = np.uint64(size)
    for j in range(size):
        total = np.uint64((total ^ np.uint64(row[r, j])) * np.uint64(0x100000001B3))  # FNV-1a
    return mix(total)


@inner
def _equal(raw: NDArray[np.uint8], a: int, b: int) -> bool:
    for j in range(raw.shape[1]):
        if raw[a, j] != raw[b, j]:
            return False
    return True


@inner
def find_or_insert_row(table: NDArray[np.uint64], raw: NDArray[np.uint8], slot: int) -> int:
    """First slot whose bytes equal those of `slot`, or -1 after entering `slot`."""
    key = _content_hash(raw, slot, raw.shape[1])
    last = np.uint64(table.size - 1)
    place = key & last
    entry = np.uint64((key >> _32) << _32) | np.uint64(slot)
    while table[place] != EMPTY:
        found = table[place]
        if found != LEFT and (found >> _32) == (entry >> _32):
            other = np.int64(found & _LOW)
            if _equal(raw, other, slot):
                return other
        place = np.uint64(place + np.uint64(1)) & last
    table[place] = entry
    return -1


@entry
def fill_rows(table: NDArray[np.uint64], raw: NDArray[np.uint8], slots: NDArray[np.int64]) -> None:
    """Enter the rows of `slots`, each content once."""
    for slot in slots:
        find_or_insert_row(table, raw, slot)


@entry
def forget_rows(
    table: NDArray[np.uint64], raw: NDArray[np.uint8], slots: NDArray[np.int64]
) -> None:
    """Take out rows that are in the table, their bytes as they were."""
    last = np.uint64(table.size - 1)
    for slot in slots:
        place = _content_hash(raw, slot, raw.shape[1]) & last
        while table[place] != EMPTY:
            if table[place] != LEFT and np.int64(table[place] & _LOW) == slot:
                table[place] = LEFT
                break
            place = np.uint64(place + np.uint64(1)) & last


def label_table(labels: NDArray[Any], n: int, rows: int) -> NDArray[np.uint32]:
    """Make a table of the first `n` labels with room for `rows`."""
    table = np.full(table_size(rows), NO_LINK, np.uint32)
    fill_labels(table, labels, n)
    return table


def content_table(raw: NDArray[Any], slots: NDArray[np.int64], rows: int) -> NDArray[np.uint64]:
    """Make a table of the contents of `slots` with room for `rows`."""
    table = np.full(table_size(rows), EMPTY, np.uint64)
    fill_rows(table, raw, slots)
    return table
