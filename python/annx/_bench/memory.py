"""Resident memory of this process, as the operating system sees it."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def _field(name: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith(f"{name}:")), None)
    return None if found is None else int(found.split()[1]) * 1024


def resident() -> int | None:
    """Bytes of this process in memory; None where the system does not tell."""
    return _field("VmRSS")


def peak() -> int | None:
    """Most bytes in memory since :func:`reset_peak`; None where the system does not tell."""
    return _field("VmHWM")


def reset_peak() -> bool:
    """Let :func:`peak` begin anew; False where the system does not allow it."""
    try:
        # Linux: 5 resets the high water mark of the resident set.
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def settle() -> None:
    """Give freed memory back, or it counts as that of whatever is measured next."""
    gc.collect()
    try:
        # glibc keeps freed blocks.
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass


def disk_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return os.stat(path).st_size
