"""Files that fuzzers found worth keeping are refused, or are indexes that answer."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from any_file import open_all_ways
from sealing import joined, split

from annx import FormatError, _format

CORPUS = Path(__file__).parents[1] / "fuzz_corpus"
#: Those of tools/fuzz/target.cpp have no checksums; those of reader.py are whole files.
STATES, WHOLE = sorted(CORPUS.glob("states/*")), sorted(CORPUS.glob("files/*"))


def sealed(data: bytes) -> bytes:
    """A file of the native fuzzer with what it leaves out: checksums, and a right "removed"."""
    found = {name: part for name, _, _, part in split(data)}
    if {"labels", "links", "removed"} <= found.keys() and len(found["labels"]) % 8 == 0:
        slots = np.flatnonzero(np.frombuffer(found["labels"], np.int64) == -1).astype(np.uint32)
        width = len(found["links"]) // max(len(found["labels"]) // 8, 1) // 4 * 4
        ends = [found["links"][slot * width : slot * width + 4] for slot in slots.tolist()]
        free = [_format.FREE if end == b"\xff" * 4 else np.uint32(0) for end in ends]
        found["removed"] = (slots | np.array(free, np.uint32)).tobytes()
    contents = [(name, kind, needed, found[name]) for name, kind, needed, _ in split(data)]
    if "sums" not in found:
        contents.append(("sums", 2, 1, b""))
    return joined(data, contents)


def test_there_is_a_corpus():
    assert len(STATES) > 50 and len(WHOLE) > 20


# The reader in Python is the same for both engines.
@pytest.mark.parametrize(
    ("kind", "engine"), [("states", "native"), ("states", "numba"), ("files", "native")]
)
def test_each_file_is_refused_or_an_index(kind, engine, use_backend, tmp_path):
    use_backend(engine)
    opened = 0
    for file in sorted((CORPUS / kind).iterdir()):
        contents = [file.read_bytes()]
        if kind == "states":
            with contextlib.suppress(struct.error):  # no file at all
                contents.append(sealed(contents[0]))
        for data in contents:
            try:
                opened += open_all_ways(data, tmp_path / "i.annx") > 0
            except Exception as error:
                error.add_note(f"{kind}/{file.name}")
                raise
    assert opened > 0


def test_both_checks_say_the_same(use_backend, monkeypatch):
    """The native check and its slow twin, of every state of the corpus."""
    verdicts = {}
    for backend in ("reference", "native"):
        use_backend(backend)
        for file in STATES:
            for verify in ("structure", "full"):
                try:
                    _format.loads(sealed(file.read_bytes()), verify=verify)
                    verdict = ""
                except FormatError as error:
                    verdict = str(error)
                except struct.error:
                    continue
                verdicts.setdefault((file.name, verify), []).append(verdict)
    # Where several things are wrong, they may name another.
    wrong = [(name, pair) for name, pair in verdicts.items() if bool(pair[0]) != bool(pair[1])]
    assert not wrong
    assert {bool(pair[0]) for pair in verdicts.values()} == {True, False}
