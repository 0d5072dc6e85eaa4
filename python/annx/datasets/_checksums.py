"""Trust at first use: what a file was when it came, and whether it still is.

Publishers of the data sets tell no checksums. So those of what was downloaded are written
beside it, as ``sha256sum`` writes and checks them, and every later use must find the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from annx import _atomic
from annx.errors import FormatError

#: Beside the files. ``sha256sum --check`` reads it, too, and skips the lines of lengths.
SUMS = "SHA256SUMS"

_SUM = re.compile(r"(?P<sha256>[0-9a-f]{64}) [ *](?P<name>.+)")
_LENGTH = re.compile(r"# (?P<length>\d+) bytes: (?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What is known of a file; its length may not be."""

    sha256: str
    length: int | None = None

    @classmethod
    def of(cls, path: Path) -> Checksum:
        """Read a whole file: a second for half a gigabyte."""
        with path.open("rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def read(folder: Path) -> dict[str, Checksum]:
    """Read what is recorded, by the name of the file; nothing if there is no record.

    Raises
    ------
    FormatError
        A line is neither a checksum, nor a length, nor a comment.
    """
    path = folder / SUMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: expected UTF-8: {error.reason}") from error
    sums, lengths = {}, {}
    for number, line in enumerate(lines, start=1):
        if match := _SUM.fullmatch(line):
            sums[match["name"]] = match["sha256"]
        elif match := _LENGTH.fullmatch(line):
            lengths[match["name"]] = int(match["length"])
        elif line.strip() and not line.startswith("#"):
            raise FormatError(
                f"{path}: line {number}: expected a SHA-256, two spaces and a name, got {line!r}"
            )
    return {name: Checksum(found, lengths.get(name)) for name, found in sums.items()}


def record(path: Path, found: Checksum) -> None:
    """Write down, beside a file, what it is; what is recorded of others stays."""
    known = read(path.parent) | {path.name: found}
    lines = []
    for name, one in sorted(known.items()):
        if one.length is not None:
            lines.append(f"# {one.length} bytes: {name}\n")
        lines.append(f"{one.sha256}  {name}\n")
    text = "".join(lines).encode()
    _atomic.write(path.parent / SUMS, lambda file: file.write(text))


def verify(path: Path, expected: Checksum, advice: str) -> None:
    """Compare a file with what it should be: first its length, which costs nothing.

    Raises
    ------
    FormatError
        It is another; the message ends with the advice.
    """
    length = path.stat().st_size
    if expected.length is not None and length != expected.length:
        raise FormatError(f"{path}: expected {expected.length} bytes, got {length}: {advice}")
    got = Checksum.of(path).sha256
    if got != expected.sha256:
        raise FormatError(f"{path}: expected SHA-256 {expected.sha256}, got {got}: {advice}")
