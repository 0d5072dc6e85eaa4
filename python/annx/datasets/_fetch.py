"""Download a public data set once."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np

from annx.datasets import _checksums
from annx.datasets._checksums import SUMS, Checksum
from annx.datasets._dataset import Dataset, read_dataset
from annx.datasets._public import PUBLIC, PublicSet
from annx.datasets._raw import BINS
from annx.errors import FormatError, ParameterError

_CHUNK = 1 << 20
_TIMEOUT = 30


def cache_folder() -> Path:
    """Where downloads are kept: ``ANNX_DATA``, or a folder in the user's cache."""
    if named := os.environ.get("ANNX_DATA"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "annx" / "datasets"


def fetch(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    progress: Callable[[str, int, int], object] = lambda what, done, total: None,
) -> Dataset:
    """Download a public data set unless it is there, and read it.

    Length and SHA-256 of each file are recorded in ``SHA256SUMS`` beside it when it comes,
    and verified whenever it is used again.

    Parameters
    ----------
    name : str
        A key of :data:`PUBLIC`.
    folder : path-like, optional
        Default: :func:`cache_folder`.
    progress : callable, optional
        Called as ``progress(what, bytes_done, bytes_total)``; a total of 0 is unknown.

    Returns
    -------
    Dataset

    Raises
    ------
    ParameterError
        The name is unknown.
    ConnectionError
        It could not be downloaded; the message says from where and to where.
    FormatError
        A file has another length or checksum than it should, or is damaged. The message says
        how to get it anew; what was just downloaded is not kept.
    """
    found = PUBLIC.get(name)
    if found is None:
        raise ParameterError(f"expected one of {', '.join(PUBLIC)}, got {name!r}")
    place = Path(cache_folder() if folder is None else folder) / name
    place.mkdir(parents=True, exist_ok=True)
    recorded = _checksums.read(place)
    unknown: dict[Path, Checksum] = {}
    for file, url in found.files.items():
        path = place / file
        expected = _expected(found, file, recorded)
        if not path.exists():
            _download(found, url, path, expected, progress)
        elif expected is not None:
            _checksums.verify(path, expected, _how_to_replace(found, path))
        else:
            unknown[path] = Checksum.of(path)
    only = next(iter(found.files))
    data = read_dataset(place / only if only.endswith(".hdf5") else place)
    # Files that somebody put there are trusted once they have been read as what they should be;
    # a folder that cannot be written to does no harm.
    with contextlib.suppress(OSError):
        for path, checksum in unknown.items():
            _checksums.record(path, checksum)
    return Dataset(name, data.base, data.queries, data.neighbors, found.metric)


def _expected(found: PublicSet, file: str, recorded: dict[str, Checksum]) -> Checksum | None:
    """What a file has to be, where that is known: what is published goes before a record."""
    known, published = recorded.get(file), found.sha256.get(file)
    if published is None or (known is not None and known.sha256 == published):
        return known
    return Checksum(published)


def _how_to_replace(found: PublicSet, path: Path) -> str:
    advice = "remove it, and it is downloaded anew"
    if path.name not in found.sha256:
        advice += f"; if you have replaced it yourself, remove its line from {SUMS}"
    return advice


def _most_bytes(found: PublicSet, path: Path) -> int | None:
    """Bytes to download of a file that may hold more rows than the set."""
    if path.stem != "base" or path.suffix not in BINS:
        return None
    return 8 + found.rows * found.dim * BINS[path.suffix].itemsize


def _download(
    found: PublicSet,
    url: str,
    path: Path,
    expected: Checksum | None,
    progress: Callable[[str, int, int], object],
) -> None:
    part = path.with_name(f"{path.name}.part")
    most = _most_bytes(found, path)
    try:
        _continue(url, part, most, progress)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as e:
        reason = getattr(e, "reason", None) or e
        raise ConnectionError(
            f"{found.name} is not here and could not be downloaded ({reason}): "
            f"download {url} and put it at {path}"
        ) from e
    if most is not None:
        _crop(part, found.rows)
    got = Checksum.of(part)
    if expected is not None and got.sha256 != expected.sha256:
        part.unlink()
        reason = "removed"
        if path.name not in found.sha256:
            reason += (
                f". {url} is not what it was when it was first downloaded: to trust what it is "
                f"now, remove the line of {path.name} from {path.parent / SUMS}"
            )
        raise FormatError(
            f"{path.name}: expected SHA-256 {expected.sha256}, got {got.sha256}: {reason}"
        )
    # Recorded first: a file that is there is never one without a record.
    _checksums.record(path, got)
    part.replace(path)


def _continue(
    url: str, part: Path, most: int | None, progress: Callable[[str, int, int], object]
) -> None:
    done = part.stat().st_size if part.exists() else 0
    if most is not None and done >= most:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "annx"})
    if done or most is not None:
        end = "" if most is None else str(most - 1)
        request.add_header("Range", f"bytes={done}-{end}")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        if answer.status != 206:
            done = 0  # the server begins anew
        length = int(answer.headers.get("Content-Length") or 0)
        total = most if most is not None else (done + length if length else 0)
        with part.open("ab" if done else "wb") as file:
            while chunk := answer.read(_CHUNK if most is None else min(_CHUNK, most - done)):
                file.write(chunk)
                done += len(chunk)
                progress(f"downloading {part.stem}", done, total)
    if total and done < total:
        raise ConnectionError(f"it ended after {done} of {total} bytes")


def _crop(path: Path, rows: int) -> None:
    """Let the header say how many rows were downloaded."""
    with path.open("r+b") as file:
        file.write(np.array([rows], "<u4").tobytes())
