"""What a figure means nothing without: machine, versions, commit, command."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import annx
from annx._bench.engines import LIBRARIES


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and how a benchmark ran."""

    cpu: str
    cores: int
    memory_gb: float | None
    system: str
    python: str
    versions: dict[str, str]
    backend: str
    isa: str
    huge_pages: str | None
    commit: str | None
    command: str
    when: str


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return round(size / 1e9, 1)


def _huge_pages() -> str | None:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return None
    return text.partition("[")[2].partition("]")[0] or None


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.strip()


def _commit() -> str | None:
    """Name the commit, if run from within a clone of annx."""
    try:
        if not (Path(_git("rev-parse", "--show-toplevel")) / "python" / "annx").is_dir():
            return None
        return _git("describe", "--always", "--dirty", "--abbrev=12") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _versions() -> dict[str, str]:
    out = {"annx": annx.__version__}
    peers = [library.package for library in LIBRARIES.values() if library.package != "annx"]
    for package in ("numpy", "numba", *peers):
        try:
            out[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def _command() -> str:
    program = [Path(sys.argv[0]).name if sys.argv else "python"]
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is not None:
        program = ["python", "-m", module.name.removesuffix(".__main__")]
    # A path of this machine would say nothing elsewhere; its last part does.
    words = [Path(word).name if os.path.isabs(word) else word for word in sys.argv[1:]]
    return shlex.join([*program, *words])


def describe() -> Machine:
    """Describe this machine and run."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=_versions(),
        backend=annx.backend().name,
        isa=str(annx.cpu_info()["isa"]),
        huge_pages=_huge_pages(),
        commit=_commit(),
        command=_command(),
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
