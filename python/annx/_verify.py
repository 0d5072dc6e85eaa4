"""Everything that is wrong with an index file, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from annx import _format, _sums
from annx._format import from_file, read_head, sums_of
from annx._layout import LOG
from annx._source import File
from annx.errors import FormatError


@dataclass(frozen=True, slots=True)
class FileReport:
    """What `check_file` found.

    Attributes
    ----------
    problems : tuple of str
        What is wrong, and where; empty if nothing is.
    sections : tuple of (str, int, int)
        Name, offset and length of each section, as far as the header can be read.
    damaged : tuple of (str, int, int)
        Section, first byte and the byte after the last, of the pieces of the file whose
        checksum does not match.
    """

    problems: tuple[str, ...]
    sections: tuple[tuple[str, int, int], ...] = ()
    damaged: tuple[tuple[str, int, int], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_file(path: str | os.PathLike[str], *, num_threads: int | None = None) -> FileReport:
    """Verify all of an index file: every checksum, and every rule of the format.

    Takes about twice as long as reading the file, and memory for its content.

    Parameters
    ----------
    path : str or path-like
    num_threads : int, optional

    Returns
    -------
    FileReport

    Raises
    ------
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import annx, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "points.annx")
    ...     annx.Index(2).save(path)
    ...     annx.check_file(path).ok
    True
    """
    try:
        report = from_file(path, lambda descriptor: _damage(descriptor, num_threads))
    except FormatError as error:
        return FileReport((str(error),))
    problems = list(report.problems)
    for verify in ("structure", "full"):
        if verify == "structure" or not problems:
            try:
                _format.load(path, verify=verify, num_threads=num_threads)
            except FormatError as error:
                problems.append(str(error).removeprefix(f"{os.fspath(path)}: "))
                break
    return FileReport(tuple(problems), report.sections, report.damaged)


def _damage(descriptor: int, num_threads: int | None) -> FileReport:
    source = File(descriptor, num_threads)
    head = read_head(source)
    places = tuple((s.name, s.offset, s.length) for s in head.sections)
    # Section "log" changes, and has checksums of its own.
    sections = [section for section in head.sections if section.name != LOG]
    stored = None
    problems, damaged = [], []
    # The checksums of blocks come first, so that damage to the others has a place.
    for section in sorted(sections, key=lambda each: each.name != "sums"):
        array, sums = source.array(section, True)
        assert sums is not None
        if section.name == "sums":
            stored = sums_of(head, {"sums": array})
        if _sums.of_section(sums) == section.crc:
            continue
        wrong = np.arange(len(sums))
        if stored is not None and section.name != "sums":
            wrong = np.flatnonzero(sums != stored[section.name])
        for first, last in _runs(wrong):
            start = section.offset + first * _sums.BLOCK
            stop = min(section.offset + last * _sums.BLOCK, section.end)
            damaged.append((section.name, start, stop))
            problems.append(
                f"section {section.name!r}: checksum of bytes {start} to {stop} does not match"
            )
    return FileReport(tuple(problems), places, tuple(damaged))


def _runs(numbers: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of numbers that follow each other."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]
