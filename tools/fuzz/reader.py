"""Damaged files for the reader in Python, led by what of it they reach.

    reader.py SECONDS FOLDER [KEPT]

Starts from the files in FOLDER and those of seeds.py, damages them as tests/durability/damage.py
does, and goes on from each file that takes a step from line to line of the reader that none
took before. Such files are written to FOLDER. Stops at the first that is neither refused with
FormatError nor an index that answers. KEPT gets a few small ones that take all those steps.
"""

from __future__ import annotations

import hashlib
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "tests"))
sys.path.append(str(Path(__file__).parents[2] / "tests" / "durability"))

import seeds
from any_file import open_all_ways
from damage import BLIND, SEALED
from sealing import repaired, repaired_log

import annx

READER = ("_format", "_layout", "_source", "_sums", "_verify", "_log", "_map", "_check", "_load")
#: A step from one line to another.
Arc = tuple[str, int, int]


def traced(call: Callable[[], object]) -> set[Arc]:
    """Do something, and return the steps that the reader took."""
    arcs: set[Arc] = set()
    folder = Path(annx.__file__).parent
    files = {str(folder / f"{name}.py") for name in READER}

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        last = 0

        def on_line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            line = frame.f_lineno if event == "line" else -frame.f_lineno
            arcs.add((frame.f_code.co_filename, last, line))
            last = line
            return on_line

        return on_line

    sys.settrace(on_call)
    try:
        call()
    finally:
        sys.settrace(None)
    return arcs


def damage(pool: list[bytes], rng: random.Random) -> bytes:
    """Another file from one or two of a pool."""
    data = rng.choice(pool)
    for _ in range(rng.choice([1, 1, 2, 3])):
        sealed = rng.random() < 0.75
        made = rng.choice(SEALED if sealed else BLIND)(bytearray(data), rng)
        data = data if not made or len(made) < 80 or len(made) > 1 << 16 else made
    # What blind damage did, seen by more than the checksums.
    return repaired_log(repaired(data)) if rng.random() < 0.3 else data


def few(taken: dict[bytes, set[Arc]], known: set[Arc]) -> list[bytes]:
    """Choose files that take all steps together, each time the one with most for its size."""
    chosen, missing = [], set().union(*taken.values()) - known
    while missing:
        best = max(taken, key=lambda data: len(taken[data] & missing) / len(data))
        missing -= taken[best]
        chosen.append(best)
    return chosen


def main(seconds: float, folder: Path, kept: Path | None = None) -> None:
    """Fuzz for so long."""
    folder.mkdir(parents=True, exist_ok=True)
    seed = time.time_ns()
    rng = random.Random(seed)
    pool = [file.read_bytes() for file in sorted(folder.glob("*.annx"))]
    made = [seeds.seed(kind, variant) for kind in range(len(seeds.KINDS)) for variant in range(5)]
    made += [seeds.logged(kind) for kind in range(len(seeds.KINDS))]
    pool += made
    path = folder / "open.tmp"
    taken = {data: traced(lambda data=data: open_all_ways(data, path)) for data in pool}
    known = set().union(*(taken.pop(data) for data in set(made)))
    seen = known.union(*taken.values())
    print(f"seed {seed}, {len(pool)} files to begin with, {len(seen)} steps", flush=True)
    count, found, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            data = damage(pool, rng)
        except (ValueError, IndexError, struct.error):  # of a file too short to be damaged that way
            continue
        count += 1
        name = hashlib.sha256(data).hexdigest()[:16]
        try:
            arcs = traced(lambda data=data: open_all_ways(data, path))
        except Exception:
            (folder / f"bad-{name}.annx").write_bytes(data)
            print(f"neither refused nor an index: bad-{name}.annx", flush=True)
            raise
        if arcs - seen:
            seen |= arcs
            taken[data] = arcs
            found += 1
            pool.append(data)
            (folder / f"{name}.annx").write_bytes(data)
    path.unlink(missing_ok=True)
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        for data in few(taken, known):
            (kept / f"{hashlib.sha256(data).hexdigest()[:16]}.annx").write_bytes(data)
    print(f"{count} files, {found} of which took new steps, {len(seen)} in all")


if __name__ == "__main__":
    main(float(sys.argv[1]), *map(Path, sys.argv[2:]))
