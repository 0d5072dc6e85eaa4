"""Damaged files: what is done to them, by a seed, and what may come of it."""

from __future__ import annotations

import contextlib
import functools
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from sealing import entries, repaired, repaired_head, repaired_log

import annx
from annx import FormatError

DIM, ROWS = 16, 70
#: Metric, codec, kept vectors.
KINDS = [
    ("l2", "f32", "auto"), ("cosine", "f32", "auto"), ("ip", "f16", "auto"),
    ("cosine", "bf16", "auto"), ("cosine", "i8", "auto"), ("l2", "u8", "auto"),
    ("hamming", "b1", "auto"), ("l2", "sq8", "f16"), ("cosine", "sq8", "f32"),
    ("ip", "sq8", "none"), ("l2", "sq10", "none"), ("cosine", "sq10", "f16"),
    ("l2", "sq4", "none"), ("cosine", "sq4", "none"), ("ip", "sq4", "f16"),
    ("l2", "turbo", "auto"), ("cosine", "turbo", "auto"), ("l2", "auto", "auto"),
]  # fmt: skip
#: How a file is opened. "structure" leaves checksums aside, so that wrong rows go unnoticed;
#: "map" verifies what is used when it is used.
WAYS = ("bytes", "file", "structure", "map")


def _rows(n: int, codec: str, seed: int, whole: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if codec == "b1":
        return rng.integers(0, 256, (n, DIM // 8), dtype=np.uint8)
    if codec in ("u8", "i8") or whole:
        return rng.integers(1, 100, (n, DIM)).astype("u1" if codec == "u8" else "i1")
    return rng.standard_normal((n, DIM), dtype=np.float32)


@functools.cache
def _corpus(kind: int, variant: int, records: int | None = None) -> tuple[bytes, np.ndarray]:
    """A file, as it was after so many records, and queries."""
    records = max(variant - 1, 0) if records is None else records
    metric, codec, keep = KINDS[kind]
    whole = codec == "auto"
    options = {"keep_vectors": keep} if codec in ("sq8", "sq10", "sq4", "turbo") else {}
    index = annx.Index(DIM, metric, codec=codec, M=3, ef_construction=20, **options)
    x = _rows(ROWS, codec, kind, whole)
    x[60:64] = x[0]  # twins
    index.add(x, np.arange(ROWS) * 7 - 100)
    if variant % 2:
        index.remove(np.arange(5, 45) * 7 - 100)
        index.add(_rows(4, codec, kind + 50, whole), [1, 2, 3, 4])
    if records == 0:
        return index.to_bytes(), x[:6]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "i.annx"
        index.save(path)
        for turn in range(records):
            index.add(_rows(8, codec, kind + turn, whole), np.arange(8) + 10 * turn + 1000)
            index.update([1000 + 10 * turn], x[3:4])
            index.remove([1001 + 10 * turn])
            index.ef_search += 1
            index.save(path, incremental=True)
        return path.read_bytes(), x[:6]


VARIANTS = 4  # plain; with removed rows; with one record; with two and removed rows


def original(seed: int) -> tuple[int, int]:
    """Which file a seed damages."""
    return seed % len(KINDS), seed // len(KINDS) % VARIANTS


Mutation = Callable[[bytearray, random.Random], bytes | None]


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, or near where something begins."""
    if rng.random() < 0.6:
        return rng.randrange(len(data))
    starts = [0, 80, *(offset for _, _, offset, _ in entries(data)), len(data) - 1]
    start = min(rng.choice(starts), len(data) - 1)
    return min(start + int(rng.expovariate(1 / 24)), len(data) - 1)


def _length(rng: random.Random, most: int) -> int:
    return min(1 + int(rng.expovariate(1 / rng.choice([4, 64, 1000]))), most)


def truncate(data: bytearray, rng: random.Random) -> bytes | None:
    return bytes(data[: _place(data, rng)])


def flip(data: bytearray, rng: random.Random) -> bytes | None:
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(data)


def zero(data: bytearray, rng: random.Random) -> bytes | None:
    start = _place(data, rng)
    length = _length(rng, len(data) - start)
    data[start : start + length] = bytes(length)
    return bytes(data)


def scramble(data: bytearray, rng: random.Random) -> bytes | None:
    start = _place(data, rng)
    length = _length(rng, len(data) - start)
    data[start : start + length] = rng.randbytes(length)
    return bytes(data)


def splice(data: bytearray, rng: random.Random) -> bytes | None:
    """A range of another file, or of another place, at its own place or not."""
    other = _corpus(*original(rng.randrange(1 << 20)))[0] if rng.random() < 0.7 else bytes(data)
    start = _place(data, rng)
    source = start if rng.random() < 0.5 else rng.randrange(len(other))
    part = other[source : source + _length(rng, len(data))]
    if rng.random() < 0.7:
        data[start : start + len(part)] = part
    else:
        data[start:start] = part
    return bytes(data)


def cut_out(data: bytearray, rng: random.Random) -> bytes | None:
    start = _place(data, rng)
    del data[start : start + _length(rng, len(data))]
    return bytes(data)


def append_junk(data: bytearray, rng: random.Random) -> bytes | None:
    return bytes(data) + rng.choice([rng.randbytes(_length(rng, 5000)), bytes(data[-64:])])


def halves(data: bytearray, rng: random.Random) -> bytes | None:
    """The beginning of one file and the end of another, as after an unsafe overwrite."""
    other = _corpus(*original(rng.randrange(1 << 20)))[0]
    place = _place(data, rng)
    return bytes(data[:place]) + other[place:]


_EXTREME = (0, 1, 2, 3, 127, 128, 255, 2**16 - 1, 2**30 - 2, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def _value(rng: random.Random, old: int, bits: int) -> int:
    choices = (old + 1, old - 1, old ^ (1 << rng.randrange(bits)), rng.choice(_EXTREME))
    return rng.choice(choices) % (1 << bits)


def _patch(data: bytearray, place: int, fmt: str, rng: random.Random) -> None:
    if place + struct.calcsize(fmt) <= len(data):
        (old,) = struct.unpack_from(fmt, data, place)
        struct.pack_into(fmt, data, place, _value(rng, old, 8 * struct.calcsize(fmt)))


def sealed_header(data: bytearray, rng: random.Random) -> bytes | None:
    """Counts and parameters of the header and the table, with its checksum made right."""
    fields = [(16, "<I"), (20, "<I"), (24, "<I"), (28, "<I"), (32, "<I"), (36, "<I"), (40, "<I")]
    fields += [(place, "<B") for place in (44, 45, 46, 47, 68, 69, 70, 71)]
    fields += [(48, "<Q"), (56, "<Q"), (64, "<I")]
    for place, _, _, _ in entries(data):
        fields += [(place + 8, "<B"), (place + 9, "<B"), (place + 16, "<Q"), (place + 24, "<Q")]
    for _ in range(rng.choice([1, 1, 2])):
        _patch(data, *rng.choice(fields), rng)
    if rng.random() < 0.5:
        return repaired_log(repaired_head(bytes(data)))
    return repaired_log(repaired(bytes(data)))


def sealed_content(data: bytearray, rng: random.Random) -> bytes | None:
    """Anything within a section, with all checksums made right."""
    sections = [(name, o, n) for _, name, o, n in entries(data) if n and name != "log"]
    name, offset, length = rng.choice(sections)
    for _ in range(rng.choice([1, 1, 2, 5])):
        kind = "<Q" if name == "labels" and length >= 8 else "<I" if length >= 4 else "<B"
        size = struct.calcsize(kind)
        if name in ("rows", "original") and rng.random() < 0.5:
            data[offset + rng.randrange(length)] ^= 1 << rng.randrange(8)
        else:
            _patch(data, offset + rng.randrange(length // size) * size, kind, rng)
    if name != "sums":
        return repaired_log(repaired(bytes(data)))
    return repaired_log(repaired_head(bytes(data)))


def sealed_log(data: bytearray, rng: random.Random) -> bytes | None:
    """Anything within the records, with their checksums made right."""
    start = -(-max(o + n for _, _, o, n in entries(data)) // 64) * 64
    if start >= len(data):
        return None
    for _ in range(rng.choice([1, 1, 2, 5])):
        place = start + rng.randrange(len(data) - start)
        kind = rng.choice(["<B", "<I", "<Q"])
        size = struct.calcsize(kind)
        if rng.random() < 0.4:  # the head of a record, or of its first change
            place = start + rng.randrange(104)
        _patch(data, place // size * size, kind, rng)
    return repaired_log(bytes(data))


#: What leaves the checksums as they were, and what makes them right again.
BLIND: list[Mutation] = [
    truncate, flip, flip, flip, zero, scramble, splice, cut_out, append_junk, halves,
]  # fmt: skip
SEALED: list[Mutation] = [sealed_header, sealed_header, sealed_content, sealed_content, sealed_log]


@dataclass(frozen=True)
class Outcome:
    """What came of one damaged file: a verdict, the mutation, and seconds of CPU."""

    verdict: str
    mutation: str
    seconds: float
    size: int


def damaged(seed: int) -> tuple[bytes, str, bool]:
    """The file of a seed, how it was damaged, and whether its checksums are right again."""
    rng = random.Random(seed)
    data = bytearray(_corpus(*original(seed))[0])
    sealed = rng.random() < 0.5
    mutation = rng.choice(SEALED if sealed else BLIND)
    result = mutation(data, rng)
    if result is None or result in _undamaged():
        sealed, mutation, result = False, flip, flip(data, rng)
    assert result is not None
    return result, mutation.__name__, sealed


def answers(index: annx.Index, queries: np.ndarray) -> list[np.ndarray]:
    """All that a search can return."""
    k = ROWS + 30
    found = [index.labels, index.get(index.labels)]
    for hits in (index.exact_search(queries, k=k), index.search(queries, k=10, ef_search=200)):
        found += [hits.labels, hits.distances]
    return found


@functools.cache
def _undamaged() -> frozenset[bytes]:
    return frozenset(_corpus(*original(seed))[0] for seed in range(len(KINDS) * VARIANTS))


def prepare() -> None:
    """Make all files and their answers, for children to find."""
    for seed in range(len(KINDS) * VARIANTS):
        _true(*original(seed))
    _undamaged()


@functools.cache
def _true(kind: int, variant: int, records: int | None = None) -> list[np.ndarray]:
    data, queries = _corpus(kind, variant, records)
    return answers(annx.Index.from_bytes(data, num_threads=1), queries)


def judge(seed: int, folder: Path) -> Outcome:
    """Open the file of a seed, search it, and change it."""
    data, mutation, sealed = damaged(seed)
    kind, variant = original(seed)
    want = _true(kind, variant)
    queries = _corpus(kind, variant)[1]
    way = WAYS[0] if seed % 3 else WAYS[seed // 3 % len(WAYS)]
    start = time.process_time()
    mixed = mutation in ("splice", "halves")
    lenient = sealed or way == "structure"
    verdict = _verdict(data, way, folder, lenient, mixed, seed, want, queries)
    return Outcome(verdict, f"{mutation} ({way})", time.process_time() - start, len(data))


def _generations(seed: int) -> list[tuple[int, int, int]]:
    """All that may be an earlier or later state of the file of a seed."""
    kind = original(seed)[0]
    return [(kind, variant, records) for variant in (2, 3) for records in range(variant)]


def _verdict(
    data: bytes,
    way: str,
    folder: Path,
    sealed: bool,
    mixed: bool,
    seed: int,
    want: list[np.ndarray],
    queries: np.ndarray,
) -> str:
    try:
        if way == "bytes":
            index = annx.Index.from_bytes(data, num_threads=1)
        else:
            path = folder / "damaged.annx"
            path.write_bytes(data)
            options = {"structure": {"verify": way}, "map": {"mmap": True}}.get(way, {})
            index = annx.load(path, num_threads=1, **options)
    except (FormatError, annx.ReadOnlyError):
        return "refused"
    except Exception as error:
        return f"BAD: {type(error).__name__} at load: {error}"
    try:
        if index.dim != DIM:
            queries = np.ones((2, index._config.columns), queries.dtype)
        found = answers(index, queries)
        if all(map(same, found, want)):
            return "same answers"
        if mixed and any(all(map(same, found, _true(*other))) for other in _generations(seed)):
            return "same answers as one of the two"
        if not sealed:
            return "BAD: other answers"
        wrong = contradiction(index, found)
        if way == "map":
            # What holds of all rows together (labels once, twins equal) is verified by a load
            # that reads them all, and not by one that maps them.
            return "maps, and contradicts itself" if wrong else "another valid index"
        if wrong:
            return f"BAD: {wrong}"
        with contextlib.suppress(annx.NonFiniteError, annx.ZeroVectorError):
            # Damage may have made any label.
            new = next(label for label in range(2**40, 2**41) if label not in index)
            index.add(index.get(index.labels[:1]), [new])  # a norm may be as small as that
            index.remove([new])
        return "another valid index"
    except FormatError as error:
        return "refused" if way == "map" else f"BAD: FormatError after load: {error}"
    except Exception as error:
        return f"BAD: {type(error).__name__} after load: {error}"


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())


def contradiction(index: annx.Index, found: list[np.ndarray]) -> str:
    """Where the answers of an index contradict each other, if they do."""
    labels, _, exact_labels, exact_distances, near_labels, near_distances = found
    known = set(labels.tolist())
    for all_labels, all_distances, some_labels, some_distances in zip(
        exact_labels, exact_distances, near_labels, near_distances, strict=True
    ):
        table = dict(zip(all_labels.tolist(), all_distances.tolist(), strict=True))
        hits = [label for label in some_labels.tolist() if label != -1]
        if not set(hits) <= known or len(set(hits)) != len(hits):
            return f"search returned {hits}"
        for label, distance in zip(hits, some_distances.tolist(), strict=False):
            if len(table) > len(known) - 1 and label not in table:
                return f"label {label} is found by a search that is not exact alone"
            true = table.get(label, distance)
            if not np.isclose(distance, true, rtol=1e-2, atol=1e-2 * (1 + abs(true))):
                return f"label {label} is {distance} away, or {true}"
    return ""
