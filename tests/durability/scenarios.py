"""What is done to an existing file while something goes wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import annx

DIM = 24


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, DIM), dtype=np.float32)


def built(n: int = 60, codec: str = "auto") -> annx.Index:
    index = annx.Index(DIM, codec=codec, M=4, ef_construction=20)
    index.add(rows(n, 0))
    return index


def change(index: annx.Index, seed: int) -> None:
    """Change an index in every way that a log holds."""
    labels = index.add(rows(9, seed))
    index.update(labels[:2], rows(2, seed + 1))
    index.add(rows(3, seed + 2), [10_000 + seed, 5, 6], upsert=True)
    index.remove([int(index.labels[3]), int(labels[4])])
    index.ef_search += 1


@dataclass(frozen=True)
class Scenario:
    """A file as it was, the index that replaces it, and the call that does.

    Attributes
    ----------
    name : str
    prepare : callable
        Writes what is there before, if anything, and returns the changed index.
    incremental : bool
    exists : bool
        Whether there is a file before.
    """

    name: str
    prepare: Callable[[Path], annx.Index]
    incremental: bool
    exists: bool = True

    def act(self, index: annx.Index, path: Path) -> None:
        index.save(path, incremental=self.incremental)


def _create(path: Path) -> annx.Index:
    return built()


def _save(path: Path) -> annx.Index:
    index = built()
    index.save(path)
    change(index, 100)
    return index


def _append_again(path: Path) -> annx.Index:
    index = _save(path)
    index.save(path, incremental=True)
    change(index, 200)
    return index


def _append_thrice(path: Path) -> annx.Index:
    index = _append_again(path)
    index.save(path, incremental=True)
    change(index, 300)
    return index


def _append_after_a_crash(path: Path) -> annx.Index:
    """What another process did not finish lies behind the log."""
    index = _append_again(path)
    before = path.read_bytes()
    other = annx.load(path)
    other.add(rows(30, 7))
    other.save(path, incremental=True)
    longer = path.read_bytes()
    path.write_bytes(before + longer[len(before) : -100])
    return index


def _append_after_a_torn_slot(path: Path) -> annx.Index:
    """The last record is whole, the slot that tells of it is not."""
    index = _append_again(path)
    data = bytearray(path.read_bytes())
    place = slots(bytes(data))
    data[place + 64 + 20] ^= 1  # of record 1, which was written last
    path.write_bytes(data)
    index = annx.load(path)
    change(index, 200)
    return index


def _append_compact(path: Path) -> annx.Index:
    index = _save(path)
    index.compact()
    return index


def _fold(path: Path) -> annx.Index:
    index = _append_again(path)
    index.save(path, incremental=True)
    index.repair()  # so that even an incremental save writes everything
    change(index, 300)
    return index


def slots(data: bytes) -> int:
    """Where the slots of a file begin."""
    table = data[80 : 80 + 32 * int.from_bytes(data[24:28], "little")]
    at = next(at for at in range(0, len(table), 32) if table[at : at + 8].rstrip(b"\0") == b"log")
    return int.from_bytes(table[at + 16 : at + 24], "little")


_ALL = [
    Scenario("create", _create, False, exists=False),
    Scenario("create-incremental", _create, True, exists=False),
    Scenario("save", _save, False),
    Scenario("append", _save, True),
    Scenario("append-again", _append_again, True),
    Scenario("append-thrice", _append_thrice, True),
    Scenario("append-after-a-crash", _append_after_a_crash, True),
    Scenario("append-after-a-torn-slot", _append_after_a_torn_slot, True),
    Scenario("append-compact", _append_compact, True),
    Scenario("fold", _fold, False),
    Scenario("fold-incremental", _fold, True),
]

#: The long form of the tests, as of `make torture`.
LONG = bool(os.environ.get("ANNX_TORTURE"))
_SHORT = ("create", "save", "append", "append-after-a-crash", "append-after-a-torn-slot")
SCENARIOS = [s for s in _ALL if LONG or s.name in (*_SHORT, "fold-incremental")]


def named(name: str) -> Scenario:
    """Find a scenario."""
    return next(scenario for scenario in _ALL if scenario.name == name)


def opened(path: Path) -> bytes | None:
    """What a file holds, as bytes that are equal for equal content; None if there is none."""
    return annx.load(path).to_bytes() if path.exists() else None


class Case:
    """A scenario ready to run, with what may be found after."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario, self.path = scenario, folder / "i.annx"
        self.index = scenario.prepare(self.path)
        self.file = self.path.read_bytes() if scenario.exists else None
        self.old, self.new = opened(self.path), self.index.to_bytes()
        assert self.old != self.new

    def act(self) -> None:
        self.scenario.act(self.index, self.path)

    def reset(self) -> None:
        """Put the folder back."""
        for entry in self.path.parent.iterdir():
            entry.unlink()
        if self.file is not None:
            self.path.write_bytes(self.file)

    def found(self) -> str:
        """Say which of the two the file opens as; anything else is an error."""
        content = opened(self.path)
        assert content in (self.old, self.new), "neither the old nor the new index"
        return "new" if content == self.new else "old"

    def litter(self) -> list[str]:
        """Files beside the one in question."""
        return [entry.name for entry in self.path.parent.iterdir() if entry != self.path]
