"""Text files by the line, whose errors name file and line."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias, cast

from annx.errors import FormatError

PathLike: TypeAlias = str | os.PathLike[str]


def problem(path: Path, number: int, message: str) -> FormatError:
    """Make the error of one line."""
    return FormatError(f"{path}:{number}: {message}")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give each line that is not blank with its number; ``.gz`` is unpacked.

    Raises
    ------
    FormatError
        A line is not UTF-8, or the file is no whole gzip file.
    OSError
        The file cannot be read.
    """
    number = 0
    try:
        with _open(path, "rb") as file:
            for number, line in enumerate(cast(IO[bytes], file), start=1):
                # A byte order mark, as spreadsheets write it.
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise problem(path, number, f"expected UTF-8: {error.reason}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise problem(path, number + 1, f"not a whole gzip file: {error}") from error


@contextmanager
def write_text(path: Path) -> Iterator[IO[str]]:
    """Open a file to write UTF-8 to, packed if its name ends in ``.gz``.

    What is there stays until all is written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _open(part, "wt", path.suffix) as file:
            yield cast(IO[str], file)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _open(path: Path, mode: str, suffix: str | None = None) -> IO[bytes] | IO[str]:
    opener = gzip.open if (suffix or path.suffix) == ".gz" else open
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else "\n"
    return cast("IO[bytes] | IO[str]", opener(path, mode, encoding=encoding, newline=newline))
