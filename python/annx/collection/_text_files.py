"""The folder of a keyword index: is it whole, which change does it reflect, a copy of it.

Beside tantivy's files lies a mark, `reflects.json`: which change the last commit reflects, and
which one the commit will that is about to follow. It is written before that commit. Whichever of
the two is there after a crash, it is known what it reflects.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annx import _atomic
from annx.errors import FormatError

_MARK = "reflects.json"
_META = "meta.json"
_PARTS = ("idx", "pos", "term", "store", "fast", "fieldnorm")
# The last 8 bytes of tantivy's files: the length of a footer in JSON, and this.
_MAGIC = 1337
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Point:
    """A state of a keyword index.

    Attributes
    ----------
    sequence : int
        The last change that it reflects.
    highest : int
        No row beyond this one ever had text.
    """

    sequence: int
    highest: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What a folder reflects: `now` at a commit, `then` at the one after it."""

    settings: str
    commit: int
    now: Point
    then: Point


def write_mark(folder: Path, mark: Mark) -> None:
    """Say what the folder's commits reflect."""
    body = json.dumps(asdict(mark), sort_keys=True)
    content = json.dumps({"mark": body, "crc": zlib.crc32(body.encode())})
    _atomic.write(folder / _MARK, lambda file: file.write(content.encode()))


def read_mark(folder: Path) -> Mark:
    """Read what `write_mark` wrote.

    Raises
    ------
    FormatError
        No mark, or a damaged one.
    """
    try:
        outer = json.loads((folder / _MARK).read_bytes())
        body = outer["mark"]
        if zlib.crc32(body.encode()) != outer["crc"]:
            raise FormatError(f"{folder / _MARK}: the checksum is wrong")
        kept = json.loads(body)
        return Mark(**{**kept, "now": Point(**kept["now"]), "then": Point(**kept["then"])})
    except FormatError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{folder / _MARK}: {error}") from error


def _meta(folder: Path) -> dict[str, Any]:
    try:
        meta = json.loads((folder / _META).read_bytes())
        if isinstance(meta, dict):
            return meta
        raise FormatError(f"{folder / _META}: expected an object")
    except (OSError, ValueError) as error:
        raise FormatError(f"{folder / _META}: {error}") from error


def last_commit(folder: Path) -> int:
    """The number of tantivy's last commit.

    Raises
    ------
    FormatError
    """
    commit = _meta(folder).get("opstamp")
    if not isinstance(commit, int):
        raise FormatError(f"{folder / _META}: expected the number of a commit, got {commit!r}")
    return commit


def _files(folder: Path) -> list[str]:
    """Names of the files that the last commit consists of."""
    names = []
    try:
        for segment in _meta(folder)["segments"]:
            stem = segment["segment_id"].replace("-", "")
            names += [f"{stem}.{part}" for part in _PARTS]
            if segment["deletes"] is not None:
                names.append(f"{stem}.{segment['deletes']['opstamp']}.del")
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{folder / _META}: {error!r}") from error
    return names


def _check_file(path: Path) -> None:
    """Compare a file with the checksum in its footer."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < 8:
                raise FormatError(f"{path}: {size} bytes are no file of tantivy's")
            file.seek(size - 8)
            end = file.read(8)
            length = int.from_bytes(end[:4], "little")
            if int.from_bytes(end[4:], "little") != _MAGIC or length > size - 8:
                raise FormatError(f"{path}: the footer is damaged")
            file.seek(size - 8 - length)
            wanted = json.loads(file.read(length))["crc"]
            file.seek(0)
            found, left = 0, size - 8 - length
            while left and (block := file.read(min(_BLOCK, left))):
                found = zlib.crc32(block, found)
                left -= len(block)
            if left or found != wanted:
                raise FormatError(f"{path}: the checksum is wrong")
    except FormatError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: {error!r}") from error


def verify(folder: Path, settings: str) -> Point:
    """Check every byte that a search could read; give what the last commit reflects.

    Raises
    ------
    FormatError
        Something is damaged or missing, belongs to other settings, or is older than the mark.
    """
    mark = read_mark(folder)
    if mark.settings != settings:
        raise FormatError(f"{folder}: indexed with other settings")
    for name in _files(folder):
        _check_file(folder / name)
    commit = last_commit(folder)
    if commit < mark.commit:
        raise FormatError(f"{folder}: expected commit {mark.commit} or a later one, got {commit}")
    return mark.now if commit == mark.commit else mark.then


def drop_unfinished(folder: Path) -> None:
    """Delete what a commit that was broken off has left.

    The next commit may give a file the same name, and tantivy writes no file twice.
    """
    kept = set(_files(folder))
    for path in folder.glob("*.*"):
        if re.fullmatch("[0-9a-f]{32}", path.name.partition(".")[0]) and path.name not in kept:
            with contextlib.suppress(OSError):
                path.unlink()


def exists(folder: Path) -> bool:
    """Whether there is anything of a keyword index."""
    return (folder / _META).exists() or (folder / _MARK).exists()


def size(folder: Path) -> int:
    """Bytes on disk."""
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # merged into another since
    return total


def copy(folder: Path, target: Path, tries: int = 50) -> None:
    """Copy the last commit, by hard links where the file system can.

    Meanwhile the writer may commit, or merge segments and delete them; then again from the start.

    Raises
    ------
    FormatError
        Never whole in `tries` attempts.
    """
    for attempt in range(tries):
        if attempt:
            time.sleep(0.01)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        try:
            shutil.copyfile(folder / _MARK, target / _MARK)
            shutil.copyfile(folder / _META, target / _META)
            if last_commit(target) < read_mark(target).commit:
                raise FormatError(f"{folder}: the mark is of a later commit")
            names = _files(target)
            for name in names:
                _link(folder / name, target / name)
        except (FileNotFoundError, FormatError) as error:
            last = error
            continue
        # What tantivy takes for its own, and deletes once it is merged.
        (target / ".managed.json").write_text(json.dumps([*names, _META]))
        return
    raise FormatError(f"{folder}: not whole in {tries} attempts: {last}")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
