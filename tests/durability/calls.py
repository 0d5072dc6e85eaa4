"""Every call by which annx changes a file, one by one: watched, failed, or the last one.

annx writes through the functions of `os` and `fcntl` alone, from four modules. These see a
stand-in for both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from annx import _atomic, _log, _persist, _source

#: All that reach the system, as annx uses them.
NAMES = frozenset(
    {"open", "close", "read", "write", "lseek", "fsync", "fstat", "stat", "fchmod"}
    | {"ftruncate", "replace", "unlink", "scandir", "flock", "preadv"}
)
MODULES = ((_atomic, ("os", "fcntl")), (_log, ("os",)), (_persist, ("os",)), (_source, ("os",)))

#: What is done in place of a call: given its name, its arguments and the call itself.
Watch = Callable[[str, tuple[Any, ...], Callable[..., Any]], Any]


class _StandIn:
    def __init__(self, module: Any, watch: Watch) -> None:
        self._module, self._watch = module, watch

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._module, name)
        if name not in NAMES:
            return real
        return lambda *args: self._watch(name, args, real)


@contextlib.contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Let `watch` stand in for every call."""
    real = {"os": os, "fcntl": fcntl}
    try:
        for module, names in MODULES:
            for name in names:
                setattr(module, name, _StandIn(real[name], watch))
        yield
    finally:
        for module, names in MODULES:
            for name in names:
                setattr(module, name, real[name])


class Recorder:
    """Names and arguments of calls, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], Any]] = []

    def __call__(self, name: str, args: tuple[Any, ...], real: Callable[..., Any]) -> Any:
        kept = tuple(bytes(arg) if isinstance(arg, memoryview) else arg for arg in args)
        result = None
        try:
            result = real(*args)
        finally:
            self.calls.append((name, kept, result))
        return result


def count(action: Callable[[], object]) -> list[str]:
    """Names of the calls that an action makes."""
    recorder = Recorder()
    with watched(recorder):
        action()
    return [name for name, _, _ in recorder.calls]


class Killed:
    """The process dies at its n-th call: before it, after it, or when half of it is written."""

    def __init__(self, n: int, when: str) -> None:
        self._left, self._when = n, when

    def __call__(self, name: str, args: tuple[Any, ...], real: Callable[..., Any]) -> Any:
        if self._left:
            self._left -= 1
            return real(*args)
        if self._when == "half" and name == "write":
            real(args[0], args[1][: len(args[1]) // 2])
        elif self._when == "after":
            real(*args)
        os.kill(os.getpid(), signal.SIGKILL)


class Failing:
    """The n-th call, and the next `more` of its name, fail.

    With `short`, the n-th is a write that writes a part, and those after it fail.
    """

    def __init__(self, n: int, error: int, more: int = 0, short: bool = False) -> None:
        self._left, self._error, self._more, self._short = n, error, more, short
        self.hit = ""

    def __call__(self, name: str, args: tuple[Any, ...], real: Callable[..., Any]) -> Any:
        if not self.hit and self._left:
            self._left -= 1
            return real(*args)
        if not self.hit:
            self.hit = name
            if self._short:
                return real(args[0], args[1][: len(args[1]) // 2])
        elif name != self.hit or self._more == 0:
            return real(*args)
        else:
            self._more -= 1
        if name == "close":
            real(*args)  # Linux closes it all the same
        raise OSError(self._error, os.strerror(self._error))


#: What the injected errors are.
ERRORS = (errno.EIO, errno.ENOSPC)
