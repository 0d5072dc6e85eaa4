"""Columns as bytes: the same again, and nothing but an error from any damage."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from filter_samples import DATES, NUMBERS, TEXTS

from annx.errors import FormatError
from annx.filters import Columns, F

HEADER = struct.Struct("<8sIIQ")
QUESTIONS = [
    {},
    F("n") < 2,
    F("t").prefix("a"),
    F("t") < "b",
    F("d") >= "2000-01-01",
    F("rare").exists(),
    F("tags").contains_all(["a", 1]),
    F("b") == True,  # noqa: E712
    F("big") == 10**30,
]


def sample():
    columns = Columns(skip=["body"])
    values = [*NUMBERS, *DATES, *TEXTS]
    documents = []
    for row in range(120):
        document = {"n": row % 5, "x": row / 7, "t": TEXTS[row % 15], "d": DATES[row % 16]}
        document["tags"] = ["a", 1, True, "2024-01-01", 10**25][: row % 6]
        document["b"] = row % 2 == 0
        document["body"] = "long"
        if row % 30 == 0:
            document |= {"rare": [row, "r"], "big": 10**30, "any": values}
        documents.append(document)
    columns.upsert(np.arange(120) * 3, documents)
    columns.remove([3, 9])
    return columns


def repaired(data):
    """Damaged bytes with a header that says they are whole."""
    magic, version, _, _ = HEADER.unpack(data[: HEADER.size])
    crc = zlib.crc32(data[HEADER.size :], zlib.crc32(struct.pack("<Q", len(data))))
    return HEADER.pack(magic, version, crc, len(data)) + data[HEADER.size :]


def answers(columns):
    extent = np.arange(len(columns.live))
    masks = [columns.mask(question).tolist() for question in QUESTIONS]
    return masks, [columns.values(field, extent) for field in columns.fields]


def test_the_same_again():
    columns = sample()
    again = Columns.from_bytes(columns.to_bytes())
    assert again.fields == columns.fields
    assert repr(answers(again)) == repr(answers(columns))
    assert Columns.from_bytes(bytearray(again.to_bytes())).to_bytes() == again.to_bytes()
    again.upsert([0], [{"t": "new"}])
    assert again.select(F("t") == "new").tolist() == [0]
    assert Columns.from_bytes(Columns().to_bytes()).mask({}).tolist() == []


def test_fields_that_no_document_has_any_more_are_left_out():
    columns = Columns()
    columns.upsert([0, 1], [{f"k{i}": [i, "x"][: i % 3] for i in range(100)}, {"a": [1, 2]}])
    columns.upsert([0], [{"b": True}])
    columns.upsert([2], [{"a": 3, "c": 1}])
    assert columns.count({"c": 1}) == 1
    columns.remove([2])
    again = Columns.from_bytes(columns.to_bytes())
    assert again.fields == ["a", "b"]
    assert again.values("a", [0, 1, 2]) == [None, [1, 2], None]
    again.upsert([2], [{"c": 2}])
    assert again.select({"c": 2}).tolist() == [2]


def test_every_truncation_and_flipped_bit_is_found():
    data = sample().to_bytes()
    for size in [*range(0, len(data), 97), len(data) - 1]:
        with pytest.raises(FormatError):
            Columns.from_bytes(data[:size])
    with pytest.raises(FormatError):
        Columns.from_bytes(data + b"\0")
    rng = np.random.default_rng(5)
    for place in [*range(HEADER.size), *rng.integers(0, len(data), 300).tolist()]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(FormatError):
            Columns.from_bytes(damaged)


def test_other_bytes_and_later_versions_are_refused():
    data = sample().to_bytes()
    with pytest.raises(FormatError, match="other bytes"):
        Columns.from_bytes(b"x" * len(data))
    with pytest.raises(FormatError, match="version 1, got 2"):
        Columns.from_bytes(data[:8] + struct.pack("<I", 2) + data[12:])
    with pytest.raises(FormatError, match="at least"):
        Columns.from_bytes(b"")


def test_hostile_bytes_are_refused_or_answered():
    """With the checksum repaired, as one who means harm would."""
    data = sample().to_bytes()
    rng = np.random.default_rng(6)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(HEADER.size, len(data)))
            kind = rng.integers(3)
            if kind == 0:
                damaged[place] = int(rng.integers(256))
            elif kind == 1:
                damaged[place : place + 8] = struct.pack("<Q", int(rng.integers(0, 2**63)))
            else:
                del damaged[place : place + int(rng.integers(1, 40))]
        try:
            columns = Columns.from_bytes(repaired(bytes(damaged)))
        except FormatError:
            refused += 1
            continue
        answers(columns)
        columns.upsert([0, 1], [{"n": 2.5, "t": "new", "tags": ["a", "z"]}, {}])
        answers(columns)
        columns.remove(np.arange(50))
        Columns.from_bytes(columns.to_bytes())
    assert refused > 300
