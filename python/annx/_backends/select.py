"""Which backend runs, chosen once, at first use."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from annx._backends.base import Config, Core
from annx.errors import BackendError

_NAMES = ("native", "numba")
_HELP = "pip install annx[numba] gives the one that needs no compiler"


@dataclass(frozen=True, slots=True)
class Backend:
    """The engine behind every index of this process.

    Attributes
    ----------
    name : str
        ``"native"`` (C++) or ``"numba"``.
    why : str
        Why this one.
    """

    name: str
    why: str
    _core: type[Core] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name


@cache
def backend() -> Backend:
    """Tell which backend runs, and why.

    The C++ extension if it is there, else Numba. The environment variable
    ``ANNX_BACKEND`` forces one; it is read at first use.

    Raises
    ------
    BackendError
        None is available, or the one that ``ANNX_BACKEND`` names is not.

    Examples
    --------
    >>> import annx
    >>> annx.backend().name in ("native", "numba")
    True
    """
    asked = os.environ.get("ANNX_BACKEND", "")
    if asked:
        if asked not in _NAMES:
            raise BackendError(f"ANNX_BACKEND must be 'native' or 'numba', got {asked!r}")
        try:
            return Backend(asked, f"ANNX_BACKEND={asked}", _load(asked))
        except ImportError as error:
            raise BackendError(f"ANNX_BACKEND={asked}, but it cannot load: {error}") from error
    try:
        return Backend("native", "the C++ extension is installed", _load("native"))
    except ImportError as error:
        reason = f"the C++ extension cannot load: {error}"
    try:
        chosen = Backend("numba", reason, _load("numba"))
    except ImportError as error:
        raise BackendError(f"annx has no backend: {reason}; {error}; {_HELP}") from error
    _warn_user(f"annx runs on its Numba backend, because {reason}")
    return chosen


def _warn_user(text: str) -> None:
    """Warn at the line outside of annx that led here."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] == "annx":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)


def create(config: Config) -> Core:
    """Make an empty core of the backend in use.

    Raises
    ------
    BackendError
    """
    return backend()._core(config)


def cpu_info() -> dict[str, Any]:
    """Tell what the processor offers, and what annx uses of it.

    Returns
    -------
    dict
        ``machine``: the architecture; ``isa``: the instruction set in use (forced by
        the environment variable ``ANNX_ISA``); ``available``: those that this
        machine and this build have, slowest first; ``features``: by name, whether the
        processor has it.

    Raises
    ------
    BackendError

    Examples
    --------
    >>> import annx
    >>> info = annx.cpu_info()
    >>> info["isa"] in info["available"]
    True
    """
    info: dict[str, Any] = {"machine": platform.machine()}
    if backend().name == "native":
        from annx import _native

        return info | _native.cpu_info()
    # LLVM compiles for the very processor that it runs on.
    return info | {"isa": "numba", "available": ["numba"], "features": {}}


def _load(name: str) -> type[Core]:
    core: type[Core]
    if name == "native":
        from annx._backends.native import NativeCore

        core = NativeCore
    else:
        if os.environ.get("ANNX_ISA"):
            raise BackendError("ANNX_ISA chooses among the native backend's kernels, not Numba's")
        from annx._backends.numba_core import NumbaCore

        core = NumbaCore
    return core
