"""How a collection is: sizes, sequences, and whether all of it agrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from annx.collection._open import RECORDS
from annx.collection._view import Snapshot, View
from annx.errors import StorageError

_SCAN = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a collection.

    Attributes
    ----------
    bytes : int
        On disk.
    sequence : int
        Of the last batch that its files reflect.
    lag : int
        Changes that they do not reflect yet, and which opening would replay.
    """

    bytes: int
    sequence: int
    lag: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What a collection holds and takes.

    Attributes
    ----------
    documents : int
    sequence : int
        Of the last batch; it grows with each, not by one.
    parts : dict of str to Part
        ``"records"``, and what is made from them: ``"vector:NAME"`` and so on.
    """

    documents: int
    sequence: int
    parts: dict[str, Part]

    @property
    def bytes(self) -> int:
        """On disk, of all parts."""
        return sum(part.bytes for part in self.parts.values())


def gather(view: View, folder: Path) -> Stats:
    """Collect what `Collection.stats` returns."""
    store = view.store
    with view.snapshot() as snapshot:
        documents, sequence, lag = snapshot.count(), store.sequence, store.lag()
    size = sum(path.stat().st_size for path in folder.glob(RECORDS + "*"))
    parts = {"records": Part(size, sequence, 0)}
    for name, part in store.parts.items():
        parts[name] = Part(part.size(), part.sequence, lag[name])
    return Stats(documents, sequence, parts)


def check(view: View) -> list[str]:
    """Do what `Collection.check` does."""
    with view.snapshot() as snapshot:
        return list(_problems(view, snapshot))


def _problems(view: View, snapshot: Snapshot) -> Iterator[str]:
    rows: set[int] = set()
    holding: dict[str, set[int]] = {name: set() for name in view.schema.special}
    after = -1
    try:
        yield from snapshot.integrity()
        while found := snapshot.scan(after, _SCAN, None, holding):
            after = found[-1][0]
            for row, document in found:
                rows.add(row)
                for name, has in holding.items():
                    if document.get(name) is not None:
                        has.add(row)
    except StorageError as error:
        yield str(error)
        return
    for name, part in view.store.parts.items():
        verify = getattr(part, "verify", None)
        if verify is not None:
            for problem in verify(rows, holding):
                yield f"{name}: {problem}"
